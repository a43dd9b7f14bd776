"""The whole way in: agents' streams over mutual TLS, protocol, journal with fsync, heads, acknowledgement."""

from __future__ import annotations

import asyncio
import json
import sys
import uuid
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes as digests
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from collector.edges.rpc import Telemetry, telemetry_server
from collector.flows.authority import Authority
from collector.flows.ingest import Ingest
from collector.store import agents, schema
from collector.store.database import Database
from collector.store.series import SeriesStore
from tests.bench import load
from tests.bench.figure import Spent, spending

PATIENCE_SECONDS = 120


async def deliver(folder: Path, *, streams: int, beats: int, start_ms: int, now_ms: int) -> tuple[Spent, int]:
    """CPU and wall time of this process while agents of another one deliver; and how many rows are stored then."""
    # Before gRPC has threads, as it complains about forks afterwards.
    pipe = asyncio.subprocess.PIPE
    agents_process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.bench.load", stdin=pipe, stdout=pipe
    )
    database = Database(f"sqlite:///{folder}/sigap.db")
    schema.METADATA.create_all(database.engine)
    store = SeriesStore(database, clock=lambda: now_ms)
    store.open()
    authority = Authority(folder / "trust", clock=lambda: now_ms)
    ingest = Ingest(database, layouts=store.layouts, journal=store, clock=lambda: now_ms)
    ingest.start()
    telemetry = Telemetry(ingest)
    server, port = await telemetry_server(telemetry, authority, "127.0.0.1:0")
    await server.start()
    identities = [_enrol(database, authority, host_id, now_ms) for host_id in range(streams)]
    play = load.Play(
        address=f"localhost:{port}",
        authority=authority.certificate_pem.decode(),
        agents=identities,
        beats=beats,
        start_ms=start_ms,
    )
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            spent = await _watch(agents_process, play)
        return spent, store.statistics().rows
    finally:
        if agents_process.returncode is None:
            agents_process.kill()
            await agents_process.wait()
        await server.stop(1)
        await ingest.stop()
        database.close()


async def _watch(process: asyncio.subprocess.Process, play: load.Play) -> Spent:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(play).encode() + b"\n")
    await _expect(process.stdout, b"ready\n")
    with spending() as spent:
        process.stdin.write(b"go\n")
        await _expect(process.stdout, b"done\n")
    await process.wait()
    return spent


async def _expect(lines: asyncio.StreamReader, expected: bytes) -> None:
    line = await lines.readline()
    if line != expected:
        raise RuntimeError(f"The load generator said {line!r} instead of {expected!r}.")


def _enrol(database: Database, authority: Authority, host_id: int, now_ms: int) -> load.Identity:
    agent_id, key = str(uuid.uuid4()), ec.generate_private_key(ec.SECP256R1())
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, digests.SHA256())
    issued = authority.issue_agent(request.public_bytes(serialization.Encoding.DER), agent_id)

    def admit(connection: agents.Connection) -> None:
        agents.create(
            connection, agent_id, host_id=host_id, host_name=f"h{host_id}", version="bench", enrolled_ms=now_ms
        )
        agents.add_certificate(
            connection,
            agent_id,
            fingerprint=issued.fingerprint,
            not_before_ms=issued.not_before_ms,
            not_after_ms=issued.not_after_ms,
        )

    database.write_now(admit)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return load.Identity(agent_id=agent_id, key=pem.decode(), certificate=issued.certificate_pem.decode())
