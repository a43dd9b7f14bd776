"""`kill -9` between a result and the definition of its check, and while that is committed: it is told of once."""

from __future__ import annotations

import asyncio
import json
import random
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from agent.enrol import enrol
from agent.identity import Identity
from protos.telemetry.v1 import telemetry_pb2 as pb
from tests.collector.delivery import DELIVER, Lane, Stream, now_ms
from tests.system.killing.stand import Stand, until

SEED, ROUNDS = 20261125, 8
HOUR_MS = 3_600_000
COMMIT_SECONDS = 0.08
"""So long after a batch was sent it is committed, and mostly acknowledged."""


class Agent:
    """An agent written by hand, with one lane; the collector may be killed under it."""

    def __init__(self, identity: Identity) -> None:
        self.identity, self.lane = identity, Lane()
        self.names: list[str] = []
        self.sent = asyncio.Event()

    def result(self, name: str) -> pb.Batch:
        """What an hourly check found; nothing has said yet which check that is."""
        at_ms = now_ms()
        found = pb.CheckResult(check_id=f"local:{name}", wall_ms=at_ms, state="STATE_DOWN", since_ms=at_ms)
        found.reason, found.interval_ms, found.timeout_ms = "refused", HOUR_MS, 1_000
        return self.lane.batch(pb.Payload(results=[found]))

    def declaration(self, name: str) -> pb.Batch:
        """Every check so far, and this one."""
        self.names.append(name)
        common = {"kind": "tcp", "interval_seconds": 3600.0, "timeout_seconds": 1.0}
        body = {"checks": [{"id": f"local:{one}", "name": one, **common} for one in self.names]}
        document = pb.Document(kind="checks", wall_ms=now_ms(), body=json.dumps(body).encode())
        return self.lane.batch(pb.Payload(documents=[document]))

    async def deliver(self, batch: pb.Batch) -> None:
        """Send it again and again until it is acknowledged."""
        async with asyncio.timeout(30):
            while not await self._try(batch):
                await asyncio.sleep(0.02)

    async def _try(self, batch: pb.Batch) -> bool:
        who = self.identity
        credentials = grpc.ssl_channel_credentials(who.authority_pem, who.key_pem, who.certificate_pem)
        channel = grpc.aio.secure_channel(who.address, credentials, options=(("grpc.enable_http_proxy", 0),))
        stream = Stream(channel, channel.stream_stream(DELIVER)())
        lane = pb.Lane(epoch=batch.epoch, first_seq=batch.seq, last_seq=batch.seq, live=True)
        hello = pb.Hello(protocol_min=1, protocol_max=1, agent_id=who.agent_id, lanes=[lane])
        try:
            await stream.send(hello=hello)
            await stream.hear("welcome")
            await stream.send(batch=batch)
            self.sent.set()
            while (await stream.hear("ack")).acked_seq < batch.seq:
                pass
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError, AssertionError):
            return False
        finally:
            await stream.close()
        return True


async def one_round(stand: Stand, agent: Agent, rng: random.Random, name: str) -> None:
    """A result, a kill, its definition, and a kill while that is committed."""
    await agent.deliver(agent.result(name))
    await again(stand)
    declaration = agent.declaration(name)
    agent.sent.clear()
    delivering = asyncio.create_task(agent.deliver(declaration))
    await agent.sent.wait()
    await asyncio.sleep(rng.uniform(0, COMMIT_SECONDS))
    await again(stand)
    await delivering


async def again(stand: Stand) -> None:
    """`kill -9`, and another life."""
    await asyncio.to_thread(stand.collector.kill)
    stand.collector.start()


def rows(database: Path, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        return connection.execute(query).fetchall()


def told(database: Path) -> int:
    """How many alerts have fired, each as often as it did."""
    return int(rows(database, "SELECT count(*) FROM alert_event WHERE kind = 'firing'")[0][0])


@pytest.mark.system
@pytest.mark.timeout(200)
async def test_a_result_that_came_before_its_check_survives_kills_and_is_told_once(tmp_path: Path) -> None:
    rng = random.Random(SEED)
    with Stand(tmp_path, agents=1, seed=SEED) as stand:
        (life,) = stand.agents
        agent = Agent(await asyncio.to_thread(enrol, life.plan.token, life.plan.folder / "state", "host-0"))
        names = [f"check-{number}" for number in range(ROUNDS)]
        for name in names:
            await one_round(stand, agent, rng, name)
        database = stand.collector.plan.database
        await asyncio.to_thread(until, lambda: told(database) >= ROUNDS, "every check is told of")
        await again(stand)
        await agent.deliver(agent.declaration("last"))
    found = rows(database, "SELECT count(*), min(first_ms = last_ms), min(state), max(state) FROM status_span")
    assert found == [(ROUNDS, 1, "down", "down")]
    changes = rows(database, "SELECT subject_id FROM transition WHERE subject = 'check'")
    assert len(changes) == len(set(changes)) == ROUNDS
    assert told(database) == ROUNDS
    assert rows(database, "SELECT * FROM unbound_result") == []
    assert rows(database, "SELECT * FROM gap") == []
    assert stand.collector.kills == 2 * ROUNDS + 1
