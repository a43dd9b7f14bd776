"""When a measured value becomes an alert: level, clear level and duration turn observations into transitions.

Durations are counted between observations, never by the clock of whoever judges: a restart changes nothing, and time
without observations does not count until late ones fill it. What stops being observed freezes; it never resolves.

Does not measure, store or notify.
"""

from __future__ import annotations

import operator
import re
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
PLACEHOLDER = re.compile(r"\{(\w+)\}")


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


@dataclass(frozen=True, slots=True)
class Observation:
    """One value, seen."""

    at_ms: int
    value: float
    gap_ms: int  # a longer pause before it is time without observations
    live: bool = True  # False: late; may confirm or end an alert, never begins one


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
        return Alert(state, seen.at_ms, seen.at_ms, seen.value, fired_ms)
    if seen.at_ms <= alert.last_ms:
        return _late(rule, alert, seen)
    firing = alert.state is AlertState.FIRING
    if not rule.holds(seen.value, firing=firing):
        if not firing:
            return None
        return replace(alert, state=AlertState.RESOLVED, resolved_ms=seen.at_ms, last_ms=seen.at_ms, value=seen.value)
    if firing:
        return replace(alert, last_ms=seen.at_ms, value=seen.value)
    alert = _pause(alert, seen)
    if not seen.live:
        # Late news alone fires nothing: only what holds by now is worth telling.
        return replace(alert, last_ms=seen.at_ms, value=seen.value)
    return _ripen(rule, alert, seen)


def _pause(alert: Alert, seen: Observation) -> Alert:
    """Time without observations does not count; it is remembered in case late ones prove it."""
    if seen.at_ms - alert.last_ms <= seen.gap_ms:
        return alert
    pause_ms = seen.at_ms - alert.last_ms
    return replace(alert, pending_ms=alert.pending_ms + pause_ms, hole_since_ms=alert.last_ms, hole_until_ms=seen.at_ms)


def _ripen(rule: Rule, alert: Alert, seen: Observation) -> Alert:
    at_ms = max(seen.at_ms, alert.last_ms)
    value = seen.value if seen.at_ms >= alert.last_ms else alert.value
    if at_ms - alert.pending_ms < rule.for_ms:
        return replace(alert, last_ms=at_ms, value=value)
    return replace(
        alert,
        state=AlertState.FIRING,
        fired_ms=alert.pending_ms + rule.for_ms,
        last_ms=at_ms,
        value=value,
        hole_since_ms=None,
        hole_until_ms=None,
    )


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


def fill(template: str, words: Mapping[str, str]) -> str:
    """`template` with each `{name}` replaced by its word; unknown names stay as they are. Nothing else is understood.

    >>> fill("{mountpoint} on {instance} is {value} full", {"mountpoint": "/", "value": "91 %"})
    '/ on {instance} is 91 % full'
    """
    return PLACEHOLDER.sub(lambda found: words.get(found[1], found[0]), template)


def at_least(severity: str, minimum: str) -> bool:
    """Whether `severity` is `minimum` or worse."""
    return SEVERITIES.index(severity) >= SEVERITIES.index(minimum)
