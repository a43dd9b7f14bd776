"""What just arrived, for those who are looking: the newest rows of each host in memory, and streams of them.

A sink of ingest: after the commit it keeps the newest rows and wakes subscribers. Nothing here is a record – after a
restart it fills with the first rows. Does not draw charts and does not judge values.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from collector.domain.errors import TooMuch
from collector.domain.measure import MEASURES, Compiled, Rows
from collector.domain.sample import Accepted, Row
from collector.domain.series import Layout
from collector.flows.hour import SPAN_MS, LastHour

if TYPE_CHECKING:
    from collections.abc import Iterator

    from collector.store.database import Connection

ROWS_KEPT = 4
"""Per host and layout: enough to find two that hold the counters, when probes have different beats."""
STALE_MS = 300_000
"""A layout of which nothing came for so long is not in use any more."""
RECENT_MS = 15_000
"""Backfill this young was measured while the agent connected: a new host shows with it, and has rates a beat sooner."""
QUEUE_LENGTH = 32
SUBSCRIBERS_MOST = 1000

FILESYSTEM = "filesystem_used_ratio"
FILESYSTEM_SIZES = ("node_filesystem_size_bytes", "node_filesystem_avail_bytes")

LayoutOf = Callable[[int], Layout | None]
VITALS = (
    "cpu_busy_ratio",
    "memory_used_ratio",
    "swap_used_ratio",
    FILESYSTEM,
    "load_per_cpu",
)


class Beat(NamedTuple):
    """A row and the one before it, of one host."""

    host_id: int
    layout_id: int
    before_ms: int  # 0 without a row before
    before: NDArray[np.float64]
    wall_ms: int
    values: NDArray[np.float64]


class Vitals(NamedTuple):
    """The few numbers that say how a host is; None where they are not known."""

    wall_ms: int
    cpu: float | None
    memory: float | None
    swap: float | None
    filesystem: float | None  # the fullest that can be written to
    load: float | None  # per CPU


class Fullest(NamedTuple):
    """The fullest filesystem that can be written to."""

    mountpoint: str
    used_ratio: float
    size_bytes: float
    left_bytes: float  # that an ordinary user may fill


class _Found(NamedTuple):
    """The largest value of a measure, in which row, and what it is about."""

    value: float
    layout_id: int
    row: Row
    labels: Mapping[str, str]


@dataclass(slots=True)
class _Host:
    rows: dict[int, deque[Row]] = field(default_factory=dict)  # by layout
    vitals: Vitals | None = None  # by the rows above; computed when somebody asks


class Subscription:
    """A stream of beats of one host, or of the word that something changed. Slow readers lose the oldest."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[Beat | None] = asyncio.Queue(QUEUE_LENGTH)
        self.lost = 0
        self.ended = False

    def put(self, beat: Beat | None) -> None:
        """Hand over one; None means only that something changed."""
        if self._queue.full():
            self._queue.get_nowait()
            self.lost += 1
        self._queue.put_nowait(beat)

    async def next(self, timeout_seconds: float) -> Beat | None:
        """The next one.

        Raises:
            TimeoutError: Nothing came for so long.
        """
        async with asyncio.timeout(timeout_seconds):
            return await self._queue.get()


