"""The agents' port over real gRPC with mutual TLS: what is taken, what is turned away, and with which words."""

from __future__ import annotations

import asyncio
import random
import struct
import time
import zlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from agent import wire as agent_wire
from agent.sample import Series
from collector.domain import trust
from collector.edges import rpc, wire
from collector.edges.wire import CentralCheck
from collector.store import agents, documents, schema
from collector.store.database import Database
from protos.telemetry.v1 import telemetry_pb2 as pb
from tests.collector.delivery import DECLARATION, DELIVER, LAYOUT_ID, Lane, Receiver, now_ms, receiver, rows


@pytest.fixture
async def stand(sqlite: Database, tmp_path: Path) -> AsyncIterator[Receiver]:
    async with receiver(sqlite, tmp_path / "trust") as running:
        yield running


@pytest.fixture
async def either(database: Database, tmp_path: Path) -> AsyncIterator[Receiver]:
    async with receiver(database, tmp_path / "trust") as running:
        yield running


async def test_rows_are_stored_and_acknowledged_after_the_commit(either: Receiver) -> None:
    stream = await either.open(either.enrol(7))
    welcome = await stream.hear("welcome")
    assert (welcome.session, welcome.limits.window_batches) == (1, 8)
    lane = Lane()
    await stream.send(layout=DECLARATION)
    await stream.send(batch=lane.batch(rows(1.5, 2.0)))
    assert (await stream.hear("ack")).acked_seq == 1
    stored = either.rows(schema.lane)
    assert [(row.acked_seq, bytes(row.digest)) for row in stored] == [(1, lane.last)]
    (accepted,) = either.collected.accepted
    assert (accepted.host_id, accepted.live) == (7, True)
    assert struct.unpack("<2d", accepted.rows[0].values) == (1.5, 2.0)
    assert accepted.rows[0].layout_id == wire.signed(LAYOUT_ID)
    await stream.close()


async def test_a_reconnecting_agent_is_told_how_far_it_is(either: Receiver) -> None:
    identity = either.enrol()
    lane = Lane()
    stream = await either.open(identity)
    await stream.hear("welcome")
    await stream.send(layout=DECLARATION)
    await stream.send(batch=lane.batch(rows(1, 2)))
    await stream.hear("ack")
    await stream.close()
    hello = pb.Hello(protocol_min=1, protocol_max=1, agent_id=identity.agent_id, lanes=[pb.Lane(epoch=lane.epoch)])
    again = await either.open(identity, hello=hello)
    welcome = await again.hear("welcome")
    assert [(c.epoch, c.acked_seq, c.digest) for c in welcome.cursors] == [(lane.epoch, 1, lane.last)]
    assert welcome.session == 2
    await again.close()


async def test_the_newest_stream_fences_the_older_one(stand: Receiver) -> None:
    identity = stand.enrol()
    first = await stand.open(identity)
    await first.hear("welcome")
    second = await stand.open(identity)
    await second.hear("welcome")
    await first.hear("fenced")
    code, words = await first.ended()
    assert code is grpc.StatusCode.ABORTED
    assert "enrol the copy" in words
    await first.close()
    await second.close()


async def test_a_certificate_that_is_not_on_the_list_is_told_so(stand: Receiver) -> None:
    identity = stand.enrol()
    stand.db.write_now(lambda c: c.execute(schema.agent_certificate.delete()))
    stream = await stand.open(identity)
    refused = await stream.hear("refused")
    assert refused.code == trust.Refusal.NOT_LISTED
    assert refused.retry_after_ms == rpc.RETRY_LONG_MS
    assert (await stream.ended())[0] is grpc.StatusCode.UNAUTHENTICATED
    await stream.close()


async def test_a_revoked_agent_is_cut_off_within_five_seconds_even_when_it_says_nothing(stand: Receiver) -> None:
    identity = stand.enrol()
    stream = await stand.open(identity)
    await stream.hear("welcome")
    stand.db.write_now(lambda c: agents.revoke(c, identity.agent_id, now_ms=now_ms(), who="admin", why="test"))
    started = time.monotonic()
    assert (await stream.hear("refused")).code == trust.Refusal.REVOKED
    assert (await stream.ended())[0] is grpc.StatusCode.UNAUTHENTICATED
    assert time.monotonic() - started < 5
    await stream.close()


async def test_nothing_of_a_revoked_agent_is_committed(stand: Receiver) -> None:
    identity = stand.enrol()
    stream = await stand.open(identity)
    await stream.hear("welcome")
    await stream.send(layout=DECLARATION)
    stand.db.write_now(lambda c: agents.revoke(c, identity.agent_id, now_ms=now_ms(), who="admin", why="test"))
    await stream.send(batch=Lane().batch(rows(1, 2)))
    assert (await stream.hear("refused")).code == trust.Refusal.REVOKED
    assert stand.rows(schema.lane) == []
    await stream.close()


