"""How attempts become a state: retries before a state counts, thresholds that make a success only a partial one.

Pure: the caller says how to attempt, how to pause and what time it is. Knows no network and no kind of check.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from agent.reason import Reason, took
from agent.sample import Outcome, State

Key = tuple[str, tuple[tuple[str, str], ...]]
"""A metric name and the labels that the kind of check adds to it."""

SECONDS_PER_DAY = 86_400
HOURS_PER_DAY = 24
DAYS_LEAST = 2  # less is told in hours


@dataclass(frozen=True, slots=True)
class Finding:
    """What one attempt saw; `values` are the numbers it could take, by metric name and extra labels."""

    state: State
    reason: Reason
    latency_seconds: float = 0.0
    values: Mapping[Key, float] = field(default_factory=dict)


class Verdict(Exception):
    """Ends an attempt with a reason that a person reads."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason = reason


class CannotProbe(Verdict):
    """The look itself was not possible, so it says nothing of the target: unknown, never down."""


class Failed(Verdict):
    """The target did not do what it should: down."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How often to try before a state counts, and how long to wait in between."""

    retries: int = 0
    retry_interval_seconds: float = 1.0


@dataclass(frozen=True, slots=True)
class Settled:
    """The state that counts, with the attempt that showed it last."""

    finding: Finding
    outcome: Outcome


def settle(
    attempt: Callable[[], Finding], patience: Patience, *, now_ms: Callable[[], int], pause: Callable[[float], object]
) -> Settled:
    """Try until the target is up or the retries are used up; the last attempt decides.

    `since_ms` of the outcome is when the first attempt of the last unbroken run of that state began, so that
    retrying never shortens an outage.
    """
    since_ms = 0
    state: State | None = None
    for number in range(1, patience.retries + 2):
        began_ms = now_ms()
        finding = attempt()
        if finding.state is not state:
            state, since_ms = finding.state, began_ms
        if finding.state is State.UP or number > patience.retries:
            break
        pause(patience.retry_interval_seconds)
    outcome = Outcome(finding.state, finding.reason, finding.latency_seconds, number, since_ms)
    return Settled(finding, outcome)


def slower_than(finding: Finding, degraded_seconds: float | None) -> Finding:
    """The finding, degraded when it was a success that took longer than agreed."""
    if degraded_seconds is None or finding.state is not State.UP or finding.latency_seconds <= degraded_seconds:
        return finding
    slow = Reason("{finding}: slower than {limit}", finding=finding.reason, limit=took(degraded_seconds))
    return replace(finding, state=State.DEGRADED, reason=slow)


def expiry(name: str, expires_unix: float, now_unix: float, *, degraded_days: float, down_days: float) -> Finding:
    """What a certificate's last day says: down at `down_days` left or fewer, degraded below `degraded_days`."""
    days = (expires_unix - now_unix) / SECONDS_PER_DAY
    if days <= down_days:
        state = State.DOWN
    elif days < degraded_days:
        state = State.DEGRADED
    else:
        state = State.UP
    if days < DAYS_LEAST:
        hours = max(0, int(days * HOURS_PER_DAY))
        return Finding(state, Reason("Certificate of {name} expires in {count} hours", name=name, count=hours))
    return Finding(state, Reason("Certificate of {name} expires in {count} days", name=name, count=int(days)))
