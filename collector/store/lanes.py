"""How far each agent is committed: sessions, lanes, digests, gaps and quarantine.

Rows in, values out, in the caller's transaction. What they mean is decided in `collector.protocol`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, bindparam, delete, func, insert, or_, select, update

from collector import chain, protocol, restored
from collector.chain import Lane
from collector.domain.trust import Credential
from collector.protocol import Draft, Gap, GapReason, Ledger, Lost, Quarantine, Seal
from collector.restored import Drained, Offered
from collector.store import schema, wording
from collector.store.agents import ACTIVE

AGENT, CERTIFICATE = schema.agent, schema.agent_certificate
LANE, SEGMENT, GAP, QUARANTINE = schema.lane, schema.lane_segment, schema.gap, schema.quarantine

TOMBSTONE_MS = 35 * 24 * 3600 * 1000
"""Longer than the oldest batch that is taken: an epoch that comes back from a snapshot is recognised until then."""
QUARANTINE_ROWS = 1000
QUARANTINE_BODY_BYTES = 64 * 1024
DETAIL_LENGTH = 200
GROWS_MS = 600_000
"""Rows that are left out again after longer than this are another gap."""

_FENCE = (
    select(
        CERTIFICATE.c.fingerprint,
        CERTIFICATE.c.agent_id,
        CERTIFICATE.c.not_before_ms,
        CERTIFICATE.c.not_after_ms,
        CERTIFICATE.c.revoked_ms,
        AGENT.c.host_id,
        AGENT.c.status,
        AGENT.c.session,
    )
    .join(AGENT, AGENT.c.id == CERTIFICATE.c.agent_id)
    .where(CERTIFICATE.c.fingerprint.in_(bindparam("fingerprints", expanding=True)))
)
_LOCKED_FENCE = _FENCE.with_for_update(of=AGENT)
_ADVANCE = (
    update(LANE)
    .where(LANE.c.agent_id == bindparam("agent"), LANE.c.epoch == bindparam("of"))
    .values(
        acked_seq=bindparam("acked_seq"),
        digest=bindparam("digest"),
        marks=bindparam("marks"),
        ended_ms=bindparam("ended_ms"),
    )
)
_FOLLOWS: Mapping[GapReason, Callable[[Any, Gap], bool]] = {
    GapReason.LEFT_OUT: lambda last, gap: gap.from_ms - last.to_ms <= GROWS_MS,
    GapReason.REFUSED: lambda last, gap: gap.from_seq == last.to_seq + 1,
    GapReason.UNREGISTERED: lambda _last, _gap: True,
}
"""When what goes on being lost for one reason is one growing gap."""
_SEEN = (
    update(AGENT)
    .where(AGENT.c.id == bindparam("agent"))
    .values(last_seen_ms=bindparam("seen"), last_row_ms=bindparam("row"), clock_offset_ms=bindparam("offset"))
)


class Greeting(NamedTuple):
    """What an agent says of itself when it connects."""

    version: str = ""
    boot_id: str = ""
    offered: tuple[Offered, ...] = ()
    accepts_checks: bool = False
    spool_bytes: int = 0
    spool_limit_bytes: int = 0
    clock_offset_ms: float = 0.0
    ntp_state: str = ""
    drained: tuple[Drained, ...] = ()

    @property
    def epochs(self) -> tuple[bytes, ...]:
        """The lanes that go on."""
        return tuple(lane.epoch for lane in self.offered)


class Standing(NamedTuple):
    """Whether somebody may write: the certificate as the list has it, and the newest session of its agent."""

    credential: Credential
    session: int


class Seen(NamedTuple):
    """When an agent was last heard of."""

    agent_id: str
    seen_ms: int
    row_ms: int | None
    clock_offset_ms: float


class Stored:
    """`protocol.History` of one agent, read in the caller's transaction."""

    def __init__(self, connection: Connection, agent_id: str) -> None:
        self._connection, self._agent_id = connection, agent_id

    def marks(self, epoch: bytes, segment: int) -> bytes | None:
        """The marks of a full segment."""
        found = self._connection.scalar(
            select(SEGMENT.c.marks).where(
                SEGMENT.c.agent_id == self._agent_id, SEGMENT.c.epoch == epoch, SEGMENT.c.segment == segment
            )
        )
        return bytes(found) if found is not None else None

    def lane(self, epoch: bytes) -> Lane | None:
        """A lane by its epoch."""
        return read(self._connection, self._agent_id, epochs=(epoch,)).get(epoch)


class LostSpan(NamedTuple):
    """A gap as people see it; times are Unix milliseconds by the agent's clock, 0 where it could not say."""

    reason: str
    from_ms: int
    to_ms: int
    samples: int  # 0 where nobody knows
    batches: int
    recorded_ms: int
    detail: str


class Opened(NamedTuple):
    """A new session."""

    number: int
    lanes: dict[bytes, Lane]  # those that go on, as they are on record
    lost: dict[bytes, Lost]  # what is not on record of their beginnings although it was acknowledged
    gaps: list[Gap]  # the same of lanes that are over; still to be recorded