async def test_a_hello_with_another_agents_id_is_refused(stand: Receiver) -> None:
    hello = pb.Hello(protocol_min=1, protocol_max=1, agent_id="somebody else")
    stream = await stand.open(stand.enrol(), hello=hello)
    assert (await stream.hear("refused")).code == "agent_mismatch"
    assert (await stream.ended())[0] is grpc.StatusCode.UNAUTHENTICATED
    await stream.close()


async def test_an_agent_of_another_protocol_is_told_which_one_we_speak(stand: Receiver) -> None:
    identity = stand.enrol()
    stream = await stand.open(identity, hello=pb.Hello(protocol_min=7, protocol_max=9, agent_id=identity.agent_id))
    refused = await stream.hear("refused")
    assert refused.code == "protocol_version"
    assert "protocol 1, the agent 7 to 9" in refused.message
    assert (await stream.ended())[0] is grpc.StatusCode.FAILED_PRECONDITION
    await stream.close()


async def test_an_oversized_batch_is_refused_in_words_and_a_huge_one_by_grpc(stand: Receiver) -> None:
    identity = stand.enrol()
    stream = await stand.open(identity)
    await stream.hear("welcome")
    await stream.send(batch=pb.Batch(payload=bytes(rpc.FRAME_BYTES_MAX)))
    assert (await stream.hear("refused")).code == "too_large"
    assert (await stream.ended())[0] is grpc.StatusCode.INVALID_ARGUMENT
    await stream.close()
    stream = await stand.open(identity)
    await stream.hear("welcome")
    await stream.send(batch=pb.Batch(payload=bytes(8 * rpc.FRAME_BYTES_MAX)))
    code, words = await stream.ended()
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "larger than max" in words
    await stream.close()


async def test_bytes_that_are_no_frame_end_the_stream_with_a_reason(stand: Receiver) -> None:
    stream = await stand.open(stand.enrol())
    await stream.hear("welcome")
    await stream.call.write(b"\xff\xff\xff")
    assert (await stream.hear("refused")).code == "malformed"
    assert (await stream.ended())[0] is grpc.StatusCode.INVALID_ARGUMENT
    await stream.close()


async def test_no_certificate_no_connection(stand: Receiver) -> None:
    credentials = grpc.ssl_channel_credentials(stand.authority.certificate_pem)
    async with grpc.aio.secure_channel(stand.address, credentials) as channel:
        call = channel.stream_stream(DELIVER)()
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await call.read()
    assert failed.value.code() is grpc.StatusCode.UNAVAILABLE


POISON: dict[str, tuple[dict[str, Any], pb.Payload, str]] = {
    "digest": ({"digest": b"x" * 32}, rows(1, 2), "digest is not that"),
    "row length": ({}, rows(1, 2, 3), "24 bytes where its layout has 16"),
    "future": ({}, rows(1, 2, wall_ms=now_ms() + 3_600_000), "future"),
    "codec": ({"codec": 9}, rows(1, 2), "codec 9"),
    "bomb": ({"codec": 1, "payload": zlib.compress(bytes(1 << 20)), "raw_length": 1 << 20}, rows(), "inflate"),
    "lie": ({"codec": 1, "payload": zlib.compress(bytes(9000)), "raw_length": 100}, rows(), "announced length"),
    "layout": ({}, pb.Payload(rows=[pb.Row(layout_id=3, wall_ms=1, values=b"")]), "not declared"),
    "json": ({}, pb.Payload(documents=[pb.Document(kind="host", wall_ms=1, body=b"{")]), "no JSON"),
    "long promise": (
        {},
        pb.Payload(results=[pb.CheckResult(check_id="local:x", wall_ms=1, interval_ms=86_400_001)]),
        "more than a day",
    ),
    "check id": ({}, pb.Payload(results=[pb.CheckResult(check_id="x" * 500, wall_ms=1)]), "500 characters"),
}


@pytest.mark.parametrize("case", POISON)
async def test_a_poison_batch_is_kept_aside_and_does_not_block_the_lane(stand: Receiver, case: str) -> None:
    changed, payload, reason = POISON[case]
    stream = await stand.open(stand.enrol())
    await stream.hear("welcome")
    await stream.send(layout=DECLARATION)
    lane = Lane()
    poison = lane.batch(payload, **changed)
    lane.last = poison.digest
    await stream.send(batch=poison)
    assert (await stream.hear("ack")).acked_seq == 1
    await stream.send(batch=lane.batch(rows(3, 4)))
    assert (await stream.hear("ack")).acked_seq == 2
    (kept,) = stand.rows(schema.quarantine)
    assert reason in kept.reason
    (gap,) = stand.rows(schema.gap)
    assert (gap.from_seq, gap.to_seq, gap.reason) == (1, 1, "refused")
    assert len(stand.collected.accepted) == 1
    await stream.close()


