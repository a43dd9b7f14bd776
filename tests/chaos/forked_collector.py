"""The receiving half of a collector as a process on a Unix socket: real ledger, ingest and store, no gRPC and no web.

What gRPC would have verified, the certificate, is the first thing a connection sends. Starts in some hundredths of a
second, so that it can be killed a thousand times.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import struct
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import BigInteger, Column, Connection, Integer, MetaData, Table, event, insert

from collector.domain.sample import Accepted
from collector.edges.identity import CERTIFICATE
from collector.edges.rpc import Telemetry
from collector.flows.ingest import Ingest
from collector.store.database import Database
from collector.store.series import SeriesStore

LENGTH = struct.Struct("<I")
LINGER_SECONDS = 0.002
SLOWEST_COMMIT_SECONDS = 0.006
"""A disk needs time for a sync, so that a kill in the middle of a commit is no rare event."""


RECEIPT = Table(
    "receipt",
    MetaData(),
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("host_id", Integer, nullable=False),
    Column("wall_ms", BigInteger, nullable=False),
)


@dataclass(frozen=True, slots=True)
class Plan:
    """One collector; the same for each of its lives."""

    database: str
    socket: Path
    log: Path
    flush_seconds: float


class Receipts:
    """A sink that writes down every row that was committed, as often as it was: the store would show it once."""

    name = "receipts"

    def absorb(self, connection: Connection, accepted: Sequence[Accepted]) -> Callable[[], None]:
        """One receipt for each row, in the transaction that stores it."""
        rows = [{"host_id": one.host_id, "wall_ms": row.wall_ms} for one in accepted for row in one.rows]
        if rows:
            connection.execute(insert(RECEIPT), rows)
        return lambda: None


class Hung(Exception):
    """The call is over."""


class Context:
    """What `Telemetry` wants of gRPC."""

    def __init__(self, certificate_pem: bytes, writer: asyncio.StreamWriter) -> None:
        self._certificate_pem, self._writer = certificate_pem, writer

    def auth_context(self) -> dict[str, list[bytes]]:
        """The certificate that was shown."""
        return {CERTIFICATE: [self._certificate_pem]}

    async def write(self, frame: bytes) -> None:
        """Send one frame."""
        self._writer.write(LENGTH.pack(len(frame)) + frame)
        await self._writer.drain()

    async def abort(self, code: Any, words: str) -> None:
        """End the call."""
        raise Hung(f"{code} {words}")


def main(plan: Plan) -> None:
    """One life."""
    handle = os.open(plan.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    logging.basicConfig(level="WARNING", format="%(asctime)s %(process)d %(levelname)s %(message)s", force=True)
    asyncio.run(_serve(plan))


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


async def _serve(plan: Plan) -> None:
    database, rng = Database(plan.database), random.Random(os.getpid())
    event.listen(database.engine, "commit", lambda _: time.sleep(rng.uniform(0, SLOWEST_COMMIT_SECONDS)))
    series = SeriesStore(database, clock=_now_ms)
    series.open()
    ingest = Ingest(
        database,
        layouts=series.layouts,
        journal=series,
        sinks=(Receipts(),),
        clock=_now_ms,
        linger_seconds=LINGER_SECONDS,
    )
    ingest.start()
    telemetry = Telemetry(ingest)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            certificate = await _frame(reader)
            await telemetry.deliver(_frames(reader), Context(certificate, writer))
        except (Hung, OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    plan.socket.unlink(missing_ok=True)
    await asyncio.start_unix_server(serve, plan.socket)
    while True:
        await asyncio.sleep(plan.flush_seconds)
        await series.flush(everything=True)


async def _frame(reader: asyncio.StreamReader) -> bytes:
    return await reader.readexactly(LENGTH.unpack(await reader.readexactly(LENGTH.size))[0])


async def _frames(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    try:
        while True:
            yield await _frame(reader)
    except (OSError, asyncio.IncompleteReadError):
        return
