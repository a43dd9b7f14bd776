"""Threads that compute must not hold up those that only need a moment, as a commit does at each of its statements."""

from __future__ import annotations

import gc
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from collector.up import TURN_SECONDS, settle

STATEMENTS = 40
DEFAULT_SECONDS = 0.005


@pytest.fixture
def settled() -> Iterator[None]:
    before = sys.getswitchinterval()
    settle()
    yield
    sys.setswitchinterval(before)
    gc.unfreeze()


def waited(stop: threading.Event) -> float:
    """How long it takes to give the interpreter away and get it back some times, while another thread computes."""
    computing = threading.Thread(target=lambda: [None for _ in iter(stop.is_set, True)])
    computing.start()
    began = time.perf_counter()
    for _ in range(STATEMENTS):
        time.sleep(0)
    took = time.perf_counter() - began
    stop.set()
    computing.join()
    return took


@pytest.mark.usefixtures("settled")
def test_whoever_needs_a_moment_waits_shorter_turns_than_python_gives_by_default() -> None:
    assert sys.getswitchinterval() == pytest.approx(TURN_SECONDS)
    # The best of some tries: another process may take the processor away, nothing makes it faster.
    assert min(waited(threading.Event()) for _ in range(5)) < STATEMENTS * DEFAULT_SECONDS
