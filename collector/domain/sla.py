"""The verdict on a service level with its evidence: integer milliseconds in, exact ratios out.

Unmeasured time is tried both ways. Met means: kept even if every unknown millisecond had been down. Breached means:
missed even if every one had been up. Anything between is not provable, and said so. No evidence is never 100 %.

A promise is about its whole period. While time of it is still to come nothing is met yet, and it is breached only once
more is down than the whole period allows; until then it is on track or at risk.

Does not know where timelines come from, and never rounds: `truncated` is for showing only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction

from collector.domain.agreement import PERCENT, Objective
from collector.domain.interval import Span, clip, total
from collector.domain.outage import Outage, Statistics, statistics, stretches
from collector.domain.sample import State
from collector.domain.status import Segment


class Verdict(StrEnum):
    """What the evidence says about the promise: met or not at the end of its period, on track or at risk before."""

    MET = "met"
    ON_TRACK = "on_track"
    AT_RISK = "at_risk"
    BREACHED = "breached"
    NOT_PROVABLE = "not_provable"


SCARCE = Fraction(1, 4)
"""At risk with less than this share of the allowance left: early enough to do something about it."""


@dataclass(frozen=True, slots=True)
class Budget:
    """How much may be missed in the full period; signed and never clamped, so an overdraft shows its size."""

    allowance_ms: int  # whole milliseconds of the full period, rounded down
    spent_ms: int

    @property
    def left_ms(self) -> int:
        """Negative once overdrawn."""
        return self.allowance_ms - self.spent_ms

    @property
    def left_ratio(self) -> Fraction | None:
        """Share of the allowance that is left; None when nothing may be missed."""
        return Fraction(self.left_ms, self.allowance_ms) if self.allowance_ms else None

    @property
    def can_still_meet(self) -> bool:
        """Whether the period can end within the allowance."""
        return self.left_ms >= 0


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A verdict and everything it rests on. `agreed_ms = up_ms + down_ms + unknown_ms`, exactly."""

    span: Span  # the period, or what has passed of it
    objective: Objective
    agreed_ms: int  # agreed time inside the span and the service's existence, without what is excluded
    ahead_ms: int  # agreed time of the period that is still to come, as far as is known by now; 0 once it is over
    up_ms: int  # counted as available; includes degraded time where that counts as up
    down_ms: int  # counted as not available; includes degraded time where that counts as down
    degraded_ms: int  # of the two above
    unknown_ms: int
    excluded_ms: int
    is_partial: bool  # the service did not exist during the whole span
    budget: Budget
    outages: tuple[Outage, ...]  # their counted milliseconds sum up to down_ms
    gaps: tuple[Outage, ...]  # stretches without evidence; they sum up to unknown_ms
    statistics: Statistics

    @property
    def coverage(self) -> Fraction | None:
        """Share of agreed time that was measured; None when nothing was agreed."""
        return self._share(self.up_ms + self.down_ms)

    @property
    def strict(self) -> Fraction | None:
        """Availability if all unknown time had been down: the lower bound."""
        return self._share(self.up_ms)

    @property
    def lenient(self) -> Fraction | None:
        """Availability if all unknown time had been up: the upper bound."""
        return self._share(self.up_ms + self.unknown_ms)

    @property
    def measured(self) -> Fraction | None:
        """Availability over what was measured; None when nothing was."""
        known_ms = self.up_ms + self.down_ms
        return Fraction(self.up_ms, known_ms) if known_ms else None

    @property
    def forecast_ms(self) -> Fraction | None:
        """Downtime of the full period if it goes on at the rate so far; None when nothing was agreed yet."""
        if not self.agreed_ms:
            return None
        return Fraction(self.down_ms * (self.agreed_ms + self.ahead_ms), self.agreed_ms)

    @property
    def verdict(self) -> Verdict:
        """By exact comparison: of the bounds with the target, or of the downtime with the allowance before the end."""
        if self.ahead_ms:
            return self._outlook()
        strict, lenient = self.strict, self.lenient
        if strict is None or lenient is None:
            return Verdict.NOT_PROVABLE
        if strict >= self.objective.target:
            return Verdict.MET
        return Verdict.BREACHED if lenient < self.objective.target else Verdict.NOT_PROVABLE

    def _outlook(self) -> Verdict:
        if not self.budget.can_still_meet:
            return Verdict.BREACHED
        worst = Budget(self.budget.allowance_ms, self.down_ms + self.unknown_ms)
        if self.measured is None or self.forecast_ms is None or not worst.can_still_meet:
            return Verdict.NOT_PROVABLE
        # The forecast is of what was seen down: a moment without evidence after a start is no trend.
        is_scarce = worst.left_ratio is not None and worst.left_ratio < SCARCE
        return Verdict.AT_RISK if is_scarce or self.forecast_ms > worst.allowance_ms else Verdict.ON_TRACK

    def _share(self, milliseconds: int) -> Fraction | None:
        return Fraction(milliseconds, self.agreed_ms) if self.agreed_ms else None


def evaluate(
    timeline: Sequence[Segment],
    objective: Objective,
    *,
    span: Span,
    existed: Sequence[Span],
    period_existence: Sequence[Span],
) -> Evaluation:
    """Judge a period, or what has passed of it.

    Args:
        timeline: The service's states; sorted, apart, covering `existed` without a gap.
        objective: The promise.
        span: The period up to now.
        existed: When the service existed inside `span`; sorted, apart.
        period_existence: The same for the full period, for the size of the error budget and for what is to come.

    Raises:
        DisorderError: Spans overlap or run backwards.
    """
    agreed = [part for alive in existed for part in objective.calendar.within(alive)]
    agreed_ms = total(agreed)
    full_ms = sum(total(objective.calendar.within(alive)) for alive in period_existence)
    outages = stretches(timeline, objective.down_states, agreed=agreed)
    gaps = stretches(timeline, {State.UNKNOWN}, agreed=agreed)
    degraded = stretches(timeline, {State.DEGRADED}, agreed=agreed)
    down_ms, unknown_ms = _sum(outages), _sum(gaps)
    up_ms = agreed_ms - down_ms - unknown_ms
    return Evaluation(
        span=span,
        objective=objective,
        agreed_ms=agreed_ms,
        ahead_ms=full_ms - agreed_ms,
        up_ms=up_ms,
        down_ms=down_ms,
        degraded_ms=_sum(degraded),
        unknown_ms=unknown_ms,
        excluded_ms=0,
        is_partial=total(clip(existed, span)) < span.milliseconds,
        budget=Budget(int((1 - objective.target) * full_ms), down_ms),
        outages=tuple(outages),
        gaps=tuple(gaps),
        statistics=statistics(outages, up_ms=up_ms),
    )


def _sum(outages: Sequence[Outage]) -> int:
    return sum(outage.counted_ms for outage in outages)


def truncated(ratio: Fraction | None, target: Decimal | None = None, *, digits: int = 2) -> str:
    """A ratio as a percentage for showing: cut off, never rounded up, so that nothing crosses its target on paper.

    >>> truncated(Fraction(99896, 100000))
    '99.89'

    Args:
        ratio: 0..1, exact; None gives an empty text, as no data is no number.
        target: The promised percentage, which is never shown less precisely than it was promised.
        digits: Decimal places, at least.
    """
    if ratio is None:
        return ""
    exponent = target.normalize().as_tuple().exponent if target is not None else 0
    digits = max(digits, -exponent if isinstance(exponent, int) else 0)
    scale = 10**digits
    whole, rest = divmod(int(ratio * PERCENT * scale), scale)
    return f"{whole}.{rest:0{digits}d}"
