from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from agent.probes import CHECKS, attempts
from agent.probes.attempts import Finding, Patience, Settled
from agent.reason import Reason
from agent.sample import ABSENT, State

from .running import run

UP, DEGRADED, DOWN, UNKNOWN = State.UP, State.DEGRADED, State.DOWN, State.UNKNOWN


class Clock:
    """A wall clock that moves only when somebody waits or attempts."""

    def __init__(self) -> None:
        self.now_ms = 1_000_000

    def __call__(self) -> int:
        return self.now_ms

    def pause(self, seconds: float) -> None:
        self.now_ms += int(seconds * 1000)


def settle(*states: State, retries: int) -> Settled:
    clock = Clock()
    ahead: Iterator[State] = iter(states)

    def attempt() -> Finding:
        state = next(ahead)
        clock.pause(2)
        return Finding(state, Reason(state.name))

    return attempts.settle(attempt, Patience(retries, 3), now_ms=clock, pause=clock.pause)


def test_first_success_is_not_retried() -> None:
    found = settle(UP, retries=3).outcome
    assert (found.state, found.attempts, found.since_ms) == (UP, 1, 1_000_000)


def test_failure_counts_only_after_every_retry_and_dates_from_the_first() -> None:
    found = settle(DOWN, DOWN, DOWN, retries=2).outcome
    assert (found.state, found.attempts, found.since_ms) == (DOWN, 3, 1_000_000)


def test_success_on_a_retry_counts_as_up() -> None:
    found = settle(DOWN, UP, retries=2).outcome
    assert (found.state, found.attempts, found.since_ms) == (UP, 2, 1_005_000)


def test_since_is_the_start_of_the_last_unbroken_run_of_the_state() -> None:
    found = settle(DOWN, UNKNOWN, DOWN, DOWN, retries=3).outcome
    assert (found.state, found.since_ms) == (DOWN, 1_010_000)


def test_slow_success_is_degraded_and_says_so() -> None:
    slow = attempts.slower_than(
        Finding(UP, Reason("HTTP {status} after {seconds} s", status=200, seconds=1.5), 1.5), 1.0
    )
    assert (slow.state, slow.reason) == (DEGRADED, "HTTP 200 after 1.5 s: slower than 1 s")
    assert attempts.slower_than(Finding(UP, Reason(""), 1.0), 1.0).state is UP
    assert attempts.slower_than(Finding(DOWN, Reason(""), 9.0), 1.0).state is DOWN
    assert attempts.slower_than(Finding(UP, Reason(""), 9.0), None).state is UP


@pytest.mark.parametrize(
    ("days", "state", "words"),
    [
        (30, UP, "30 days"),
        (14, UP, "14 days"),
        (13.9, DEGRADED, "13 days"),
        (1.5, DEGRADED, "36 hours"),
        (-3, DOWN, "0 hours"),
    ],
)
def test_days_left_of_a_certificate_decide(days: float, state: State, words: str) -> None:
    found = attempts.expiry("example.org", 1e9 + days * 86_400, 1e9, degraded_days=14, down_days=0)
    assert (found.state, found.reason) == (state, f"Certificate of example.org expires in {words}")


def test_unknown_has_no_success_metric_and_down_has_zero() -> None:
    by_name = {sample.series.name: sample.value for sample in run("http", url="http://127.0.0.1:1").samples}
    assert by_name["probe_success"] == 0
    hidden = {"headers_from_files": {"X-Token": "/nowhere"}}
    by_name = {sample.series.name: sample.value for sample in run("http", url="http://127.0.0.1:1", **hidden).samples}
    assert by_name["probe_success"].hex() == ABSENT.hex()


def test_attempts_that_do_not_fit_into_the_interval_are_refused() -> None:
    options = {"name": "it", "address": "a:1", "interval_seconds": 10, "timeout_seconds": 5, "retries": 2}
    with pytest.raises(msgspec.ValidationError, match="interval_seconds 10 is too short for 3 attempts"):
        msgspec.convert(options, CHECKS["tcp"])


def test_every_kind_has_its_test_and_names_itself() -> None:
    for kind, settings in CHECKS.items():
        module = settings.__module__.rpartition(".")[2]
        assert (Path(__file__).parent / f"test_{module}.py").exists()
        assert kind == settings.KIND
        assert settings.__doc__
        assert set(settings.__struct_fields__) >= settings.SECRET | settings.LOCAL_ONLY
