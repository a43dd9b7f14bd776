"""What people on call do about an alert: say that they take care of it, and let a message be that reached nobody.

Sending its messages, and sending given-up ones again, is `flows.deliver`'s work.
"""

from __future__ import annotations

from collector.domain.errors import Conflict, NotFound
from collector.store import alerts, outbox
from collector.store.alerts import Event
from collector.store.database import Connection, Database


async def take(db: Database, alert_id: int, *, who: str, now_ms: int) -> None:
    """Note that `who` takes care of a firing alert.

    Raises:
        NotFound: There is no such alert.
        Conflict: It is over, or somebody takes care of it already.
    """

    def work(connection: Connection) -> bool:
        if alerts.get(connection, alert_id) is None:
            raise NotFound("There is no such alert.", hint="The history lists every alert that fired.")
        return alerts.acknowledge(connection, alert_id, who=who, now_ms=now_ms)

    if not await db.write(work):
        raise Conflict("This alert is over, or somebody takes care of it already.", hint="Load its page again.")


async def dismiss(db: Database, message_id: int, *, who: str, now_ms: int) -> None:
    """Note that `who` knows of a message that was given up and wants no more of it.

    Raises:
        NotFound: There is no such message.
        Conflict: It is on its way, was delivered, or was dismissed already.
    """

    def work(connection: Connection) -> bool:
        message = outbox.get(connection, message_id)
        if message is None:
            raise NotFound("There is no such message.")
        if not outbox.dismiss(connection, message_id):
            return False
        if message.alert_id is not None:
            detail = f"{who}: {message.event} {message.message_id}"
            alerts.note(connection, [Event(message.alert_id, "dismissed", now_ms, now_ms, detail)])
        return True

    if not await db.write(work):
        raise Conflict("This message was not given up.", hint="Load its page again.")
