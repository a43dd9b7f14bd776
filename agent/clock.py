"""How far this host's clock is from the collector's, by the quickest of the last round trips. Pure."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from agent.sample import Moment

ROUND_TRIPS = 8
NANOSECONDS_PER_MS = 1_000_000


class Reading(NamedTuple):
    """One measurement. The true offset is within half the round trip of it."""

    round_trip_ms: float
    offset_ms: float  # this host's wall clock minus the collector's


class Offset:
    """The last few measurements."""

    def __init__(self) -> None:
        self._readings: deque[Reading] = deque(maxlen=ROUND_TRIPS)

    def note(self, *, sent: Moment, received: Moment, collector_wall_ms: int) -> None:
        """Take a round trip in, measured on the boot clock, which never steps."""
        round_trip_ms = (received.boottime_ns - sent.boottime_ns) / NANOSECONDS_PER_MS
        if round_trip_ms >= 0:
            # The wall clock at reception counts: after a step, the old one would say nothing about now.
            middle_ms = received.wall_ms - round_trip_ms / 2
            self._readings.append(Reading(round_trip_ms, middle_ms - collector_wall_ms))

    def best(self) -> Reading | None:
        """The quickest round trip bounds the error best; None before the first."""
        return min(self._readings, default=None)
