"""Outages: maximal stretches in which a service was not available, and how much of each counts.

Does not decide whether degraded is down, nor what is agreed; both are told.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from fractions import Fraction

from collector.domain.interval import Span, clip, total
from collector.domain.sample import State
from collector.domain.status import Segment


@dataclass(frozen=True, slots=True)
class Outage:
    """One stretch; `counted_ms` is its part inside agreed time, so that a list of them sums up to the downtime."""

    since_ms: int
    until_ms: int
    counted_ms: int
    state: State  # the worst in it
    reason: str
    is_open: bool  # still so at the end of what was looked at

    @property
    def milliseconds(self) -> int:
        """How long it lasts by the wall clock."""
        return self.until_ms - self.since_ms


def stretches(timeline: Sequence[Segment], states: Collection[State], *, agreed: Sequence[Span]) -> list[Outage]:
    """Maximal stretches of `states` that touch agreed time.

    Args:
        timeline: Sorted, apart; may leave out time in which the service did not exist.
        states: Those that count, such as down and degraded.
        agreed: Agreed service time; sorted, apart.

    Returns:
        In order of time. Their `counted_ms` sum up to exactly the agreed milliseconds in `states`.
    """
    end_ms = timeline[-1].until_ms if timeline else 0
    found: list[Outage] = []
    for segment in timeline:
        if segment.state not in states:
            continue
        span = Span(segment.since_ms, segment.until_ms)
        counted_ms = total(clip(agreed, span))
        before = found[-1] if found else None
        if before and before.until_ms == segment.since_ms:
            worse = segment.state > before.state
            found[-1] = Outage(
                before.since_ms,
                segment.until_ms,
                before.counted_ms + counted_ms,
                segment.state if worse else before.state,
                segment.reason if worse else before.reason,
                is_open=segment.until_ms == end_ms,
            )
        else:
            is_open = segment.until_ms == end_ms
            found.append(Outage(*span, counted_ms, segment.state, segment.reason, is_open=is_open))
    return [outage for outage in found if outage.counted_ms > 0]


@dataclass(frozen=True, slots=True)
class Statistics:
    """Figures over the outages of a period; None where there was no outage to speak of.

    Source: the usual definitions, as in service-level agreements; both together are the time between incidents.
    """

    count: int
    longest_ms: int
    mtrs_ms: Fraction | None  # mean time to restore service
    mtbf_ms: Fraction | None  # mean time between failures


def statistics(outages: Sequence[Outage], *, up_ms: int) -> Statistics:
    """Count, longest and means; `up_ms` is the time in which the service was known to be available."""
    count = len(outages)
    if not count:
        return Statistics(0, 0, None, None)
    down_ms = sum(outage.counted_ms for outage in outages)
    longest_ms = max(outage.counted_ms for outage in outages)
    return Statistics(count, longest_ms, Fraction(down_ms, count), Fraction(up_ms, count))
