"""What tests about delivery share: a collector's receiving half on a real port, agents with real certificates."""

from __future__ import annotations

import asyncio
import struct
import time
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy import Connection, select

from agent import wire as agent_wire
from agent.identity import Identity
from agent.sample import Kind, Series
from collector.chain import GENESIS, digest
from collector.domain.errors import StoreBroken
from collector.domain.sample import Accepted
from collector.edges.rpc import Checks, Telemetry, telemetry_server
from collector.flows.authority import Authority
from collector.flows.ingest import Ingest
from collector.flows.quota import Limits, Quota
from collector.store import agents
from collector.store.database import Database
from collector.store.documents import Documents
from collector.store.series import SeriesStore
from protos.telemetry.v1 import telemetry_pb2 as pb

DELIVER = "/sigap.telemetry.v1.Telemetry/Deliver"


def now_ms() -> int:
    return time.time_ns() // 1_000_000


LAYOUT = agent_wire.layout(
    [Series("node_load1", (), Kind.GAUGE), Series("node_boots_total", (("a", "b"),), Kind.COUNTER)], 10_000
)
LAYOUT_ID = agent_wire.layout_digest(LAYOUT)
DECLARATION = pb.LayoutDeclaration(id=LAYOUT_ID, layout=LAYOUT)


def rows(*values: float, wall_ms: int = 0) -> pb.Payload:
    packed = struct.pack(f"<{len(values)}d", *values)
    return pb.Payload(rows=[pb.Row(layout_id=LAYOUT_ID, wall_ms=wall_ms or now_ms(), values=packed)])


class Collected:
    """A sink that remembers what was committed, in order."""

    name = "collected"

    def __init__(self) -> None:
        self.accepted: list[Accepted] = []

    def absorb(self, connection: Connection, accepted: Sequence[Accepted]) -> Callable[[], None]:
        taken = list(accepted)
        return lambda: self.accepted.extend(taken)


@dataclass
class Receiver:
    """The receiving half of a collector."""

    db: Database
    authority: Authority
    series: SeriesStore
    ingest: Ingest
    telemetry: Telemetry
    collected: Collected
    address: str
    broken: list[StoreBroken] = field(default_factory=list)

    def enrol(self, host_id: int = 1, *, agent_id: str = "") -> Identity:
        """An agent with a certificate that is on the list."""
        agent_id = agent_id or str(uuid.uuid4())
        key = ec.generate_private_key(ec.SECP256R1())
        request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
        issued = self.authority.issue_agent(request.public_bytes(serialization.Encoding.DER), agent_id)
        times = {"not_before_ms": issued.not_before_ms, "not_after_ms": issued.not_after_ms}

        def work(connection: Connection) -> None:
            if agents.find(connection, agent_id) is None:
                agents.create(
                    connection,
                    agent_id,
                    host_id=host_id,
                    host_name=f"host-{host_id}",
                    version="0",
                    enrolled_ms=now_ms(),
                )
            agents.add_certificate(connection, agent_id, fingerprint=issued.fingerprint, **times)

        self.db.write_now(work)
        key_pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        roots = self.authority.certificate_pem
        return Identity(agent_id, issued.certificate_pem, key_pem, roots, self.address, **times)

    def rows(self, table: Any) -> list[Any]:
        """Everything in a table."""
        return self.db.read_now(lambda connection: list(connection.execute(select(table))))

    async def open(self, identity: Identity, *, hello: pb.Hello | None = None) -> Stream:
        """A stream that has said hello, and what it was answered."""
        credentials = grpc.ssl_channel_credentials(
            self.authority.certificate_pem, identity.key_pem, identity.certificate_pem
        )
        channel = grpc.aio.secure_channel(self.address, credentials, options=(("grpc.enable_http_proxy", 0),))
        stream = Stream(channel, channel.stream_stream(DELIVER)())
        await stream.send(hello=hello or pb.Hello(protocol_min=1, protocol_max=1, agent_id=identity.agent_id))
        return stream


class Stream:
    """An agent written by hand: it says what the test wants."""

    def __init__(self, channel: Any, call: Any) -> None:
        self.channel, self.call = channel, call

    async def send(self, **frame: Any) -> None:
        await self.call.write(pb.AgentFrame(**frame).SerializeToString())

    async def hear(self, kind: str) -> Any:
        """The next frame, which must be of this kind."""
        async with asyncio.timeout(10):
            raw = await self.call.read()
        assert raw is not grpc.aio.EOF, (await self.call.code(), await self.call.details())
        frame = pb.CollectorFrame.FromString(raw)
        assert frame.WhichOneof("frame") == kind, frame
        return getattr(frame, kind)

    async def ended(self) -> tuple[grpc.StatusCode, str]:
        """How the call ended."""
        async with asyncio.timeout(10):
            with suppress(grpc.aio.AioRpcError):
                while await self.call.read() is not grpc.aio.EOF:
                    pass
            return await self.call.code(), await self.call.details()

    async def close(self) -> None:
        self.call.cancel()
        await self.channel.close()


class Lane:
    """Makes the batches of one epoch."""

    def __init__(self, epoch: bytes = b"e" * 16) -> None:
        self.epoch, self.seq, self.last = epoch, 0, GENESIS

    def batch(self, payload: pb.Payload, /, *, wall_ms: int = 0, **changed: Any) -> pb.Batch:
        """The next batch; `changed` fields are put in after the digest was made."""
        self.seq += 1
        wall_ms = wall_ms or now_ms()
        body = payload.SerializeToString()
        seal = digest(self.epoch, self.seq, self.last, times=(wall_ms, 5), boot_id="boot", payload=body)
        made = pb.Batch(
            epoch=self.epoch,
            seq=self.seq,
            wall_ms=wall_ms,
            boottime_ns=5,
            boot_id="boot",
            raw_length=len(body),
            payload=body,
            digest=seal,
            previous_digest=self.last,
        )
        self.last = seal
        for name, value in changed.items():
            setattr(made, name, value)
        return made


@asynccontextmanager
async def receiver(
    database: Database,
    folder: Path,
    *,
    checks: Checks | None = None,
    sinks: Sequence[Any] = (),
    port: int = 0,
    limits: Limits = Limits(),
) -> AsyncIterator[Receiver]:
    """A running receiving half."""
    authority = Authority(folder, clock=now_ms)
    series = SeriesStore(database, clock=now_ms)
    series.open()
    collected, broken = Collected(), []
    ingest = Ingest(
        database,
        layouts=series.layouts,
        journal=series,
        sinks=(collected, Documents(), *sinks),
        clock=now_ms,
        quota=Quota(series, series.layouts, limits=limits),
        linger_seconds=0.005,
        on_broken=broken.append,
    )
    ingest.start()
    telemetry = Telemetry(ingest, checks=checks)
    telemetry.start()
    server, bound = await telemetry_server(telemetry, authority, f"127.0.0.1:{port}")
    await server.start()
    try:
        yield Receiver(database, authority, series, ingest, telemetry, collected, f"127.0.0.1:{bound}", broken)
    finally:
        await server.stop(0)
        await telemetry.stop()
        await ingest.stop()
