"""What was lost, on record: declared by agents, refused here, left out, or missing from a restored database.

Runs inside the transaction that found it out. Whether something is lost is decided in `collector.protocol` and
`collector.restored`; here it is written down, and taken out of what is known of checks.
"""

from __future__ import annotations

from collections.abc import Sequence

from collector.domain.interval import Span
from collector.flows.session import Content, Session
from collector.protocol import Batch, Gap, GapReason
from collector.store import lanes, status
from collector.store.database import Connection


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
