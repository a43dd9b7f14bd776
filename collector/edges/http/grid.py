"""Stored series on the common times of a chart: gauges as means, counters by their growth, gaps as gaps.

Hundreds of series of a host were measured at the very same times, so whatever depends on times alone is computed once
for all of them. Pure; knows no chart.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from collector.domain import series
from collector.domain.series import Times, Values

STEP_LEAST_MS = 5000
REACH_MS = 10_000
BESIDE = 3
"""So many beats on each side tell what was usual at the time."""
FINE_BEATS = 1.5
"""Where a step of the grid holds fewer beats than that, the value that stood says more than their mean."""


def grid(since_ms: int, until_ms: int, points: int) -> Times:
    """Equally spaced times that end at or before `until_ms`, one before `since_ms` for the first rate included."""
    step = max(STEP_LEAST_MS, -(-(until_ms - since_ms) // max(points, 1)))
    first = since_ms // step * step
    return np.arange(first, until_ms + 1, step, dtype=np.int64)


class Beats:
    """The times of some series, against those of a grid.

    Args:
        at: When was measured; milliseconds, ascending.
        times: The grid; milliseconds, ascending, equally spaced.
    """

    def __init__(self, at: Times, times: Times) -> None:
        self._at, self._times = at, times
        self._step = int(times[1] - times[0]) if times.size > 1 else STEP_LEAST_MS

    def levels(self, values: Values) -> Values:
        """A gauge at each time of the grid: its mean since the time before, or what stood if nothing was measured."""
        if not self._at.size:
            return np.full(self._times.shape, np.nan)
        newest, stands = self._standing
        stood = np.where(stands, values[newest], np.nan)
        if self._step * series.GAP_FACTOR <= np.median(self._reach) * FINE_BEATS:
            return stood
        number = np.isfinite(values)
        if number.all():
            bucket, count = self._buckets
        else:
            bucket = self._buckets[0][number]
            count, values = self._counted(bucket), values[number]
        total = np.bincount(bucket, weights=values, minlength=self._times.size + 1)[: self._times.size]
        return np.where(count > 0, total / np.maximum(count, 1), stood)

    def totals(self, values: Values) -> Values:
        """What a counter had grown by at each time, interpolated, since times and beats do not fall together.

        Its first and its last rate are taken to hold a moment longer, so that a new host's lines show with its second
        beat.
        """
        number = np.isfinite(values)
        if not number.all():
            return Beats(self._at[number], self._times).totals(values[number])
        if self._at.size < 2:
            return np.full(self._times.shape, np.nan)
        later, share, is_known = self._between
        total = values - values[0]
        if (values[1:] < values[:-1]).any():
            total = np.concatenate(([0.0], np.cumsum(series.increments(values))))
        first, last = (total[[1, -1]] - total[[0, -2]]) / (self._at[[1, -1]] - self._at[[0, -2]]) * self._hold
        total = np.concatenate(([-first], total, [total[-1] + last]))
        before = total[later - 1]
        return np.where(is_known, before + (total[later] - before) * share, np.nan)

    @property
    def _hold(self) -> int:
        return min(self._step, REACH_MS)

    @cached_property
    def _reach(self) -> Values:
        return np.maximum(reaches(self._at), self._step)

    @cached_property
    def _standing(self) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """For each time of the grid the newest beat, and whether it still stands."""
        found = np.searchsorted(self._at, self._times, side="right") - 1
        newest = np.maximum(found, 0)
        return newest, (found >= 0) & (self._times - self._at[newest] < self._reach[newest])

    @cached_property
    def _buckets(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """For each beat the time of the grid that it counts for, and how many count for each."""
        bucket = np.searchsorted(self._times, self._at)
        return bucket, self._counted(bucket)

    def _counted(self, bucket: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.bincount(bucket, minlength=self._times.size + 1)[: self._times.size]

    @cached_property
    def _between(self) -> tuple[NDArray[np.int64], Values, NDArray[np.bool_]]:
        """For each time of the grid the beat after it, how far it is on the way there, and whether that is no gap."""
        gaps = np.concatenate(([np.inf], self._reach[:-1], [np.inf]))
        at = np.concatenate(([self._at[0] - self._hold], self._at, [self._at[-1] + self._hold]))
        later = np.clip(np.searchsorted(at, self._times), 1, at.size - 1)
        length, passed = at[later] - at[later - 1], self._times - at[later - 1]
        is_known = (self._times >= at[0]) & (self._times <= at[-1]) & (length <= gaps[later - 1])
        return later, passed / length, is_known


def reaches(times: Times) -> Values:
    """How long each sample stands for, in milliseconds, until nothing is known.

    A few of the series' usual beats; where the beat was another one then, as in older and thinner rows, a few of those.
    """
    if times.size < 2:
        return np.full(times.shape, float(series.LOOKBACK_MS))
    beats = np.diff(times).astype(np.float64)
    usual = float(np.median(beats)) * series.GAP_FACTOR
    found = np.full(times.shape, usual)
    odd = np.flatnonzero(beats > usual)
    if odd.size:
        around = np.pad(beats, BESIDE, mode="symmetric")
        beside = np.stack([around[odd + place] for place in range(2 * BESIDE + 1) if place != BESIDE])
        found[odd] = np.maximum(usual, np.median(beside, axis=0) * series.GAP_FACTOR)
    found[-1] = found[-2]
    return found
