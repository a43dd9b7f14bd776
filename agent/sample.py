"""What an observation is: series, samples, outcomes, documents, and the Probe that makes them.

Pure values; knows nothing of how probes look, how samples travel or who asks.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, NamedTuple, Protocol

from agent.reason import Reason

ABSENT = struct.unpack("<d", struct.pack("<Q", 0x7FF0_0000_0000_0002))[0]
"""Prometheus' stale marker: a value that was not there, as opposed to a NaN that was measured."""


class Kind(IntEnum):
    """How a series moves; the numbers are those of the wire."""

    GAUGE = 0
    COUNTER = 1


class State(IntEnum):
    """What a check says of its target; the numbers are those of the wire."""

    UNKNOWN = 0
    UP = 1
    DEGRADED = 2
    DOWN = 3


@dataclass(frozen=True, slots=True)
class Series:
    """One column: a metric name with its labels, in node_exporter's or blackbox_exporter's words."""

    name: str
    labels: tuple[tuple[str, str], ...] = ()  # sorted by label name
    kind: Kind = Kind.GAUGE
    unit: str = ""
    help: str = ""


class Sample(NamedTuple):
    """One value of one series; its time is the beat's."""

    series: Series
    value: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one run of a check found, in words a person understands."""

    state: State
    reason: Reason
    latency_seconds: float = 0.0
    attempts: int = 1
    since_ms: int = 0  # wall clock of the first attempt that showed this state; 0 means this run


@dataclass(frozen=True, slots=True)
class Document:
    """A structured observation that is no number: processes, host facts, proposals. The body is JSON-able."""

    kind: str
    body: Any


@dataclass(frozen=True, slots=True)
class Observation:
    """Everything one run of a probe saw."""

    samples: Sequence[Sample] = ()
    outcome: Outcome | None = None
    documents: Sequence[Document] = field(default_factory=tuple)


class Moment(NamedTuple):
    """Now, by both clocks; every probe is told the time instead of asking for it."""

    wall_ms: int  # Unix milliseconds, UTC
    boottime_ns: int  # CLOCK_BOOTTIME: counts through suspend, never steps


class Probe(Protocol):
    """Something that looks at the host or at a service, once per beat.

    A probe may raise: the sampler turns that into a sample of its own. It may block: the sampler never waits for it
    longer than its timeout and never lets it delay another.
    """

    name: str

    def observe(self, moment: Moment) -> Observation:
        """Look once."""
        ...
