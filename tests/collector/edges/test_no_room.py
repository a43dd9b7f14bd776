"""What an agent hears while the database has no room, and that it is taken in again afterwards."""

from __future__ import annotations

import logging
import struct
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest

from agent import wire as agent_wire
from agent.sample import Series
from collector.edges import rpc
from collector.store import schema
from collector.store.database import Database
from protos.telemetry.v1 import telemetry_pb2 as pb
from tests.collector.delivery import Lane, Receiver, now_ms, receiver

WIDTH = 600
LAYOUT = agent_wire.layout([Series("node_load1", (("number", f"{i}"),), help="x" * 40) for i in range(WIDTH)], 10_000)
LAYOUT_ID = agent_wire.layout_digest(LAYOUT)
DECLARATION = pb.LayoutDeclaration(id=LAYOUT_ID, layout=LAYOUT)
PAGES_MAX = 1 << 30
"""SQLite's own limit, more or less."""


def row() -> pb.Payload:
    return pb.Payload(rows=[pb.Row(layout_id=LAYOUT_ID, wall_ms=now_ms(), values=struct.pack("<d", 1.5) * WIDTH)])


def limit(database: Database, pages: int) -> None:
    """The file may have this many pages; less than it has means what it has."""
    database.write_now(lambda connection: connection.exec_driver_sql(f"PRAGMA max_page_count={pages}"))


@pytest.fixture
async def stand(sqlite: Database, tmp_path: Path) -> AsyncIterator[Receiver]:
    async with receiver(sqlite, tmp_path / "trust") as running:
        yield running


async def test_a_batch_without_room_is_to_be_sent_again_and_is_stored_once(
    stand: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    stream = await stand.open(stand.enrol())
    await stream.hear("welcome")
    await stream.send(layout=DECLARATION)
    lane = Lane()
    await stream.send(batch=lane.batch(row()))
    assert (await stream.hear("ack")).acked_seq == 1
    limit(stand.db, 1)
    following = lane.batch(row())
    for _ in range(3):
        await stream.send(batch=following)
        nack = await stream.hear("nack")
        assert (nack.expected_seq, nack.retry_after_ms > 0) == (2, True)
    assert [lane.acked_seq for lane in stand.rows(schema.lane)] == [1]
    limit(stand.db, PAGES_MAX)
    await stream.send(batch=following)
    assert (await stream.hear("ack")).acked_seq == 2
    assert len(stand.collected.accepted) == 2
    assert [record.message.split(" error")[0].split(" after")[0] for record in caplog.records] == [
        "ingest failed",
        "ingest works again",
    ]
    await stream.close()


async def test_a_layout_without_room_ends_the_stream_in_words_that_ask_to_come_back(stand: Receiver) -> None:
    identity = stand.enrol()
    stream = await stand.open(identity)
    await stream.hear("welcome")
    limit(stand.db, 1)
    await stream.send(layout=DECLARATION)
    refused = await stream.hear("refused")
    assert (refused.code, refused.retry_after_ms) == (rpc.UNAVAILABLE, rpc.RETRY_SHORT_MS)
    assert (await stream.ended())[0] is grpc.StatusCode.UNAVAILABLE
    await stream.close()
    limit(stand.db, PAGES_MAX)
    again = await stand.open(identity)
    await again.hear("welcome")
    await again.send(layout=DECLARATION)
    await again.send(batch=Lane().batch(row()))
    assert (await again.hear("ack")).acked_seq == 1
    await again.close()
