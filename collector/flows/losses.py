"""What was lost, on record: declared by agents, refused here, left out, given up, or missing from a restored database.

Runs inside the transaction that found it out. Whether something is lost is decided in `collector.protocol` and
`collector.restored`; here it is written down, and taken out of what is known of checks.
"""

from __future__ import annotations

from collections.abc import Sequence

from collector.domain.interval import Span
from collector.domain.message import Message
from collector.flows.session import Content, Session
from collector.protocol import Batch, Gap, GapReason, Quarantine
from collector.store import lanes, status
from collector.store.database import Connection
from collector.store.unbound import Pair, Unbound


def record(connection: Connection, gaps: Sequence[tuple[str, Gap]], now_ms: int) -> None:
    """Keep gaps of agents; where results of checks may be among what is lost, nothing else stands for them."""
    if not gaps:
        return
    lanes.record_gaps(connection, gaps, now_ms)
    for agent_id, gap in gaps:
        if gap.evidence and gap.from_ms > 0:
            status.lose(connection, agent_id, Span(gap.from_ms, max(gap.from_ms, gap.to_ms) + 1))


def left_out(session: Session, batch: Batch) -> list[Gap]:
    """The rows of a batch that are not kept because their series are over a limit; the rest of it is."""
    content: Content = batch.content
    where, times = (batch.epoch, batch.seq, batch.seq), (batch.wall_ms, batch.wall_ms)
    return [
        Gap(*where, GapReason.LEFT_OUT, samples, *times, batch.digest, session.left_out.get(layout_id, ""))
        for layout_id, samples in content.left_out.items()
    ]


def given_up(
    connection: Connection, results: Sequence[Unbound], now_ms: int, *, reason: GapReason = GapReason.UNREGISTERED
) -> list[Gap]:
    """Results that waited in vain for their checks, or that cannot be used now: one gap for each check."""
    evidence = reason is not GapReason.UNREGISTERED
    found: dict[Pair, list[int]] = {}
    for one in results:
        found.setdefault(one.pair, []).append(one.result.wall_ms)
    # They were delivered under other numbers, which are on record.
    gaps = [
        (agent_id, Gap(b"", 0, 0, reason, len(times), min(times), max(times), b"", wire_id, evidence))
        for (agent_id, wire_id), times in found.items()
    ]
    record(connection, gaps, now_ms)
    return [gap for _, gap in gaps]


def not_taken(connection: Connection, batches: Sequence[tuple[Session, Batch, str]], now_ms: int) -> None:
    """Keep aside batches of which a sink could not take its part, and what that is as lost; the rest is stored."""
    gaps: list[tuple[str, Gap]] = []
    kept: list[tuple[str, Quarantine]] = []
    for session, batch, sink in batches:
        content: Content = batch.content
        why = Message("the collector's part {name} could not take it", name=sink)
        where, times = (batch.epoch, batch.seq, batch.seq), (batch.wall_ms, batch.wall_ms)
        count, evidence = len(content.results), bool(content.results)
        gaps.append((session.agent_id, Gap(*where, GapReason.REFUSED, count, *times, batch.digest, why, evidence)))
        kept.append((session.agent_id, Quarantine(batch.epoch, batch.seq, why, batch.body)))
    if kept:
        record(connection, gaps, now_ms)
        lanes.quarantine(connection, kept, now_ms)
