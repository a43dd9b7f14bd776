"""What people on call do about an alert: say that they take care of it.

Sending its messages, and sending given-up ones again, is `flows.deliver`'s work.
"""

from __future__ import annotations

from collector.domain.errors import Conflict, NotFound
from collector.store import alerts
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
