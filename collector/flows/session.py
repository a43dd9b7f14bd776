"""One stream of one agent, what is in a batch, and the parts of the collector that take it.

Values and seams of `flows.ingest`; does nothing by itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple, Protocol

from collector.domain import trust
from collector.domain.sample import Accepted, Document, Result, Row
from collector.protocol import Batch, Ledger, Refuse, Reply
from collector.store.database import Connection
from collector.store.lanes import Standing

FENCED = "fenced"
FENCED_WORDS = (
    "A newer connection of this agent took over. If this host was cloned, enrol the copy as a host of its own."
)


NOTHING: Mapping[int, int] = MappingProxyType({})


class Sink(Protocol):
    """A part of the collector that keeps something of what arrives."""

    name: str

    def absorb(self, connection: Connection, accepted: Sequence[Accepted]) -> Callable[[], None]:
        """Write inside the ingest transaction, changing nothing in memory; the result runs after the commit."""
        ...


class Journal(Protocol):
    """The sink that must not fail: the samples themselves."""

    def absorb(self, connection: Connection, accepted: Sequence[Accepted]) -> Callable[[], None]:
        """As `Sink.absorb`."""
        ...


class Content(NamedTuple):
    """What is in a batch."""

    rows: Sequence[Row] = ()
    results: Sequence[Result] = ()
    documents: Sequence[Document] = ()
    left_out: Mapping[int, int] = NOTHING  # samples of rows that are not kept, by layout


@dataclass(eq=False, slots=True)
class Session:
    """One stream of one agent."""

    agent_id: str
    host_id: int
    fingerprint: str
    number: int
    ledger: Ledger
    reply: Callable[[Sequence[Reply]], None]  # called on the event loop; must not block
    clock_offset_ms: float = 0.0
    unusable: dict[int, str] = field(default_factory=dict)  # layouts that were declared, and what is wrong with them
    layouts: set[int] = field(default_factory=set)
    left_out: dict[int, str] = field(default_factory=dict)  # layouts with more new series than the host may have: why
    pending: int = 0
    pending_bytes: int = 0
    room: asyncio.Event = field(default_factory=asyncio.Event)
    last_row_ms: int | None = None
    noted_ms: int = 0
    over: bool = False


def accepted(session: Session, batch: Batch, now_ms: int) -> Accepted:
    """A batch as the sinks get it."""
    content: Content = batch.content
    return Accepted(
        session.agent_id,
        session.host_id,
        now_ms,
        not batch.backfill,
        content.rows,
        content.results,
        content.documents,
    )


def refusal_of(session: Session, standing: Mapping[str, Standing], now_ms: int) -> Refuse | None:
    """Why this session may not write (any more)."""
    known = standing.get(session.fingerprint)
    refusal = trust.judge(known.credential if known else None, session.agent_id, now_ms)
    if refusal is not None:
        return Refuse(refusal.value, trust.REFUSAL_WORDS[refusal])
    if known is None or known.session != session.number:
        return Refuse(FENCED, FENCED_WORDS)
    return None
