"""What people on call do about an alert: say that they take care of it.

Sending its messages, and sending given-up ones again, is `flows.deliver`'s work.
"""

from __future__ import annotations

from collector.domain.errors import Conflict
from collector.store import alerts
from collector.store.database import Database


async def take(db: Database, alert_id: int, *, who: str, now_ms: int) -> None:
    """Note that `who` takes care of a firing alert.

    Raises:
        Conflict: It is over, or somebody takes care of it already.
    """
    if not await db.write(lambda connection: alerts.acknowledge(connection, alert_id, who=who, now_ms=now_ms)):
        raise Conflict("This alert is over, or somebody takes care of it already.", hint="Load its page again.")
