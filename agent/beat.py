"""What the sampler is given and what it hands on: a schedule in, beats out. Pure values and how one becomes the other.

Knows no threads, no clock and no disk.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from agent.columns import Columns
from agent.probes.reading import NoData, gauge
from agent.reason import Reason
from agent.rounds import Slot, Stage, Turn
from agent.sample import Document, Moment, Observation, Outcome, Probe, Series, State

NANOSECONDS = 1_000_000_000
MILLISECONDS = 1_000
TIMEOUT_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Scheduled:
    """A probe and its beat.

    Host probes of one interval share a beat and a row. A check has a beat of its own, so that its result never waits
    for another, and a `wire_id` (`local:<name>` or `central:<key>`) under which the collector knows it.

    `timeout_seconds` is the sampler's last resort for a probe that hangs. It should be longer than whatever the probe
    itself keeps to, retries included.
    """

    probe: Probe
    interval_seconds: float
    timeout_seconds: float = TIMEOUT_SECONDS
    wire_id: str | None = None


class Result(NamedTuple):
    """What one run of one check found, and the terms it was found under."""

    wire_id: str
    outcome: Outcome
    wall_ms: int
    interval_ms: int
    timeout_ms: int


class Beat(NamedTuple):
    """One row and what came with it. `columns` is the very same tuple as long as the set of series is the same."""

    moment: Moment
    columns: tuple[Series, ...]
    values: array[float]  # as many as columns; agent.sample.ABSENT where there was none
    interval_ms: int
    results: tuple[Result, ...]
    documents: tuple[Document, ...]


class Part:
    """One scheduled probe: its slot in rounds, its columns in rows, and whether it failed last time."""

    def __init__(self, scheduled: Scheduled) -> None:
        self.scheduled = scheduled
        self.name = scheduled.wire_id or scheduled.probe.name
        self.slot = Slot(scheduled.probe, timeout_ns=int(scheduled.timeout_seconds * NANOSECONDS))
        self.columns = Columns()
        self.trouble = ""  # why the last run gave nothing; empty when it was fine
        self.scrape_series = () if scheduled.wire_id else _scrape_series(scheduled.probe.name)

    @property
    def series(self) -> tuple[Series, ...]:
        """The probe's own columns, without those about the probe."""
        return self.columns.series

    def values(self, turn: Turn) -> array[float]:
        """The part of the row that this probe fills; samples that are no numbers make it a failed turn."""
        values = None
        if turn.observation is not None:
            try:
                values = array("d", self.columns.place(turn.observation.samples))
            except (TypeError, ValueError) as error:
                turn.fail(error)
        if values is None:
            values = array("d", self.columns.absent())
        if self.scrape_series:
            values.extend((turn.duration_ns / NANOSECONDS, float(turn.stage is Stage.SEEN)))
        return values

    def result(self, turn: Turn, moment: Moment) -> Result | None:
        """The check's result; a run that gave none is unknown, never down."""
        if self.scheduled.wire_id is None:
            return None
        outcome = turn.observation.outcome if turn.observation else Outcome(State.UNKNOWN, describe(turn))
        if outcome is None:
            return None
        interval_ms = round(self.scheduled.interval_seconds * MILLISECONDS)
        timeout_ms = round(self.scheduled.timeout_seconds * MILLISECONDS)
        return Result(self.scheduled.wire_id, outcome, moment.wall_ms, interval_ms, timeout_ms)


class Row:
    """The row of a group of probes; remembers its columns from beat to beat."""

    def __init__(self, parts: Sequence[Part], *, interval_seconds: float) -> None:
        self.parts = parts
        self._interval_ms = round(interval_seconds * MILLISECONDS)
        self._pieces: list[tuple[Series, ...]] = []
        self._columns: tuple[Series, ...] = ()

    def beat(self, moment: Moment, turns: Sequence[Turn]) -> Beat:
        """What the turns of one round, in the order of the parts, come to."""
        values = array("d")
        results: list[Result] = []
        documents: list[Document] = []
        for part, turn in zip(self.parts, turns, strict=True):
            values.extend(part.values(turn))
            if (result := part.result(turn, moment)) is not None:
                results.append(result)
            documents.extend((turn.observation or Observation()).documents)
        return Beat(moment, self._settle_columns(), values, self._interval_ms, tuple(results), tuple(documents))

    def _settle_columns(self) -> tuple[Series, ...]:
        pieces = [part.series for part in self.parts]
        if len(pieces) != len(self._pieces) or any(map(_differ, pieces, self._pieces)):
            self._pieces = pieces
            self._columns = tuple(
                series for part in self.parts for piece in (part.series, part.scrape_series) for series in piece
            )
        return self._columns


def describe(turn: Turn) -> Reason:
    """Why a turn gave nothing, for a person; empty when it gave something."""
    match turn.stage:
        case Stage.SEEN:
            return Reason("")
        case Stage.SKIPPED:
            return Reason("its previous run has not ended yet")
        case Stage.TIMED_OUT if turn.duration_ns:
            seconds = min(turn.duration_ns, turn.slot.timeout_ns) / NANOSECONDS
            return Reason("gave no result within {seconds} s", seconds=seconds)
        case Stage.TIMED_OUT:
            return Reason("was not reached before the next beat")
        case _ if isinstance(turn.error, NoData):
            return Reason("nothing to see here: {error}", error=str(turn.error))
        case _:
            return Reason("failed: {error}", error=f"{type(turn.error).__name__}: {turn.error}")


def _scrape_series(collector: str) -> tuple[Series, ...]:
    duration = "How long the probe took."
    success = "1 when the probe saw what it looks for, 0 when it failed, took too long or has nothing to see here."
    return (
        gauge("node_scrape_collector_duration_seconds", duration, unit="seconds", collector=collector),
        gauge("node_scrape_collector_success", success, collector=collector),
    )


def _differ(one: object, other: object) -> bool:
    return one is not other