class Live:
    """The newest rows of all hosts. Call `absorb` as a sink; everything else on the event loop."""

    name = "live"

    def __init__(self, layout_of: LayoutOf) -> None:
        self._layout_of = layout_of
        self._hosts: dict[int, _Host] = {}
        self._compiled: dict[tuple[int, str], Compiled | None] = {}
        self.last_hour = LastHour(layout_of)
        self._beats: dict[int, set[Subscription]] = {}
        self._changes: set[Subscription] = set()

    def absorb(self, connection: Connection, accepted: Sequence[Accepted]) -> Callable[[], None]:
        """Nothing inside the transaction; after it, keep the rows and wake whoever looks at these hosts."""
        del connection

        def after_commit() -> None:
            for batch in accepted:
                for row in batch.rows:
                    age_ms = batch.received_ms - row.wall_ms
                    if batch.live or 0 <= age_ms < RECENT_MS:
                        self._take(batch.host_id, row)
                    if age_ms < SPAN_MS:
                        self.last_hour.note(batch.host_id, row)

        return after_commit

    def publish(self) -> None:
        """Say that something changed that pages show: a state, an alert, an agent, a record."""
        for subscription in self._changes:
            subscription.put(None)

    def close(self) -> None:
        """End every stream; the collector stops."""
        for subscription in (*self._changes, *(one for many in self._beats.values() for one in many)):
            subscription.ended = True
            subscription.put(None)

    def forget(self, host_id: int) -> None:
        """Drop what is kept of a host that is not watched any more."""
        self._hosts.pop(host_id, None)
        self.last_hour.forget(host_id)

    @contextmanager
    def beats(self, host_id: int) -> Iterator[Subscription]:
        """Subscribe to the rows of one host."""
        subscription = self._subscribe()
        self._beats.setdefault(host_id, set()).add(subscription)
        try:
            yield subscription
        finally:
            self._beats[host_id].discard(subscription)
            if not self._beats[host_id]:
                del self._beats[host_id]

    @contextmanager
    def changes(self) -> Iterator[Subscription]:
        """Subscribe to the word that something changed."""
        subscription = self._subscribe()
        self._changes.add(subscription)
        try:
            yield subscription
        finally:
            self._changes.discard(subscription)

    @property
    def subscribers(self) -> int:
        """How many streams are open."""
        return len(self._changes) + sum(map(len, self._beats.values()))

    def vitals(self, host_id: int) -> Vitals | None:
        """How the host is by its newest rows; None when nothing was heard since the start."""
        return self.vitals_of([host_id]).get(host_id)

    def vitals_of(self, host_ids: Iterable[int]) -> dict[int, Vitals]:
        """`vitals` of many hosts; those that were not heard since the start are missing.

        Hosts of the same layout are computed together: one array operation for all of them, not five for each.
        """
        heard = {host_id: host for host_id in host_ids if (host := self._hosts.get(host_id)) and host.rows}
        stale: dict[int, list[_Host]] = {}
        for host in heard.values():
            if host.vitals is None:
                stale.setdefault(_newest_layout(host), []).append(host)
        for layout_id, hosts in stale.items():
            pairs = [_pair(host.rows[layout_id], len(host.rows[layout_id]) - 1) for host in hosts]
            rows = Rows(*(np.concatenate(parts) for parts in zip(*pairs, strict=True)))
            columns = [self._measure_all(hosts, self._compile(layout_id, name), name, rows) for name in VITALS]
            for host, *values in zip(hosts, *columns, strict=True):
                host.vitals = Vitals(host.rows[layout_id][-1].wall_ms, *values)
        return {host_id: host.vitals for host_id, host in heard.items() if host.vitals is not None}

    def fullest(self, host_id: int) -> Fullest | None:
        """Which filesystem the number in `vitals` is about, and how large that is."""
        host = self._hosts.get(host_id)
        found = self._worst(host, FILESYSTEM) if host else None
        layout = self._layout_of(found.layout_id) if found else None
        if found is None or layout is None:
            return None
        values = _values(found.row)
        size, left = (
            next(values[at] for at in layout.families[name] if dict(layout.columns[at].labels) == found.labels)
            for name in FILESYSTEM_SIZES
        )
        return Fullest(found.labels.get("mountpoint", ""), found.value, float(size), float(left))

    def _subscribe(self) -> Subscription:
        if self.subscribers >= SUBSCRIBERS_MOST:
            raise TooMuch("Too many pages are open at once.", retry_after_seconds=10, hint="Close some of them.")
        return Subscription()

    def _take(self, host_id: int, row: Row) -> None:
        host = self._hosts.setdefault(host_id, _Host())
        rows = host.rows.get(row.layout_id)
        if rows is None:
            rows = host.rows[row.layout_id] = deque(self._succeed(host, row), maxlen=ROWS_KEPT)
        if rows and row.wall_ms <= rows[-1].wall_ms:
            return
        before = rows[-1] if rows else None
        rows.append(row)
        host.vitals = None
        if subscriptions := self._beats.get(host_id):
            beat = _beat(host_id, before, row)
            for subscription in subscriptions:
                subscription.put(beat)

    def _succeed(self, host: _Host, row: Row) -> list[Row]:
        """Make room for a new layout, which comes when the agent has found or lost something.

        The most similar layout was the one before it and goes; its newest row stays in the columns of the new one, so
        that no rate is missing for a beat. Others stay: every interval and every check has a layout of its own.
        """
        for other_id in [one for one, rows in host.rows.items() if row.wall_ms - rows[-1].wall_ms > STALE_MS]:
            del host.rows[other_id]
        layout = self._layout_of(row.layout_id)
        if layout is None:
            return []
        place = {(column.name, column.labels): at for at, column in enumerate(layout.columns)}
        before, shared = 0, [(0, 0)] * (len(place) // 2)
        for other_id in host.rows:
            other = self._layout_of(other_id)
            pairs = [(place.get((c.name, c.labels)), at) for at, c in enumerate(other.columns)] if other else []
            found = [(new, old) for new, old in pairs if new is not None]
            if len(found) > len(shared):
                before, shared = other_id, found
        if not before:
            return []
        last = host.rows.pop(before)[-1]
        values = np.full(len(place), np.nan)
        into, out_of = np.array(shared).T
        values[into] = _values(last)[out_of]
        return [Row(row.layout_id, last.wall_ms, values.tobytes())]

    def _measure_all(
        self, hosts: Sequence[_Host], compiled: Compiled | None, name: str, rows: Rows
    ) -> list[float | None]:
        """A measure of hosts by their newest rows, which are of one layout."""
        if compiled is None:
            return [self._measure(host, name) for host in hosts]
        values = compiled.evaluate(rows)
        worst = np.where(np.isfinite(values), values, -np.inf).max(axis=1, initial=-np.inf).tolist()
        # Where the newest row does not tell, an older one or another layout may.
        return [
            value if math.isfinite(value) else self._measure(host, name)
            for host, value in zip(hosts, worst, strict=True)
        ]

    def _measure(self, host: _Host, name: str) -> float | None:
        found = self._worst(host, name)
        return None if found is None else found.value

    def _worst(self, host: _Host, name: str) -> _Found | None:
        newest_first = sorted(host.rows.items(), key=lambda item: -item[1][-1].wall_ms if item[1] else 0)
        for layout_id, rows in newest_first:
            compiled = self._compile(layout_id, name)
            if compiled is None:
                continue
            for at in range(len(rows) - 1, -1, -1):
                values = compiled.evaluate(_pair(rows, at))[0]
                if np.isfinite(values).any():
                    place = int(np.argmax(np.where(np.isfinite(values), values, -np.inf)))
                    return _Found(float(values[place]), layout_id, rows[at], compiled.targets[place])
        return None

    def _compile(self, layout_id: int, name: str) -> Compiled | None:
        key = (layout_id, name)
        if key not in self._compiled:
            layout = self._layout_of(layout_id)
            if layout is None:
                return None
            self._compiled[key] = MEASURES[name].compile(layout)
        return self._compiled[key]


def _newest_layout(host: _Host) -> int:
    return max(host.rows, key=lambda layout_id: host.rows[layout_id][-1].wall_ms)


def _pair(rows: Sequence[Row], at: int) -> Rows:
    row = rows[at]
    now = _values(row)
    before = rows[at - 1] if at else None
    return Rows(
        now[np.newaxis],
        (_values(before) if before else np.full(now.shape, np.nan))[np.newaxis],
        np.array([[(row.wall_ms - before.wall_ms) / 1000 if before else math.nan]]),
        np.array([[row.wall_ms / 1000]]),
    )


def _beat(host_id: int, before: Row | None, row: Row) -> Beat:
    values = _values(row)
    earlier = _values(before) if before else np.full(values.shape, np.nan)
    return Beat(host_id, row.layout_id, before.wall_ms if before else 0, earlier, row.wall_ms, values)


def _values(row: Row) -> NDArray[np.float64]:
    return np.frombuffer(row.values, "<f8")
