"""The long versions of system tests that kill and fill: `make chaos`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.length import VARIABLE, times
from tests.system.killing.trial import kill_all
from tests.system.test_disk_full import fill_the_collectors

KILLS = times(0, long=600)
"""Of the collector, and as many of the agents: a quarter of an hour."""
FILLS = times(0, long=50)

pytestmark = [
    pytest.mark.system,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(not KILLS, reason=f"long: set {VARIABLE} to long, or to how often"),
]


def test_nothing_is_lost_in_hundreds_of_kills_of_the_whole_product(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = kill_all(tmp_path, kills=KILLS, seed=KILLS)
    with capsys.disabled():
        print(f"\n{told}")


def test_a_disk_that_is_full_again_and_again_loses_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = fill_the_collectors(tmp_path, rounds=FILLS)
    with capsys.disabled():
        print(f"\n{told}")
