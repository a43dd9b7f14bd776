"""Keeps the series store small: closed windows become blocks, blocks become rollups, what is too old goes.

Called on a beat by the timer; decides nothing about how (see `store.series`).
"""

from __future__ import annotations

import logging

from collector.store.series import SeriesStore
from collector.store.series.tiers import DAY_MS, Retention

LOG = logging.getLogger(__name__)

FLUSH_SECONDS = 60.0
"""A closed window waits five minutes for late rows; looking once a minute adds little to that."""
RETAIN_SECONDS = 3600.0


def retention_of(*, raw_days: float, five_minutes_days: float, one_hour_days: float) -> Retention:
    """Retention from settings in days; whether they can be used is said by `Retention.problems`."""
    return Retention(int(raw_days * DAY_MS), int(five_minutes_days * DAY_MS), int(one_hour_days * DAY_MS))


async def flush(series: SeriesStore, *, everything: bool = False) -> int:
    """Turn heads of closed windows into blocks; return how many blocks were written.

    With `everything` also open windows, so that the next start replays next to nothing.
    """
    written = await series.flush(everything=everything)
    if written:
        LOG.info("series_flushed blocks=%d", written)
    return written


async def retain(series: SeriesStore) -> int:
    """Compute due rollups and delete expired blocks; return how many were deleted."""
    removed = await series.retain()
    for resolution_ms, blocks in removed.items():
        if blocks:
            LOG.info("series_expired resolution_ms=%d blocks=%d", resolution_ms, blocks)
    return sum(removed.values())
