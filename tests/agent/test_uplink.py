"""The real agent against the real collector: spool, stream, commit, acknowledgement, deletion."""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from array import array
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from agent.beat import Beat, Result
from agent.identity import Identity
from agent.probes.definition import Central
from agent.reason import Reason
from agent.sample import Kind, Moment, Outcome, Series, State
from agent.spool import Spool
from agent.uplink import About, Uplink
from agent.wire import Encoder
from collector.domain import trust
from collector.edges.wire import CentralCheck
from collector.store import agents, schema
from collector.store.database import Database
from tests.collector.delivery import Receiver, now_ms, receiver

COLUMNS = (Series("node_load1"), Series("node_boots_total", (("a", "b"),), Kind.COUNTER))


def now() -> Moment:
    return Moment(now_ms(), time.clock_gettime_ns(time.CLOCK_BOOTTIME))


class Agent:
    """An agent without probes: a spool, an encoder and an uplink."""

    def __init__(self, folder: Path, identity: Identity, *, accepts_checks: bool = False, **options: Any) -> None:
        self.spool = Spool.open(
            folder / "spool.db", moment=now(), boot_id="boot", new_epoch=lambda: secrets.token_bytes(16)
        )
        self.encoder = Encoder()
        self.checks: list[Central] = []
        self.uplink = Uplink(
            identity,
            self.spool,
            about=About("1", "host", "boot", accepts_checks),
            now=now,
            rng=random.Random(1),
            **{"receive": self.checks.extend} | options,
        )

    def beat(self, value: float, *, down: bool = False) -> None:
        moment = now()
        found = Result("local:web", Outcome(State.DOWN, Reason("refused")), moment.wall_ms, 10_000, 5_000)
        beat = Beat(moment, COLUMNS, array("d", (value, -value)), 10_000, (found,) if down else (), ())
        self.spool.append(self.encoder.encode(beat), moment, layouts=self.encoder.layouts)
        self.uplink.wake()

    def close(self) -> None:
        self.uplink.stop(2.0)
        self.spool.close()


