"""A simulated host: its machine, its checks and its stream, from enrolment over a month of history to live beats."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from collector.demo.documents import documents_of, processes_of
from collector.demo.fleet import LocalCheck
from collector.demo.machine import Machine, Numbers, Simulation
from collector.demo.probes import layout_of, rows
from collector.demo.results import Watch, audible, looks, told
from collector.demo.story import DAY_MS, HOUR_MS, MINUTE_MS, Story
from collector.demo.stream import Content, Stream
from collector.domain.interval import Span
from protos.telemetry.v1 import telemetry_pb2 as pb

BEATS = ((8 * DAY_MS, 10 * MINUTE_MS), (3 * HOUR_MS, 5 * MINUTE_MS), (0, 30_000))
"""(from this age on, time between two rows): the newest hours have most, as that is where people look first."""
LOOK_MS = 5 * MINUTE_MS
"""Least time between two results of a check in history."""
LIVE_BEAT_MS = 10_000
SERIES_A_BATCH = 2000
"""What one batch may hold, counted over its rows."""
PROCESSES_EVERY_MS = MINUTE_MS


@dataclass(slots=True)
class SimulatedHost:
    """One of the fleet, with the checks that its agent runs. The story says what becomes of it."""

    machine: Machine
    stream: Stream
    story: Story
    local_checks: Sequence[LocalCheck] = ()
    watches: Sequence[Watch] = ()
    _simulation: Simulation = field(init=False)
    _told_ms: int = field(init=False)
    _processes_ms: int = 0

    def __post_init__(self) -> None:
        silences = self.story.silences_of(self.machine.name)
        self._simulation = Simulation(
            self.machine,
            self.story.start_ms,
            self.story.stress_of(self.machine.name),
            [span.until_ms - MINUTE_MS for span in silences],
        )
        self._told_ms = self.story.start_ms

    async def introduce(self, now_ms: int) -> None:
        """Say what this host is and which checks are in its own file."""
        documents = documents_of(self.machine, self.local_checks, now_ms)
        await self.stream.send(self.stream.live, Content(pb.Payload(documents=documents), now_ms))

    async def tell_rows(self, until_ms: int, progress: Callable[[int], None]) -> None:
        """Deliver the rows from the start to `until_ms`, a day at a time; tells how many went."""
        for span in _days(Span(self.story.start_ms, until_ms)):
            beat_ms = beat_of(until_ms - span.until_ms)
            layout_id = await self.stream.declare(self._simulation.layout(beat_ms))
            for content in self._batches(layout_id, span, beat_ms):
                await self.stream.send(self.stream.history, content)
                progress(len(content.payload.rows))
        await self.stream.drain(self.stream.history)
        await self.stream.end(self.stream.history)

    async def tell_results(self, until_ms: int) -> int:
        """Deliver what the checks found since the call before, up to `until_ms`; returns how many results went."""
        span, self._told_ms = Span(self._told_ms, until_ms), until_ms
        interval_ms = max(LOOK_MS, beat_of(self.story.now_ms - until_ms))
        payload = pb.Payload()
        for watch in self.watches:
            await self._look(watch, span, payload, interval_ms=interval_ms)
        if payload.results:
            await self.stream.send(self.stream.live, _content(pb.Payload(results=payload.results)))
            for content in _in_parts(payload.rows):
                await self.stream.send(self.stream.live, content)
            await self.stream.drain(self.stream.live)
        return len(payload.results)

    async def beat(self, now_ms: int) -> None:
        """Deliver what was measured since the call before."""
        layout_id = await self.stream.declare(self._simulation.layout(LIVE_BEAT_MS))
        payload = pb.Payload()
        for row in self._rows(layout_id, np.array([now_ms], dtype=np.int64)):
            payload.rows.append(row)
        for watch in self.watches:
            await self._look(watch, Span(self._told_ms, now_ms), payload, interval_ms=watch.interval_ms)
        if now_ms - self._processes_ms >= PROCESSES_EVERY_MS:
            self._processes_ms = now_ms
            payload.documents.append(processes_of(self.machine, self._simulation.load, now_ms))
        self._told_ms = now_ms
        await self.stream.send(self.stream.live, Content(payload, now_ms))

    async def _look(self, watch: Watch, span: Span, payload: pb.Payload, *, interval_ms: int) -> None:
        """Put what a check found into a payload: its results, and the rows of its series."""
        found = looks(watch, self.story, span, interval_ms=interval_ms)
        if found:
            layout_id = await self.stream.declare(layout_of(watch, interval_ms))
            payload.results.extend(told(watch, one, interval_ms=interval_ms) for one in found)
            for one, values in zip(found, rows(watch, found), strict=True):
                payload.rows.append(pb.Row(layout_id=layout_id, wall_ms=one.wall_ms, values=values))

    def _batches(self, layout_id: int, span: Span, beat_ms: int) -> Iterator[Content]:
        phase = zlib.crc32(self.machine.name.encode()) % LIVE_BEAT_MS
        first = span.since_ms + (phase - span.since_ms) % beat_ms
        times = audible(np.arange(first, span.until_ms, beat_ms, dtype=np.int64), self.story, self.machine.name)
        yield from _in_parts(self._rows(layout_id, times) if times.size else [])

    def _rows(self, layout_id: int, times: NDArray[np.int64]) -> list[pb.Row]:
        values: Numbers = self._simulation.rows(times)
        packed = np.ascontiguousarray(values, dtype="<f8")
        return [
            pb.Row(layout_id=layout_id, wall_ms=wall_ms, values=packed[at].tobytes())
            for at, wall_ms in enumerate(times.tolist())
        ]


def beat_of(age_ms: int) -> int:
    """Milliseconds between two rows that are `age_ms` old."""
    return next(beat_ms for from_ms, beat_ms in BEATS if age_ms >= from_ms)


def amount(host: SimulatedHost, until_ms: int) -> int:
    """About how many rows and results a host has to tell."""
    parts = [
        (span.milliseconds, beat_of(until_ms - span.until_ms)) for span in _days(Span(host.story.start_ms, until_ms))
    ]
    return sum(length // beat + len(host.watches) * length // max(beat, LOOK_MS) for length, beat in parts)


def _days(span: Span) -> Iterator[Span]:
    """`span` in parts of at most a day, each of one beat."""
    cuts = {span.until_ms - from_ms for from_ms, _ in BEATS} | set(range(span.since_ms, span.until_ms, DAY_MS))
    inside = sorted(at for at in cuts if span.since_ms <= at <= span.until_ms)
    yield from map(Span, inside, inside[1:])


def _in_parts(rows: Iterable[pb.Row]) -> Iterator[Content]:
    """Rows in batches that are not too large."""
    some: list[pb.Row] = []
    values = 0
    for row in rows:
        values += len(row.values) // 8
        if some and values > SERIES_A_BATCH:
            yield _content(pb.Payload(rows=some))
            some, values = [], len(row.values) // 8
        some.append(row)
    if some:
        yield _content(pb.Payload(rows=some))


def _content(payload: pb.Payload) -> Content:
    """A batch is as old as the newest thing in it."""
    newest = [max((one.wall_ms for one in found), default=0) for found in (payload.rows, payload.results)]
    return Content(payload, max(newest))
