from __future__ import annotations

from collector.domain.notification import Notification
from collector.store import outbox
from collector.store.database import Database
from collector.store.outbox import Attempt, Message

LEASE = 60_000


def told(event: str, alert_id: int = 1) -> Notification:
    return Notification(event, alert_id, "f", {"alertname": "disk"}, {}, 5)


def post(database: Database, event: str, *, alert_id: int = 1, channel_id: int = 1, now_ms: int = 0) -> int:
    return database.write_now(lambda c: outbox.post(c, [(channel_id, told(event, alert_id))], now_ms=now_ms))[0]


def claim(database: Database, now_ms: int, limit: int = 10) -> list[Message]:
    return database.write_now(lambda c: outbox.lease(c, now_ms=now_ms, lease_ms=LEASE, limit=limit))


def settle(database: Database, message: Message, *, ok: bool, retry_at_ms: int | None = None) -> None:
    attempt = Attempt(10, 5, ok, 200 if ok else 500, "" if ok else "HTTP 500")
    database.write_now(lambda c: outbox.settle(c, message, attempt, retry_at_ms=retry_at_ms))


def test_a_claimed_message_is_nobody_elses_until_the_lease_ends(database: Database) -> None:
    post(database, "firing")
    first = claim(database, 10)
    assert len(first) == 1
    assert claim(database, 10 + LEASE - 1) == []
    again = claim(database, 10 + LEASE)
    assert [one.message_id for one in again] == [first[0].message_id]


def test_an_end_waits_for_its_beginning_and_other_alerts_do_not(database: Database) -> None:
    post(database, "firing")
    post(database, "resolved")
    post(database, "firing", alert_id=2)
    post(database, "resolved", channel_id=2)
    batch = claim(database, 10)
    assert [(one.alert_id, one.channel_id, one.event) for one in batch] == [
        (1, 1, "firing"),
        (2, 1, "firing"),
        (1, 2, "resolved"),
    ]
    settle(database, batch[0], ok=False, retry_at_ms=5_000)
    assert claim(database, 20) == []
    settle(database, claim(database, 5_000)[0], ok=True)
    assert [one.event for one in claim(database, 5_001)] == ["resolved"]


def test_a_beginning_that_was_given_up_does_not_hold_back_its_end(database: Database) -> None:
    post(database, "firing")
    post(database, "resolved")
    settle(database, claim(database, 0)[0], ok=False, retry_at_ms=None)
    assert [one.event for one in claim(database, 1)] == ["resolved"]


def test_every_attempt_is_in_the_log_and_the_identity_stays(database: Database) -> None:
    row = post(database, "firing")
    message = claim(database, 0)[0]
    settle(database, message, ok=False, retry_at_ms=100)
    retried = claim(database, 100)[0]
    assert (retried.message_id, retried.attempts, retried.last_error) == (message.message_id, 1, "HTTP 500")
    settle(database, retried, ok=True)
    log = database.read_now(lambda c: outbox.attempts(c, row))
    assert [(one.ok, one.status) for one in log] == [(False, 500), (True, 200)]
    done = database.read_now(lambda c: outbox.get(c, row))
    assert done is not None
    assert (done.state, done.attempts, done.last_error, done.delivered_ms) == ("delivered", 2, "", 15)


def test_a_dead_letter_is_shown_and_can_be_tried_again(database: Database) -> None:
    row = post(database, "firing", now_ms=3)
    post(database, "firing", alert_id=2, now_ms=7)
    settle(database, claim(database, 10)[0], ok=False, retry_at_ms=None)
    assert database.read_now(outbox.backlog) == outbox.Backlog(1, 1, 7)
    assert [one.id for one in database.read_now(lambda c: outbox.messages(c, state="dead"))] == [row]
    assert database.write_now(lambda c: outbox.revive(c, row, now_ms=50))
    assert not database.write_now(lambda c: outbox.revive(c, row, now_ms=50))
    assert row in [one.id for one in claim(database, 50)]


def test_the_next_time_to_look_is_known(database: Database) -> None:
    assert database.read_now(outbox.next_due_ms) is None
    post(database, "firing", now_ms=40)
    assert database.read_now(outbox.next_due_ms) == 40
    claim(database, 50)
    assert database.read_now(outbox.next_due_ms) == 50 + LEASE


def test_it_is_known_who_was_told_of_the_beginning(database: Database) -> None:
    post(database, "firing")
    post(database, "firing", channel_id=2)
    assert database.read_now(lambda c: outbox.told(c, [1], "firing")) == {(1, 1), (1, 2)}


def test_what_was_delivered_long_ago_is_forgotten_and_dead_letters_are_not(database: Database) -> None:
    delivered, dead = post(database, "firing"), post(database, "firing", alert_id=2)
    waiting = post(database, "firing", alert_id=3)
    for message in claim(database, 10, limit=2):
        settle(database, message, ok=message.id == delivered)
    assert database.write_now(lambda c: outbox.forget(c, before_ms=15)) == 0
    assert database.write_now(lambda c: outbox.forget(c, before_ms=16)) == 1
    assert [one.id for one in database.read_now(lambda c: outbox.messages(c))] == [waiting, dead]
