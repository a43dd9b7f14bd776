"""A filesystem that really does not answer: the kernel holds whoever asks it."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent import sampler
from agent.beat import Beat, Scheduled
from agent.probes.check import Check
from agent.probes.file import FileCheck
from agent.probes.filesystem import Filesystem
from agent.sample import Moment, State

from .hanging import Hanging, hanging

MOMENT = Moment(1_795_561_589_500, 1_000_500_000_000)
DEADLINE_SECONDS = 20
SHORT_SECONDS = 0.1
BEATS = 8
THREADS_MOST = 8
"""Two of them held by the kernel for ever."""
AGENT_TEXT = """
[state]
directory = "{state}"
[host.probes.filesystem]
interval_seconds = 1
[[checks]]
name = "backup"
kind = "file"
path = "{folder}/*.gz"
interval_seconds = 2
timeout_seconds = 1
retries = 0
"""
ERROR, SIZE = "node_filesystem_device_error", "node_filesystem_size_bytes"

pytestmark = pytest.mark.counterpart


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "share"
    made.mkdir()
    return made


@pytest.fixture
def server(folder: Path) -> Iterator[Hanging]:
    with hanging(folder) as made:
        yield made


def probe_of(tmp_path: Path) -> Filesystem:
    """The probe on this thread's own mounts, which those of process 1 would hide."""
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/self").symlink_to("/proc/thread-self")
    return Filesystem(tmp_path, timeout_seconds=SHORT_SECONDS)


def seen(probe: Filesystem, folder: Path) -> dict[str, float]:
    """What the probe says of the mount on the folder, and how many other mounts answered."""
    samples = probe.observe(MOMENT).samples
    found = {series.name: value for series, value in samples if ("mountpoint", str(folder)) in series.labels}
    found["others"] = sum(
        value == 0
        for series, value in samples
        if series.name == ERROR and ("mountpoint", str(folder)) not in series.labels
    )
    return found


def eventually(claim: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not claim():
        assert time.monotonic() < deadline
        threading.Event().wait(0.005)


def test_dead_filesystem_is_told_costs_one_thread_and_recovers(server: Hanging, folder: Path, tmp_path: Path) -> None:
    probe = probe_of(tmp_path)
    before = seen(probe, folder)
    assert (before[ERROR], before[SIZE]) == (0, 4_096_000)
    threads = threading.active_count()
    server.die()
    for _ in range(5):
        during = seen(probe, folder)
        assert (during[ERROR], SIZE in during, during["others"]) == (1, False, before["others"])
    assert server.held <= 2, "asked once, by stat and statfs"
    assert threading.active_count() <= threads + 1
    server.come_back()
    eventually(lambda: seen(probe, folder)[ERROR] == 0)
    assert seen(probe, folder) == before
    eventually(lambda: threading.active_count() <= threads)


def test_dead_filesystem_that_is_unmounted_is_forgotten(folder: Path, tmp_path: Path) -> None:
    probe = probe_of(tmp_path)
    with hanging(folder) as server:
        seen(probe, folder)
        server.die()
        assert seen(probe, folder)[ERROR] == 1
    assert ERROR not in seen(probe, folder)


def test_file_check_on_a_dead_filesystem_is_unknown_in_time(server: Hanging, folder: Path) -> None:
    settings = FileCheck(name="backup", path=f"{folder}/*.gz", timeout_seconds=1, retries=0)
    beats: list[Beat] = []
    server.die()
    once = sampler.Sampler(
        [Scheduled(Check(settings, wire_id="local:backup"), 60, 1.5, wire_id="local:backup")],
        beats.append,
        rng=random.Random(0),
    )
    began = time.monotonic()
    once.run_once()
    assert time.monotonic() - began < DEADLINE_SECONDS / 2
    (result,) = beats[0].results
    assert result.outcome.state is State.UNKNOWN, result.outcome.reason


def test_agent_with_a_dead_filesystem_measures_the_rest_and_ends_when_told(
    server: Hanging, folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "agent.toml").write_text(AGENT_TEXT.format(state=tmp_path / "state", folder=folder))
    spool = tmp_path / "state" / "spool.db-wal"
    agent = [sys.executable, "-m", "agent", "run", "--config", str(tmp_path / "agent.toml")]
    # As process 1 of a namespace of its own it takes our mounts for those of the host.
    command = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", *agent]
    server.die()
    log = tmp_path / "log"
    with log.open("wb") as said, subprocess.Popen(command, stdout=said, stderr=said) as process:
        try:
            eventually(lambda: process.poll() is not None or (server.held >= 2 and spool.exists()))
            assert process.poll() is None, log.read_text()
            written = {spool.stat().st_mtime_ns}

            def has_written(times: int) -> bool:
                written.add(spool.stat().st_mtime_ns)
                return len(written) > times

            eventually(lambda: has_written(BEATS))
            pid = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().strip()
            assert len(os.listdir(f"/proc/{pid}/task")) <= THREADS_MOST, "no thread is lost with each beat"
            os.kill(int(pid), signal.SIGTERM)
            # The kernel buries a process when none of its threads waits for the server any more.
            eventually(lambda: Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].startswith("Z"))
            server.come_back()
            assert process.wait(DEADLINE_SECONDS) == 0, log.read_text()
        finally:
            process.kill()
    assert "Traceback" not in log.read_text()
