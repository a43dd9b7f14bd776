"""When a measured value becomes an alert: level, clear level and duration turn observations into transitions.

A duration runs from the first observation for as long as what was seen counts: to the next one, or to where its
evidence ends. A restart changes nothing, and time without observations does not count until late ones fill it. What
stops being observed freezes; it never resolves.

Does not measure, store or notify.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from hashlib import blake2b

from collector.domain.pattern import compile_anchored

SEVERITIES = ("info", "warning", "critical")  # in order
COMPARISONS: Mapping[str, Callable[[float, float], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}
MILLISECONDS = 1000
PATIENCE_MS = 3000
"""How long an observation that is due by the end of a duration is waited for, as it may still be on its way."""


class AlertState(StrEnum):
    """Where an alert stands; a resolved one is over and never comes back, its successor is a new one."""

    PENDING = "pending"
    FIRING = "firing"
    RESOLVED = "resolved"


@dataclass(frozen=True, slots=True)
class Rule:
    """What is worth an alert. Levels are in the unit of the measure."""

    id: int
    key: str
    measure: str
    level: float
    comparison: str = ">"
    clear_level: float | None = None  # where a firing alert ends; None: the level itself
    for_seconds: float = 0.0
    severity: str = "warning"
    selector: Mapping[str, str] = field(default_factory=dict)
    summary: str = ""
    summary_id: str = ""
    advice: str = ""
    advice_id: str = ""

    @property
    def for_ms(self) -> int:
        """How long the condition must hold."""
        return round(self.for_seconds * MILLISECONDS)

    def holds(self, value: float, *, firing: bool) -> bool:
        """Whether `value` is bad; once firing, a value is bad until it is past the clear level."""
        level = self.clear_level if firing and self.clear_level is not None else self.level
        return COMPARISONS[self.comparison](value, level)

    def selects(self, labels: Mapping[str, str]) -> bool:
        """Whether the rule is about something with these labels; a missing label is the empty text."""
        return all(compile_anchored(regex).fullmatch(labels.get(name, "")) for name, regex in self.selector.items())


@dataclass(frozen=True, slots=True)
class Alert:
    """One occurrence of a rule on one subject. Times are Unix milliseconds of the observations."""

    state: AlertState
    pending_ms: int  # since when the condition holds, moved on by time in which nothing was observed
    last_ms: int  # the newest observation judged
    value: float
    fired_ms: int | None = None
    resolved_ms: int | None = None
    hole_since_ms: int | None = None  # pending only: time without observations that late ones may still prove
    hole_until_ms: int | None = None
    # Of the newest observation, so that what it says can be held to be so until the next one is due:
    heard_ms: int | None = None  # when it came, by our clock; None: time alone proves nothing
    step_ms: int = 0  # how long until the next one
    reach_ms: int = 0  # how long it counts at most


@dataclass(frozen=True, slots=True)
class Observation:
    """One value, seen."""

    at_ms: int
    value: float
    gap_ms: int  # it counts for this long at most; a longer pause before it is time without observations
    live: bool = True  # False: late; may confirm or end an alert, never begins one
    since_ms: int | None = None  # from when on it was seen to be so; None: from `at_ms`
    heard_ms: int | None = None  # when it came, by our clock; None: it is only true of its own instant
    step_ms: int = 0  # how long until the next one


def step(rule: Rule, alert: Alert | None, seen: Observation) -> Alert | None:
    """The alert after one more observation.

    Args:
        rule: What to hold the value against.
        alert: The pending or firing one; None when there is none.
        seen: The observation; one that is not newer than the last only fills holes.

    Returns:
        None when there is nothing (any more) to speak of: all is well, or a pending alert lapsed. Otherwise the alert,
        the same object when nothing changed.
    """
    if alert is None:
        if not seen.live or not rule.holds(seen.value, firing=False):
            return None
        state = AlertState.FIRING if rule.for_ms == 0 else AlertState.PENDING
        fired_ms = seen.at_ms if state is AlertState.FIRING else None
        since_ms = seen.at_ms if seen.since_ms is None else seen.since_ms
        return _heard(Alert(state, since_ms, seen.at_ms, seen.value, fired_ms), seen)
    if seen.at_ms <= alert.last_ms:
        return _late(rule, alert, seen)
    firing = alert.state is AlertState.FIRING
    if not rule.holds(seen.value, firing=firing):
        if not firing:
            return None
        return replace(alert, state=AlertState.RESOLVED, resolved_ms=seen.at_ms, last_ms=seen.at_ms, value=seen.value)
    if firing:
        return replace(alert, last_ms=seen.at_ms, value=seen.value)
    alert = _heard(_pause(alert, seen), seen)
    if not seen.live:
        # Late news alone fires nothing: only what holds by now is worth telling.
        return replace(alert, last_ms=seen.at_ms, value=seen.value)
    return _ripen(rule, alert, seen)


def due_ms(rule: Rule, alert: Alert) -> int | None:
    """When a pending alert fires by our clock unless something is observed before.

    The time that is missing is counted from when the newest observation came, so that a host's wrong clock changes
    nothing. None when it does not fire by time: what was seen does not count for that long.
    """
    ripe_ms = alert.pending_ms + rule.for_ms
    if alert.state is not AlertState.PENDING or alert.heard_ms is None or ripe_ms > alert.last_ms + alert.reach_ms:
        return None
    # Where the next observation is due by then, it is the one to decide.
    patience_ms = PATIENCE_MS if alert.last_ms + alert.step_ms <= ripe_ms else 0
    return alert.heard_ms + max(0, ripe_ms - alert.last_ms) + patience_ms


def ripen(rule: Rule, alert: Alert, now_ms: int) -> Alert:
    """The alert by now, when nothing more was observed; the same object while nothing changes.

    What would have fired long ago, while nobody was there to say so, does not fire any more once its evidence is over.
    """
    ripe_at_ms = due_ms(rule, alert)
    if ripe_at_ms is None or alert.heard_ms is None or now_ms < ripe_at_ms or now_ms > heard_until_ms(alert):
        return alert
    return _fired(rule, alert)


def heard_until_ms(alert: Alert) -> int:
    """Until when the newest observation counts, by our clock; 0 when time proves nothing."""
    return 0 if alert.heard_ms is None else alert.heard_ms + alert.reach_ms + PATIENCE_MS


def lost_sight(alert: Alert, at_ms: int) -> Alert:
    """A pending alert whose subject could not be looked at: what was seen before counts until here, and no further."""
    if alert.state is not AlertState.PENDING or at_ms <= alert.last_ms:
        return alert
    seen_until_ms = min(at_ms, alert.last_ms + alert.reach_ms)
    return replace(alert, last_ms=seen_until_ms, heard_ms=None, reach_ms=0)


def _heard(alert: Alert, seen: Observation) -> Alert:
    heard_ms = seen.heard_ms if seen.live else None
    return replace(alert, heard_ms=heard_ms, step_ms=seen.step_ms, reach_ms=seen.gap_ms)


def _pause(alert: Alert, seen: Observation) -> Alert:
    """Time without observations does not count; it is remembered in case late ones prove it."""
    if seen.at_ms - alert.last_ms <= alert.reach_ms:
        return alert
    pause_ms = seen.at_ms - alert.last_ms
    return replace(alert, pending_ms=alert.pending_ms + pause_ms, hole_since_ms=alert.last_ms, hole_until_ms=seen.at_ms)


def _ripen(rule: Rule, alert: Alert, seen: Observation) -> Alert:
    at_ms = max(seen.at_ms, alert.last_ms)
    value = seen.value if seen.at_ms >= alert.last_ms else alert.value
    alert = replace(alert, last_ms=at_ms, value=value)
    return alert if at_ms - alert.pending_ms < rule.for_ms else _fired(rule, alert)


def _fired(rule: Rule, alert: Alert) -> Alert:
    fired_ms = alert.pending_ms + rule.for_ms
    return replace(alert, state=AlertState.FIRING, fired_ms=fired_ms, hole_since_ms=None, hole_until_ms=None)


def _late(rule: Rule, alert: Alert, seen: Observation) -> Alert:
    since_ms, until_ms = alert.hole_since_ms, alert.hole_until_ms
    if since_ms is None or until_ms is None or not since_ms < seen.at_ms < until_ms:
        return alert
    if not rule.holds(seen.value, firing=False):
        # It was well in between: the condition holds only since the observations after the hole.
        return replace(alert, pending_ms=until_ms, hole_since_ms=None, hole_until_ms=None)
    if seen.at_ms - since_ms > seen.gap_ms:
        return alert
    if until_ms - seen.at_ms > seen.gap_ms:
        return replace(alert, hole_since_ms=seen.at_ms, pending_ms=alert.pending_ms - (seen.at_ms - since_ms))
    closed = replace(alert, pending_ms=alert.pending_ms - (until_ms - since_ms), hole_since_ms=None, hole_until_ms=None)
    return _ripen(rule, closed, seen)


def fingerprint(labels: Mapping[str, str]) -> str:
    """Which alert it is, whenever it occurs: 16 hexadecimal digits over all labels but the severity."""
    text = "\xff".join(f"{name}\xfe{value}" for name, value in sorted(labels.items()) if name != "severity")
    return blake2b(text.encode(), digest_size=8).hexdigest()


def at_least(severity: str, minimum: str) -> bool:
    """Whether `severity` is `minimum` or worse."""
    return SEVERITIES.index(severity) >= SEVERITIES.index(minimum)
