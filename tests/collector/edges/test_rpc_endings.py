"""Streams of the agents' port that end in a hurry, are never read, or come a hundred at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from collector.edges import rpc
from collector.edges.identity import Peer
from collector.store import schema
from collector.store.database import Database
from protos.telemetry.v1 import telemetry_pb2 as pb
from tests.collector.delivery import DECLARATION, Lane, Receiver, receiver, rows


@pytest.fixture
async def stand(sqlite: Database, tmp_path: Path) -> AsyncIterator[Receiver]:
    async with receiver(sqlite, tmp_path / "trust") as running:
        yield running


class Silent:
    """A call whose peer reads nothing."""

    async def write(self, frame: bytes) -> None:
        del frame


@pytest.mark.parametrize("steps", range(8))
async def test_a_session_ends_and_its_goodbye_is_kept_wherever_the_call_is_cancelled(
    stand: Receiver, steps: int
) -> None:
    identity = stand.enrol()
    fingerprint = stand.rows(schema.agent_certificate)[0].fingerprint
    leave, said = asyncio.Event(), asyncio.Event()

    async def requests() -> AsyncIterator[bytes]:
        hello = pb.Hello(protocol_min=1, protocol_max=1, agent_id=identity.agent_id)
        yield pb.AgentFrame(hello=hello).SerializeToString()
        await leave.wait()
        yield pb.AgentFrame(goodbye=pb.Goodbye(reason=pb.Goodbye.REBOOT)).SerializeToString()
        said.set()

    call = asyncio.create_task(stand.telemetry.serve(Peer(identity.agent_id, fingerprint), requests(), Silent()))
    async with asyncio.timeout(5):
        while not stand.ingest.sessions():
            await asyncio.sleep(0)
        leave.set()
        await said.wait()
        for _ in range(steps):
            await asyncio.sleep(0)
        call.cancel()
        await asyncio.wait([call])
        assert stand.ingest.sessions() == []
        while stand.rows(schema.agent)[0].goodbye != "reboot":
            await asyncio.sleep(0.01)


class Blocked:
    """A call whose peer takes nothing any more."""

    async def write(self, frame: bytes) -> None:
        await asyncio.Event().wait()


async def test_an_agent_that_never_reads_is_not_read_either_and_then_let_go(stand: Receiver) -> None:
    identity = stand.enrol()
    fingerprint = stand.rows(schema.agent_certificate)[0].fingerprint
    taken = 0

    async def requests() -> AsyncIterator[bytes]:
        nonlocal taken
        hello = pb.Hello(protocol_min=1, protocol_max=1, agent_id=identity.agent_id)
        yield pb.AgentFrame(hello=hello).SerializeToString()
        while True:
            taken += 1
            yield pb.AgentFrame(ping=pb.Ping(wall_ms=1)).SerializeToString()

    telemetry = rpc.Telemetry(stand.ingest, unread_seconds=0.3)
    refused = await telemetry.serve(Peer(identity.agent_id, fingerprint), requests(), Blocked())
    assert refused is not None
    assert refused.code == "unread"
    assert rpc.UNREAD_FRAMES <= taken <= rpc.UNREAD_FRAMES + 2
    assert stand.ingest.sessions() == []


async def test_a_hundred_agents_that_come_back_at_once_are_all_taken_once(stand: Receiver) -> None:
    agents_ = 100
    identities = [stand.enrol(host) for host in range(1, agents_ + 1)]

    async def deliver(identity: Any, lane: Lane) -> Any:
        hello = pb.Hello(protocol_min=1, protocol_max=1, agent_id=identity.agent_id, lanes=[pb.Lane(epoch=lane.epoch)])
        stream = await stand.open(identity, hello=hello)
        await stream.hear("welcome")
        await stream.send(layout=DECLARATION)
        for _ in range(rpc.WINDOW_BATCHES):
            await stream.send(batch=lane.batch(rows(lane.seq, 2)))
        async with asyncio.timeout(20):
            while (await stream.hear("ack")).acked_seq < lane.seq:
                pass
        return stream

    lanes = {identity.agent_id: Lane(identity.agent_id.encode()[:16]) for identity in identities}
    for session in (1, 2):
        streams = await asyncio.gather(*(deliver(one, lanes[one.agent_id]) for one in identities))
        assert [row.session for row in stand.rows(schema.agent)] == [session] * agents_
        await asyncio.gather(*(stream.close() for stream in streams))
    assert len(stand.collected.accepted) == 2 * agents_ * rpc.WINDOW_BATCHES
    assert {row.acked_seq for row in stand.rows(schema.lane)} == {2 * rpc.WINDOW_BATCHES}
    async with asyncio.timeout(10):
        while stand.ingest.sessions():
            await asyncio.sleep(0.01)


async def test_an_agent_that_is_too_fast_is_slowed_down_and_loses_nothing(stand: Receiver) -> None:
    stream = await stand.open(stand.enrol())
    await stream.hear("welcome")
    await stream.send(layout=DECLARATION)
    pace, surplus = rpc.PACES[False], 10
    lane, count = Lane(), pace.burst + surplus
    began = time.monotonic()
    for _ in range(count):
        await stream.send(batch=lane.batch(rows(1, 2)))
    async with asyncio.timeout(10):
        while (await stream.hear("ack")).acked_seq < count:
            pass
    took_seconds = time.monotonic() - began
    assert len(stand.collected.accepted) == count
    # On a busy machine the sending itself takes as long as the pace asks for, and nothing is left to slow down.
    assert took_seconds >= surplus / pace.rate - 0.05
    await stream.close()
