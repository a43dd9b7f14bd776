"""Ingest: one commit for many, acknowledgements after it, and what happens when it fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import pytest
from sqlalchemy import Connection

from collector import chain, protocol
from collector.chain import GENESIS
from collector.domain.errors import StoreBroken, StoreFull, Unauthenticated
from collector.domain.sample import Accepted, Document, Result, State
from collector.flows.ingest import PENDING_EVENTS, Content, Ingest, Session
from collector.protocol import Ack, Batch, Gap, GapReason, Nack, Refuse, Reply, Resync
from collector.restored import Offered
from collector.store import agents, documents, lanes, schema
from collector.store.database import Database
from collector.store.documents import Documents
from collector.store.lanes import Greeting
from collector.store.series.layouts import Layouts
from tests.collector.delivery import Collected

NOW_MS = 1_790_000_000_000
EPOCH = b"e" * 16


class Failing:
    """A journal or sink that fails when it is told to."""

    name = "failing"

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.only_of = ""  # the agent whose batches it fails at
        self.work: Callable[[Connection], object] = lambda _: None

    def absorb(self, connection: Connection, accepted: Sequence[Accepted]) -> Callable[[], None]:
        self.work(connection)
        if self.error is not None and any(one.agent_id.startswith(self.only_of) for one in accepted):
            raise self.error
        return lambda: None


class Stand:
    def __init__(self, db: Database) -> None:
        self.db, self.journal, self.sink, self.collected = db, Failing(), Failing(), Collected()
        self.broken: list[StoreBroken] = []
        self.ingest = Ingest(
            db,
            layouts=Layouts(),
            journal=self.journal,
            sinks=(self.sink, self.collected),
            clock=lambda: NOW_MS,
            linger_seconds=0,
            on_broken=self.broken.append,
        )

    def enrol(self, name: str) -> None:
        def work(connection: Connection) -> None:
            agents.create(connection, name, host_id=3, host_name=name, version="", enrolled_ms=0)
            times = {"not_before_ms": 0, "not_after_ms": 2 * NOW_MS}
            agents.add_certificate(connection, name, fingerprint=f"cert {name}", **times)

        self.db.write_now(work)

    async def open(self, name: str, *, epochs: tuple[bytes, ...] = ()) -> tuple[Session, list[Reply]]:
        heard: list[Reply] = []
        session = await self.ingest.open(
            name, f"cert {name}", Greeting(offered=tuple(Offered(epoch, 0, 0) for epoch in epochs)), reply=heard.extend
        )
        return session, heard

    async def send(self, session: Session, *events: protocol.Event) -> None:
        for place, event in enumerate(events, 1):
            await self.ingest.submit(session, event)
            if place % PENDING_EVENTS == 0:
                await self.ingest.flush()
        await self.ingest.flush()

    def rows(self, table: Any) -> list[Any]:
        return self.db.read_now(lambda connection: list(connection.execute(table.select())))


def seal(seq: int) -> bytes:
    return bytes((seq % 251 + 1,)) * 32


def batch(seq: int, **changed: Any) -> Batch:
    previous = seal(seq - 1) if seq > 1 else GENESIS
    made = Batch(EPOCH, seq, NOW_MS, seal(seq), previous, False, 1, Content(), body=b"raw")
    return made._replace(**changed)


@pytest.fixture
async def stand(database: Database) -> AsyncIterator[Stand]:
    made = Stand(database)
    made.enrol("a")
    yield made
    await made.ingest.stop()


async def test_a_group_is_one_commit_and_one_acknowledgement(stand: Stand) -> None:
    session, heard = await stand.open("a")
    await stand.send(session, *(batch(seq) for seq in range(1, 51)))
    assert heard == [Ack(EPOCH, 50)]
    await stand.send(session, *(batch(seq) for seq in range(51, 201)))
    assert len(stand.collected.accepted) == 200
    (lane,) = stand.rows(schema.lane)
    assert (lane.acked_seq, bytes(lane.digest)) == (200, seal(200))
    assert [row.segment for row in stand.rows(schema.lane_segment)] == [0, 1, 2]


async def test_a_replayed_batch_is_acknowledged_and_ignored(stand: Stand) -> None:
    session, _ = await stand.open("a")
    await stand.send(session, *(batch(seq) for seq in range(1, 101)))
    again, heard = await stand.open("a", epochs=(EPOCH,))
    await stand.send(again, batch(2), batch(100))
    assert heard == [Ack(EPOCH, 100)]
    assert len(stand.collected.accepted) == 100


async def test_another_batch_under_a_stored_number_is_kept_aside_and_the_epoch_closed(stand: Stand) -> None:
    session, _ = await stand.open("a")
    await stand.send(session, batch(1), batch(2))
    again, heard = await stand.open("a", epochs=(EPOCH,))
    await stand.send(again, batch(2, digest=b"z" * 32), batch(3))
    assert heard == [Resync(EPOCH, 2, "another batch with this number is stored")]
    assert len(stand.collected.accepted) == 2
    assert stand.rows(schema.quarantine)[0].reason.startswith("conflict")


async def test_a_gap_behind_a_conflict_is_not_acknowledged(stand: Stand) -> None:
    session, _ = await stand.open("a")
    await stand.send(session, batch(1), batch(2))
    again, heard = await stand.open("a", epochs=(EPOCH,))
    gap = Gap(EPOCH, 3, 3, GapReason.SPOOL_FULL, 1, NOW_MS, NOW_MS, seal(3))
    await stand.send(again, batch(2, digest=b"z" * 32), gap)
    assert [type(reply) for reply in heard] == [Resync]
    await stand.send(again, gap._replace(reason=GapReason.RESYNC))
    assert heard[-1] == Ack(EPOCH, 3)


async def test_a_missing_number_is_asked_for_once(stand: Stand) -> None:
    session, heard = await stand.open("a")
    await stand.send(session, batch(1), batch(3), batch(4))
    assert heard == [Ack(EPOCH, 1), Nack(EPOCH, 2, "not the next number")]
    gap = Gap(EPOCH, 2, 3, GapReason.SPOOL_FULL, 20, NOW_MS - 5, NOW_MS, seal(3))
    await stand.send(session, gap, batch(4))
    assert heard[-1] == Ack(EPOCH, 4)
    (row,) = stand.rows(schema.gap)
    assert (row.from_seq, row.to_seq, row.reason, row.samples) == (2, 3, "spool_full", 20)


async def test_a_batch_from_the_future_is_a_gap_with_a_reason_and_an_old_one_too(stand: Stand) -> None:
    session, heard = await stand.open("a")
    day_ms = 24 * 3600 * 1000
    await stand.send(session, batch(1, wall_ms=NOW_MS + day_ms), batch(2, wall_ms=NOW_MS - 31 * day_ms), batch(3))
    assert heard == [Ack(EPOCH, 3)]
    assert [row.reason for row in stand.rows(schema.gap)] == ["refused", "too_old"]
    assert len(stand.rows(schema.quarantine)) == 1


async def test_a_full_disk_acknowledges_nothing_and_ingest_lives_on(stand: Stand) -> None:
    session, heard = await stand.open("a")
    stand.journal.error = StoreFull("no room")
    await stand.send(session, batch(1), batch(2))
    assert [type(reply) for reply in heard] == [Nack]
    assert heard[0] == Nack(EPOCH, 1, "the collector cannot store at the moment", 5000)
    assert stand.rows(schema.lane) == []
    stand.journal.error = None
    await stand.send(session, batch(1), batch(2))
    assert heard[-1] == Ack(EPOCH, 2)


async def test_a_failed_sync_is_not_acknowledged_and_stops_the_process(stand: Stand) -> None:
    session, heard = await stand.open("a")
    stand.journal.error = StoreBroken("I/O error")
    await stand.send(session, batch(1))
    assert heard == []
    assert len(stand.broken) == 1


async def test_a_failing_sink_does_not_stop_the_others(stand: Stand) -> None:
    session, heard = await stand.open("a")
    stand.sink.error = ValueError("a result that nobody expected")
    await stand.send(session, batch(1))
    assert heard == [Ack(EPOCH, 1)]
    assert len(stand.collected.accepted) == 1
    assert stand.ingest.metrics.ingest_sink_failures.labels("failing")._value.get() == 1


async def test_a_batch_that_a_sink_cannot_take_costs_no_other_and_is_declared_lost(stand: Stand) -> None:
    stand.enrol("b")
    (good, heard), (bad, told) = await stand.open("a"), await stand.open("b")
    kept = Documents()
    stand.ingest._sinks = (stand.sink, kept)
    stand.sink.error, stand.sink.only_of = ValueError("a result that nobody expected"), "b"
    result = Result("local:web", NOW_MS, State.UP, 0.1, "", NOW_MS, 1, 10_000, 1_000)
    await stand.ingest.submit(good, batch(1, content=Content(documents=[Document("host", NOW_MS, b"{}")])))
    await stand.ingest.submit(bad, batch(1, content=Content(results=[result, result])))
    await stand.ingest.flush()
    assert (heard, told) == ([Ack(EPOCH, 1)], [Ack(EPOCH, 1)])
    assert stand.db.read_now(lambda c: documents.latest(c, 3, "host")) is not None
    (gap,) = stand.rows(schema.gap)
    assert (gap.agent_id, gap.reason, gap.samples) == ("b", "refused", 2)
    assert gap.detail == "the collector's part failing could not take it"
    assert [(row.agent_id, bytes(row.body)) for row in stand.rows(schema.quarantine)] == [("b", b"raw")]


def fails(connection: Connection) -> None:
    """What a database that is full, or is shut down, does in the middle of a transaction."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SELECT pg_terminate_backend(pg_backend_pid())")
    connection.exec_driver_sql("PRAGMA max_page_count=1")
    connection.execute(
        schema.quarantine.insert().values(
            agent_id="a", epoch=EPOCH, seq=1, reason="", body=bytes(1 << 22), recorded_ms=0
        )
    )


