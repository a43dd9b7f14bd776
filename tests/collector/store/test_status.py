from __future__ import annotations

import random

import pytest
from sqlalchemy import Connection, insert, select

from collector.domain.interval import Span
from collector.domain.sample import Result, State
from collector.domain.status import evidence
from collector.domain.status import insert as inserted
from collector.store import status
from collector.store.database import Database
from collector.store.schema import agent, status_span
from collector.store.status import Transition

STEP, TIMEOUT = 10_000, 4_000


def result(beat: int, state: State, reason: str = "", *, retried_ms: int = 0) -> Result:
    """A result whose state was first shown that much after its beat."""
    return Result("local:web", beat * STEP, state, 0.0, reason, beat * STEP + retried_ms, 1, STEP, TIMEOUT)


def stored(database: Database, check_id: int) -> list[tuple[int, int, State]]:
    runs = database.read_now(lambda c: status.runs(c, [check_id], Span(0, 10**9)))[check_id]
    return [(run.since_ms, run.until_ms, run.state) for run in runs]


@pytest.mark.parametrize("seed", range(6))
def test_what_is_stored_does_not_depend_on_the_order_of_arrival(database: Database, seed: int) -> None:
    chance = random.Random(seed)
    beats = [
        result(beat, chance.choice([State.UP, State.UP, *State]), retried_ms=chance.choice([0, 0, 3_000, 9_000]))
        for beat in range(1, 60)
        if chance.random() < 0.8
    ]
    expected: list[object] = []
    for one in beats:
        expected = inserted(expected, evidence(one), known_ms=0)  # type: ignore[arg-type, assignment]
    late = list(beats)
    chance.shuffle(late)
    while late:
        batch, late = late[:7], late[7:]
        database.write_now(lambda c, batch=batch: status.absorb(c, [(1, one) for one in batch], known_ms=5))  # type: ignore[misc]
    assert stored(database, 1) == [(run[0], run[1], run[4]) for run in expected]  # type: ignore[index]


def test_what_is_known_to_be_lost_is_unknown_and_not_bridged(database: Database) -> None:
    batch = [(check, result(beat, State.UP)) for check in (1, 2) for beat in (1, 2, 4, 5)]

    def work(connection: Connection) -> None:
        connection.execute(insert(agent).values(id="a", host_id=1, host_name="h", status="active", enrolled_ms=0))
        status.bind(connection, "a", "local:web", check_id=1)
        status.absorb(connection, batch, known_ms=0)
        status.lose(connection, "a", Span(25_000, 35_000))

    database.write_now(work)
    end_ms = 5 * STEP + 2 * STEP + TIMEOUT
    assert stored(database, 1) == [(STEP, 25_000, State.UP), (4 * STEP, end_ms, State.UP)]
    assert stored(database, 2) == [(STEP, end_ms, State.UP)]


def test_equal_results_are_one_row_however_many_arrive(database: Database) -> None:
    for beat in range(1, 40):
        database.write_now(lambda c, beat=beat: status.absorb(c, [(1, result(beat, State.UP))], known_ms=beat))  # type: ignore[misc]
    assert stored(database, 1) == [(STEP, 39 * STEP + 2 * STEP + TIMEOUT, State.UP)]
    rows = database.read_now(lambda c: c.execute(select(status_span)).all())
    assert [(row.first_ms, row.last_ms, row.known_ms) for row in rows] == [(STEP, 39 * STEP, 1)]


def test_the_newest_run_of_each_check_is_returned(database: Database) -> None:
    batch = [(1, result(2, State.DOWN, "refused")), (1, result(1, State.UP)), (2, result(1, State.UP))]
    newest = database.write_now(lambda c: status.absorb(c, batch, known_ms=0))
    assert {check_id: (run.state, run.reason) for check_id, run in newest.items()} == {
        1: (State.DOWN, "refused"),
        2: (State.UP, ""),
    }


def test_a_long_reason_is_cut_instead_of_refused(database: Database) -> None:
    database.write_now(lambda c: status.absorb(c, [(1, result(1, State.DOWN, "x" * 2000))], known_ms=0))
    assert stored(database, 1)


def test_a_transition_becomes_the_present_and_history_keeps_both(database: Database) -> None:
    changes = [
        Transition("check", 1, 10, 11, State.UNKNOWN, State.UP, "", 0),
        Transition("check", 1, 20, 22, State.UP, State.DOWN, "refused", 0),
        Transition("service", 1, 20, 22, State.UP, State.DOWN, "web: refused", 0),
    ]
    for one in changes:
        database.write_now(lambda c, one=one: status.record(c, [one]))  # type: ignore[misc]
    now = database.read_now(lambda c: status.present(c, "check"))
    assert now == {1: status.Now(State.DOWN, 20, 22, "refused")}
    assert database.read_now(lambda c: status.present(c, "service", [2])) == {}
    history = database.read_now(lambda c: status.transitions(c, subject="check", subject_id=1))
    assert [(one.at_ms, one.before, one.after) for one in history] == [
        (20, State.UP, State.DOWN),
        (10, State.UNKNOWN, State.UP),
    ]


def test_reaches_are_told_of_checks_that_are_known(database: Database) -> None:
    def work(connection):  # type: ignore[no-untyped-def]
        status.absorb(connection, [(1, result(1, State.UP)), (2, result(1, State.UP))], known_ms=0)
        status.record(connection, [Transition("check", 1, 1, 1, State.UNKNOWN, State.UP, "")])

    database.write_now(work)
    assert database.read_now(status.reaches) == {1: STEP + 2 * STEP + TIMEOUT}


def test_a_binding_can_be_made_and_moved(database: Database) -> None:
    database.write_now(lambda c: status.bind(c, "a", "local:web", check_id=1))
    database.write_now(lambda c: status.bind(c, "a", "local:web", check_id=2))
    assert database.read_now(lambda c: status.bindings(c, ["a", "b"])) == {("a", "local:web"): 2}


def test_the_newest_agent_of_a_host_says_when_it_was_heard(database: Database) -> None:
    def agents(connection):  # type: ignore[no-untyped-def]
        for name, host, seen, state in (("a", 1, 5, "active"), ("b", 1, 9, "active"), ("c", 2, 7, "revoked")):
            connection.execute(
                insert(agent).values(
                    id=name, host_id=host, host_name="h", status=state, enrolled_ms=1, last_seen_ms=seen
                )
            )

    database.write_now(agents)
    assert database.read_now(status.heard) == [status.Heard(1, 9, "", False)]
