from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from collector.domain.calendar import Month, unix_ms
from collector.domain.sample import Result, State
from collector.domain.sla import Verdict
from collector.flows.register import Registrar
from collector.store import sla, status
from collector.store.database import Database
from tests.collector.clock import Clock

MINUTE = 60_000
DAY = 1440 * MINUTE
MAY = Month(2026, 5)
START = unix_ms(datetime(2026, 4, 30, 17, tzinfo=UTC))  # midnight in Jakarta


class Shop:
    """A service with two checks, and evidence for as long as one likes."""

    def __init__(self, database: Database) -> None:
        self.database, self.clock = database, Clock(START)
        self.registrar = Registrar(database, clock=self.clock)
        self.registrar.on_write(sla.record_composition)

    async def open(self, **fields: Any) -> Any:
        await self.registrar.create("test", "host", {"key": "web-1", "name": "web-1"})
        for key in ("a", "b"):
            data = {"key": key, "name": key, "host": "web-1", "kind": "tcp", "options": {"address": "web-1:80"}}
            await self.registrar.create("test", "check", data)
        data = {"key": "shop", "name": "Shop", "members": ["a"], "availability_objective": "99.9", **fields}
        return await self.registrar.create("test", "service", data)

    def seen(self, check_id: int, state: State, since_ms: int, until_ms: int) -> None:
        """One result that vouches for the span."""
        step = (until_ms - since_ms) // 2
        result = Result("", since_ms, state, 0.0, "seen", since_ms, 1, step, (until_ms - since_ms) - 2 * step)
        self.database.write_now(lambda c: status.absorb(c, [(check_id, result)], known_ms=since_ms))

    def month(self, service_id: int, now_ms: int, month: Month = MAY) -> sla.Availability:
        found = self.database.read_now(lambda c: sla.availability(c, service_id, month, now_ms=now_ms))
        assert found is not None
        return found


@pytest.fixture
def shop(database: Database) -> Shop:
    return Shop(database)


async def test_a_month_is_judged_with_its_evidence(shop: Shop) -> None:
    service = await shop.open()
    shop.seen(1, State.UP, START, START + 10 * DAY)
    shop.seen(1, State.DOWN, START + 2 * DAY, START + 2 * DAY + 90 * MINUTE)
    found = shop.month(service.id, START + 10 * DAY)
    assert found.promised
    assert not found.is_over
    judged = found.evaluation
    assert judged.agreed_ms == 10 * DAY
    # The run that was cut has no evidence of its own after the outage: nothing measured it again.
    assert judged.down_ms + judged.up_ms + judged.unknown_ms == 10 * DAY
    assert [(outage.since_ms, outage.counted_ms, outage.reason) for outage in judged.outages] == [
        (START + 2 * DAY, 90 * MINUTE, "a: seen")
    ]
    assert judged.budget.allowance_ms == 31 * DAY // 1000
    assert judged.verdict is Verdict.BREACHED


async def test_time_before_the_service_existed_is_in_no_denominator(shop: Shop) -> None:
    shop.clock.now_ms = START + 15 * DAY
    service = await shop.open()
    shop.seen(1, State.UP, START + 15 * DAY, START + 31 * DAY)
    found = shop.month(service.id, START + 40 * DAY)
    assert found.is_over
    assert found.evaluation.agreed_ms == found.evaluation.up_ms == 16 * DAY
    assert found.evaluation.is_partial
    assert shop.month(service.id, START + 40 * DAY, MAY.preceding).evaluation.measured is None


async def test_no_evidence_is_not_provable(shop: Shop) -> None:
    service = await shop.open()
    judged = shop.month(service.id, START + DAY).evaluation
    assert (judged.verdict, judged.unknown_ms, judged.measured) == (Verdict.NOT_PROVABLE, DAY, None)


async def test_editing_a_service_never_changes_the_time_before_the_edit(shop: Shop) -> None:
    service = await shop.open()
    shop.seen(1, State.UP, START, START + 31 * DAY)
    shop.seen(2, State.DOWN, START, START + 31 * DAY)
    before = shop.month(service.id, START + 10 * DAY)
    shop.clock.now_ms = START + 10 * DAY
    await shop.registrar.edit("test", "service", "shop", {"members": ["b"]})
    after = shop.month(service.id, START + 12 * DAY)
    assert before.evaluation.down_ms == 0
    assert after.evaluation.down_ms == 2 * DAY
    assert after.evaluation.up_ms == 10 * DAY


async def test_a_new_target_counts_for_the_running_month_and_not_for_the_last(shop: Shop) -> None:
    service = await shop.open()
    shop.clock.now_ms = START + 40 * DAY
    await shop.registrar.edit("test", "service", "shop", {"availability_objective": "99.5"})
    assert shop.month(service.id, START + 50 * DAY).evaluation.objective.percent == Decimal("99.9")
    assert shop.month(service.id, START + 50 * DAY, MAY.following).evaluation.objective.percent == Decimal("99.5")


async def test_a_name_changed_is_no_new_version(shop: Shop) -> None:
    service = await shop.open()
    await shop.registrar.edit("test", "service", "shop", {"name": "Web shop"})
    assert len(shop.database.read_now(lambda c: sla.versions(c))[service.id]) == 1


async def test_without_a_promise_the_figures_are_there_and_the_verdict_is_not(shop: Shop) -> None:
    service = await shop.open(availability_objective=None)
    shop.seen(1, State.UP, START, START + DAY)
    found = shop.month(service.id, START + DAY)
    assert not found.promised
    assert found.evaluation.measured == 1


async def test_a_service_that_was_never_written_has_no_month(database: Database) -> None:
    assert database.read_now(lambda c: sla.availability(c, 99, MAY, now_ms=START)) is None
