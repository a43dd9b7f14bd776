"""A result that comes before its check is acknowledged, so it outlives the process, and counts once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import event

from collector.domain.interval import Span
from collector.domain.sample import Accepted, Document, State
from collector.flows import bindings
from collector.store import lanes, registers, status, unbound
from collector.store.database import Connection, Database
from collector.store.lanes import LostSpan
from tests.collector.flows.watch import A_CHECK_IS_DOWN, HOUR, SECOND, START, Watch

UP, DOWN = State.UP, State.DOWN


def seen(watch: Watch, name: str, state: State, *, wire: str = "local", live: bool = True) -> None:
    """One result of a check that is looked at hourly."""
    result = watch.result(name, state, reason="refused", step_ms=HOUR)
    watch.arrive([result._replace(wire_id=f"{wire}:{name}")], live=live)


def runs(watch: Watch, check_id: int) -> list[tuple[int, State]]:
    found = watch.database.read_now(lambda c: status.runs(c, [check_id], Span(0, 1 << 60)))
    return [(run.since_ms, run.state) for run in found[check_id]]


def waiting(watch: Watch) -> int:
    return watch.database.read_now(lambda c: len(unbound.pairs(c)))


def lost(watch: Watch) -> list[LostSpan]:
    return watch.database.read_now(lambda c: lanes.gaps_of(c, "a1", limit=10))


async def test_a_result_outlives_the_process_and_leads_to_its_alert_once(watch: Watch) -> None:
    await watch.rule(*A_CHECK_IS_DOWN)
    seen(watch, "backup", DOWN)
    await watch.restart()
    check_id = await watch.declare("backup")
    await watch.later(1)
    assert runs(watch, check_id) == [(START, DOWN)]
    assert (watch.state("check", check_id), waiting(watch)) == (DOWN, 0)
    assert watch.told() == [("firing", "down")]
    await watch.restart()
    await watch.later(1)
    watch.arrive()
    assert (runs(watch, check_id), watch.told()) == ([(START, DOWN)], [("firing", "down")])


async def test_one_that_is_bound_when_the_process_dies_before_the_next_look_is_not_waited_for(watch: Watch) -> None:
    await watch.rule(*A_CHECK_IS_DOWN)
    seen(watch, "backup", DOWN)
    check_id = await watch.declare("backup")
    await watch.restart()
    assert (runs(watch, check_id), waiting(watch)) == ([(START, DOWN)], 0)
    assert watch.told() == [("firing", "down")]


async def test_a_transaction_that_fails_leaves_it_waiting(watch: Watch) -> None:
    seen(watch, "backup", DOWN)
    check_id = await watch.declare("backup")

    def dies(connection: Connection) -> None:
        batch = Accepted("a1", 1, watch.now_ms, True, documents=[Document("host", watch.now_ms, b"{}")])
        watch.evaluator.absorb(connection, [batch])
        assert unbound.pairs(connection) == {}
        raise RuntimeError("the power fails")

    with pytest.raises(RuntimeError, match="power"):
        watch.database.write_now(dies)
    assert (runs(watch, check_id), waiting(watch)) == ([], 1)
    await watch.later(1)
    assert (runs(watch, check_id), waiting(watch)) == ([(START, DOWN)], 0)


async def test_a_definition_in_the_same_batch_or_a_later_one_of_the_agent_is_enough(watch: Watch) -> None:
    seen(watch, "backup", DOWN)
    check_id = watch.database.write_now(lambda c: registers.find(c, "check", "web").id)
    watch.database.write_now(lambda c: status.bind(c, "a1", "local:backup", check_id=check_id))
    batch = Accepted("a1", 1, watch.now_ms, True, documents=[Document("checks", watch.now_ms, b"{}")])
    watch.database.write_now(lambda c: watch.evaluator.absorb(c, [batch]))()
    assert runs(watch, check_id) == [(START, DOWN)]
    assert watch.state("check", check_id) is DOWN


async def test_results_before_and_after_the_definition_are_in_order(watch: Watch) -> None:
    seen(watch, "backup", UP)
    watch.now_ms += HOUR
    seen(watch, "backup", DOWN)
    await watch.restart()
    check_id = await watch.declare("backup")
    watch.now_ms += HOUR
    seen(watch, "backup", UP)
    assert runs(watch, check_id) == [(START, UP), (START + HOUR, DOWN), (START + 2 * HOUR, UP)]
    assert watch.state("check", check_id) is UP


async def test_what_is_over_when_its_check_appears_is_history_and_no_news(watch: Watch) -> None:
    await watch.rule(*A_CHECK_IS_DOWN)
    seen(watch, "backup", DOWN)
    await watch.later(5 * HOUR / SECOND)
    check_id = await watch.declare("backup")
    await watch.later(1)
    assert runs(watch, check_id) == [(START, DOWN)]
    assert watch.state("check", check_id) is State.UNKNOWN
    assert watch.told() == []


async def test_a_central_check_that_is_defined_later_is_found_although_its_agent_is_silent(watch: Watch) -> None:
    await watch.rule(*A_CHECK_IS_DOWN)
    seen(watch, "backup", DOWN, wire="central")
    await watch.restart()
    check_id = await watch.define("backup")
    await watch.later(1)
    assert runs(watch, check_id) == [(START, DOWN)]
    assert watch.told() == [("firing", "down")]


async def test_an_agent_does_not_speak_for_checks_of_another_host(watch: Watch) -> None:
    await watch.registrar.create("test", "host", {"key": "db-1", "name": "db-1"})
    check_id = await watch.define("backup", host="db-1")
    await watch.later(1)
    seen(watch, "backup", DOWN, wire="central")
    await watch.evaluator.reload()
    assert (runs(watch, check_id), waiting(watch)) == ([], 1)


async def test_what_no_check_ever_came_for_is_given_up_after_a_week_and_declared_lost(watch: Watch) -> None:
    seen(watch, "ghost", DOWN)
    await watch.later(3 * 86_400)
    seen(watch, "ghost", UP)
    await watch.restart()
    await watch.later(bindings.WAITING_MS / SECOND - 3 * 86_400 + 60)
    (gap,) = lost(watch)
    assert (gap.reason, gap.detail, gap.samples, gap.from_ms) == ("unregistered", "local:ghost", 1, START)
    assert waiting(watch) == 1
    await watch.later(3 * 86_400)
    (gap,) = lost(watch)
    assert (gap.samples, gap.from_ms, gap.to_ms) == (2, START, START + 3 * 86_400 * SECOND)
    assert waiting(watch) == 0


async def test_more_than_is_kept_for_one_agent_is_declared_lost(watch: Watch) -> None:
    most = bindings.WAITING_MOST
    watch.arrive([watch.result("ghost", DOWN, at_ms=START - most + number) for number in range(most + 1)])
    (gap,) = lost(watch)
    assert (gap.reason, gap.samples, gap.from_ms) == ("unregistered", 1 + most // 10, START - most)
    check_id = await watch.declare("ghost")
    await watch.later(1)
    assert runs(watch, check_id) == [(START - most + most // 10 + 1, DOWN)]


async def test_nothing_is_asked_of_the_database_while_nothing_waits(watch: Watch) -> None:
    watch.seen(web=UP, db=UP)
    with counted(watch.database) as statements:
        watch.seen(web=UP, db=UP)
    assert not [text for text in statements if "unbound_result" in text or "check_binding" in text]
    seen(watch, "ghost", UP)
    with counted(watch.database) as statements:
        await watch.disk(0.1)
    assert not [text for text in statements if "unbound_result" in text or "check_binding" in text]


@contextmanager
def counted(database: Database) -> Iterator[list[str]]:
    """Every statement of the writer meanwhile."""
    statements: list[str] = []

    def note(_c: object, _cursor: object, statement: str, *_: object) -> None:
        statements.append(statement)

    event.listen(database.engine, "before_cursor_execute", note)
    yield statements
    event.remove(database.engine, "before_cursor_execute", note)
