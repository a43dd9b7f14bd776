"""`kill -9` of collector and agents under load: nothing acknowledged is lost, doubled or altered."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.system.killing.trial import kill_all

KILLS = 50
"""Of the collector, and as many of the agents. The long version is in tests/chaos."""


@pytest.mark.system
@pytest.mark.timeout(400)
def test_nothing_acknowledged_is_lost_when_collector_and_agents_are_killed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = kill_all(tmp_path, kills=KILLS)
    with capsys.disabled():
        print(f"\n{told}")
