"""What was promised: the objective of a service per calendar month.

Parties, priorities, response times and credits are agreements of their own and not here.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from zoneinfo import ZoneInfo

from collector.domain.calendar import ALWAYS, Calendar
from collector.domain.errors import InvalidInput
from collector.domain.message import Message
from collector.domain.sample import State

PERCENT = 100


@dataclass(frozen=True, slots=True)
class Objective:
    """Availability promised per calendar month of `zone`, in agreed service time."""

    percent: Decimal  # 0 < percent <= 100
    zone: ZoneInfo
    degraded_counts_as: str = "up"  # or "down"
    calendar: Calendar = ALWAYS

    def __post_init__(self) -> None:
        if not 0 < self.percent <= PERCENT:
            raise InvalidInput(
                Message(
                    "An availability objective of {percent} % cannot be kept or missed.", percent=str(self.percent)
                ),
                fields={"availability_objective": "must be above 0 and at most 100"},
            )

    @property
    def target(self) -> Fraction:
        """The promised ratio, exact."""
        return Fraction(self.percent) / PERCENT

    @property
    def down_states(self) -> frozenset[State]:
        """The states that count as not available."""
        return frozenset({State.DOWN, State.DEGRADED} if self.degraded_counts_as == "down" else {State.DOWN})
