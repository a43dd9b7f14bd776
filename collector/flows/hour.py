"""How busy the processors of each host were in each minute of the last hour, for the small picture in lists.

In memory, from the first row of each minute: those that arrive live, those that arrive late after an interruption, and
after a start those that the store remembers. Not a record, and not what rules are judged by.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from collector.domain.sample import Row
from collector.domain.series import NAME_LABEL, Layout, Matcher, SeriesData, resample

MINUTES = 60
MINUTE_MS = 60_000
SPAN_MS = MINUTES * MINUTE_MS
CPU_SECONDS = "node_cpu_seconds_total"
# Waiting for disks leaves a processor free for others.
NOT_BUSY = ("idle", "iowait")

Select = Callable[..., Sequence[SeriesData]]


class _Idle(NamedTuple):
    """How long the processors of a host had nothing to do, up to a moment."""

    wall_ms: int
    seconds: float  # of all of them together
    cores: int


class _Columns(NamedTuple):
    """Where a layout has that."""

    places: NDArray[np.intp]
    cores: int


class LastHour:
    """The minutes of all hosts."""

    def __init__(self, layout_of: Callable[[int], Layout | None]) -> None:
        self._layout_of = layout_of
        self._columns: dict[int, _Columns | None] = {}
        self._hosts: dict[int, dict[int, _Idle]] = {}  # by minute, of its first row

    def note(self, host_id: int, row: Row) -> None:
        """Take a row, whether it comes in time or late."""
        columns, minute = self._of(row.layout_id), row.wall_ms // MINUTE_MS
        if columns is None:
            return
        idle = self._hosts.setdefault(host_id, {})
        if minute in idle:
            return
        seconds = float(np.frombuffer(row.values, "<f8")[columns.places].sum())
        if math.isfinite(seconds):
            idle[minute] = _Idle(row.wall_ms, seconds, columns.cores)
            for old in [one for one in idle if one < minute - MINUTES]:
                del idle[old]

    def recall(self, select: Select, host_id: int, now_ms: int) -> None:
        """Take what the series store remembers; `select` is that of `store.series.SeriesStore`."""
        minutes = np.arange(-MINUTES, 1, dtype=np.int64) * MINUTE_MS + now_ms // MINUTE_MS * MINUTE_MS
        matchers = [Matcher(NAME_LABEL, "=", CPU_SECONDS), Matcher("mode", "=~", "|".join(NOT_BUSY))]
        found = select(matchers, int(minutes[0]) - MINUTE_MS, now_ms + 1, host_ids=[host_id], resolution_ms=0)
        cores = sum(one.labels["mode"] == "idle" for one in found)
        if not cores:
            return
        stood = np.sum([resample(one.times, one.values, minutes, lookback_ms=MINUTE_MS) for one in found], axis=0)
        idle = self._hosts.setdefault(host_id, {})
        for wall_ms, seconds in zip(minutes.tolist(), stood.tolist(), strict=True):
            if math.isfinite(seconds):
                idle.setdefault(wall_ms // MINUTE_MS, _Idle(wall_ms, seconds, cores))

    def busy(self, host_id: int) -> list[float | None]:
        """Minute by minute up to the newest, oldest first, 0..1; None where that is not known."""
        idle = self._hosts.get(host_id)
        if not idle:
            return []
        newest = max(idle)
        return [_busy(idle, minute) for minute in range(newest - MINUTES + 1, newest + 1)]

    def forget(self, host_id: int) -> None:
        """Drop what is kept of a host."""
        self._hosts.pop(host_id, None)

    def _of(self, layout_id: int) -> _Columns | None:
        if layout_id not in self._columns:
            layout = self._layout_of(layout_id)
            if layout is None:
                return None
            modes = {at: dict(layout.columns[at].labels).get("mode") for at in layout.families.get(CPU_SECONDS, ())}
            places = [at for at, mode in modes.items() if mode in NOT_BUSY]
            cores = sum(mode == "idle" for mode in modes.values())
            self._columns[layout_id] = _Columns(np.array(places, dtype=np.intp), cores) if cores else None
        return self._columns[layout_id]


def _busy(idle: Mapping[int, _Idle], minute: int) -> float | None:
    now, before = idle.get(minute), idle.get(minute - 1)
    if now is None or before is None or now.cores != before.cores or now.seconds < before.seconds:
        return None
    passed_seconds = (now.wall_ms - before.wall_ms) / 1000 * now.cores
    return min(max(1 - (now.seconds - before.seconds) / passed_seconds, 0.0), 1.0) if passed_seconds > 0 else None