async def test_a_database_that_fails_under_a_sink_is_not_acknowledged(stand: Stand) -> None:
    session, heard = await stand.open("a")
    stand.sink.work = fails
    await stand.send(session, batch(1))
    assert [type(reply) for reply in heard] == [Nack]
    assert stand.rows(schema.lane) == []
    stand.sink.work = lambda c: c.dialect.name == "sqlite" and c.exec_driver_sql("PRAGMA max_page_count=100000")
    await stand.send(session, batch(1))
    assert heard[-1] == Ack(EPOCH, 1)


async def test_only_the_newest_session_writes(stand: Stand) -> None:
    old, heard = await stand.open("a")
    await stand.ingest.submit(old, batch(1))
    await stand.open("a")
    await stand.ingest.flush()
    assert [reply.code for reply in heard if isinstance(reply, Refuse)] == ["fenced"]
    assert stand.rows(schema.lane) == []


async def test_a_revoked_agent_is_not_admitted_and_not_committed(stand: Stand) -> None:
    session, heard = await stand.open("a")
    stand.db.write_now(lambda c: agents.revoke(c, "a", now_ms=NOW_MS, who="x", why="y"))
    await stand.send(session, batch(1))
    assert [reply.code for reply in heard if isinstance(reply, Refuse)] == ["revoked"]
    with pytest.raises(Unauthenticated):
        await stand.open("a")


