"""A check that is paused or retired: its evidence ends with the step, and services hear of it by name."""

from __future__ import annotations

import pytest

from collector.domain.errors import InvalidInput
from collector.domain.interval import Span
from collector.domain.registers.base import Actor
from collector.domain.sample import State
from collector.flows import stopped
from collector.languages import in_language
from collector.store import status
from collector.store.database import Database
from tests.collector.flows.watch import SECOND, START, STEP, Watch

ANA = Actor("ana", "admin")
UP, DOWN, UNKNOWN = State.UP, State.DOWN, State.UNKNOWN


@pytest.fixture
async def watch(database: Database) -> Watch:
    world = Watch(database)
    world.registrar.on_write(stopped.record_end)
    world.registrar.on_step("check", stopped.in_use)
    await world.build()
    world.seen(web=UP, db=UP)
    await world.later(5)
    return world


def said(watch: Watch, subject: str) -> str:
    return watch.database.read_now(lambda c: status.present(c, subject, [1])[1].reason)


async def test_a_check_that_services_use_is_not_retired_under_them(watch: Watch) -> None:
    with pytest.raises(InvalidInput) as refused:
        await watch.registrar.transition(ANA, "check", "web", "retire", why="old")
    assert refused.value.fields["services"].startswith("services use it: shop.")
    await watch.registrar.edit(ANA, "service", "shop", {"members": ["db"]})
    await watch.registrar.transition(ANA, "check", "web", "retire", why="old")
    assert watch.state("check") is UNKNOWN


async def test_a_paused_check_is_unknown_from_the_step_on_and_its_service_says_why(watch: Watch) -> None:
    await watch.registrar.transition(ANA, "check", "web", "pause", why="planned work")
    paused_ms = watch.now_ms
    await watch.later(1)
    assert (watch.state("check"), watch.state("service")) == (UNKNOWN, UNKNOWN)
    assert said(watch, "service") == "web: the check is paused"
    assert in_language(said(watch, "service"), "id") == "web: pemeriksaan dijeda"
    (run,) = watch.database.read_now(lambda c: status.runs(c, [1], Span(0, 1 << 62)))[1]
    assert run.until_ms == paused_ms
    assert watch.history("check")[-1].at_ms == paused_ms


async def test_what_an_agent_still_says_of_a_paused_check_does_not_wake_it(watch: Watch) -> None:
    await watch.registrar.transition(ANA, "check", "web", "pause", why="planned work")
    await watch.later(5)
    watch.seen(web=DOWN, db=UP)
    assert watch.state("check") is UNKNOWN
    (run,) = watch.database.read_now(lambda c: status.runs(c, [1], Span(0, 1 << 62)))[1]
    assert run.until_ms == START + 5 * SECOND
    await watch.registrar.transition(ANA, "check", "web", "resume")
    watch.now_ms += STEP
    watch.seen(web=UP, db=UP)
    assert watch.state("check") is UP
    await watch.later(1)
    assert watch.state("service") is UP


async def test_a_check_that_leaves_an_agents_file_is_called_by_its_key_in_what_its_service_says(watch: Watch) -> None:
    await watch.registrar.transition("agent's file", "check", "web", "retire", why="no longer in the agent's file")
    await watch.later(1)
    assert said(watch, "service") == "web: the check is retired"
    started = watch.another()
    await started.start()
    watch.arrive([watch.result("db", DOWN, reason="refused")])
    assert "check-1" not in said(watch, "service")
