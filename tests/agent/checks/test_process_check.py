from __future__ import annotations

import os
from pathlib import Path

import pytest

from agent.probes import process_check
from agent.probes.attempts import CannotProbe
from agent.sample import State

from .running import numbers, outcome, run


def entry(proc: Path, pid: int, comm: str, *words: str, state: str = "S") -> None:
    folder = proc / str(pid)
    folder.mkdir(parents=True)
    (folder / "comm").write_text(f"{comm}\n")
    (folder / "cmdline").write_bytes(b"".join(word.encode() + b"\0" for word in words))
    (folder / "stat").write_text(f"{pid} ({comm}) {state} 1 1 1")


def table(proc: Path) -> Path:
    entry(proc, 1, "systemd", "/sbin/init")
    entry(proc, 20, "nginx", "nginx: master process /usr/sbin/nginx")
    entry(proc, 21, "nginx", "nginx: worker process")
    entry(proc, 22, "nginx", state="Z")
    entry(proc, 30, "systemd-resolve", "/lib/systemd/systemd-resolved")
    entry(proc, 31, "systemd-resolve", "/lib/systemd/systemd-resolver")
    entry(proc, 40, "odd) S 1 (name", "/opt/odd")
    entry(proc, 50, "kworker/0:1")
    (proc / "self-not-a-process").mkdir()
    return proc


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("nginx", "", 2),
        ("nginx", "worker", 1),
        ("systemd-resolved", "", 1),
        ("/usr/sbin/nginx", "", 0),
        ("/sbin/init", "", 1),
        ("init", "", 1),
        ("odd) S 1 (name", "", 1),
        ("kworker/0:1", "", 1),
        ("apache2", "", 0),
    ],
)
def test_processes_are_counted_by_name_and_arguments(tmp_path: Path, name: str, arguments: str, expected: int) -> None:
    assert process_check.count(table(tmp_path), name, arguments=arguments) == expected


def test_hidden_process_table_is_unknown_not_down(tmp_path: Path) -> None:
    with pytest.raises(CannotProbe, match="hidepid"):
        process_check.count(tmp_path, "nginx")


def test_this_very_process_is_found() -> None:
    name = Path(f"/proc/{os.getpid()}/comm").read_text().strip()
    observation = run("process", process=name)
    assert observation.outcome is not None
    assert observation.outcome.state is State.UP
    assert numbers(observation)["probe_process_matches"] >= 1


def test_too_few_and_too_many_are_down() -> None:
    found = outcome("process", process="no-such-program-here")
    assert found.state is State.DOWN
    assert found.reason == "0 processes named no-such-program-here instead of at least 1"
    name = Path(f"/proc/{os.getpid()}/comm").read_text().strip()
    assert outcome("process", process=name, minimum=0, maximum=0).state is State.DOWN
