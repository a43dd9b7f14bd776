"""Many agents in one process of its own: `python -m tests.bench.load` plays ready-made batches to a collector.

Reads what to play as one line of JSON, says `ready` once every stream is welcomed, waits for another line, plays, and
says `done` once everything is acknowledged.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any, TypedDict

import grpc
import grpc.aio

from collector.chain import GENESIS, digest
from protos.telemetry.v1 import telemetry_pb2 as pb
from protos.telemetry.v1 import telemetry_pb2_grpc as services
from tests.bench import hosts

WINDOW = 8
"""Batches without an acknowledgement, as the collector's limits say."""
BOOT_ID = "6f1c2f3e-0000-4000-8000-000000000000"


class Identity(TypedDict):
    """One agent."""

    agent_id: str
    key: str
    certificate: str


class Play(TypedDict):
    """What to play."""

    address: str
    authority: str
    agents: list[Identity]
    beats: int
    start_ms: int


class Stream:
    """One agent's stream with batches made before the clock starts."""

    def __init__(self, identity: Identity, play: Play, rows: list[tuple[int, bytes]]) -> None:
        credentials = grpc.ssl_channel_credentials(
            play["authority"].encode(), identity["key"].encode(), identity["certificate"].encode()
        )
        self.channel = grpc.aio.secure_channel(
            play["address"], credentials, options=[("grpc.use_local_subchannel_pool", 1)]
        )
        self._call: Any = services.TelemetryStub(self.channel).Deliver()
        self._agent_id = identity["agent_id"]
        self._epoch = os.urandom(16)
        self._frames = [pb.AgentFrame(batch=batch) for batch in self._batches(rows)]

    async def greet(self) -> None:
        """Open the stream and declare the layout."""
        hello = pb.Hello(
            protocol_min=1, protocol_max=1, agent_id=self._agent_id, agent_version="bench", boot_id=BOOT_ID
        )
        await self._call.write(pb.AgentFrame(hello=hello))
        welcome = await self._call.read()
        assert welcome.WhichOneof("frame") == "welcome", welcome
        unsigned = hosts.LAYOUT_ID % (1 << 64)
        await self._call.write(pb.AgentFrame(layout=pb.LayoutDeclaration(id=unsigned, layout=hosts.BODY)))

    async def play(self) -> None:
        """Send everything, never more than the window ahead of the acknowledgements."""
        acked, sent = 0, 0
        while acked < len(self._frames):
            while sent < len(self._frames) and sent - acked < WINDOW:
                await self._call.write(self._frames[sent])
                sent += 1
            answer = await self._call.read()
            assert answer.WhichOneof("frame") == "ack", answer
            acked = answer.ack.acked_seq

    def _batches(self, rows: list[tuple[int, bytes]]) -> list[pb.Batch]:
        found, previous = [], GENESIS
        unsigned = hosts.LAYOUT_ID % (1 << 64)
        for seq, (wall_ms, values) in enumerate(rows, start=1):
            row = pb.Row(layout_id=unsigned, wall_ms=wall_ms, values=values)
            payload = pb.Payload(rows=[row]).SerializeToString()
            own = digest(self._epoch, seq, previous, times=(wall_ms, seq), boot_id=BOOT_ID, payload=payload)
            batch = pb.Batch(epoch=self._epoch, seq=seq, wall_ms=wall_ms, boottime_ns=seq, boot_id=BOOT_ID)
            batch.payload, batch.digest, batch.previous_digest = payload, own, previous
            found.append(batch)
            previous = own
        return found


async def main(play: Play) -> None:
    """Play to the collector."""
    rows: list[list[tuple[int, bytes]]] = [[] for _ in play["agents"]]
    for beat in hosts.Fleet(len(rows), play["beats"], play["start_ms"]).rows():
        for host, wall_ms, values in beat:
            rows[host].append((wall_ms, values))
    streams = [Stream(identity, play, rows[host]) for host, identity in enumerate(play["agents"])]
    for stream in streams:
        await stream.greet()
    print("ready", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    await asyncio.gather(*(stream.play() for stream in streams))
    print("done", flush=True)
    await asyncio.gather(*(stream.channel.close() for stream in streams))


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.stdin.readline())))
