"""The store by itself: bytes a sample, speed of journal, flush, start and reading, memory of heads."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from collector.domain.sample import Accepted, Row
from collector.domain.series import Matcher
from collector.store import schema
from collector.store.database import Database
from collector.store.series import SeriesStore, block
from tests.bench import hosts
from tests.bench.figure import Figure, resident_mib, spending

START_MS = 1_767_225_600_000
HOSTS = 100
WINDOW_BEATS = 720
SERIES = len(hosts.LAYOUT.columns)
SAMPLES = HOSTS * WINDOW_BEATS * SERIES


def run() -> Iterator[Figure]:
    """Every figure of the store."""
    yield from codec()
    with tempfile.TemporaryDirectory(prefix="sigap-bench-") as folder:
        yield from life(Path(folder) / "sigap.db")


def codec() -> Iterator[Figure]:
    """pcodec on host-like columns."""
    table = hosts.history(WINDOW_BEATS, seed=5)
    columns = [np.ascontiguousarray(table[:, n]) for n in range(SERIES)]
    with spending() as spent:
        packed = [block.compress(column) for column in columns for _ in range(10)]
    yield Figure("compress a 720-sample column", spent.cpu_seconds / len(packed) * 1e6, "µs")
    place = np.empty(WINDOW_BEATS)
    with spending() as spent:
        for body in packed:
            block.expand_into(body, place)
    yield Figure("expand a 720-sample column", spent.cpu_seconds / len(packed) * 1e6, "µs")
    size = sum(map(len, packed)) / len(packed) / WINDOW_BEATS
    yield Figure("column", size, "bytes/sample", f"8.00 raw, {8 / size:.1f} times as much")


def life(path: Path) -> Iterator[Figure]:
    """A window of 100 hosts from arrival to rollup, on SQLite with an fsync per commit."""
    now = START_MS
    database = Database(f"sqlite:///{path}")
    schema.METADATA.create_all(database.engine)
    store = SeriesStore(database, clock=lambda: now)
    store.open()
    database.write_now(lambda c: store.layouts.declare(c, hosts.LAYOUT_ID, hosts.BODY))
    before = resident_mib(os.getpid())
    yield absorb(database, store)
    statistics = store.statistics()
    yield Figure("heads of a full window", statistics.head_bytes / HOSTS / 2**20 * 500, "MiB/500 hosts", "rows only")
    yield Figure(
        "heads of a full window, resident", (resident_mib(os.getpid()) - before) * 500 / HOSTS, "MiB/500 hosts"
    )
    size = "SELECT sum(length(body)) FROM journal"
    yield Figure("journal", _number(path, size) / SAMPLES, "bytes/sample", "kept for 2 h")
    with spending() as spent:
        again = SeriesStore(database, clock=lambda: now)
        again.open()
    yield Figure(
        "replay the journal", SAMPLES / spent.cpu_seconds / 1e6, "M samples/CPU-s", f"{spent.wall_seconds:.1f} s"
    )
    now = START_MS + WINDOW_BEATS * hosts.BEAT_MS
    yield timed("newest of one family, every host", lambda: store.latest([Matcher("__name__", "=", "node_load1")]))
    yield timed("newest of everything, every host", lambda: store.latest([]))
    now += 86_400_000
    with spending() as spent:
        asyncio.run(store.flush())
    yield Figure("flush to blocks", SAMPLES / spent.cpu_seconds / 1e6, "M samples/CPU-s", f"{spent.wall_seconds:.1f} s")
    yield Figure("blocks", _block_bytes(path) / SAMPLES, "bytes/sample", "pages of the database, times included")
    yield from reading(store)
    with spending() as spent:
        asyncio.run(store.retain())
    yield Figure(
        "roll up to 5 min", SAMPLES / spent.cpu_seconds / 1e6, "M samples/CPU-s", f"{spent.wall_seconds:.1f} s"
    )
    database.close()


def absorb(database: Database, store: SeriesStore) -> Figure:
    """Rows of every host, a commit per beat."""
    with spending() as spent:
        for rows in hosts.Fleet(HOSTS, WINDOW_BEATS, START_MS).rows():
            accepted = [
                Accepted("", host, wall_ms, True, (Row(hosts.LAYOUT_ID, wall_ms, values),))
                for host, wall_ms, values in rows
            ]
            database.write_now(lambda c, accepted=accepted: store.absorb(c, accepted))()
    rate = SAMPLES / spent.cpu_seconds
    each = spent.cpu_seconds / (HOSTS * WINDOW_BEATS) * 1e6
    return Figure("absorb, commit with fsync, append", rate / 1e6, "M samples/CPU-s", f"{each:.1f} µs a row")


def reading(store: SeriesStore) -> Iterator[Figure]:
    """What pages ask for."""
    until = START_MS + WINDOW_BEATS * hosts.BEAT_MS
    cpu = [Matcher("__name__", "=", "node_cpu_seconds_total")]
    load = [Matcher("__name__", "=", "node_load1")]
    yield timed("2 h of 64 CPU series of one host", lambda: store.select(cpu, START_MS, until, host_ids=[1]))
    yield timed("2 h of every series of one host", lambda: store.select([], START_MS, until, host_ids=[1]))
    yield timed("2 h of the load of 100 hosts", lambda: store.select(load, START_MS, until))


def timed(what: str, ask: Callable[[], list[object]]) -> Figure:
    """The best of five."""
    best = float("inf")
    for _ in range(5):
        started = time.perf_counter()
        found = ask()
        best = min(best, time.perf_counter() - started)
    return Figure(what, best * 1000, "ms", f"{len(found)} series")


def _block_bytes(path: Path) -> int:
    try:
        return _number(path, "SELECT sum(pgsize) FROM dbstat WHERE name LIKE '%block%'")
    except sqlite3.OperationalError:  # this SQLite was built without dbstat
        return _number(path, "SELECT sum(length(body)) + (SELECT sum(length(body)) FROM block_family) FROM block")


def _number(path: Path, statement: str) -> int:
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as connection:
        return int(connection.execute(statement).fetchone()[0])
