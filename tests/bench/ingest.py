"""Samples per CPU-second of taking measurements in: ours over the whole way, and the peers on the same samples.

Every figure counts the server's CPU only, kernel time included. Ours acknowledges after the fsync and over mutual TLS;
the peers answer before theirs, over plain HTTP.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from collector.__main__ import fast_loop
from collector.domain.sample import Accepted, Row
from collector.store import schema
from collector.store.database import Database
from collector.store.series import SeriesStore
from tests.bench import hosts, remote_write, streams
from tests.bench.figure import Figure, Spent, cpu_of, resident_mib, spending

HOSTS = 200
BEATS = 100
"""As many as an agent may deliver at once, see `edges.rpc.PACES`: more would measure the waiting."""
WARM_BEATS = 2
PEER_SECONDS = 15
PEER_HOSTS = 66
"""Hosts in one request: 9,900 samples, as many as the peers' own senders put into one."""
SERIES = len(hosts.LAYOUT.columns)


def run() -> Iterator[Figure]:
    """Ours first; the peers' lines say how many times as much that is."""
    # The whole way before the store alone, whose rows made beforehand would burden the collector's garbage collection.
    ours, spent = whole_way()
    load = f"Sigap, {HOSTS} streams, {spent.cpu_seconds / spent.wall_seconds:.2f} of a core busy"
    yield Figure("mutual TLS, protocol, journal with fsync, ack", ours / 1e6, "M samples/CPU-s", load)
    store = store_only()
    yield Figure("journal with fsync and heads, without network", store / 1e6, "M samples/CPU-s", "Sigap's store")
    for peer in remote_write.PEERS:
        if not peer.is_installed:
            yield Figure(f"{peer.name} is not installed: left out", 0, "")
            continue
        rate, resident = peer_rate(peer)
        yield Figure("remote write", rate / 1e6, "M samples/CPU-s", f"{peer.name}, {resident:.0f} MiB")
        yield Figure(f"Sigap against {peer.name}", ours / rate, "times", f"the store alone {store / rate:.1f} times")


def store_only() -> float:
    """Samples per CPU-second of absorb, commit with fsync and append; 200 rows share a commit."""
    with tempfile.TemporaryDirectory(prefix="sigap-bench-") as folder:
        database = Database(f"sqlite:///{folder}/sigap.db")
        schema.METADATA.create_all(database.engine)
        store = SeriesStore(database, clock=_now_ms)
        store.open()
        database.write_now(lambda c: store.layouts.declare(c, hosts.LAYOUT_ID, hosts.BODY))
        groups = [
            [Accepted("", h, wall_ms, True, (Row(hosts.LAYOUT_ID, wall_ms, values),)) for h, wall_ms, values in rows]
            for rows in _fleet().rows()
        ]
        with spending() as spent:
            for accepted in groups:
                database.write_now(lambda c, accepted=accepted: store.absorb(c, accepted))()
        database.close()
    return HOSTS * BEATS * SERIES / spent.cpu_seconds


def whole_way() -> tuple[float, Spent]:
    """Samples per CPU-second from the agents' streams to the acknowledgement; the agents run in another process."""
    now_ms = _now_ms()
    with tempfile.TemporaryDirectory(prefix="sigap-bench-") as folder:
        delivering = streams.deliver(
            Path(folder), streams=HOSTS, beats=BEATS, start_ms=now_ms - BEATS * hosts.BEAT_MS, now_ms=now_ms
        )
        with asyncio.Runner(loop_factory=fast_loop()) as runner:
            spent, rows = runner.run(delivering)
    if rows != HOSTS * BEATS:
        raise RuntimeError(f"{rows} of {HOSTS * BEATS} acknowledged rows are stored.")
    return rows * SERIES / spent.cpu_seconds, spent


def peer_rate(peer: remote_write.Peer) -> tuple[float, float]:
    """Samples per CPU-second and resident MiB of a peer, once it knows the series."""
    writer = remote_write.Writer(hosts.LAYOUT, HOSTS)
    with remote_write.running(peer) as (pid, address):
        sent, cpu, deadline = 0, 0.0, 0.0
        for beat, rows in enumerate(_fleet().rows()):
            if beat == WARM_BEATS:
                cpu, deadline = cpu_of(pid), time.monotonic() + PEER_SECONDS
            for start in range(0, HOSTS, PEER_HOSTS):
                part = rows[start : start + PEER_HOSTS]
                remote_write.send(address, writer.request(part))
                sent += len(part) * SERIES if beat >= WARM_BEATS else 0
            if beat > WARM_BEATS and time.monotonic() > deadline:
                break
        return sent / (cpu_of(pid) - cpu), resident_mib(pid)


def _fleet() -> hosts.Fleet:
    return hosts.Fleet(HOSTS, BEATS, _now_ms() - BEATS * hosts.BEAT_MS)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
