"""A collector with a company in it, in a process of its own: `python -m tests.bench.instance FOLDER`.

Fills an empty data directory, starts the collector as `sigap serve` does, and lets every host deliver a row every ten
seconds. Says as one line of JSON where it is and how to come in; on the next line from outside it answers with what it
measured of itself: the server's time of every request in order, the waiting of the event loop, of commits, its memory.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self, TypedDict

from collector.app import Collector
from collector.chain import GENESIS, digest
from collector.config import load
from collector.domain.sample import Result, Row, State
from collector.flows.session import Content, Session
from collector.protocol import Batch, Reply
from collector.store.lanes import Greeting
from collector.up import settle
from tests.bench import company, hosts
from tests.bench.company import CLOSED, INTERVAL_MS, TIMEOUT_MS, Host
from tests.bench.figure import cpu_of, resident_mib

BEATS = 120
"""Rows made before the clock starts; played again and again."""
NAP_SECONDS = 0.01
BEATS_PER_CHECK = INTERVAL_MS // hosts.BEAT_MS


class Address(TypedDict):
    """What a client needs, and what the start took."""

    port: int
    cookie: str
    fill_seconds: float
    start_seconds: float


class Report(TypedDict):
    """What an instance measured of itself."""

    requests: list[tuple[str, str, float]]  # route, status, seconds around the handler, rendering included
    loop_lag_seconds: list[float]
    ack_seconds: list[float]
    rows: int
    rss_mib: float
    cpu_seconds: float
    wall_seconds: float


class Recorder:
    """Stands where the histogram of request times does, and keeps them one by one."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, float]] = []
        self._labels = ("", "")

    def labels(self, route: str, status: str) -> Self:
        """As the histogram has it."""
        self._labels = (route, status)
        return self

    def observe(self, seconds: float) -> None:
        """As the histogram has it."""
        self.requests.append((*self._labels, seconds))


class Speaker:
    """The agent of one host, on this side of the wire: its batches go through ingest like any other."""

    def __init__(self, host: Host, values: Sequence[bytes], waits: list[float]) -> None:
        self._host, self._values, self._waits = host, values, waits
        self._epoch, self._seq, self._digest = os.urandom(16), 0, GENESIS
        self._sent: dict[int, float] = {}
        self._session: Session | None = None

    async def connect(self, collector: Collector) -> None:
        """Open a session."""
        greeting = Greeting("1.0.0", secrets.token_hex(8), accepts_checks=True, spool_limit_bytes=2**28)
        self._session = await collector.ingest.open(
            self._host.agent_id, self._host.fingerprint, greeting, reply=self._heard
        )

    def _heard(self, replies: Sequence[Reply]) -> None:
        for reply in replies:
            acked = getattr(reply, "acked_seq", 0)
            for seq in [seq for seq in self._sent if seq <= acked]:
                self._waits.append(time.perf_counter() - self._sent.pop(seq))

    async def beat(self, collector: Collector) -> None:
        """Deliver a row, and once a minute what the checks found."""
        assert self._session is not None
        now_ms = collector.clock()
        row = Row(hosts.LAYOUT_ID, now_ms, self._values[self._seq % len(self._values)])
        results = [self._result(n, now_ms) for n in range(len(self._host.checks))] if self._is_checking else []
        self._seq += 1
        own = digest(self._epoch, self._seq, self._digest, times=(now_ms, self._seq), boot_id="", payload=row.values)
        batch = Batch(
            self._epoch, self._seq, now_ms, own, self._digest, backfill=False, samples=150,
            content=Content((row,), results),
        )  # fmt: skip
        self._digest = own
        self._sent[self._seq] = time.perf_counter()
        await collector.ingest.submit(self._session, batch)

    @property
    def _is_checking(self) -> bool:
        return (self._seq + self._host.id) % BEATS_PER_CHECK == 0 or self._seq == 0

    def _result(self, number: int, now_ms: int) -> Result:
        check = self._host.checks[number]
        state, reason = (State.DOWN, CLOSED) if check.is_down else (State.UP, "")
        return Result(f"central:{check.key}", now_ms, state, 0.02, reason, now_ms, 1, INTERVAL_MS, TIMEOUT_MS)


class Run(NamedTuple):
    """What is measured while the collector runs."""

    recorder: Recorder
    lags: list[float]
    waits: list[float]


async def _speak(collector: Collector, speakers: Sequence[Speaker]) -> None:
    """Every host in turn, all of them within one beat."""
    pause = hosts.BEAT_MS / 1000 / len(speakers)
    due = time.monotonic()
    while True:
        for speaker in speakers:
            await speaker.beat(collector)
            due += pause
            await asyncio.sleep(max(0.0, due - time.monotonic()))


async def _watch_loop(lags: list[float]) -> None:
    while True:
        before = time.perf_counter()
        await asyncio.sleep(NAP_SECONDS)
        lags.append(max(0.0, time.perf_counter() - before - NAP_SECONDS))


@contextlib.asynccontextmanager
async def _alive(collector: Collector, found: Sequence[Host], run: Run) -> AsyncIterator[None]:
    histories = [hosts.history(BEATS, seed=seed).astype("<f8") for seed in range(8)]
    values = [[row.tobytes() for row in table] for table in histories]
    speakers = [Speaker(host, values[host.id % len(values)], run.waits) for host in found]
    for speaker in speakers:
        await speaker.connect(collector)
    tasks = [asyncio.create_task(_speak(collector, speakers)), asyncio.create_task(_watch_loop(run.lags))]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _serve(folder: Path, found: Sequence[Host], fill_seconds: float) -> None:
    began = time.perf_counter()
    port = _free_port()
    flags: dict[str, Any] = {
        "store__data": str(folder),
        "web__address": f"127.0.0.1:{port}",
        "telemetry__address": f"127.0.0.1:{_free_port()}",
        "enrolment__address": f"127.0.0.1:{_free_port()}",
    }
    collector = Collector(load(environment={}, **flags))
    run = Run(Recorder(), [], [])
    collector.metrics.http_seconds = run.recorder  # type: ignore[assignment]
    await collector.start()
    try:
        link = await collector.access.setup_link()
        signed_in = await collector.access.set_up(link, name="bench", password=secrets.token_urlsafe(18), language="en")
        settle()  # as `sigap serve` does
        start_seconds = time.perf_counter() - began
        async with _alive(collector, found, run):
            _tell(Address(port=port, cookie=signed_in.token, fill_seconds=fill_seconds, start_seconds=start_seconds))
            await asyncio.to_thread(sys.stdin.readline)  # warm by now: measuring begins
            for kept in (run.recorder.requests, run.lags, run.waits):
                kept.clear()
            cpu, wall = cpu_of(os.getpid()), time.perf_counter()
            _tell({})
            await asyncio.to_thread(sys.stdin.readline)
            report = Report(
                requests=run.recorder.requests,
                loop_lag_seconds=run.lags,
                ack_seconds=run.waits,
                rows=len(run.waits),
                rss_mib=resident_mib(os.getpid()),
                cpu_seconds=cpu_of(os.getpid()) - cpu,
                wall_seconds=time.perf_counter() - wall,
            )
            _tell(report)
    finally:
        await collector.stop()


def _tell(what: Address | Report | dict[str, str]) -> None:
    print(json.dumps(what), flush=True)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def main(folder: Path) -> None:
    """Fill, serve, report."""
    began = time.perf_counter()
    # In a process of its own, whose memory is not counted as the collector's.
    subprocess.run([sys.executable, "-m", "tests.bench.company", str(folder)], check=True)
    asyncio.run(_serve(folder, company.read(folder), time.perf_counter() - began))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
