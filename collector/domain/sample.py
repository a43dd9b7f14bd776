"""What arrived from an agent, once it is accepted: rows, check results and documents in the domain's own words.

Values only. Translating from protobuf is the edge's work, deciding what they mean that of `status` and `alert`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple


class State(IntEnum):
    """What is known of a check, host or service at one time; the numbers are those of the wire."""

    UNKNOWN = 0
    UP = 1
    DEGRADED = 2
    DOWN = 3

    @property
    def word(self) -> str:
        """The lower-case word used in the database, JSON and metrics."""
        return self.name.lower()


class Row(NamedTuple):
    """One beat of one layout."""

    layout_id: int  # signed 64 bit: the wire's fixed64 reinterpreted, as databases have no unsigned
    wall_ms: int  # the agent's clock, Unix milliseconds, UTC
    values: bytes  # packed little-endian doubles in layout order; absent = stale-marker NaN


class Result(NamedTuple):
    """What one run of a check found."""

    wire_id: str  # check_id as the agent knows it: "local:<name>" or "central:<key>"
    wall_ms: int
    state: State
    latency_seconds: float
    reason: str
    since_ms: int  # first attempt that showed this state; equals wall_ms when the first attempt decided
    attempts: int
    interval_ms: int
    timeout_ms: int


class Document(NamedTuple):
    """A structured observation that is no number."""

    kind: str
    wall_ms: int
    body: bytes  # JSON


@dataclass(frozen=True, slots=True)
class Accepted:
    """One batch that passed every check of the protocol and is about to be committed."""

    agent_id: str
    host_id: int
    received_ms: int  # the collector's clock
    live: bool  # False for backfill: it corrects history and never pages for the past
    rows: Sequence[Row] = ()
    results: Sequence[Result] = ()
    documents: Sequence[Document] = ()
