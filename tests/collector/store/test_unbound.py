"""Results that wait for their check: kept as they came, handed over once, and bounded."""

from __future__ import annotations

from collector.domain.message import Message, to_json
from collector.domain.sample import Result, State
from collector.store import unbound
from collector.store.database import Database
from collector.store.unbound import Unbound

NOW_MS = 1_790_000_000_000
MOST = 20


def waiting(number: int, *, agent_id: str = "a", name: str = "web", reason: str = "") -> Unbound:
    result = Result(f"local:{name}", NOW_MS + number, State.DOWN, 0.25, reason, NOW_MS, 2, 3_600_000, 5_000)
    return Unbound(agent_id, 3, result, live=number % 2 == 0, received_ms=NOW_MS + number)


def test_what_waits_comes_back_as_it_was_in_order_and_once(database: Database) -> None:
    reason = Message("no answer within {seconds} s", seconds=5)
    kept = [waiting(2, reason=reason), waiting(1), waiting(3, name="db"), waiting(4, agent_id="b")]
    assert database.write_now(lambda c: unbound.keep(c, kept, most=MOST)) == []
    assert database.read_now(unbound.pairs) == {("a", "local:web"): 3, ("a", "local:db"): 3, ("b", "local:web"): 3}
    taken = database.write_now(lambda c: unbound.take(c, {("a", "local:web"), ("a", "local:other")}))
    assert taken == kept[:2]
    assert to_json(taken[0].result.reason) == to_json(reason)
    assert database.write_now(lambda c: unbound.take(c, {("a", "local:web")})) == []
    assert database.read_now(unbound.pairs).keys() == {("a", "local:db"), ("b", "local:web")}


def test_what_is_too_much_of_one_agent_goes_oldest_first_and_leaves_the_others_alone(database: Database) -> None:
    database.write_now(lambda c: unbound.keep(c, [waiting(0, agent_id="b")], most=MOST))
    many = [waiting(number) for number in range(MOST)]
    assert database.write_now(lambda c: unbound.keep(c, many, most=MOST)) == []
    gone = database.write_now(lambda c: unbound.keep(c, [waiting(MOST)], most=MOST))
    assert gone == many[: 1 + MOST // 10]
    assert len(database.write_now(lambda c: unbound.take(c, unbound.pairs(c)))) == MOST - MOST // 10 + 1


def test_what_waited_for_too_long_is_given_up(database: Database) -> None:
    kept = [waiting(1), waiting(2), waiting(3, name="db")]
    database.write_now(lambda c: unbound.keep(c, kept, most=MOST))
    assert database.write_now(lambda c: unbound.expire(c, before_ms=NOW_MS + 2)) == kept[:1]
    assert database.write_now(lambda c: unbound.expire(c, before_ms=NOW_MS + 2)) == []


def test_more_checks_than_one_statement_takes_are_handed_over_together(database: Database) -> None:
    kept = [waiting(number, name=f"check-{number}") for number in range(900)]
    database.write_now(lambda c: unbound.keep(c, kept, most=1000))
    assert len(database.write_now(lambda c: unbound.take(c, unbound.pairs(c)))) == 900
