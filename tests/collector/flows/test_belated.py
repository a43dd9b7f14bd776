"""Results that come before their check or a rule is known: nobody waits for the next one, which may be an hour away."""

from __future__ import annotations

from collector.domain.alert import AlertState
from collector.domain.sample import State
from tests.collector.flows.watch import A_CHECK_IS_DOWN, HOUR, SECOND, START, Watch

UP, DOWN = State.UP, State.DOWN


def seen_hourly(watch: Watch, name: str, state: State) -> None:
    watch.arrive([watch.result(name, state, reason="refused", step_ms=HOUR)])


async def hourly(watch: Watch) -> None:
    await watch.registrar.edit("test", "check", "web", {"interval_seconds": HOUR / SECOND})


async def test_the_first_result_of_a_new_check_is_told_without_waiting_for_the_second(watch: Watch) -> None:
    await watch.rule(*A_CHECK_IS_DOWN)
    await watch.declare("backup")
    seen_hourly(watch, "backup", DOWN)
    assert watch.alerts() == []
    await watch.later(1)
    (alert,) = watch.alerts()
    assert (alert.labels["check"], alert.annotations["value"], alert.alert.fired_ms) == ("backup", "down", START)
    assert watch.told() == [("firing", "down")]
    await watch.later(1)
    seen_hourly(watch, "backup", UP)
    assert watch.told() == [("firing", "down"), ("resolved", "down")]


async def test_a_duration_counts_from_the_result_that_came_too_early(watch: Watch) -> None:
    await watch.rule(*A_CHECK_IS_DOWN, for_seconds=20)
    await watch.declare("backup")
    seen_hourly(watch, "backup", DOWN)
    await watch.later(19)
    assert [one.alert.state for one in watch.alerts()] == [AlertState.PENDING]
    await watch.later(2)
    assert [(one.alert.state, one.alert.fired_ms) for one in watch.alerts()] == [
        (AlertState.FIRING, START + 20 * SECOND)
    ]


async def test_a_new_rule_speaks_of_what_is_down_already(watch: Watch) -> None:
    await hourly(watch)
    seen_hourly(watch, "web", DOWN)
    await watch.later(1800)
    await watch.rule(*A_CHECK_IS_DOWN)
    assert [one.labels["check"] for one in watch.alerts()] == ["web"]
    assert watch.told() == [("firing", "down")]


async def test_what_is_well_or_no_longer_known_is_nothing_to_a_new_rule(watch: Watch) -> None:
    watch.seen(web=DOWN, db=UP)
    await watch.later(3600)
    await watch.rule(*A_CHECK_IS_DOWN)
    assert watch.alerts() == []


async def test_a_state_that_is_told_already_is_not_told_again_by_another_rule_or_a_restart(watch: Watch) -> None:
    await hourly(watch)
    await watch.rule(*A_CHECK_IS_DOWN)
    seen_hourly(watch, "web", DOWN)
    await watch.rule("other", "check_state", 2, selector={"check": "db"})
    await watch.restart()
    assert watch.told() == [("firing", "down")]


async def test_a_collector_that_died_before_it_judged_does_so_when_it_is_back(watch: Watch) -> None:
    await watch.rule(*A_CHECK_IS_DOWN)
    await watch.declare("backup")
    seen_hourly(watch, "backup", DOWN)
    await watch.restart()
    assert watch.told() == [("firing", "down")]
