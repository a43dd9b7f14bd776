"""Strangers who only connect: counted, disconnected when they do nothing, and in nobody's way."""

from __future__ import annotations

import asyncio
import contextlib
import resource
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import NamedTuple

import grpc.aio
import pytest

from collector.edges import connections, rpc
from collector.edges.connections import Limits
from collector.store.database import Database
from tests.collector.delivery import Receiver, receiver

SECONDS = 20.0
MOST = 4


class Port(NamedTuple):
    stand: Receiver
    host: str
    number: int


@contextlib.asynccontextmanager
async def port(sqlite: Database, folder: Path, limits: Limits) -> AsyncIterator[Port]:
    """A second port of a receiver, with limits of its own."""
    async with receiver(sqlite, folder) as stand:
        server, number = await rpc.telemetry_server(stand.telemetry, stand.authority, "127.0.0.1:0", limits=limits)
        await server.start()
        stand.address = f"127.0.0.1:{number}"
        yield Port(stand, "127.0.0.1", number)
        await server.stop(0)


async def ended(reader: asyncio.StreamReader) -> bool:
    with contextlib.suppress(ConnectionError):
        while await reader.read(1024):
            pass
    return True


async def test_too_many_connections_are_ended_and_an_agent_gets_in_when_they_are_gone(
    sqlite: Database, tmp_path: Path
) -> None:
    async with port(sqlite, tmp_path, Limits(MOST, 60)) as there:
        opened = [await asyncio.open_connection(there.host, there.number) for _ in range(3 * MOST)]
        reading = [asyncio.create_task(ended(reader)) for reader, _ in opened]
        async with asyncio.timeout(SECONDS):
            while sum(task.done() for task in reading) < 2 * MOST:
                await asyncio.sleep(0.01)
        assert sum(task.done() for task in reading) == 2 * MOST
        for _, writer in opened:
            writer.close()
        async with asyncio.timeout(SECONDS):
            await asyncio.gather(*reading)
            stream = await there.stand.open(there.stand.enrol())
            assert (await stream.hear("welcome")).session == 1
        await stream.close()


async def test_a_connection_that_says_nothing_is_ended(sqlite: Database, tmp_path: Path) -> None:
    async with port(sqlite, tmp_path, Limits(MOST, 60, handshake_seconds=0.2)) as there:
        reader, writer = await asyncio.open_connection(there.host, there.number)
        async with asyncio.timeout(SECONDS):
            assert await ended(reader)
        writer.close()


async def test_an_agent_without_a_call_is_disconnected(sqlite: Database, tmp_path: Path) -> None:
    async with port(sqlite, tmp_path, Limits(MOST, idle_seconds=0.2)) as there:
        identity = there.stand.enrol()
        credentials = grpc.ssl_channel_credentials(identity.authority_pem, identity.key_pem, identity.certificate_pem)
        async with grpc.aio.secure_channel(there.stand.address, credentials) as channel:
            async with asyncio.timeout(SECONDS):
                await channel.channel_ready()
                await channel.wait_for_state_change(grpc.ChannelConnectivity.READY)
            assert channel.get_state() is not grpc.ChannelConnectivity.READY


@pytest.fixture
def few_files() -> Iterator[int]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1_000, before[1]))
    yield 1_000
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_agents_have_half_of_the_files_which_are_as_many_as_may_be(few_files: int) -> None:
    assert connections.for_agents().connections == few_files // 2
    connections.allow_open_files()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert soft == (connections.OPEN_FILES_WANTED if hard == resource.RLIM_INFINITY else min(hard, 65_536))
    assert connections.for_agents().connections == min(connections.AGENTS_MOST, soft // 2)