def open_session(connection: Connection, agent_id: str, greeting: Greeting, now_ms: int) -> Opened:
    """A new session of an agent: from now on only it may write.

    Lanes that the agent does not name are over: it has nothing more for them. Numbers that it was told to delete and
    that are not on record are lost: this database was restored from an older copy.
    """
    newest_ms = connection.scalar(select(AGENT.c.last_row_ms).where(AGENT.c.id == agent_id))
    connection.execute(
        update(AGENT)
        .where(AGENT.c.id == agent_id)
        .values(
            session=AGENT.c.session + 1,
            version=greeting.version,
            boot_id=greeting.boot_id,
            accepts_checks=greeting.accepts_checks,
            spool_bytes=greeting.spool_bytes,
            spool_limit_bytes=greeting.spool_limit_bytes,
            clock_offset_ms=greeting.clock_offset_ms,
            ntp_state=greeting.ntp_state,
            last_seen_ms=now_ms,
            goodbye="",
        )
    )
    connection.execute(
        update(LANE)
        .where(LANE.c.agent_id == agent_id, LANE.c.ended_ms.is_(None), LANE.c.epoch.not_in(greeting.epochs))
        .values(ended_ms=now_ms)
    )
    session = connection.scalar(select(AGENT.c.session).where(AGENT.c.id == agent_id)) or 0
    gaps = _close_drained(connection, agent_id, greeting.drained, newest_ms, now_ms)
    known = read(connection, agent_id, epochs=greeting.epochs)
    if newest_ms is None:
        # Never heard of before: what it had acknowledged was another collector's.
        return Opened(session, known, {}, gaps)
    agent_now_ms = now_ms + round(greeting.clock_offset_ms)
    lost = restored.beginnings(greeting.offered, known, since_ms=newest_ms, now_ms=agent_now_ms)
    return Opened(session, known, lost, gaps)


def _close_drained(
    connection: Connection, agent_id: str, drained: Sequence[Drained], newest_ms: int | None, now_ms: int
) -> list[Gap]:
    """Bring lanes that are over to their end; what is missing of them is a gap, unless it was never ours."""
    if not drained:
        return []
    known = read(connection, agent_id, epochs=[one.epoch for one in drained])
    found = restored.ends(drained, known)
    draft = Draft(Ledger(known), Stored(connection, agent_id))
    draft.lanes, draft.opened = {epoch: lane for epoch, (_, lane) in found.items()}, list(found.keys() - known.keys())
    save(connection, {agent_id: draft}, now_ms)
    if newest_ms is None:
        return []
    return [restored.gap(one, known.get(epoch, Lane()), since_ms=newest_ms) for epoch, (one, _) in found.items()]


def read(connection: Connection, agent_id: str, *, epochs: Collection[bytes] | None = None) -> dict[bytes, Lane]:
    """An agent's lanes, all or those named."""
    statement = select(LANE).where(LANE.c.agent_id == agent_id)
    if epochs is not None:
        statement = statement.where(LANE.c.epoch.in_(epochs))
    return {
        bytes(row.epoch): Lane(row.acked_seq, bytes(row.digest), bytes(row.marks), row.ended_ms is not None)
        for row in connection.execute(statement)
    }


def standing(connection: Connection, fingerprints: Sequence[str], *, lock: bool = True) -> dict[str, Standing]:
    """Who may write now, by certificate. With `lock`, the agents' rows stay locked until the commit (PostgreSQL)."""
    statement = _LOCKED_FENCE if lock and connection.dialect.name == "postgresql" else _FENCE
    result = {}
    for row in connection.execute(statement, {"fingerprints": list(fingerprints)}):
        revoked = row.revoked_ms is not None or row.status != ACTIVE
        result[row.fingerprint] = Standing(
            Credential(row.fingerprint, row.agent_id, row.host_id, row.not_before_ms, row.not_after_ms, revoked),
            row.session,
        )
    return result


def save(connection: Connection, drafts: Mapping[str, Draft], now_ms: int) -> None:
    """Write what changed in the lanes of some agents."""
    fresh, changed = [], []
    for agent_id, draft in drafts.items():
        for epoch, lane in draft.lanes.items():
            values = {
                "acked_seq": lane.acked_seq,
                "digest": lane.digest,
                "marks": lane.marks,
                "ended_ms": now_ms if lane.ended else None,
            }
            if epoch in draft.opened:
                fresh.append({**values, "agent_id": agent_id, "epoch": epoch, "opened_ms": now_ms})
            else:
                changed.append({**values, "agent": agent_id, "of": epoch})
    if fresh:
        connection.execute(insert(LANE), fresh)
    if changed:
        connection.execute(_ADVANCE, changed)


