"""All heads: rows go in as they are committed, flushes take whole heads out, readers look at both.

Also keeps the newest row of every host and layout, so that "now" is answered without touching history. Thread-safe.
Reads and writes no database.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from collector.domain.series import Values
from collector.store.series.head import Head, HeadView
from collector.store.series.journal import Entry
from collector.store.series.layouts import Layouts
from collector.store.series.tiers import RAW_TIER

GRACE_MS = 300_000
"""How long a closed window waits for rows that are still on their way, and a head for its next late row."""
PATIENCE_MS = RAW_TIER.window_ms
"""A head that late rows keep trickling into is flushed after this time nevertheless."""


class Place(NamedTuple):
    """Where a head belongs."""

    host_id: int
    layout_id: int
    window_ms: int


@dataclass(slots=True)
class Newest:
    """The newest row of one host and layout."""

    wall_ms: int
    values: Values


@dataclass(slots=True)
class Counts:
    """What happened to rows, since the start."""

    rows: int = 0
    samples: int = 0
    duplicates: int = 0
    too_old: int = 0
    unreadable: int = 0


@dataclass(slots=True)
class Heads:
    """Every head of the store."""

    layouts: Layouts
    horizon_ms: int = 0  # raw history before this moment was deleted by retention
    counts: Counts = field(default_factory=Counts)
    pairs: set[tuple[int, int]] = field(default_factory=set)  # every host and layout with data, blocks included
    applied_through: int = 0  # every journal record up to this one is in here
    _open: dict[Place, Head] = field(default_factory=dict)
    _leaving: dict[Place, Head] = field(default_factory=dict)
    _newest: dict[tuple[int, int], Newest] = field(default_factory=dict)
    _ahead: set[int] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def apply(self, record: int, entries: Iterable[Entry], *, now_ms: int) -> None:
        """Add the rows of one committed journal record."""
        with self._lock:
            for entry in entries:
                self._add(record, entry, now_ms)
            self._ahead.add(record)
            while self.applied_through + 1 in self._ahead:
                self.applied_through += 1
                self._ahead.discard(self.applied_through)

    def due(self, now_ms: int, *, everything: bool = False) -> list[Place]:
        """Move heads that should become blocks to the side and name them; rows that still arrive open a new head."""
        with self._lock:
            for place, head in list(self._open.items()):
                if place not in self._leaving and (everything or _is_due(place, head, now_ms)):
                    self._leaving[place] = self._open.pop(place)
            return sorted(self._leaving)

    def leaving(self, place: Place) -> HeadView:
        """The rows of a head that is on its way into a block."""
        with self._lock:
            return self._leaving[place].snapshot()

    def discard(self, places: Iterable[Place]) -> None:
        """Forget heads whose rows are committed as blocks."""
        with self._lock:
            for place in places:
                del self._leaving[place]

    def oldest_needed(self, *, without: Collection[Place]) -> int:
        """The oldest journal record that is still needed once the heads in `without` are blocks."""
        with self._lock:
            gone = set(without)
            needed = [head.first_record for head in self._open.values()]
            needed += [head.first_record for place, head in self._leaving.items() if place not in gone]
            # Records that are committed but not in a head yet are needed too.
            return min([*needed, self.applied_through + 1])

    def views(
        self, since_ms: int, until_ms: int, *, layouts: Collection[int], hosts: Collection[int] | None
    ) -> list[tuple[Place, HeadView]]:
        """Heads whose window meets the span; of the same place the one with the older rows comes first."""
        found = []
        with self._lock:
            for heads in (self._leaving, self._open):
                for place, head in heads.items():
                    if (
                        place.layout_id in layouts
                        and place.window_ms < until_ms
                        and place.window_ms + RAW_TIER.window_ms > since_ms
                        and (hosts is None or place.host_id in hosts)
                    ):
                        found.append((place, head.snapshot()))
        return found

    def newest(self, hosts: Collection[int] | None) -> Iterator[tuple[int, int, Newest]]:
        """Host, layout and newest row; the rows are never changed in place."""
        with self._lock:
            rows = list(self._newest.items())
        for (host_id, layout_id), row in rows:
            if hosts is None or host_id in hosts:
                yield host_id, layout_id, row

    def measure(self) -> tuple[int, int, int]:
        """Number of heads, of their rows, and their bytes."""
        with self._lock:
            heads = [*self._open.values(), *self._leaving.values()]
            return len(heads), sum(map(len, heads)), sum(head.nbytes for head in heads)

    def _add(self, record: int, entry: Entry, now_ms: int) -> None:
        host_id, layout_id, wall_ms, values = entry
        layout = self.layouts.get(layout_id)
        if layout is None or len(values) != layout.row_bytes:
            self.counts.unreadable += 1
            return
        window_ms = wall_ms - wall_ms % RAW_TIER.window_ms
        if wall_ms < self.horizon_ms:
            self.counts.too_old += 1
            return
        place = Place(host_id, layout_id, window_ms)
        head = self._open.get(place)
        if head is None:
            head = self._open[place] = Head(len(layout.columns), first_record=record, now_ms=now_ms)
        head.touched_ms = now_ms
        if not head.append(wall_ms, values):
            self.counts.duplicates += 1
            return
        self.counts.rows += 1
        self.counts.samples += len(layout.columns)
        newest = self._newest.get((host_id, layout_id))
        if newest is None:
            self.pairs.add((host_id, layout_id))
        if newest is None or wall_ms >= newest.wall_ms:
            self._newest[host_id, layout_id] = Newest(wall_ms, np.frombuffer(values, dtype="<f8"))


def _is_due(place: Place, head: Head, now_ms: int) -> bool:
    if place.window_ms > now_ms:
        return True  # a clock in the future must not hold the journal back
    closed = place.window_ms + RAW_TIER.window_ms + GRACE_MS <= now_ms
    return closed and (head.touched_ms + GRACE_MS <= now_ms or head.opened_ms + PATIENCE_MS <= now_ms)