async def test_an_ended_epoch_that_comes_back_is_not_written_to(stand: Stand) -> None:
    session, _ = await stand.open("a")
    await stand.send(session, batch(1))
    again, heard = await stand.open("a", epochs=())
    await stand.send(again, batch(2))
    assert heard == [Resync(EPOCH, 1, "this epoch has ended")]


async def test_more_lanes_than_allowed_are_refused(stand: Stand) -> None:
    session, heard = await stand.open("a")
    firsts = [batch(1, epoch=bytes((i,)) * 16) for i in range(protocol.LANES_MAX + 1)]
    await stand.send(session, *firsts)
    assert [reply.code for reply in heard if isinstance(reply, Refuse)] == ["too_many_lanes"]


async def test_a_stream_that_runs_ahead_waits_for_the_commit(stand: Stand) -> None:
    session, _ = await stand.open("a")
    for seq in range(1, 65):
        await stand.ingest.submit(session, batch(seq))
    waiting = asyncio.create_task(stand.ingest.submit(session, batch(65)))
    await asyncio.sleep(0)
    assert not waiting.done()
    await stand.ingest.flush()
    await waiting


async def test_old_tombstones_go_with_their_digests(stand: Stand) -> None:
    session, _ = await stand.open("a")
    await stand.send(session, *(batch(seq) for seq in range(1, 70)))
    await stand.open("a")
    later_ms = NOW_MS + lanes.TOMBSTONE_MS + 1
    assert stand.db.write_now(lambda c: lanes.forget_ended(c, later_ms)) == 1
    assert stand.rows(schema.lane) == stand.rows(schema.lane_segment) == []


def test_the_newest_document_stays_and_processes_keep_a_day(database: Database) -> None:
    hour_ms = 3600 * 1000

    def work(connection: Connection) -> None:
        for hour in (5, 1, 30, 29):
            for kind in ("host", "processes"):
                documents.put(connection, 1, Document(kind, hour * hour_ms, b"%d" % hour))

    database.write_now(work)
    newest = database.read_now(lambda c: documents.latest(c, 1, "host"))
    assert newest is not None
    assert newest.body == b"30"
    assert database.read_now(lambda c: documents.times(c, 1, "host", since_ms=0, until_ms=99 * hour_ms)) == [
        30 * hour_ms
    ]
    kept = database.read_now(lambda c: documents.times(c, 1, "processes", since_ms=0, until_ms=99 * hour_ms))
    assert kept == [29 * hour_ms, 30 * hour_ms]


def test_both_sides_compute_the_same_digest() -> None:
    from agent import batch as agent_batch

    arguments: Any = {"times": (NOW_MS, 77), "boot_id": "boot", "payload": b"payload"}
    mine = chain.digest(EPOCH, 5, GENESIS, **arguments)
    assert mine == agent_batch.digest(EPOCH, 5, GENESIS, **arguments)
    assert mine.hex() == "94901c6e4d85c6c5a3fb531862299ecd3c2f6e3d1a007659289ddbcd2891ea5e"
