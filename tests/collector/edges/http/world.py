"""A small organisation in a database, for pages to show: hosts, checks, services, a month of status, rows, alerts.

Written by the same flows and store functions as in production; only the clock is ours.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from collector.domain.alert import Alert, AlertState
from collector.domain.notification import Notification
from collector.domain.sample import Accepted, Document, Result, Row, State
from collector.domain.series import Column, Kind, Layout
from collector.edges.http.context import Context
from collector.flows.deliver import Deliverer
from collector.flows.live import Live
from collector.flows.register import Registrar
from collector.notify.egress import Egress
from collector.protocol import Gap, GapReason
from collector.store import agents, alerts, documents, lanes, outbox, sla, status
from collector.store.alerts import Event, Kept
from collector.store.database import Connection, Database
from collector.store.outbox import Attempt
from collector.store.series import SeriesStore
from collector.store.series.layouts import encode, identify
from collector.store.status import Transition

NOW_MS = 1_795_564_800_000  # 2026-11-25 00:00 UTC
EPOCH_MS = 1_790_000_000_000
MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000
BEAT_MS = 10_000
WHO = "siti"
GIB = 1024**3


def columns(cores: int = 2) -> tuple[Column, ...]:
    """What an agent of these tests measures."""
    counter, gauge = Kind.COUNTER, Kind.GAUGE
    modes = ("idle", "iowait", "irq", "nice", "softirq", "steal", "system", "user")
    cpu = [
        Column("node_cpu_seconds_total", (("cpu", str(core)), ("mode", mode)), counter)
        for core in range(cores)
        for mode in modes
    ]
    memory = ("Buffers", "Cached", "MemAvailable", "MemFree", "MemTotal", "SReclaimable", "SwapFree", "SwapTotal")
    disks = [
        Column(name, (("device", "sda"),), counter)
        for name in ("node_disk_io_time_seconds_total", "node_disk_read_bytes_total", "node_disk_written_bytes_total")
    ]
    files = [
        Column(name, (("device", device), ("fstype", "ext4"), ("mountpoint", mount)), gauge)
        for device, mount in (("/dev/sda1", "/"), ("/dev/sdb1", "/srv/data"))
        for name in ("node_filesystem_avail_bytes", "node_filesystem_size_bytes")
    ]
    network = [
        Column(name, (("device", device),), counter)
        for device in ("eth0", "lo")
        for name in ("node_network_receive_bytes_total", "node_network_transmit_bytes_total")
    ]
    pressure = [Column(f"node_pressure_{what}_waiting_seconds_total", (), counter) for what in ("cpu", "io", "memory")]
    return (
        *cpu,
        *disks,
        *files,
        *[Column(f"node_load{minutes}", (), gauge) for minutes in (1, 5, 15)],
        *[Column(f"node_memory_{name}_bytes", (), gauge) for name in memory],
        *network,
        *pressure,
        Column("sigap_agent_spool_batches", (), gauge),
    )


COLUMNS = columns()
LAYOUT = Layout(COLUMNS, BEAT_MS)
LAYOUT_ID = identify(encode(LAYOUT))


def busy(at_ms: int, seed: int) -> float:
    """How much of its processors a host uses at a time, 0..1."""
    day = math.sin(2 * math.pi * at_ms / DAY_MS - 1.2 + seed)
    return 0.30 + 0.16 * day + 0.10 * math.sin(at_ms / 240_000 + seed * 3) + 0.05 * (seed % 4)


def busy_seconds(at_ms: int, seed: int) -> float:
    """The integral of `busy` since `EPOCH_MS`, in seconds."""

    def until(ms: float) -> float:
        day = -DAY_MS / (2 * math.pi) * math.cos(2 * math.pi * ms / DAY_MS - 1.2 + seed)
        short = -240_000 * math.cos(ms / 240_000 + seed * 3)
        return ((0.30 + 0.05 * (seed % 4)) * ms + 0.16 * day + 0.10 * short) / 1000

    return until(at_ms) - until(EPOCH_MS)


def row(at_ms: int, seed: int) -> Row:
    """One beat of a host."""
    seconds, load, used_seconds = (at_ms - EPOCH_MS) / 1000, busy(at_ms, seed), busy_seconds(at_ms, seed)
    shares = {"iowait": 0.04, "system": 0.22, "user": 0.7, "steal": 0.04}
    values = []
    for column in COLUMNS:
        labels, name = dict(column.labels), column.name
        if name == "node_cpu_seconds_total":
            mode = labels["mode"]
            value = seconds - used_seconds if mode == "idle" else used_seconds * shares.get(mode, 0.0)
        elif name.startswith("node_memory_"):
            used = 0.35 + 0.3 * load + 0.02 * (seed % 9)
            value = {
                "MemTotal": 8 * GIB, "MemFree": 8 * GIB * (1 - used) * 0.3, "MemAvailable": 8 * GIB * (1 - used),
                "Buffers": 0.2 * GIB, "Cached": 8 * GIB * (1 - used) * 0.6, "SReclaimable": 0.1 * GIB,
                "SwapTotal": 2 * GIB, "SwapFree": 1.6 * GIB,
            }[name.removeprefix("node_memory_").removesuffix("_bytes")]  # fmt: skip
        elif name == "node_filesystem_size_bytes":
            value = 100 * GIB
        elif name == "node_filesystem_avail_bytes":
            value = 100 * GIB * (0.7 - 0.05 * (seed % 13) if labels["mountpoint"] == "/" else 0.45)
        elif name.startswith("node_load"):
            value = 2 * load
        elif "pressure" in name or "io_time" in name:
            value = 0.05 * used_seconds
        elif name == "sigap_agent_spool_batches":
            value = float(40 * (seed % 2))
        else:
            value = used_seconds * 9e5 * (1 + seed % 5) * (2 if "transmit" in name or "written" in name else 1)
        values.append(value)
    return Row(LAYOUT_ID, at_ms, np.array(values, "<f8").tobytes())


@dataclass
class World:
    """What was made, and the context that pages run on."""

    context: Context
    db: Database
    registrar: Registrar
    series: SeriesStore
    live: Live
    now_ms: int


async def make(db: Database, *, hosts: int = 12, history_ms: int = HOUR_MS) -> World:
    """Fill a database with all tables."""
    now_ms = NOW_MS
    registrar = Registrar(db, clock=lambda: now_ms)
    registrar.on_write(sla.record_composition)
    names: dict[int, str] = {}
    series = SeriesStore(db, clock=lambda: now_ms, host_key=lambda host_id: names.get(host_id, str(host_id)))
    live = Live(series.layouts.get)
    context = Context(db, clock=lambda: now_ms, registrar=registrar, series=series, live=live)
    world = World(context, db, registrar, series, live, now_ms)
    await db.write(lambda c: series.layouts.declare(c, LAYOUT_ID, encode(LAYOUT), now_ms=now_ms))
    for number in range(hosts):
        key = f"{('web', 'db', 'app', 'cache')[number % 4]}-{number // 4 + 1}"
        data = {
            "key": key, "name": key, "site": ("Jakarta", "Surabaya", "Bandung")[number % 3],
            "environment": "production" if number % 5 else "test", "owner": ("Sari", "Budi")[number % 2],
            "description": "Made up for a test",
        }  # fmt: skip
        host = await registrar.create(WHO, "host", data)
        names[host.id] = key
        await _host(world, host, number, silent=number == 6, history_ms=history_ms)
    await _services(world, list(names.values()))
    await _alerts(world, names)
    return world


def delivering(world: World) -> World:
    """The same, with messages that can be sent again; none leaves this machine."""
    unseal = world.registrar.unseal
    world.context.deliverer = Deliverer(world.db, clock=lambda: world.now_ms, egress=Egress(()), unseal=unseal)
    return world


async def give_up(world: World) -> int:
    """One message of the first alert that could not be delivered: its id."""

    def work(connection: Connection) -> int:
        message = outbox.messages(connection, alert_id=1)[0]
        failed = Attempt(world.now_ms, 5, ok=False, status=500, detail="answered 500")
        outbox.settle(connection, message, failed, retry_at_ms=None)
        return message.id

    return await world.db.write(work)


async def _host(world: World, host: Any, number: int, *, silent: bool, history_ms: int) -> None:
    now_ms, agent_id = world.now_ms, f"00000000-0000-4000-8000-{number:012d}"
    seen_ms = now_ms - (17 * MINUTE_MS if silent else 3000)
    start = seen_ms - history_ms
    rows = [row(at, number) for at in range(start - start % BEAT_MS, seen_ms, BEAT_MS)]
    accepted = [Accepted(agent_id, host.id, now_ms, live=True, rows=rows)]

    def work(connection: Any) -> Any:
        agents.create(
            connection, agent_id, host_id=host.id, host_name=host.key, version="0.1.0", enrolled_ms=now_ms - 30 * DAY_MS
        )
        agents.touch(
            connection, agent_id, last_seen_ms=seen_ms, last_row_ms=seen_ms, spool_bytes=40_960 * (number + 1),
            spool_limit_bytes=64 * 1024**2, clock_offset_ms=3.5 * number, accepts_checks=True, ntp_state="synchronised",
        )  # fmt: skip
        agents.add_certificate(
            connection,
            agent_id,
            fingerprint=f"{number:064x}",
            not_before_ms=now_ms - DAY_MS,
            not_after_ms=now_ms + (5 if number == 3 else 28) * DAY_MS,
        )
        if number == 1:
            gap = Gap(bytes(16), 7, 9, GapReason.LEFT_OUT, 30, now_ms - DAY_MS, now_ms, b"", "2,400 series of one host")
            lanes.record_gaps(connection, [(agent_id, gap)], now_ms)
        state = State.UNKNOWN if silent else State.UP
        reason = "agent silent since 17 min" if silent else ""
        status.record(connection, [Transition("host", host.id, seen_ms, now_ms, State.UNKNOWN, state, reason)])
        for kind, body in _documents(host.key, now_ms).items():
            documents.put(connection, host.id, Document(kind, now_ms - 5000, json.dumps(body).encode()))
        return world.series.absorb(connection, accepted)

    (await world.db.write(work))()
    world.live.absorb(None, accepted)()  # type: ignore[arg-type]


def _documents(key: str, now_ms: int) -> dict[str, Any]:
    process = {
        "pid": 812, "name": "postgres", "user": "postgres", "state": "S", "threads": 1, "cpu_ratio": 0.271,
        "resident_bytes": 412_000_000, "started_ms": now_ms - 9 * DAY_MS,
    }  # fmt: skip
    other = {**process, "pid": 977, "name": "nginx", "user": "www-data", "cpu_ratio": 0.083, "resident_bytes": 9e7}
    return {
        "processes": {"count": 214, "threads": 801, "by_cpu": [process, other], "by_memory": [process]},
        "host": {
            "name": key, "os": "Debian GNU/Linux 12 (bookworm)", "kernel": "6.1.0-28-amd64", "architecture": "x86_64",
            "cpu_count": 2, "memory_bytes": 8 * GIB, "boot_time_ms": now_ms - 9 * DAY_MS, "virtualization": "kvm",
            "addresses": ["192.0.2.17"], "accepts_checks": True,
        },
        "proposals": {
            "proposals": [
                {"name": "postgresql-5432", "kind": "tcp", "options": {"address": "127.0.0.1:5432"},
                 "why": "postgres listens on port 5432", "process": "postgres", "central": True},
                {"name": "cron", "kind": "systemd", "options": {"unit": "cron.service"},
                 "why": "cron.service is enabled: Regular background program", "process": "", "central": False},
            ],
            "failed_units": [], "units_visible": True,
        },
    }  # fmt: skip


async def _services(world: World, hosts: list[str]) -> None:
    catalogue = (
        ("shop", "Web shop", "Toko web", State.DOWN, "99.9"),
        ("payment", "Payment", "Pembayaran", State.DEGRADED, "99.95"),
        ("mail", "Mail", "Surel", State.UP, "99.5"),
        ("intranet", "Intranet", "Intranet", State.UP, None),
    )
    for number, (key, name, name_id, state, objective) in enumerate(catalogue):
        check = await world.registrar.create(
            WHO,
            "check",
            {
                "key": f"{key}.http", "name": f"{name} answers", "host": hosts[number % len(hosts)], "kind": "http",
                "options": {"url": f"https://{key}.example/"}, "interval_seconds": 30, "timeout_seconds": 5,
            },
        )  # fmt: skip
        data = {"key": key, "name": name, "name_id": name_id, "owner": "Sari", "members": [check.key],
                "description": f"{name} for customers", "description_id": f"{name_id} untuk pelanggan"}  # fmt: skip
        if objective:
            data["availability_objective"] = objective
        service = await world.registrar.create(WHO, "service", data)
        past = partial(_past, check_id=check.id, service_id=service.id, state=state, number=number)
        await world.db.write(past)


def _past(connection: Any, check_id: int, service_id: int, state: State, number: int) -> None:
    """Thirty days: an outage a week, and the present state since a quarter of an hour."""
    runs: list[tuple[int, int, State, str]] = []
    at = NOW_MS - 30 * DAY_MS
    for week in range(4):
        down = at + (week * 7 + 2 + number) * DAY_MS + 9 * HOUR_MS
        runs.append((down, down + (4 + week) * MINUTE_MS, State.DOWN, "connect: connection refused"))
    change = NOW_MS - 14 * MINUTE_MS
    reason = {State.DOWN: "connect: connection refused", State.DEGRADED: "answered in 1.84 s, above 1 s"}.get(state, "")
    runs.append((change, NOW_MS + MINUTE_MS, state, reason))
    cursor = at
    for since, until, what, why in sorted(runs):
        run(connection, check_id, cursor, since, State.UP, "")
        run(connection, check_id, since, until, what, why)
        cursor = until
    # An edit today never changes last month: for a past there must have been a version then.
    from sqlalchemy import update

    from collector.store.schema import service_composition

    connection.execute(
        update(service_composition).where(service_composition.c.service_id == service_id).values(since_ms=at)
    )
    changes = [
        Transition(subject, which, change, change + 200, State.UP, state, reason)
        for subject, which in (("check", check_id), ("service", service_id))
    ]
    status.record(connection, changes)


def run(connection: Any, check_id: int, since: int, until: int, state: State, reason: str) -> None:
    """Write that a check was in a state for a while."""
    if until <= since:
        return
    step = until - since
    result = Result("w", since, state, 0.1, reason, since, 1, max(step // 2, 1), 0)
    status.absorb(connection, [(check_id, result)], known_ms=since)


async def _alerts(world: World, names: dict[int, str]) -> None:
    now_ms, host_id = world.now_ms, next(iter(names))
    channel = await world.registrar.create(
        WHO, "channel", {"key": "oncall", "name": "On call", "url": "https://hooks.example/sigap"}
    )
    rule = await world.registrar.create(
        WHO,
        "rule",
        {"key": "filesystem-filling", "name": "Filesystem filling", "measure": "filesystem_used_ratio", "level": 0.9},
    )

    def work(connection: Any) -> None:
        for severity, state, fired, over in (
            ("critical", AlertState.FIRING, 14 * MINUTE_MS, None),
            ("warning", AlertState.FIRING, 3 * HOUR_MS, None),
            ("warning", AlertState.RESOLVED, 2 * DAY_MS, 2 * DAY_MS - 40 * MINUTE_MS),
        ):
            fired_ms, resolved_ms = now_ms - fired, now_ms - over if over else None
            labels = {"alertname": rule.key, "instance": names[host_id], "severity": severity, "mountpoint": "/srv"}
            kept = Kept(
                rule.id, f"{severity}{fired}", "host", host_id, host_id, severity, labels,
                Alert(state, fired_ms - 60_000, now_ms, 0.934, fired_ms, resolved_ms),
                {
                    "summary": f"/srv on {names[host_id]} is 93.4 % full",
                    "summary_id": f"/srv di {names[host_id]} terisi 93,4 %",
                    "advice": "Delete old files or extend it.",
                    "advice_id": "Hapus berkas lama atau perbesar.",
                    "value": "93.4 %",
                    "value_id": "93,4 %",
                },
            )  # fmt: skip
            (alert_id,) = alerts.begin(connection, [kept])
            alerts.note(connection, [Event(alert_id, "firing", fired_ms, fired_ms + 90, "0.934 > 0.9")])
            told = Notification("firing", alert_id, kept.fingerprint, labels, kept.annotations, fired_ms)
            outbox.post(connection, [(channel.id, told)], now_ms=fired_ms)
        for message in outbox.lease(connection, now_ms=now_ms, lease_ms=1000, limit=2):
            outbox.settle(connection, message, Attempt(now_ms, 84, ok=True, status=204, detail="204"), retry_at_ms=None)

    await world.db.write(work)
