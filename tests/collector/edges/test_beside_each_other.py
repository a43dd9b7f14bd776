"""An agent with a valid certificate that misbehaves: it is turned away or kept aside, and nobody else notices."""

from __future__ import annotations

import os
import random
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from agent import wire as agent_wire
from agent.sample import Series
from collector.edges import rpc
from collector.store import schema
from collector.store.database import Database
from protos.telemetry.v1 import telemetry_pb2 as pb
from tests.collector.delivery import Lane, Receiver, Stream, now_ms, receiver

LAYOUT = agent_wire.layout([Series("node_load1"), Series("node_load5")], 10_000)
LAYOUT_ID = agent_wire.layout_digest(LAYOUT)
DECLARATION = pb.LayoutDeclaration(id=LAYOUT_ID, layout=LAYOUT)
ROUNDS = 3
SEED = 11


def row(*values: float) -> pb.Payload:
    packed = struct.pack(f"<{len(values)}d", *values)
    return pb.Payload(rows=[pb.Row(layout_id=LAYOUT_ID, wall_ms=now_ms(), values=packed)])


@pytest.fixture
async def stand(sqlite: Database, tmp_path: Path) -> AsyncIterator[Receiver]:
    async with receiver(sqlite, tmp_path / "trust") as running:
        yield running


Deed = Callable[[Stream], Awaitable[None]]


def sends(**frame: Any) -> Deed:
    async def deed(stream: Stream) -> None:
        await stream.send(**frame)

    return deed


def raw(content: bytes) -> Deed:
    async def deed(stream: Stream) -> None:
        await stream.call.write(content)

    return deed


def noise() -> bytes:
    return random.Random(SEED).randbytes(4096)


def gap(first: int, last: int) -> pb.Gap:
    return pb.Gap(epoch=b"g" * 16, from_seq=first, to_seq=last, last_digest=bytes(32))


async def too_many_lanes(stream: Stream) -> None:
    for _ in range(70):
        await stream.send(batch=Lane(os.urandom(16)).batch(row(1, 2)))


REFUSED: dict[str, tuple[Deed, str]] = {
    "an oversized batch": (sends(batch=pb.Batch(payload=bytes(rpc.FRAME_BYTES_MAX))), "too_large"),
    "an oversized layout": (
        sends(layout=pb.LayoutDeclaration(id=1, layout=bytes(rpc.FRAME_BYTES_MAX))),
        "too_large",
    ),
    "noise": (raw(noise()), "malformed"),
    "an empty frame": (raw(b""), "malformed"),
    "a second hello": (sends(hello=pb.Hello(protocol_min=1, protocol_max=1)), "malformed"),
    "an epoch of one byte": (sends(batch=Lane(b"e").batch(row(1, 2))), "malformed"),
    "a gap that runs backwards": (sends(gap=gap(9, 3)), "malformed"),
    "a gap without end": (sends(gap=gap(1, 1 << 60)), "malformed"),
    "a new lane every time": (too_many_lanes, "too_many_lanes"),
}

KEPT_ASIDE: dict[str, pb.Payload] = {
    "a row that is too long": row(1, 2, 3),
    "a row that is too short": row(1),
    "a row that is cut": pb.Payload(rows=[pb.Row(layout_id=LAYOUT_ID, wall_ms=now_ms(), values=b"1234567")]),
    "a layout that nobody declared": pb.Payload(rows=[pb.Row(layout_id=7, wall_ms=now_ms(), values=bytes(16))]),
}


class Neighbour:
    """A well-behaved agent, which must not notice anything."""

    def __init__(self, stream: Stream) -> None:
        self.stream, self.lane = stream, Lane(b"n" * 16)

    @classmethod
    async def moves_in(cls, stand: Receiver) -> Neighbour:
        stream = await stand.open(stand.enrol(1))
        await stream.hear("welcome")
        await stream.send(layout=DECLARATION)
        return cls(stream)

    async def delivers(self) -> None:
        await self.stream.send(batch=self.lane.batch(row(self.lane.seq, 0.5)))
        assert (await self.stream.hear("ack")).acked_seq == self.lane.seq


async def turned_away(stream: Stream) -> str:
    """The code of the refusal; acknowledgements of what was all right before are passed over."""
    for _ in range(100):
        frame = pb.CollectorFrame.FromString(await stream.call.read())
        if frame.WhichOneof("frame") == "refused":
            return str(frame.refused.code)
        assert frame.WhichOneof("frame") == "ack", frame
    raise AssertionError("not turned away")


@pytest.mark.parametrize("case", REFUSED)
async def test_what_cannot_be_is_refused_in_one_word_and_nobody_else_notices(stand: Receiver, case: str) -> None:
    deed, code = REFUSED[case]
    neighbour, bad = await Neighbour.moves_in(stand), stand.enrol(2)
    for _ in range(ROUNDS):
        stream = await stand.open(bad)
        await stream.hear("welcome")
        await stream.send(layout=DECLARATION)
        await deed(stream)
        await neighbour.delivers()
        assert await turned_away(stream) == code
        await neighbour.delivers()
        await stream.close()
    assert [one.rows[0].values for one in stand.collected.accepted if one.host_id == 1] == [
        struct.pack("<2d", float(seq), 0.5) for seq in range(2 * ROUNDS)
    ]
    assert stand.ingest.metrics.agent_refused.labels(code)._value.get() == ROUNDS
    await neighbour.stream.close()


@pytest.mark.parametrize("case", KEPT_ASIDE)
async def test_what_cannot_be_stored_is_kept_aside_and_nobody_else_notices(stand: Receiver, case: str) -> None:
    neighbour, bad = await Neighbour.moves_in(stand), await stand.open(stand.enrol(2))
    await bad.hear("welcome")
    await bad.send(layout=DECLARATION)
    lane = Lane()
    for _ in range(ROUNDS):
        await bad.send(batch=lane.batch(KEPT_ASIDE[case]))
        await neighbour.delivers()
        assert (await bad.hear("ack")).acked_seq == lane.seq
        await bad.send(batch=lane.batch(row(1, 2)))
        assert (await bad.hear("ack")).acked_seq == lane.seq
    assert len(stand.rows(schema.quarantine)) == ROUNDS
    gaps = stand.db.read_now(lambda c: list(c.execute(select(schema.gap.c.from_seq, schema.gap.c.reason))))
    assert [tuple(one) for one in gaps] == [(2 * i + 1, "refused") for i in range(ROUNDS)]
    assert len([one for one in stand.collected.accepted if one.host_id == 2]) == ROUNDS
    assert len([one for one in stand.collected.accepted if one.host_id == 1]) == ROUNDS
    await bad.close()
    await neighbour.stream.close()