async def test_a_layout_with_a_bad_name_poisons_its_batches_only(stand: Receiver) -> None:
    stream = await stand.open(stand.enrol())
    await stream.hear("welcome")
    bad = agent_wire.layout([Series("no metric name!")], 10_000)
    bad_id = agent_wire.layout_digest(bad)
    await stream.send(layout=pb.LayoutDeclaration(id=bad_id, layout=bad))
    lane = Lane()
    payload = pb.Payload(rows=[pb.Row(layout_id=bad_id, wall_ms=now_ms(), values=bytes(8))])
    await stream.send(batch=lane.batch(payload))
    await stream.hear("ack")
    assert "no metric name" in stand.rows(schema.quarantine)[0].reason
    await stream.close()


async def test_documents_and_results_arrive(stand: Receiver) -> None:
    stream = await stand.open(stand.enrol(4))
    await stream.hear("welcome")
    at = now_ms()
    payload = pb.Payload(
        results=[pb.CheckResult(check_id="local:web", wall_ms=at, state=pb.STATE_DOWN, reason="no", attempts=2)],
        documents=[pb.Document(kind="host", wall_ms=at, body=b'{"a":1}')],
    )
    await stream.send(batch=Lane().batch(payload))
    await stream.hear("ack")
    result = stand.collected.accepted[0].results[0]
    assert (result.wire_id, result.state.word, result.since_ms, result.attempts) == ("local:web", "down", at, 2)
    found = stand.db.read_now(lambda c: documents.latest(c, 4, "host"))
    assert found is not None
    assert found.body == b'{"a":1}'
    await stream.close()


async def test_a_ping_is_answered_and_the_clock_offset_noted(stand: Receiver) -> None:
    identity = stand.enrol()
    stream = await stand.open(identity)
    await stream.hear("welcome")
    await stream.send(ping=pb.Ping(wall_ms=now_ms() + 60_000, boottime_ns=5))
    pong = await stream.hear("pong")
    assert pong.ping_boottime_ns == 5
    assert abs(pong.collector_wall_ms - now_ms()) < 5000
    (session,) = stand.ingest.sessions()
    assert 55_000 < session.clock_offset_ms < 61_000
    await stream.close()


async def test_a_goodbye_tells_a_stop_from_a_loss(stand: Receiver) -> None:
    stream = await stand.open(stand.enrol())
    await stream.hear("welcome")
    await stream.send(goodbye=pb.Goodbye(reason=pb.Goodbye.REBOOT))
    await stream.call.done_writing()
    await stream.ended()
    async with asyncio.timeout(5):
        while stand.rows(schema.agent)[0].goodbye != "reboot":
            await asyncio.sleep(0.01)
    await stream.close()


async def test_central_checks_go_to_agents_that_take_them(sqlite: Database, tmp_path: Path) -> None:
    wanted = [CentralCheck("central:web", "http", "Web", b"{}")]

    async def checks(host_id: int) -> list[CentralCheck]:
        return wanted if host_id == 3 else []

    async with receiver(sqlite, tmp_path / "trust", checks=checks) as stand:
        identity = stand.enrol(3)
        hello = pb.Hello(protocol_min=1, protocol_max=1, agent_id=identity.agent_id, accepts_checks=True)
        stream = await stand.open(identity, hello=hello)
        await stream.hear("welcome")
        assert [c.id for c in (await stream.hear("checks")).checks] == ["central:web"]
        wanted.clear()
        await stand.telemetry.refresh_checks(3)
        assert list((await stream.hear("checks")).checks) == []
        await stream.close()


async def test_grpc_health_says_serving(stand: Receiver) -> None:
    identity = stand.enrol()
    credentials = grpc.ssl_channel_credentials(
        stand.authority.certificate_pem, identity.key_pem, identity.certificate_pem
    )
    async with grpc.aio.secure_channel(stand.address, credentials) as channel:
        check = health_pb2_grpc.HealthStub(channel).Check
        for service in ("", rpc.SERVICE):
            answer = await check(health_pb2.HealthCheckRequest(service=service))
            assert answer.status == health_pb2.HealthCheckResponse.SERVING


async def test_a_busy_port_is_one_clear_error(stand: Receiver) -> None:
    with pytest.raises(OSError, match="is taken"):
        await rpc.telemetry_server(stand.telemetry, stand.authority, stand.address)


def test_every_refusal_of_trust_has_a_status() -> None:
    assert {refusal.value for refusal in trust.Refusal} <= rpc.STATUS.keys()


def test_damaged_batches_never_raise() -> None:
    rng = random.Random(7)
    sound = Lane().batch(rows(1, 2)).SerializeToString()
    for _ in range(3000):
        damaged = bytearray(sound)
        for _ in range(rng.randint(1, 4)):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        try:
            message = pb.Batch.FromString(bytes(damaged))
        except Exception:
            continue
        wire.batch(message, row_bytes=lambda _: 16, now_ms=now_ms())
