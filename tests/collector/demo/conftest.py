"""A collector that really listens, filled with a part of the simulated organisation, once for all tests here."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import pytest_asyncio

from collector import config
from collector.app import Collector
from collector.demo import SETTINGS, Summary, fill
from collector.demo.story import DAY_MS
from collector.domain.interval import Span

DAYS = 22
HOSTS = ("lb-1", "app-1", "mks-wms-1")


class Filled(NamedTuple):
    collector: Collector
    summary: Summary
    span: Span  # the history
    told: list[tuple[int, int]]  # the progress


def free_addresses(count: int) -> list[str]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    addresses = [f"127.0.0.1:{one.getsockname()[1]}" for one in sockets]
    for one in sockets:
        one.close()
    return addresses


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def filled(tmp_path_factory) -> AsyncIterator[Filled]:
    web, telemetry, enrolment = free_addresses(3)
    folder: Path = tmp_path_factory.mktemp("demo")
    settings = config.load(
        environment={},
        store__data=str(folder / "data"),
        web__address=web,
        telemetry__address=telemetry,
        enrolment__address=enrolment,
        **SETTINGS,
    )
    collector = Collector(settings, simulated=True)
    await collector.start()
    try:
        now_ms, told = collector.clock(), []
        summary = await fill(
            collector, now_ms=now_ms, progress=lambda *counts: told.append(counts), days=DAYS, only=HOSTS
        )
        yield Filled(collector, summary, Span(now_ms - DAYS * DAY_MS, now_ms), told)
        await asyncio.gather(*(host.stream.close() for host in summary.fleet))
    finally:
        await collector.stop()
