"""The agent that `sigap up` runs: its file is one that the agent takes."""

from __future__ import annotations

from pathlib import Path

from agent import config
from collector.up import AGENT_FILE


def test_the_local_agent_takes_central_checks_and_speaks_up_only_when_something_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "agent.toml"
    path.write_text(AGENT_FILE)
    loaded = config.load(path, {})
    assert (loaded.file.log.level, loaded.file.central_checks) == ("warning", "allow")
