"""Takes what agents deliver: one commit for all of them, then the acknowledgements.

Batches of every stream that arrive within the linger share one transaction, in which the certificate and the session
are checked once more, `protocol` judges each event, and every sink writes what it needs. Only after that transaction is
on disk does memory change and does an agent hear of it. Does not know gRPC or protobuf.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from collector import protocol
from collector.domain.errors import CollectorError, Forbidden, InvalidInput, StoreBroken, StoreError
from collector.domain.message import Message
from collector.domain.sample import Accepted
from collector.domain.series import Layout
from collector.flows import losses, tally
from collector.flows.enrol import admit
from collector.flows.feed import Failure, feed
from collector.flows.quota import Quota
from collector.flows.session import FENCED, FENCED_WORDS, Content, Journal, Session, Sink, accepted, refusal_of
from collector.metrics import Metrics
from collector.protocol import Batch, Event, Gap, Ledger, Quarantine, Refuse, Reply, Seal, Store
from collector.store import lanes
from collector.store.database import Connection, Database
from collector.store.lanes import Greeting, Seen
from collector.store.series.layouts import Layouts, decode

__all__ = ["Content", "Ingest", "Journal", "Session", "Sink"]

LOG = logging.getLogger(__name__)

LINGER_SECONDS = 0.03
"""How long the first batch of a group waits for others: they share its sync, and the agent loses 30 ms."""
GROUP_EVENTS = 2000
PENDING_EVENTS, PENDING_BYTES = 64, 4 * 1024 * 1024
"""What may wait of one stream for a commit before the stream is not read any further."""
RETRY_MS = 5000
SEEN_EVERY_MS = 5000
LAYOUTS_PER_SESSION = 512


@dataclass(slots=True)
class _Verdict:
    """What one transaction decided for one session."""

    draft: protocol.Draft | None
    effects: list[protocol.Effect]
    refusal: Refuse | None = None


class _Written(NamedTuple):
    verdicts: dict[Session, _Verdict]
    after: list[Callable[[], None]]
    failed: Sequence[Failure]
    accepted: list[Accepted]


class Ingest:
    """The one way in for measurements."""

    def __init__(
        self,
        db: Database,
        *,
        layouts: Layouts,
        journal: Journal,
        sinks: Iterable[Sink] = (),
        clock: Callable[[], int],
        metrics: Metrics | None = None,
        quota: Quota | None = None,
        linger_seconds: float = LINGER_SECONDS,
        on_broken: Callable[[StoreBroken], None] = lambda error: LOG.critical("store broken error=%s", error.message),
    ) -> None:
        self.layouts = layouts
        self.metrics = metrics or Metrics()
        self.clock = clock
        self._db, self._journal, self._sinks = db, journal, tuple(sinks)
        self._quota = quota
        self._linger_seconds, self._on_broken = linger_seconds, on_broken
        self._sessions: dict[str, Session] = {}
        self._queue: list[tuple[Session, Event]] = []
        self._arrived = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._one_commit = asyncio.Lock()
        self._farewells: set[asyncio.Task[None]] = set()
        self._failing = ""
        self._failing_sinks: set[str] = set()

    # ── streams ─────────────────────────────────────────────────────────────────────────────────────────────────────

    async def open(
        self,
        agent_id: str,
        fingerprint: str,
        greeting: Greeting,
        *,
        reply: Callable[[Sequence[Reply]], None],
    ) -> Session:
        """Admit a stream; every older one of the same agent is fenced.

        Raises:
            Forbidden: a newer stream of this agent was admitted meanwhile.
            Unauthenticated: the certificate is not on the list, revoked, or another agent's.
            StoreError: the database does not answer.
        """
        now_ms = self.clock()

        def work(connection: Connection) -> tuple[int, lanes.Opened]:
            credential = admit(connection, agent_id, fingerprint, now_ms)
            opened = lanes.open_session(connection, agent_id, greeting, now_ms)
            losses.record(connection, [(agent_id, gap) for gap in opened.gaps], now_ms)
            return credential.host_id, opened

        try:
            host_id, opened = await self._db.write(work)
        except StoreError as error:
            self._note_failure(error)
            raise
        number, known = opened.number, opened.lanes
        ledger = Ledger(known, lost=opened.lost)
        session = Session(agent_id, host_id, fingerprint, number, ledger, reply)
        session.clock_offset_ms = greeting.clock_offset_ms
        session.room.set()
        self._take_over(session)
        tally.count_gaps(self.metrics, opened.gaps)
        if opened.lost or opened.gaps:
            LOG.error("database restored agent=%s: acknowledged measurements are not on record", agent_id)
        LOG.info("agent connected agent=%s session=%d lanes=%d", agent_id, number, len(known))
        return session

    def _take_over(self, session: Session) -> None:
        """The newest stream of an agent is the one; whatever was before ends."""
        older = self._sessions.get(session.agent_id)
        if older is not None and older.number > session.number:
            raise Forbidden(FENCED_WORDS)
        self._sessions[session.agent_id] = session
        if older is not None:
            self._end(older, Refuse(FENCED, FENCED_WORDS))
        self.metrics.agent_streams.set(len(self._sessions))

    async def declare(self, session: Session, layout_id: int, body: bytes) -> None:
        """Learn a layout. One that cannot be used makes the batches that refer to it poison, not the stream.

        Of one with too many new series the rows are left out, and the rest of each batch is taken.

        Raises:
            StoreError: the database does not answer.
        """
        if len(session.layouts) >= LAYOUTS_PER_SESSION:
            session.unusable[layout_id] = Message("more than {most} layouts in one session", most=LAYOUTS_PER_SESSION)
            return
        session.layouts.add(layout_id)
        now_ms = self.clock()
        try:
            if too_much := self._refusal(session, layout_id, self.layouts.get(layout_id) or decode(body), now_ms):
                session.left_out[layout_id] = too_much
                return
            if layout_id in self.layouts:
                return
            await self._db.write(lambda c: self.layouts.declare(c, layout_id, body, now_ms=now_ms))
        except InvalidInput as error:
            session.unusable[layout_id] = error.message
            LOG.warning("layout refused agent=%s reason=%r", session.agent_id, error.message)
        except StoreError as error:
            self._note_failure(error)
            raise

    def _refusal(self, session: Session, layout_id: int, layout: Layout, now_ms: int) -> str:
        refused = self._quota and self._quota.refusal(session.host_id, layout_id, layout, now_ms=now_ms)
        if not refused:
            return ""
        self.metrics.ingest_refused_layouts.labels(refused.limit).inc()
        LOG.warning("series refused agent=%s limit=%s reason=%r", session.agent_id, refused.limit, refused.reason)
        return refused.reason

    async def submit(self, session: Session, event: Event) -> None:
        """Queue one event; returns at once unless this stream is far ahead of the commits."""
        if session.pending >= PENDING_EVENTS or session.pending_bytes >= PENDING_BYTES:
            session.room.clear()
            await session.room.wait()
        if session.over:
            return
        session.pending += 1
        session.pending_bytes += _size(event)
        self._queue.append((session, event))
        self._arrived.set()

    async def close(self, session: Session, *, goodbye: str = "") -> None:
        """The stream is over. `goodbye` says why when the agent left on purpose.

        All of it happens even if the caller is cancelled meanwhile: before the first await, or in a task of its own.
        """
        session.over = True
        session.room.set()
        if self._sessions.get(session.agent_id) is session:
            del self._sessions[session.agent_id]
            self.metrics.agent_streams.set(len(self._sessions))
            LOG.info("agent left agent=%s session=%d goodbye=%s", session.agent_id, session.number, goodbye or "none")
        if goodbye:
            farewell = asyncio.create_task(self._say_goodbye(session, goodbye), name="goodbye")
            self._farewells.add(farewell)
            farewell.add_done_callback(self._farewells.discard)
            await asyncio.shield(farewell)

    async def _say_goodbye(self, session: Session, reason: str) -> None:
        try:
            await self._db.write(lambda c: lanes.say_goodbye(c, session.agent_id, session.number, reason=reason))
        except StoreError as error:
            self._note_failure(error)

    def sessions(self) -> list[Session]:
        """Every stream of this process."""
        return list(self._sessions.values())

    async def sweep(self) -> None:
        """End the streams of agents that were revoked or connected elsewhere; idle ones would not notice."""
        sessions = self.sessions()
        if not sessions:
            return
        fingerprints = [session.fingerprint for session in sessions]
        now_ms = self.clock()
        standing = await self._db.read(lambda c: lanes.standing(c, fingerprints, lock=False))
        for session in sessions:
            if refusal := refusal_of(session, standing, now_ms):
                self._end(session, refusal)

    def _end(self, session: Session, refusal: Refuse) -> None:
        if not session.over:
            session.over = True
            session.room.set()
            session.reply([refusal])
            self.metrics.agent_refused.labels(refusal.code).inc()
            LOG.warning("agent refused agent=%s code=%s", session.agent_id, refusal.code)

    # ── commits ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def start(self) -> None:
        """Begin committing."""
        self._task = asyncio.create_task(self._run(), name="ingest")

    async def stop(self) -> None:
        """Commit what has arrived, then stop."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self.flush()
        await asyncio.gather(*self._farewells)

    async def flush(self) -> None:
        """Commit what has arrived."""
        while self._queue:
            # One at a time: a transaction is judged by what the one before it left.
            async with self._one_commit:
                await self._commit()

    async def _run(self) -> None:
        while True:
            await self._arrived.wait()
            await asyncio.sleep(self._linger_seconds)
            # Cancelling must not part a commit from its acknowledgements.
            await asyncio.shield(self.flush())
            self._arrived.clear()
            if self._queue:
                self._arrived.set()

    async def _commit(self) -> None:
        group, self._queue = self._queue[:GROUP_EVENTS], self._queue[GROUP_EVENTS:]
        work: dict[Session, list[Event]] = {}
        for session, event in group:
            work.setdefault(session, []).append(event)
        now_ms = self.clock()
        try:
            with self.metrics.ingest_commit.time():
                written = await self._db.write(lambda connection: self._write(connection, work, now_ms))
        except Exception as error:
            # Nothing is on disk and nothing was acknowledged; the agents keep it and send it again.
            self._hold(work, error)
        else:
            self._adopt(written)
        finally:
            for session, events in work.items():
                session.pending -= len(events)
                session.pending_bytes -= sum(map(_size, events))
                if session.pending < PENDING_EVENTS and session.pending_bytes < PENDING_BYTES:
                    session.room.set()

    def _write(self, connection: Connection, work: Mapping[Session, list[Event]], now_ms: int) -> _Written:
        standing = lanes.standing(connection, [session.fingerprint for session in work])
        verdicts: dict[Session, _Verdict] = {}
        taken: list[tuple[Session, Batch]] = []
        gaps: list[tuple[str, Gap]] = []
        kept: list[tuple[str, Quarantine]] = []
        for session, events in work.items():
            if refusal := refusal_of(session, standing, now_ms):
                verdicts[session] = _Verdict(None, [], refusal)
                continue
            draft = session.ledger.draft(lanes.Stored(connection, session.agent_id))
            effects = [effect for event in events for effect in draft.step(event, now_ms)]
            verdicts[session] = _Verdict(draft, effects)
            gaps += [(session.agent_id, e.gap) for e in effects if isinstance(e, protocol.RecordGap)]
            stored = [e.batch for e in effects if isinstance(e, Store)]
            taken += [(session, batch) for batch in stored]
            gaps += [(session.agent_id, gap) for batch in stored for gap in losses.left_out(session, batch)]
            kept += [(session.agent_id, e) for e in effects if isinstance(e, Quarantine)]
            if seals := [e for e in effects if isinstance(e, Seal)]:
                lanes.seal(connection, session.agent_id, seals)
        drafts = {session.agent_id: v.draft for session, v in verdicts.items() if v.draft is not None}
        lanes.save(connection, drafts, now_ms)
        losses.record(connection, gaps, now_ms)
        if kept:
            lanes.quarantine(connection, kept, now_ms)
        self._note_seen(connection, drafts.keys() & {s.agent_id for s in work}, work, now_ms)
        if not taken:
            return _Written(verdicts, [], [], [])
        every = [accepted(session, batch, now_ms) for session, batch in taken]
        stored_first = self._journal.absorb(connection, every)
        fed = feed(connection, self._sinks, every)
        losses.not_taken(connection, [(*taken[one.place], one.sink) for one in fed.failed], now_ms)
        return _Written(verdicts, [stored_first, *fed.after], fed.failed, every)

    def _note_seen(
        self, connection: Connection, written: Iterable[str], work: Mapping[Session, list[Event]], now_ms: int
    ) -> None:
        agents = set(written)
        due = []
        for session, events in work.items():
            rows = [e.wall_ms for e in events if isinstance(e, Batch) and not e.backfill]
            session.last_row_ms = max([*rows, session.last_row_ms or 0]) or None
            if session.agent_id in agents and now_ms - session.noted_ms >= SEEN_EVERY_MS:
                session.noted_ms = now_ms
                due.append(Seen(session.agent_id, now_ms, session.last_row_ms, session.clock_offset_ms))
        if due:
            lanes.note_seen(connection, due)

    def _adopt(self, written: _Written) -> None:
        if self._failing:
            LOG.warning("ingest works again after=%s", self._failing)
            self._failing = ""
        self._note_failures(written)
        for action in written.after:
            try:
                action()
            except Exception:
                LOG.exception("a sink failed after the commit")
        tally.count_accepted(self.metrics, written.accepted)
        for session, verdict in written.verdicts.items():
            tally.count_effects(self.metrics, session.agent_id, verdict.effects)
            if verdict.draft is None or verdict.refusal is not None:
                self._end(session, verdict.refusal or Refuse(FENCED, FENCED_WORDS))
                continue
            session.ledger.adopt(verdict.draft)
            replies = [e for e in verdict.effects if isinstance(e, Reply)]
            if refusal := next((reply for reply in replies if isinstance(reply, Refuse)), None):
                self._end(session, refusal)
            elif not session.over and replies:
                session.reply(protocol.latest(replies))

    def _note_failures(self, written: _Written) -> None:
        failing: set[str] = set()
        for one in written.failed:
            self.metrics.ingest_sink_failures.labels(one.sink).inc()
            if one.sink not in self._failing_sinks | failing:
                LOG.error("sink failed sink=%s error=%s", one.sink, one.error, exc_info=one.error)
            failing.add(one.sink)
        if not written.accepted:
            return
        if recovered := self._failing_sinks - failing:
            LOG.warning("sinks work again sinks=%s", ",".join(sorted(recovered)))
        self._failing_sinks = failing

    def _hold(self, work: Mapping[Session, list[Event]], error: Exception) -> None:
        if isinstance(error, StoreBroken):
            self._on_broken(error)
            return
        self._note_failure(error)
        for session, events in work.items():
            if not session.over:
                reason = "the collector cannot store at the moment"
                session.reply(session.ledger.hold(events, reason=reason, retry_after_ms=RETRY_MS))

    def _note_failure(self, error: Exception) -> None:
        """Say once that nothing can be stored; it is said again when it works again."""
        words = error.message if isinstance(error, CollectorError) else type(error).__name__
        if words != self._failing:
            LOG.error("ingest failed error=%s", words, exc_info=not isinstance(error, CollectorError))
            self._failing = words


def _size(event: Event) -> int:
    return len(event.body) if isinstance(event, Batch) else 0
