"""A company with 500 hosts in a database: registers, agents, a month of status with outages, rows, alerts, documents.

`python -m tests.bench.company FOLDER` fills an empty folder and writes who is in it to `hosts.json`. Written by the
flows and store functions of the product, with the clock set back where history asks for it. Measures nothing.
"""

from __future__ import annotations

import asyncio
import json
import sys
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from collector.app import seed, wall_ms
from collector.domain.alert import Alert, AlertState
from collector.domain.sample import Accepted, Document, Result, Row, State
from collector.flows.register import Registrar
from collector.store import agents, alerts, documents, registers, sla, status
from collector.store.alerts import Event, Kept
from collector.store.database import Connection, Database
from collector.store.migrations import migrate
from collector.store.series import SeriesStore
from collector.store.status import Transition
from tests.bench import hosts

HOSTS, CHECKS_PER_HOST, SERVICES, MEMBERS, OUTAGES = 500, 4, 60, 5, 6
DOWN_NOW = 30
RESOLVED = 200
CHARTED = 2
"""Hosts with a month of rows; the others have two hours."""
MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000
MONTH_MS, RECENT_MS = 30 * DAY_MS, 2 * HOUR_MS
INTERVAL_MS, TIMEOUT_MS = 60_000, 10_000
CERTIFICATE_MS = 90 * DAY_MS
WHO = "bench"
HOSTS_FILE = "hosts.json"
KINDS = (
    ("http", {"url": "https://www.example.org/health"}),
    ("tcp", {"address": "db.example.org:5432"}),
    ("dns", {"query": "www.example.org", "record": "A"}),
    ("tls", {"address": "www.example.org:443"}),
)
SITES = ("Jakarta", "Surabaya", "Makassar", "Medan", "Denpasar")
PROCESSES = 30
CLOSED = "HTTP 503 instead of 200"


class Check(NamedTuple):
    """A check of a host."""

    id: int
    key: str
    is_down: bool


class Host(NamedTuple):
    """A host with the agent that speaks for it."""

    id: int
    key: str
    agent_id: str
    fingerprint: str
    checks: tuple[Check, ...]


def main(folder: Path) -> None:
    """Fill a data directory."""
    database = Database(f"sqlite:///{folder}/sigap.db")
    migrate(database.engine)
    found = fill(database, now_ms=wall_ms())
    database.close()
    (folder / HOSTS_FILE).write_text(json.dumps(found), encoding="ascii")


def read(folder: Path) -> list[Host]:
    """The hosts of a filled data directory."""
    rows: list[list[Any]] = json.loads((folder / HOSTS_FILE).read_text(encoding="ascii"))
    return [
        Host(host_id, key, agent_id, fingerprint, tuple(Check(*check) for check in checks))
        for host_id, key, agent_id, fingerprint, checks in rows
    ]


def fill(db: Database, *, now_ms: int) -> list[Host]:
    """Fill an empty database that has its tables; `now_ms` is where history ends."""
    start_ms = now_ms - MONTH_MS
    asyncio.run(_register(db, start_ms))
    found = db.write_now(lambda connection: _enrol(connection, start_ms, now_ms))
    db.write_now(lambda connection: _live_through(connection, found, start_ms, now_ms))
    db.write_now(lambda connection: _alert(connection, found, now_ms))
    asyncio.run(_measure(db, found, now_ms))
    return found


# ── registers ───────────────────────────────────────────────────────────────────────────────────────────────────────


async def _register(db: Database, at_ms: int) -> None:
    registrar = Registrar(db, clock=lambda: at_ms)
    registrar.on_write(sla.record_composition)
    await seed(registrar)
    await registrar.apply(WHO, list(_records()), why="bench")


