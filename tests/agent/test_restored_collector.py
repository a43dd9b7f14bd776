"""A collector whose database is put back from a backup, and the agent that has deleted what it acknowledged since."""

from __future__ import annotations

import asyncio
import sqlite3
from array import array
from collections.abc import Callable
from pathlib import Path

from agent.beat import Beat, Result
from agent.reason import Reason
from agent.sample import Outcome, State
from collector.domain import sample
from collector.domain.interval import Span
from collector.domain.status import Run, timeline
from collector.flows.evaluate import Evaluator
from collector.flows.register import Registrar
from collector.store import schema, sla, status
from collector.store.database import Database
from collector.store.migrations import migrate
from tests.agent.test_uplink import COLUMNS, Agent, now, until
from tests.collector.delivery import Receiver, now_ms, receiver

STEP_MS = 40


class Stand:
    """A data directory with a collector on it, stopped and started at will."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, 0
        self.file = folder / "sigap.db"

    def backup(self, target: Path) -> None:
        """As the manual page on backup does it, while the collector runs."""
        source = sqlite3.connect(f"file:{self.file}?mode=ro", uri=True)
        copy = sqlite3.connect(target)
        source.backup(copy)
        source.close()
        copy.close()

    def restore(self, copy: Path) -> None:
        for suffix in ("-wal", "-shm"):
            self.file.with_name(self.file.name + suffix).unlink(missing_ok=True)
        copy.rename(self.file)

    async def run(self, work: Callable[[Receiver], object]) -> None:
        """`work` with a running collector."""
        db = Database(f"sqlite:///{self.file}")
        migrate(db.engine)
        evaluator = Evaluator(db, clock=now_ms, layouts=lambda _: None)
        await evaluator.start()
        try:
            async with receiver(db, self.folder / "trust", sinks=(evaluator,), port=self.port) as running:
                self.port = int(running.address.rpartition(":")[2])
                result = work(running)
                if asyncio.iscoroutine(result):
                    await result
        finally:
            db.close()


async def build(running: Receiver, agent_id: str) -> None:
    registrar = Registrar(running.db, clock=now_ms)
    registrar.on_write(sla.record_composition)
    await registrar.create("test", "host", {"key": "web-1", "name": "web-1"})
    options = {"address": "x:1"}
    await registrar.create(
        "test", "check", {"key": "web", "name": "w", "host": "web-1", "kind": "tcp", "options": options}
    )
    running.db.write_now(lambda c: status.bind(c, agent_id, "local:web", check_id=1))


async def beats(agent: Agent, count: int, state: State = State.UP) -> None:
    """Beats of measurements and a result, all of them delivered."""
    for _ in range(count):
        moment = now()
        found = Result("local:web", Outcome(state, Reason("seen")), moment.wall_ms, STEP_MS, STEP_MS)
        beat = Beat(moment, COLUMNS, array("d", (1.0, 2.0)), STEP_MS, (found,), ())
        entries = agent.encoder.encode(beat)
        await asyncio.to_thread(agent.spool.append, entries, moment, layouts=agent.encoder.layouts)
        agent.uplink.wake()
        await asyncio.sleep(STEP_MS / 1000)
    await until(lambda: agent.spool.waiting() == 0)


def runs(running: Receiver) -> list[Run]:
    return running.db.read_now(lambda c: status.runs(c, [1], Span(0, 1 << 60)))[1]


async def test_a_restored_database_declares_what_the_agent_has_deleted(tmp_path: Path) -> None:
    stand, copy = Stand(tmp_path), tmp_path / "copy.db"
    agent: Agent | None = None
    lost: list[int] = []

    async def before(running: Receiver) -> None:
        nonlocal agent
        identity = running.enrol()
        await build(running, identity.agent_id)
        agent = Agent(tmp_path, identity)
        agent.uplink.start()
        await until(lambda: agent is not None and agent.uplink.is_open)
        await beats(agent, 5)
        await asyncio.to_thread(stand.backup, copy)
        lost.append(now_ms())
        await beats(agent, 4, State.DOWN)
        await beats(agent, 1)
        lost.append(now_ms())

    async def after(running: Receiver) -> None:
        assert agent is not None
        await until(lambda: agent is not None and agent.uplink.is_open, 30)
        await beats(agent, 3)
        (gap,) = running.rows(schema.gap)
        # Acknowledged batches are deleted with the next beat, so that the last may still be there and come again.
        assert (gap.reason, gap.from_seq) == ("restored", 11)
        assert gap.to_seq in (18, 20)
        assert gap.from_ms <= lost[0] < lost[1] <= gap.to_ms + 2 * STEP_MS
        assert [row.acked_seq for row in running.rows(schema.lane)] == [26]
        assert running.rows(schema.quarantine) == []
        line = timeline(runs(running), Span(lost[0], lost[1]))
        assert {one.state for one in line} <= {sample.State.UNKNOWN, sample.State.UP}
        assert sum(one.milliseconds for one in line if one.state is sample.State.UP) <= 3 * STEP_MS
        assert runs(running)[-1].state is sample.State.UP

    try:
        await stand.run(before)
        stand.restore(copy)
        await stand.run(after)
    finally:
        if agent is not None:
            await asyncio.to_thread(agent.close)


async def test_a_lane_that_drained_since_the_backup_is_declared_too(tmp_path: Path) -> None:
    stand, copy = Stand(tmp_path), tmp_path / "copy.db"
    identity = None

    async def first(running: Receiver) -> None:
        nonlocal identity
        identity = running.enrol()
        await build(running, identity.agent_id)
        agent = Agent(tmp_path, identity)
        agent.uplink.start()
        await until(lambda: agent.uplink.is_open)
        await beats(agent, 2)
        await asyncio.to_thread(stand.backup, copy)
        await asyncio.to_thread(agent.close)

    async def backlog(running: Receiver) -> None:
        assert identity is not None
        agent = Agent(tmp_path, identity)
        for _ in range(6):
            await asyncio.to_thread(agent.beat, 1.0, down=True)
        epoch, _ = agent.spool.newest()
        agent.uplink.start()
        await until(lambda: agent.spool.newest()[0] != epoch and len(agent.spool.lanes()) == 1)
        await asyncio.to_thread(agent.beat, 1.0)
        await until(lambda: agent.spool.waiting() == 0)
        await asyncio.to_thread(agent.close)

    async def restored(running: Receiver) -> None:
        assert identity is not None
        agent = Agent(tmp_path, identity)
        agent.uplink.start()
        await until(lambda: agent.uplink.is_open)
        await beats(agent, 1)
        await asyncio.to_thread(agent.close)
        gaps = {row.epoch: row for row in running.rows(schema.gap)}
        assert {row.reason for row in gaps.values()} == {"restored"}
        assert len(gaps) == 2
        assert sum(row.to_seq - row.from_seq + 1 for row in gaps.values()) == 12 + 1
        again = Agent(tmp_path, identity)
        again.uplink.start()
        await until(lambda: again.uplink.is_open)
        await asyncio.to_thread(again.close)
        assert len(running.rows(schema.gap)) == 2

    await stand.run(first)
    await stand.run(backlog)
    stand.restore(copy)
    await stand.run(restored)