async def until(condition: Callable[[], bool], seconds: float = 15.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


def values(stand: Receiver) -> list[float]:
    """The first column of everything that was committed."""
    return [array("d", row.values)[0] for one in stand.collected.accepted for row in one.rows]


@pytest.fixture
async def stand(sqlite: Database, tmp_path: Path) -> AsyncIterator[Receiver]:
    async with receiver(sqlite, tmp_path / "trust") as running:
        yield running


async def test_every_beat_arrives_once_and_leaves_the_spool(stand: Receiver, tmp_path: Path) -> None:
    agent = Agent(tmp_path, stand.enrol())
    agent.uplink.start()
    try:
        await until(lambda: agent.uplink.is_open)
        for i in range(100):
            await asyncio.to_thread(agent.beat, float(i), down=i % 10 == 0)
        await until(lambda: agent.spool.waiting() == 0)
        assert values(stand) == [float(i) for i in range(100)]
        assert sum(len(one.results) for one in stand.collected.accepted) == 10
        samples = {sample.series.name: sample.value for sample in agent.uplink.samples()}
        assert samples["sigap_agent_connected"] == 1
        await until(lambda: any(s.series.name == "sigap_agent_clock_skew_seconds" for s in agent.uplink.samples()))
        skew = {sample.series.name: sample.value for sample in agent.uplink.samples()}["sigap_agent_clock_skew_seconds"]
        assert abs(skew) < 1
    finally:
        await asyncio.to_thread(agent.close)
    await until(lambda: stand.rows(schema.agent)[0].goodbye == "stop")


async def test_a_backlog_drains_beside_what_is_measured_now(stand: Receiver, tmp_path: Path) -> None:
    agent = Agent(tmp_path, stand.enrol())
    for i in range(300):
        await asyncio.to_thread(agent.beat, float(i))
    agent.uplink.start()
    try:
        await until(lambda: bool(stand.collected.accepted))
        await asyncio.to_thread(agent.beat, 1000.0)
        await until(lambda: 1000.0 in values(stand))
        assert len(values(stand)) < 300, "the live beat waited for the whole backlog"
        await until(lambda: agent.spool.waiting() == 0)
        assert sorted(values(stand)) == [*map(float, range(300)), 1000.0]
        backfilled = [one for one in stand.collected.accepted if not one.live]
        assert len(backfilled) == 300
        assert len(stand.rows(schema.lane)) == 2
    finally:
        await asyncio.to_thread(agent.close)


async def test_an_agent_that_starts_again_goes_on_where_it_was(stand: Receiver, tmp_path: Path) -> None:
    identity = stand.enrol()
    for generation in range(3):
        agent = Agent(tmp_path, identity)
        agent.uplink.start()
        await until(lambda agent=agent: agent.uplink.is_open)
        for i in range(10):
            await asyncio.to_thread(agent.beat, 10.0 * generation + i)
        await until(lambda agent=agent: agent.spool.waiting() == 0)
        await asyncio.to_thread(agent.close)
    assert values(stand) == [float(i) for i in range(30)]
    assert [lane.acked_seq for lane in stand.rows(schema.lane)] == [30]


async def test_a_collector_that_starts_again_loses_and_doubles_nothing(sqlite: Database, tmp_path: Path) -> None:
    async with receiver(sqlite, tmp_path / "trust") as first:
        agent = Agent(tmp_path, first.enrol())
        agent.uplink.start()
        await asyncio.to_thread(agent.beat, 0.0)
        await until(lambda: agent.spool.waiting() == 0)
        port = int(first.address.rpartition(":")[2])
    try:
        for i in range(1, 6):
            await asyncio.to_thread(agent.beat, float(i))
        async with receiver(sqlite, tmp_path / "trust", port=port) as second:
            await until(lambda: agent.spool.waiting() == 0, seconds=30)
            assert sorted(values(second)) == [1.0, 2.0, 3.0, 4.0, 5.0]
    finally:
        await asyncio.to_thread(agent.close)


async def test_a_revoked_agent_keeps_its_data_and_does_not_come_back_soon(stand: Receiver, tmp_path: Path) -> None:
    identity = stand.enrol()
    agent = Agent(tmp_path, identity)
    agent.uplink.start()
    try:
        await asyncio.to_thread(agent.beat, 1.0)
        await until(lambda: agent.spool.waiting() == 0)
        stand.db.write_now(lambda c: agents.revoke(c, identity.agent_id, now_ms=now_ms(), who="a", why="b"))
        await asyncio.to_thread(agent.beat, 2.0)
        refused = stand.ingest.metrics.agent_refused.labels(trust.Refusal.REVOKED.value)
        await until(lambda: refused._value.get() >= 1)
        await until(lambda: not agent.uplink.is_open)
        assert agent.spool.waiting() == 1
        assert values(stand) == [1.0]
    finally:
        await asyncio.to_thread(agent.close)


async def test_a_copied_spool_does_not_overwrite_what_the_original_sent(stand: Receiver, tmp_path: Path) -> None:
    identity = stand.enrol()
    agent = Agent(tmp_path, identity)
    await asyncio.to_thread(agent.beat, 0.0)
    await asyncio.to_thread(agent.spool.close)
    image = (tmp_path / "spool.db").read_bytes()
    for generation in (1, 2):
        (tmp_path / "spool.db").write_bytes(image)
        agent = Agent(tmp_path, identity)
        for i in range(2):
            await asyncio.to_thread(agent.beat, generation * 10.0 + i)
        agent.uplink.start()
        await until(lambda agent=agent: agent.spool.waiting() == 0)
        await asyncio.to_thread(agent.close)
    assert sorted(values(stand)) == [0.0, 10.0, 11.0, 20.0, 21.0]


async def test_central_checks_reach_an_agent_that_accepts_them(sqlite: Database, tmp_path: Path) -> None:
    async def checks(_host_id: int) -> list[CentralCheck]:
        return [CentralCheck("central:web", "http", "Web", b'{"url":"http://x"}')]

    async with receiver(sqlite, tmp_path / "trust", checks=checks) as stand:
        agent = Agent(tmp_path, stand.enrol(), accepts_checks=True)
        agent.uplink.start()
        try:
            await until(lambda: bool(agent.checks))
            assert agent.checks == [Central("central:web", "http", "Web", b'{"url":"http://x"}')]
        finally:
            await asyncio.to_thread(agent.close)


async def test_the_environments_proxy_is_not_used(
    stand: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "grpc_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    agent = Agent(tmp_path, stand.enrol())
    agent.uplink.start()
    try:
        await asyncio.to_thread(agent.beat, 1.0)
        await until(lambda: agent.spool.waiting() == 0)
    finally:
        await asyncio.to_thread(agent.close)