def _records() -> Iterator[dict[str, Any]]:
    for host in range(HOSTS):
        yield {
            "register": "host",
            "key": f"server-{host:03}",
            "name": f"Server {host}",
            "site": SITES[host % len(SITES)],
            "environment": "production" if host % 4 else "test",
            "owner": f"Team {host % 12}",
            "labels": {"tier": "web" if host % 2 else "data", "rack": f"r{host % 40}"},
            "description": "Serves customers of the example company.",
        }
        for check in range(CHECKS_PER_HOST):
            kind, options = KINDS[check]
            yield {
                "register": "check",
                "key": f"server-{host:03}.{kind}",
                "name": f"Server {host} {kind}",
                "host": f"server-{host:03}",
                "kind": kind,
                "options": options,
                "interval_seconds": INTERVAL_MS / 1000,
                "timeout_seconds": TIMEOUT_MS / 1000,
            }
    for service in range(SERVICES):
        members = [f"server-{(service * MEMBERS + n) % HOSTS:03}.{KINDS[n % len(KINDS)][0]}" for n in range(MEMBERS)]
        yield {
            "register": "service",
            "key": f"service-{service:02}",
            "name": f"Service {service}",
            "name_id": f"Layanan {service}",
            "description": "What customers of the example company use every day.",
            "description_id": "Yang dipakai pelanggan perusahaan contoh setiap hari.",
            "owner": f"Team {service % 12}",
            "criticality": ("critical", "high", "medium", "low")[service % 4],
            "members": members,
            "roll_up": "k_of_n" if service % 3 == 0 else "worst_of",
            "k": 3,
            "availability_objective": "99.9",
            "state": "live",
        }


