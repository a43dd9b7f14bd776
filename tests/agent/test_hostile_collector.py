"""A collector that has the right key and lies, and what delivery itself may run into: it goes on."""

from __future__ import annotations

import asyncio
import errno
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from agent import wire
from collector.edges.identity import server_credentials
from collector.flows.authority import Authority
from collector.store.database import Database
from protos.telemetry.v1 import telemetry_pb2 as pb
from tests.agent.test_uplink import Agent, now, until, values
from tests.collector.delivery import DELIVER, Receiver, receiver

Script = Callable[[pb.AgentFrame], list[pb.CollectorFrame]]


@pytest.fixture
async def stand(sqlite: Database, tmp_path: Path) -> AsyncIterator[Receiver]:
    async with receiver(sqlite, tmp_path / "trust") as running:
        yield running


@asynccontextmanager
async def impostor(authority: Authority, script: Script, **options: int) -> AsyncIterator[str]:
    """The address of one that has the collector's key and answers every frame as the script says."""

    async def deliver(frames: Any, _context: Any) -> AsyncIterator[bytes]:
        async for raw in frames:
            for answer in script(pb.AgentFrame.FromString(raw)):
                yield answer.SerializeToString()

    server = grpc.aio.server(options=[(f"grpc.{name}", value) for name, value in options.items()])
    service, method = DELIVER[1:].split("/")
    handlers = {method: grpc.stream_stream_rpc_method_handler(deliver)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
    port = server.add_secure_port("127.0.0.1:0", server_credentials(authority, mutual=True))
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(0)


def lenient(hello: pb.Welcome, *answers: pb.CollectorFrame) -> Script:
    """Welcomes with these words, acknowledges everything, and says `answers` to every ping."""

    def script(frame: pb.AgentFrame) -> list[pb.CollectorFrame]:
        if frame.HasField("hello"):
            return [pb.CollectorFrame(welcome=hello)]
        if frame.HasField("batch"):
            return [pb.CollectorFrame(ack=pb.Ack(epoch=frame.batch.epoch, acked_seq=frame.batch.seq))]
        return list(answers) if frame.HasField("ping") else []

    return script


AGE_MS = 200


async def test_a_collector_that_wants_no_more_calls_on_a_connection_still_gets_this_one_whole(
    stand: Receiver, tmp_path: Path
) -> None:
    script = lenient(pb.Welcome(session=1))
    async with impostor(stand.authority, script, max_connection_age_ms=AGE_MS) as address:
        agent = Agent(tmp_path, replace(stand.enrol(), address=address))
        agent.uplink.start()
        begun = now()
        while now().boottime_ns - begun.boottime_ns < 5 * AGE_MS * 1_000_000:
            await asyncio.to_thread(agent.beat, 1.0)
            await until(lambda: agent.spool.waiting() == 0)
        assert agent.uplink._connects == 1
        await asyncio.to_thread(agent.close)


def failures(agent: Agent) -> float:
    (found,) = (s.value for s in agent.uplink.samples() if s.series.name == "sigap_agent_delivery_failures_total")
    return found


MOST = 2**32 - 1


@pytest.mark.parametrize(
    "limits",
    [
        pb.Limits(backfill_batches_per_second=math.nan),
        pb.Limits(backfill_batches_per_second=math.inf),
        pb.Limits(backfill_batches_per_second=1e-310),
        pb.Limits(backfill_batches_per_second=-1),
        pb.Limits(window_batches=MOST, window_bytes=MOST, backfill_window_batches=MOST),
    ],
    ids=lambda limits: str(limits).strip().replace("\n", " "),
)
async def test_limits_that_make_no_sense_do_not_hinder_delivery(
    stand: Receiver, tmp_path: Path, limits: pb.Limits
) -> None:
    async with impostor(stand.authority, lenient(pb.Welcome(session=1, limits=limits))) as address:
        agent = Agent(tmp_path, replace(stand.enrol(), address=address))
        for i in range(5):
            await asyncio.to_thread(agent.beat, float(i))
        agent.uplink.start()
        await until(lambda: agent.uplink.is_open)
        await asyncio.to_thread(agent.beat, 5.0)
        await until(lambda: agent.spool.waiting() == 0)
        assert failures(agent) == 0
        await asyncio.to_thread(agent.close)


def test_no_limit_of_a_collector_fills_our_memory() -> None:
    limits = wire.welcomed(pb.Welcome(limits=pb.Limits(window_batches=MOST, window_bytes=MOST))).limits
    assert limits.window_batches <= 256
    assert limits.window_bytes <= 8 * 1024 * 1024
    assert wire.pause_ms(MOST) == 3_600_000


async def test_a_refusal_for_ever_is_one_for_an_hour_and_fits_on_a_line(
    stand: Receiver, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    refused = pb.Refused(code="no\nway", message="\x1b[2J" + "x" * 5_000, retry_after_ms=MOST)
    script = lenient(pb.Welcome(session=1), pb.CollectorFrame(refused=refused))
    async with impostor(stand.authority, script) as address:
        agent = Agent(tmp_path, replace(stand.enrol(), address=address))
        agent.uplink.start()
        await until(lambda: "collector refuses code=noway" in caplog.text)
        await until(lambda: not agent.uplink.is_open)
        now_ms = now().boottime_ns // 1_000_000
        assert agent.uplink._core.wake_ms(now_ms) <= now_ms + 3_600_000
        await asyncio.to_thread(agent.beat, 1.0)
        await asyncio.to_thread(agent.close)
    assert failures(agent) == 0
    assert all(len(record.getMessage()) < 600 and record.getMessage().isprintable() for record in caplog.records)


async def test_delivery_that_fails_unforeseen_is_told_and_counted_and_begins_again(
    stand: Receiver, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    agent = Agent(tmp_path, stand.enrol())
    for i in range(2):
        await asyncio.to_thread(agent.beat, float(i))
    agent.spool._db.execute("ALTER TABLE batch RENAME TO elsewhere")
    agent.uplink.start()
    await until(lambda: failures(agent) >= 2)
    assert caplog.text.count("uplink failed reason='OperationalError: no such table: batch' in=") == 1
    assert "Traceback" not in caplog.text
    agent.spool._db.execute("ALTER TABLE elsewhere RENAME TO batch")
    await until(lambda: agent.spool.waiting() == 0)
    assert values(stand) == [0.0, 1.0]
    await asyncio.to_thread(agent.close)


async def test_whoever_takes_central_checks_may_fail_without_ending_delivery(stand: Receiver, tmp_path: Path) -> None:
    troubles = [OSError(errno.ENOSPC, "No space left on device")]

    def receive(_: object) -> None:
        if troubles:
            raise troubles.pop()

    checks = pb.CollectorFrame(checks=pb.CheckSet(checks=[pb.CheckDefinition(id="central:a")]))
    async with impostor(stand.authority, lenient(pb.Welcome(session=1), checks)) as address:
        agent = Agent(tmp_path, replace(stand.enrol(), address=address), accepts_checks=True, receive=receive)
        agent.uplink.start()
        await until(lambda: failures(agent) == 1)
        await asyncio.to_thread(agent.beat, 1.0)
        await until(lambda: agent.spool.waiting() == 0)
        await asyncio.to_thread(agent.close)


async def test_a_spool_that_is_broken_ends_the_agent_and_not_only_delivery(stand: Receiver, tmp_path: Path) -> None:
    ended: list[str] = []
    agent = Agent(tmp_path, stand.enrol(), on_broken=ended.append)
    for i in range(5):  # more than the live lane keeps: another one is to be opened
        await asyncio.to_thread(agent.beat, float(i))
    agent.spool._db.execute("ALTER TABLE lane RENAME TO elsewhere")
    agent.uplink.start()
    await until(lambda: bool(ended))
    assert "Check the disk" in ended[0]
    agent.spool._db.execute("ALTER TABLE elsewhere RENAME TO lane")
    await asyncio.to_thread(agent.close)
