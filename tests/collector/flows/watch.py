"""A small world to judge: a host with two checks, a service, rules, a channel, and a clock that can be turned."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

from sqlalchemy import insert

from collector.domain.sample import Accepted, Result, Row, State
from collector.domain.series import Column, Kind, Layout
from collector.flows.evaluate import Evaluator
from collector.flows.register import Registrar
from collector.store import alerts, outbox, sla, status
from collector.store.alerts import Kept
from collector.store.database import Database
from collector.store.outbox import Message
from collector.store.schema import agent
from collector.store.status import Transition

SECOND = 1000
START = 1_780_000_000_000
STEP, TIMEOUT = 10 * SECOND, 2 * SECOND
HOUR = 3600 * SECOND
A_CHECK_IS_DOWN = ("down", "check_state", 2)
"""Key, measure and level of a rule."""
FILESYSTEM = (("device", "/dev/vda1"), ("fstype", "ext4"), ("mountpoint", "/"))
DISK = Layout(
    (
        Column("node_filesystem_size_bytes", FILESYSTEM, Kind.GAUGE),
        Column("node_filesystem_avail_bytes", FILESYSTEM, Kind.GAUGE),
    ),
    STEP,
)
DISK_ID = 5
BARE = Layout((Column("node_load5", (), Kind.GAUGE),), STEP)
BARE_ID = 6


class Watch:
    """The world; `seen`, `row` and `later` make things happen in it."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.now_ms = START
        self.registrar = Registrar(database, clock=self.clock)
        self.registrar.on_write(sla.record_composition)
        self.evaluator = self.another()

    def clock(self) -> int:
        return self.now_ms

    def another(self, **options: int) -> Evaluator:
        """A collector that starts on the same record."""
        found = Evaluator(self.database, clock=self.clock, layouts={DISK_ID: DISK, BARE_ID: BARE}.get, **options)
        self.registrar._listeners[:] = [found.on_change]
        return found

    async def build(self) -> None:
        create = self.registrar.create
        await create("test", "host", {"key": "web-1", "name": "web-1", "site": "Jakarta"})
        for key in ("web", "db"):
            data = {"key": key, "name": key, "host": "web-1", "kind": "tcp", "options": {"address": "x:1"}}
            await create("test", "check", data)
        await create("test", "service", {"key": "shop", "name": "Shop", "members": ["web", "db"]})
        await create("test", "channel", {"key": "on-call", "name": "On call", "url": "https://hooks.example/"})
        self.database.write_now(self._enrol)
        await self.evaluator.start()

    def _enrol(self, connection: Any) -> None:
        connection.execute(
            insert(agent).values(
                id="a1", host_id=1, host_name="web-1", status="active", enrolled_ms=START, last_seen_ms=START
            )
        )
        for check_id, name in enumerate(("web", "db"), start=1):
            status.bind(connection, "a1", f"local:{name}", check_id=check_id)

    async def rule(self, key: str, measure: str, level: float, **fields: Any) -> None:
        data = {"key": key, "name": key, "measure": measure, "level": level, **fields}
        await self.registrar.create("test", "rule", data)
        await self.evaluator.reload()

    async def define(self, name: str, *, host: str = "web-1") -> int:
        """A check that is looked at hourly, which the evaluator does not know before its next tick."""
        data = {"key": name, "name": name, "host": host, "kind": "tcp", "options": {"address": "x:1"}}
        check = await self.registrar.create("test", "check", {**data, "interval_seconds": HOUR / SECOND})
        return int(check.id)

    async def declare(self, name: str) -> int:
        """What the agent's declaration of such a check leads to."""
        check_id = await self.define(name)
        self.database.write_now(lambda c: status.bind(c, "a1", f"local:{name}", check_id=check_id))
        return check_id

    async def restart(self) -> None:
        """`kill -9` and a new process: only what is on disk is left."""
        self.evaluator = self.another()
        await self.evaluator.start()

    def result(
        self, name: str, state: State, *, at_ms: int | None = None, reason: str = "", step_ms: int = STEP
    ) -> Result:
        at_ms = self.now_ms if at_ms is None else at_ms
        return Result(f"local:{name}", at_ms, state, 0.01, reason, at_ms, 1, step_ms, TIMEOUT)

    def arrive(self, results: Sequence[Result] = (), rows: Sequence[Row] = (), *, live: bool = True) -> None:
        """One batch, committed as ingest commits it."""
        batch = Accepted("a1", 1, self.now_ms, live, rows=tuple(rows), results=tuple(results))
        self.database.write_now(lambda c: self.evaluator.absorb(c, [batch]))()

    def seen(self, **states: State) -> None:
        self.arrive([self.result(name, state, reason=f"{name} {state.word}") for name, state in states.items()])

    async def disk(self, used: float, *, at_ms: int | None = None, live: bool = True) -> None:
        values = struct.pack("<2d", 100.0, 100.0 * (1 - used))
        self.arrive(rows=[Row(DISK_ID, self.now_ms if at_ms is None else at_ms, values)], live=live)
        await self.evaluator.judge_rows()

    async def later(self, seconds: float) -> None:
        self.now_ms += round(seconds * SECOND)
        await self.evaluator.tick()

    def state(self, subject: str, subject_id: int = 1) -> State:
        now = self.database.read_now(lambda c: status.present(c, subject, [subject_id]))
        return now[subject_id].state if subject_id in now else State.UNKNOWN

    def history(self, subject: str) -> list[Transition]:
        return self.database.read_now(lambda c: status.transitions(c, subject=subject))[::-1]

    def alerts(self) -> list[Kept]:
        return self.database.read_now(lambda c: alerts.load_open(c))

    def events(self, alert_id: int) -> list[str]:
        return [one.kind for one in self.database.read_now(lambda c: alerts.events(c, alert_id))]

    def messages(self) -> list[Message]:
        return self.database.read_now(lambda c: outbox.messages(c))[::-1]

    def told(self) -> list[tuple[str, str]]:
        return [(one.event, one.notification.labels["alertname"]) for one in self.messages()]
