"""Alerts that fire because time passes and not because something arrives."""

from __future__ import annotations

import pytest

from collector.domain.sample import State
from collector.flows.presence import GRACE_MS, SETTLE_MS
from collector.store import sla
from collector.store.database import Database
from tests.collector.flows.watch import SECOND, START, STEP, TIMEOUT, Watch

UP, DOWN, UNKNOWN = State.UP, State.DOWN, State.UNKNOWN
SLOW = 300 * SECOND


@pytest.fixture
async def watch(database: Database) -> Watch:
    world = Watch(database)
    await world.build()
    await world.rule("check-down", "check_state", 3, comparison=">=", for_seconds=60, summary="{check}: {reason}")
    return world


def slow(watch: Watch, state: State, *, at_ms: int | None = None, live: bool = True) -> None:
    """A result of a check that is looked at every five minutes."""
    watch.arrive([watch.result("web", state, at_ms=at_ms, reason=f"is {state.word}", step_ms=SLOW)], live=live)


async def pass_by(watch: Watch, seconds: int) -> None:
    """Time with signs of life, second by second."""
    for _ in range(seconds):
        watch.evaluator.heard(1, watch.now_ms)
        await watch.later(1)


async def come_back(watch: Watch) -> None:
    watch.evaluator = watch.another()
    await watch.evaluator.start()


async def test_an_alert_fires_when_its_time_is_over_and_not_with_the_next_result(watch: Watch) -> None:
    slow(watch, DOWN)
    await pass_by(watch, 59)
    assert watch.told() == []
    await pass_by(watch, 1)
    (message,) = watch.messages()
    assert message.notification.starts_ms == START + 60 * SECOND
    assert message.notification.annotations["summary"] == "web: is down"
    assert watch.events(message.alert_id or 0) == ["firing"]
    await pass_by(watch, 240)
    slow(watch, UP)
    assert watch.told() == [("firing", "check-down"), ("resolved", "check-down")]


async def test_a_result_before_its_time_decides(watch: Watch) -> None:
    slow(watch, DOWN)
    await pass_by(watch, 40)
    slow(watch, UP)
    await pass_by(watch, 60)
    assert (watch.told(), watch.alerts()) == ([], [])


async def test_a_restart_of_the_collector_keeps_the_time(watch: Watch) -> None:
    slow(watch, DOWN)
    await pass_by(watch, 20)
    watch.now_ms += 20 * SECOND
    await come_back(watch)
    await pass_by(watch, 19)
    assert watch.told() == []
    await pass_by(watch, 1)
    assert watch.told() == [("firing", "check-down")]
    assert watch.messages()[0].notification.starts_ms == START + 60 * SECOND


async def test_an_agent_that_comes_back_may_first_bring_what_it_kept(watch: Watch) -> None:
    slow(watch, DOWN)
    await watch.later(20)
    watch.now_ms += 50 * SECOND
    await come_back(watch)
    await watch.later(1)
    watch.evaluator.heard(1, watch.now_ms)
    await watch.later(1)
    assert watch.told() == []
    slow(watch, UP, at_ms=START + 30 * SECOND)
    await pass_by(watch, 2 * SETTLE_MS // SECOND)
    assert (watch.told(), watch.alerts()) == ([], [])


async def test_a_host_that_does_not_come_back_is_frozen(watch: Watch) -> None:
    slow(watch, DOWN)
    watch.now_ms += 50 * SECOND
    await come_back(watch)
    for _ in range(2 * GRACE_MS // SECOND):
        await watch.later(1)
    assert watch.told() == []
    assert [one.alert.state for one in watch.alerts()] == ["pending"]
    slow(watch, DOWN, at_ms=START + SLOW)
    assert watch.messages()[0].notification.starts_ms == START + 60 * SECOND


async def test_nothing_fires_for_a_time_long_gone(watch: Watch) -> None:
    slow(watch, DOWN)
    watch.now_ms += 3_600 * SECOND
    await come_back(watch)
    await pass_by(watch, 120)
    assert watch.told() == []
    slow(watch, UP)
    assert (watch.told(), watch.alerts()) == ([], [])


async def test_a_check_that_could_not_be_looked_at_does_not_fire_by_time(watch: Watch) -> None:
    slow(watch, DOWN)
    await pass_by(watch, 30)
    slow(watch, UNKNOWN)
    await pass_by(watch, 60)
    assert watch.told() == []
    slow(watch, DOWN)
    await pass_by(watch, 29)
    assert watch.told() == []
    await pass_by(watch, 2)
    assert watch.told() == [("firing", "check-down")]


async def test_a_rule_that_is_given_more_time_takes_it(watch: Watch) -> None:
    slow(watch, DOWN)
    await pass_by(watch, 30)
    await watch.registrar.edit("test", "rule", "check-down", {"for_seconds": 120})
    await pass_by(watch, 89)
    assert watch.told() == []
    await pass_by(watch, 1)
    assert watch.told() == [("firing", "check-down")]
    assert watch.messages()[0].notification.starts_ms == START + 120 * SECOND


async def test_rules_about_rows_fire_between_two_rows(watch: Watch) -> None:
    await watch.rule("disk-full", "filesystem_used_ratio", 0.9, for_seconds=15)
    for _ in range(10):
        await watch.later(1)
    await watch.disk(0.95)
    await pass_by(watch, 10)
    await watch.disk(0.95)
    await pass_by(watch, 4)
    assert watch.told() == []
    await pass_by(watch, 1)
    assert watch.told() == [("firing", "disk-full")]
    assert watch.messages()[0].notification.starts_ms == START + 25 * SECOND
    await watch.disk(0.5)
    assert watch.told()[1:] == [("resolved", "disk-full")]


@pytest.mark.parametrize("grace_seconds", [0, 90, 600])
async def test_the_grace_decides_when_silence_is_news_and_changes_no_figure(watch: Watch, grace_seconds: int) -> None:
    await watch.rule("agent-silent", "agent_silent_seconds", 60)
    watch.seen(web=UP, db=UP)
    watch.now_ms += 3_600 * SECOND
    watch.evaluator = watch.another(grace_ms=grace_seconds * SECOND)
    await watch.evaluator.start()
    await watch.later(0)
    assert watch.told() == ([("firing", "agent-silent")] if grace_seconds == 0 else [])
    await watch.later(max(0, grace_seconds - 1))
    assert watch.state("host") is (UP if grace_seconds else UNKNOWN)
    await watch.later(1)
    assert watch.told() == [("firing", "agent-silent")]
    assert (watch.state("host"), watch.state("check"), watch.state("service")) == (UNKNOWN, UNKNOWN, UNKNOWN)
    ended_ms = START + 2 * STEP + TIMEOUT
    assert {one.at_ms for one in watch.history("check") if one.after is UNKNOWN} == {ended_ms}
    watch.seen(web=UP, db=UP)
    back_ms = watch.now_ms
    await watch.later(10)
    history = watch.database.read_now(lambda c: sla.versions(c))[1]
    found = watch.database.read_now(lambda c: sla.availability(c, 1, sla.month_in(history, START), now_ms=watch.now_ms))
    assert found is not None
    assert (found.evaluation.down_ms, found.evaluation.unknown_ms) == (0, back_ms - ended_ms)
    assert found.evaluation.up_ms == ended_ms - START + 10 * SECOND
