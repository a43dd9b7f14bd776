from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from agent.probes import CHECKS
from agent.sample import State

from .running import numbers, outcome, run

NOW_MS = 1_790_000_000_000
HOUR = 3_600


def backup(path: Path, *, age_seconds: float, size_bytes: int = 1000) -> Path:
    path.write_bytes(b"x" * size_bytes)
    changed = NOW_MS / 1000 - age_seconds
    os.utime(path, (changed, changed))
    return path


def test_newest_of_a_pattern_decides(tmp_path: Path) -> None:
    backup(tmp_path / "monday.sql.gz", age_seconds=30 * HOUR)
    backup(tmp_path / "tuesday.sql.gz", age_seconds=6 * HOUR)
    observation = run("file", wall_ms=NOW_MS, path=f"{tmp_path}/*.sql.gz", maximum_age_seconds=26 * HOUR)
    assert observation.outcome is not None
    assert observation.outcome.state is State.UP
    assert "tuesday.sql.gz is 6 h old and has 1000 bytes" in observation.outcome.reason
    found = numbers(observation)
    assert found["probe_file_age_seconds"] == pytest.approx(6 * HOUR, abs=1)
    assert found["probe_file_size_bytes"] == 1000
    assert found["probe_file_matches"] == 2


@pytest.mark.parametrize(
    ("options", "state", "words"),
    [
        ({"maximum_age_seconds": 26 * HOUR}, State.DOWN, "is 30 h old, more than 26 h"),
        ({"degraded_age_seconds": 26 * HOUR}, State.DEGRADED, "is 30 h old, more than 26 h"),
        ({"maximum_age_seconds": 40 * HOUR}, State.UP, "is 30 h old"),
        ({"minimum_size_bytes": 1001}, State.DOWN, "has 1000 bytes, fewer than 1001"),
        ({"maximum_size_bytes": 999}, State.DOWN, "has 1000 bytes, more than 999"),
    ],
)
def test_age_and_size_decide(tmp_path: Path, options: dict[str, int], state: State, words: str) -> None:
    path = backup(tmp_path / "backup", age_seconds=30 * HOUR)
    found = outcome("file", wall_ms=NOW_MS, path=str(path), **options)
    assert (found.state, words in found.reason) == (state, True), found.reason


def test_missing_file_is_down(tmp_path: Path) -> None:
    assert outcome("file", path=f"{tmp_path}/none").reason == f"{tmp_path}/none does not exist"
    assert outcome("file", path=f"{tmp_path}/*.gz").state is State.DOWN


@pytest.mark.skipif(os.geteuid() == 0, reason="root may look everywhere; the check's own words are tested otherwise")
def test_folder_that_may_not_be_read_is_unknown(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0)
    found = outcome("file", path=f"{closed}/*.gz")
    assert (found.state, "may not look" in found.reason) == (State.UNKNOWN, True)


def test_relative_path_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError, match="not absolute"):
        msgspec.convert({"name": "it", "path": "backup.gz"}, CHECKS["file"])