def seal(connection: Connection, agent_id: str, seals: Iterable[Seal]) -> None:
    """Keep full segments of digests, and forget the ones that are too old to be asked for."""
    for full in seals:
        key = (SEGMENT.c.agent_id == agent_id) & (SEGMENT.c.epoch == full.epoch)
        connection.execute(
            delete(SEGMENT).where(
                key,
                or_(SEGMENT.c.segment <= full.segment - chain.SEGMENTS, SEGMENT.c.segment == full.segment),
            )
        )
        connection.execute(
            insert(SEGMENT).values(agent_id=agent_id, epoch=full.epoch, segment=full.segment, marks=full.marks)
        )


def record_gaps(connection: Connection, gaps: Sequence[tuple[str, Gap]], now_ms: int) -> None:
    """Write losses: what is unknown from now on. What goes on being refused for one reason is one growing gap."""
    new: list[dict[str, Any]] = []
    for agent_id, gap in gaps:
        if gap.reason not in _FOLLOWS or not _grown(connection, agent_id, gap):
            new.append(_gap_columns(agent_id, gap, now_ms))
            if gap.reason in _FOLLOWS:
                connection.execute(insert(GAP), new)
                new.clear()
    if new:
        connection.execute(insert(GAP), new)


def _grown(connection: Connection, agent_id: str, gap: Gap) -> bool:
    same = (GAP.c.agent_id == agent_id) & (GAP.c.epoch == gap.epoch) & (GAP.c.reason == gap.reason.name.lower())
    query = select(GAP).where(same, GAP.c.detail == gap.detail[:DETAIL_LENGTH]).order_by(GAP.c.id.desc()).limit(1)
    last = connection.execute(query).first()
    if last is None or not _FOLLOWS[gap.reason](last, gap):
        return False
    grown = {"to_seq": max(last.to_seq, gap.to_seq), "to_ms": max(last.to_ms, gap.to_ms)}
    connection.execute(update(GAP).where(GAP.c.id == last.id).values(samples=GAP.c.samples + gap.samples, **grown))
    return True


def _gap_columns(agent_id: str, gap: Gap, now_ms: int) -> dict[str, Any]:
    return {
        "agent_id": agent_id,
        "epoch": gap.epoch,
        "from_seq": gap.from_seq,
        "to_seq": gap.to_seq,
        "reason": gap.reason.name.lower(),
        "samples": gap.samples,
        "from_ms": gap.from_ms,
        "to_ms": gap.to_ms,
        "recorded_ms": now_ms,
        **wording.apart(gap.detail, "detail", most=DETAIL_LENGTH),
    }


def gaps_of(connection: Connection, agent_id: str, *, limit: int) -> list[LostSpan]:
    """An agent's losses, those that became known last first."""
    query = select(GAP).where(GAP.c.agent_id == agent_id).order_by(GAP.c.id.desc()).limit(limit)
    return [
        LostSpan(row.reason, row.from_ms, row.to_ms, row.samples, row.to_seq - row.from_seq + 1, row.recorded_ms,
                 wording.together(row.detail, row.wording))
        for row in connection.execute(query)
    ]  # fmt: skip


def quarantine(connection: Connection, kept: Sequence[tuple[str, Quarantine]], now_ms: int) -> None:
    """Keep what could not be used; the oldest beyond QUARANTINE_ROWS go."""
    connection.execute(
        insert(QUARANTINE),
        [
            {
                "agent_id": agent_id,
                "epoch": one.epoch[: chain.EPOCH_BYTES],
                "seq": min(one.seq, protocol.SEQ_MAX),
                "reason": one.reason[:200],
                "body": one.body[:QUARANTINE_BODY_BYTES],
                "recorded_ms": now_ms,
            }
            for agent_id, one in kept
        ],
    )
    newest = connection.scalar(select(func.max(QUARANTINE.c.id))) or 0
    connection.execute(delete(QUARANTINE).where(QUARANTINE.c.id <= newest - QUARANTINE_ROWS))


def note_seen(connection: Connection, seen: Sequence[Seen]) -> None:
    """Write when agents were last heard of."""
    connection.execute(
        _SEEN,
        [{"agent": s.agent_id, "seen": s.seen_ms, "row": s.row_ms, "offset": s.clock_offset_ms} for s in seen],
    )


def say_goodbye(connection: Connection, agent_id: str, session: int, *, reason: str) -> None:
    """The agent left on purpose, unless a newer session is there already."""
    connection.execute(update(AGENT).where(AGENT.c.id == agent_id, AGENT.c.session == session).values(goodbye=reason))


def forget_ended(connection: Connection, now_ms: int) -> int:
    """Delete lanes that ended so long ago that nothing of them would be taken; returns how many."""
    over = LANE.c.ended_ms < now_ms - TOMBSTONE_MS
    for agent_id, epoch in connection.execute(select(LANE.c.agent_id, LANE.c.epoch).where(over)).fetchall():
        connection.execute(delete(SEGMENT).where(SEGMENT.c.agent_id == agent_id, SEGMENT.c.epoch == epoch))
    return connection.execute(delete(LANE).where(over)).rowcount
