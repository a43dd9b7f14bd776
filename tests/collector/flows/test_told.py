"""From a result that arrives to a signed webhook at a real receiver, with everything running."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from collector.domain.sample import State
from collector.flows.deliver import Deliverer
from collector.notify.egress import LOOPBACK, Egress
from collector.notify.webhook import new_secret
from collector.store.database import Database
from tests.collector.flows.test_deliver import Plain
from tests.collector.flows.watch import Watch
from tests.collector.notify.receiver import Receiver, is_signed, receiver

SOON_SECONDS = 5.0
"""Far below every pause of those who work here: nothing waits for a timer. That it is two seconds, on the real product
and with the agent's look, is the system test's to show."""


@asynccontextmanager
async def running(watch: Watch) -> AsyncIterator[None]:
    deliverer = Deliverer(watch.database, clock=watch.clock, egress=Egress(LOOPBACK), unseal=watch.registrar.unseal)
    watch.evaluator.posted = deliverer.wake
    tasks = [asyncio.create_task(watch.evaluator.run()), asyncio.create_task(deliverer.run())]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def arrived(taken: Receiver, count: int) -> float:
    began = time.monotonic()
    async with asyncio.timeout(10):
        while len(taken.received) < count:
            await asyncio.sleep(0.01)
    return time.monotonic() - began


async def test_a_killed_service_is_told_of_in_time_signed_and_so_is_its_return(database: Database) -> None:
    secret = new_secret()
    watch = Watch(database)
    watch.registrar.recorder.sealing = Plain()
    await watch.build()
    async with receiver() as taken:
        await watch.registrar.edit("test", "channel", "on-call", {"url": taken.url, "secret": secret})
        await watch.rule("check-down", "check_state", 3, comparison=">=", severity="critical")
        async with running(watch):
            watch.seen(web=State.UP, db=State.UP)
            watch.now_ms += 10_000
            watch.seen(web=State.DOWN, db=State.UP)
            assert await arrived(taken, 1) < SOON_SECONDS
            watch.now_ms += 10_000
            watch.seen(web=State.UP, db=State.UP)
            assert await arrived(taken, 2) < SOON_SECONDS
    assert [one.json["status"] for one in taken.received] == ["firing", "resolved"]
    assert all(is_signed(secret, one) for one in taken.received)
    assert taken.received[0].id != taken.received[1].id
    assert watch.history("service")[-1].after is State.UP
