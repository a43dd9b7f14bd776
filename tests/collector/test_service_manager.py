"""What systemd is told: nothing elsewhere, and that the collector lives only while it does."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from collector import config
from collector.app import Collector
from collector.service_manager import ServiceManager
from collector.up import serve

SECONDS = 20.0
WATCHED_SECONDS = 0.3
ANY_PORT = "127.0.0.1:0"


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """The other end of $NOTIFY_SOCKET."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", str(round(WATCHED_SECONDS * 1_000_000)))
        yield listening


@pytest.fixture
async def collector(tmp_path: Path) -> AsyncIterator[Collector]:
    made = Collector(
        config.load(
            environment={},
            store__data=str(tmp_path / "data"),
            web__address=ANY_PORT,
            telemetry__address=ANY_PORT,
            enrolment__address=ANY_PORT,
        )
    )
    stopping = asyncio.Event()
    running = asyncio.create_task(serve(made, stopping=stopping))
    yield made
    stopping.set()
    await running


async def heard(systemd: socket.socket, wanted: bytes, *, seconds: float = SECONDS) -> None:
    async with asyncio.timeout(seconds):
        while await asyncio.get_running_loop().sock_recv(systemd, 1024) != wanted:
            pass


async def test_the_watchdog_is_fed_while_the_writer_answers_and_not_while_it_does_not(
    systemd: socket.socket, collector: Collector
) -> None:
    await heard(systemd, b"READY=1")
    await heard(systemd, b"WATCHDOG=1")
    begun, go_on = threading.Event(), threading.Event()

    def hang(_: object) -> None:
        begun.set()
        go_on.wait(SECONDS)

    hanging = collector.db.submit(hang)
    await asyncio.to_thread(begun.wait, SECONDS)
    with contextlib.suppress(TimeoutError):
        await heard(systemd, b"WATCHDOG=1", seconds=WATCHED_SECONDS)  # the one that was on its way
    with pytest.raises(TimeoutError):
        await heard(systemd, b"WATCHDOG=1", seconds=3 * WATCHED_SECONDS)
    go_on.set()
    await asyncio.wrap_future(hanging)
    await heard(systemd, b"WATCHDOG=1")


async def test_the_watchdog_is_not_fed_when_judging_has_ended(systemd: socket.socket, collector: Collector) -> None:
    await heard(systemd, b"WATCHDOG=1")
    assert await collector.is_alive()
    next(task for task in asyncio.all_tasks() if task.get_name() == "evaluate").cancel()
    async with asyncio.timeout(SECONDS):
        while await collector.is_alive():
            await asyncio.sleep(0.01)


def test_without_a_manager_nothing_is_said_and_nobody_waits() -> None:
    for environment in ({}, {"NOTIFY_SOCKET": "/nowhere", "WATCHDOG_USEC": "1", "WATCHDOG_PID": str(os.getpid() + 1)}):
        manager = ServiceManager(environment)
        manager.tell("READY=1")
        assert manager.watchdog_seconds == 0
