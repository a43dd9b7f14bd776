"""Messages on their way to channels: written with the change they tell of, claimed, delivered, or given up and shown.

A message that is claimed belongs to its sender until the lease ends; a sender that dies leaves it to the next. Of one
alert and one channel only the oldest waiting message can be claimed, so an end never overtakes its beginning.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Row, Select, delete, exists, func, insert, select, update

from collector.domain.notification import TEST, Notification
from collector.store import wording
from collector.store.schema import delivery, outbox

WAITING, DELIVERED, DEAD, DISMISSED = "waiting", "delivered", "dead", "dismissed"
IDS_AT_ONCE = 500
"""SQLite takes a bounded number of parameters in one statement."""


class Message(NamedTuple):
    """A message and where it stands. Times are Unix milliseconds."""

    id: int
    message_id: str  # the same over all attempts
    channel_id: int
    alert_id: int | None
    event: str
    notification: Notification
    state: str
    created_ms: int
    due_ms: int
    attempts: int
    delivered_ms: int | None
    last_error: str


class Attempt(NamedTuple):
    """One try to deliver a message. What the receiver answered is never kept, only that and how it answered."""

    at_ms: int
    took_ms: int
    ok: bool
    status: int | None
    detail: str


class Backlog(NamedTuple):
    """What is on its way."""

    waiting: int
    dead: int
    oldest_ms: int | None  # when the oldest waiting message was written


def post(
    connection: Connection, messages: Sequence[tuple[int, Notification]], *, now_ms: int, held_until_ms: int = 0
) -> list[int]:
    """Write messages – channel and what to tell – in the caller's transaction; returns their ids, in order.

    With `held_until_ms` they are claimed already.
    """
    rows = [
        {
            "message_id": f"msg_{uuid.uuid4().hex}",
            "channel_id": channel_id,
            "alert_id": None if told.event == TEST else told.alert_id,
            "event": told.event,
            "body": told.to_json(),
            "state": WAITING,
            "created_ms": now_ms,
            "due_ms": now_ms,
            "lease_ms": held_until_ms,
            "attempts": 0,
            "last_error": "",
        }
        for channel_id, told in messages
    ]
    if not rows:
        return []
    statement = insert(outbox).returning(outbox.c.id, sort_by_parameter_order=True)
    return [int(row_id) for row_id in connection.scalars(statement, rows)]


def lease(
    connection: Connection, *, now_ms: int, lease_ms: int, limit: int, not_channels: Collection[int] = ()
) -> list[Message]:
    """Claim messages that are due, the oldest first, until `now_ms + lease_ms`."""
    earlier = outbox.alias("earlier")
    blocked = exists().where(
        earlier.c.channel_id == outbox.c.channel_id,
        earlier.c.alert_id == outbox.c.alert_id,
        earlier.c.id < outbox.c.id,
        earlier.c.state == WAITING,
    )
    query = (
        select(outbox)
        .where(outbox.c.state == WAITING, outbox.c.due_ms <= now_ms, outbox.c.lease_ms <= now_ms, ~blocked)
        .order_by(outbox.c.due_ms, outbox.c.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    if not_channels:
        query = query.where(outbox.c.channel_id.not_in(not_channels))
    found = [_message(row) for row in connection.execute(query)]
    if found:
        claimed = outbox.c.id.in_([one.id for one in found])
        connection.execute(update(outbox).where(claimed).values(lease_ms=now_ms + lease_ms))
    return found


def settle(connection: Connection, message: Message, attempt: Attempt, *, retry_at_ms: int | None) -> None:
    """Keep how an attempt went: delivered, to be tried again at `retry_at_ms`, or given up when that is None."""
    connection.execute(insert(delivery).values(outbox_id=message.id, **_logged(attempt)))
    values: dict[str, Any] = {"attempts": message.attempts + 1, "lease_ms": 0}
    if attempt.ok:
        values |= {"state": DELIVERED, "delivered_ms": attempt.at_ms + attempt.took_ms, "last_error": "", "wording": ""}
    elif retry_at_ms is None:
        values |= {"state": DEAD, **wording.apart(attempt.detail, "last_error")}
    else:
        values |= {"due_ms": retry_at_ms, **wording.apart(attempt.detail, "last_error")}
    connection.execute(update(outbox).where(outbox.c.id == message.id).values(**values))


def _logged(attempt: Attempt) -> dict[str, Any]:
    return attempt._asdict() | wording.apart(attempt.detail, "detail")


def revive(connection: Connection, outbox_id: int, *, now_ms: int) -> bool:
    """Try a given-up message again, from the start of its patience; False when it is not given up."""
    done = connection.execute(
        update(outbox)
        .where(outbox.c.id == outbox_id, outbox.c.state == DEAD)
        .values(state=WAITING, due_ms=now_ms, created_ms=now_ms, attempts=0)
    )
    return bool(done.rowcount)


def dismiss(connection: Connection, outbox_id: int) -> bool:
    """Let a given-up message be: somebody knows and wants no more of it; False when it is not given up."""
    given_up = (outbox.c.id == outbox_id) & (outbox.c.state == DEAD)
    return bool(connection.execute(update(outbox).where(given_up).values(state=DISMISSED)).rowcount)


def forget(connection: Connection, *, before_ms: int) -> int:
    """Delete what was delivered before then, or written before and dismissed, or a test that failed, with its log.

    Returns how many. Dead letters stay.
    """
    delivered = (outbox.c.state == DELIVERED) & (outbox.c.delivered_ms < before_ms)
    is_settled = (outbox.c.state == DISMISSED) | ((outbox.c.state == DEAD) & (outbox.c.event == TEST))
    old = delivered | (is_settled & (outbox.c.created_ms < before_ms))
    connection.execute(delete(delivery).where(delivery.c.outbox_id.in_(select(outbox.c.id).where(old))))
    return connection.execute(delete(outbox).where(old)).rowcount


def told(connection: Connection, alert_ids: Collection[int], event: str) -> set[tuple[int, int]]:
    """(alert, channel) pairs for which there is a message of that event, whatever became of it."""
    found: set[tuple[int, int]] = set()
    wanted = sorted(alert_ids)
    for start in range(0, len(wanted), IDS_AT_ONCE):
        query = select(outbox.c.alert_id, outbox.c.channel_id).where(
            outbox.c.alert_id.in_(wanted[start : start + IDS_AT_ONCE]), outbox.c.event == event
        )
        found |= {(alert_id, channel_id) for alert_id, channel_id in connection.execute(query)}
    return found


def next_due_ms(connection: Connection) -> int | None:
    """When the next waiting message can be claimed; None when none waits."""
    later = (
        func.max(outbox.c.due_ms, outbox.c.lease_ms)
        if connection.dialect.name == "sqlite"
        else func.greatest(outbox.c.due_ms, outbox.c.lease_ms)
    )
    return connection.execute(select(func.min(later)).where(outbox.c.state == WAITING)).scalar()


def backlog(connection: Connection) -> Backlog:
    """How many wait, how many were given up, and how long the oldest waits; a test that failed told nobody less."""
    query = select(outbox.c.state, func.count(), func.min(outbox.c.created_ms)).where(
        outbox.c.state.in_((WAITING, DEAD)), outbox.c.event != TEST
    )
    found = {state: (count, oldest) for state, count, oldest in connection.execute(query.group_by(outbox.c.state))}
    waiting, oldest_ms = found.get(WAITING, (0, None))
    return Backlog(waiting, found.get(DEAD, (0, None))[0], oldest_ms)


def given_up(connection: Connection) -> dict[int, int]:
    """Channel → how many notifications to it were given up and are neither sent again nor dismissed."""
    query = select(outbox.c.channel_id, func.count()).where(outbox.c.state == DEAD, outbox.c.event != TEST)
    found = connection.execute(query.group_by(outbox.c.channel_id))
    return {int(channel_id): int(count) for channel_id, count in found}


def messages(
    connection: Connection,
    *,
    state: str | None = None,
    alert_id: int | None = None,
    channel_id: int | None = None,
    offset: int = 0,
    limit: int = 100,
) -> list[Message]:
    """Messages, the newest first, narrowed as asked; dead letters are those in state `dead`."""
    wanted: list[tuple[ColumnElement[Any], Any]] = [
        (outbox.c.state, state),
        (outbox.c.alert_id, alert_id),
        (outbox.c.channel_id, channel_id),
    ]
    query: Select[Any] = select(outbox)
    for column, value in wanted:
        if value is not None:
            query = query.where(column == value)
    return [_message(row) for row in connection.execute(query.order_by(outbox.c.id.desc()).offset(offset).limit(limit))]


def get(connection: Connection, outbox_id: int) -> Message | None:
    """The message of that id."""
    row = connection.execute(select(outbox).where(outbox.c.id == outbox_id)).first()
    return None if row is None else _message(row)


def attempts(connection: Connection, outbox_id: int) -> Sequence[Attempt]:
    """The delivery log of one message, in order."""
    query = select(delivery).where(delivery.c.outbox_id == outbox_id).order_by(delivery.c.id)
    return [
        Attempt(row.at_ms, row.took_ms, row.ok, row.status, wording.together(row.detail, row.wording))
        for row in connection.execute(query)
    ]


def _message(row: Row[Any]) -> Message:
    return Message(
        row.id,
        row.message_id,
        row.channel_id,
        row.alert_id,
        row.event,
        Notification.from_json(row.body),
        row.state,
        row.created_ms,
        row.due_ms,
        row.attempts,
        row.delivered_ms,
        wording.together(row.last_error, row.wording),
    )
