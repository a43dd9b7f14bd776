"""The tiers of the store: raw rows and their two rollups, with the windows that blocks are cut into.

Values only. Does not read or write.
"""

from __future__ import annotations

from dataclasses import dataclass

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS

RAW = 0
FIVE_MINUTES = 5 * MINUTE_MS
ONE_HOUR = HOUR_MS


@dataclass(frozen=True, slots=True)
class Tier:
    """Blocks of one resolution.

    Windows are aligned to Unix time; a window of a coarser tier holds whole windows of the finer one. `reach_ms` is the
    longest span that is answered from this tier when the reader does not choose: some nine thousand points.
    """

    resolution_ms: int
    window_ms: int
    reach_ms: int

    def window_of(self, wall_ms: int) -> int:
        """Start of the window that a moment falls into."""
        return wall_ms - wall_ms % self.window_ms


TIERS: tuple[Tier, ...] = (
    Tier(RAW, window_ms=2 * HOUR_MS, reach_ms=26 * HOUR_MS),
    Tier(FIVE_MINUTES, window_ms=DAY_MS, reach_ms=32 * DAY_MS),
    Tier(ONE_HOUR, window_ms=7 * DAY_MS, reach_ms=2**62),
)
"""Finest first. Blocks hold 720 rows at a 10 s beat, 288 and 168 buckets: short blocks waste half of what pcodec saves
(measured: 120 samples cost 1.96 bytes each where 8,640 cost 1.33)."""

RAW_TIER = TIERS[0]


@dataclass(frozen=True, slots=True)
class Retention:
    """How long each tier is kept, in milliseconds; a window goes once all of it is older.

    A rollup's window is computed from the finer tier's, so the finer tier must outlive it (`problems` says where not).
    """

    raw_ms: int = 15 * DAY_MS
    five_minutes_ms: int = 90 * DAY_MS
    one_hour_ms: int = 3 * 365 * DAY_MS

    def of(self, tier: Tier) -> int:
        """Milliseconds that this tier is kept."""
        return {RAW: self.raw_ms, FIVE_MINUTES: self.five_minutes_ms, ONE_HOUR: self.one_hour_ms}[tier.resolution_ms]

    def problems(self) -> dict[str, str]:
        """What is wrong with these settings, by field; empty when they can be used."""
        found = {}
        if self.raw_ms < 2 * DAY_MS:
            found["raw_ms"] = "at least 2 days, as five-minute rollups are computed from whole days"
        if self.five_minutes_ms < self.raw_ms + 2 * 7 * DAY_MS:
            found["five_minutes_ms"] = (
                "at least 14 days longer than raw, as hourly rollups are computed from whole weeks"
            )
        if self.one_hour_ms < self.five_minutes_ms:
            found["one_hour_ms"] = "at least as long as the five-minute rollups"
        return found