def _enrol(connection: Connection, start_ms: int, now_ms: int) -> list[Host]:
    checks: dict[int, list[Check]] = {}
    every = registers.all_of(connection, "check")
    for number, one in enumerate(every):
        is_down = number % (len(every) // DOWN_NOW) == 0
        checks.setdefault(one.host, []).append(Check(one.id, one.key, is_down))
    found = []
    for host in registers.all_of(connection, "host"):
        agent_id, fingerprint = str(uuid.uuid4()), uuid.uuid4().hex * 2
        agents.create(connection, agent_id, host_id=host.id, host_name=host.key, version="1.0.0", enrolled_ms=start_ms)
        agents.add_certificate(
            connection,
            agent_id,
            fingerprint=fingerprint,
            not_before_ms=start_ms,
            not_after_ms=now_ms + CERTIFICATE_MS,
        )
        agents.touch(connection, agent_id, last_seen_ms=now_ms, last_row_ms=now_ms, spool_limit_bytes=2**28)
        found.append(Host(host.id, host.key, agent_id, fingerprint, tuple(checks[host.id])))
        for kind, body in (("processes", _processes()), ("host", _facts(host.key)), ("proposals", _proposals())):
            documents.put(connection, host.id, Document(kind, now_ms, json.dumps(body).encode()))
    return found


def _processes() -> dict[str, Any]:
    rows = [
        {
            "pid": 300 + 37 * n, "name": f"worker-{n}", "user": "app", "state": "S", "threads": 1 + n,
            "cpu_ratio": round(0.5 / (n + 1), 4), "resident_bytes": 2**26 * (n + 1), "started_ms": 1_760_000_000_000,
        }
        for n in range(PROCESSES)
    ]  # fmt: skip
    return {"count": 214, "threads": 902, "by_cpu": rows, "by_memory": rows[::-1]}


def _facts(name: str) -> dict[str, Any]:
    return {
        "name": name, "agent_version": "1.0.0", "labels": {}, "accepts_checks": True, "cpu_count": 8,
        "os": "Debian GNU/Linux 12 (bookworm)", "kernel": "6.1.0-18-amd64", "architecture": "x86_64",
        "memory_bytes": 2**33, "boot_time_ms": 1_760_000_000_000, "addresses": ["192.0.2.7"], "virtualization": "kvm",
    }  # fmt: skip


def _proposals() -> dict[str, Any]:
    return {"proposals": [], "failed_units": [], "units_visible": True}


# ── status ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _live_through(connection: Connection, found: Sequence[Host], start_ms: int, now_ms: int) -> None:
    """A month in which every check went down some times."""
    rng = np.random.default_rng(7)
    results: list[tuple[int, Result]] = []
    changes = [Transition("host", h.id, start_ms, start_ms, State.UNKNOWN, State.UP, "heard") for h in found]
    for host in found:
        for check in host.checks:
            pieces = list(_pieces(rng, check, start_ms, now_ms))
            results += [(check.id, _stretch(check, *piece)) for piece in pieces]
            before = State.UNKNOWN
            for since_ms, _, state, reason in pieces:
                changes.append(Transition("check", check.id, since_ms, since_ms, before, state, reason))
                before = state
    status.absorb(connection, results, known_ms=now_ms)
    status.record(connection, sorted(changes, key=lambda one: one.at_ms))


def _pieces(
    rng: np.random.Generator, check: Check, start_ms: int, now_ms: int
) -> Iterator[tuple[int, int, State, str]]:
    begins = np.sort(rng.integers(start_ms + DAY_MS, now_ms - DAY_MS, OUTAGES)).tolist()
    at_ms = start_ms
    for begin_ms in begins:
        begin_ms = max(begin_ms, at_ms + MINUTE_MS)
        end_ms = begin_ms + int(rng.integers(2, 25)) * MINUTE_MS
        yield at_ms, begin_ms, State.UP, ""
        yield begin_ms, end_ms, State.DOWN, CLOSED
        at_ms = end_ms
    end_ms = now_ms + 2 * INTERVAL_MS + TIMEOUT_MS
    if check.is_down:
        yield at_ms, now_ms - HOUR_MS, State.UP, ""
        yield now_ms - HOUR_MS, end_ms, State.DOWN, CLOSED
    else:
        yield at_ms, end_ms, State.UP, ""


def _stretch(check: Check, since_ms: int, until_ms: int, state: State, reason: str) -> Result:
    """One result that counts for the whole stretch, in place of one a minute that says the same."""
    length_ms = until_ms - since_ms
    half_ms = length_ms // 2
    return Result(f"central:{check.key}", since_ms, state, 0.02, reason, since_ms, 1, half_ms, length_ms - 2 * half_ms)


# ── alerts ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _alert(connection: Connection, found: Sequence[Host], now_ms: int) -> None:
    """Alerts that are over; those of checks that are down fire by themselves with the first results."""
    rules = registers.all_of(connection, "rule")
    kept = []
    for number in range(RESOLVED):
        host, rule = found[number % len(found)], rules[number % len(rules)]
        fired_ms = now_ms - (number + 1) * HOUR_MS
        alert = Alert(AlertState.RESOLVED, fired_ms - MINUTE_MS, fired_ms, 0.93, fired_ms, fired_ms + 20 * MINUTE_MS)
        labels = {"alertname": rule.key, "instance": host.key, "severity": rule.severity}
        words = {"summary": f"{rule.name} on {host.key}", "advice": "See the page of the host."}
        kept.append(Kept(rule.id, f"{number:032x}", "host", host.id, host.id, rule.severity, labels, alert, words))
    for alert_id, one in zip(alerts.begin(connection, kept), kept, strict=True):
        known = replace(one, id=alert_id)
        fired_ms, resolved_ms = known.alert.fired_ms or 0, known.alert.resolved_ms or 0
        alerts.note(connection, [Event(alert_id, "firing", fired_ms, fired_ms, "")])
        alerts.note(connection, [Event(alert_id, "resolved", resolved_ms, resolved_ms, "")])


# ── rows ────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def _measure(db: Database, found: Sequence[Host], now_ms: int) -> None:
    """Two hours of rows of every host, which stay in heads; a month of some, which goes into blocks and rollups."""
    store = SeriesStore(db, clock=lambda: now_ms)
    await asyncio.to_thread(store.open)
    await db.write(lambda connection: store.layouts.declare(connection, hosts.LAYOUT_ID, hosts.BODY, now_ms=now_ms))
    start_ms = now_ms - MONTH_MS
    beats = (MONTH_MS - RECENT_MS) // MINUTE_MS
    for host in found[:CHARTED]:
        table = hosts.history(beats, seed=host.id).astype("<f8")
        times = [start_ms + beat * MINUTE_MS for beat in range(beats)]
        rows = [Row(hosts.LAYOUT_ID, at, table[beat].tobytes()) for beat, at in enumerate(times)]
        for first in range(0, beats, 1000):
            await _absorb(db, store, [Accepted(host.agent_id, host.id, now_ms, False, rows[first : first + 1000])])
    await store.flush(everything=True)
    await store.retain()
    fleet = hosts.Fleet(len(found), RECENT_MS // hosts.BEAT_MS, now_ms - RECENT_MS)
    for beat in fleet.rows():
        batches = [
            Accepted(found[n].agent_id, found[n].id, now_ms, False, (Row(hosts.LAYOUT_ID, wall_ms, values),))
            for n, wall_ms, values in beat
        ]
        await _absorb(db, store, batches)


async def _absorb(db: Database, store: SeriesStore, batches: Sequence[Accepted]) -> None:
    (await db.write(lambda connection: store.absorb(connection, batches)))()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
