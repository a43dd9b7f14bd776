"""Documents: structured observations that are no numbers. The newest of each kind per host, and a day of processes.

Keeps the JSON as it came; what is in it is known to whoever shows it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sqlalchemy import Connection, delete, func, insert, select

from collector.domain.sample import Accepted, Document
from collector.store import schema

DOCUMENT = schema.document
HISTORY_MS = {"processes": 24 * 3600 * 1000}
"""How long older documents of a kind are kept; of all other kinds only the newest is."""
KIND_LENGTH = 32
REFUSED_CHECKS = "refused_checks"
"""Which checks of the agent's own file could not be taken, and why. Ours: it is not an agent's to send."""


class Documents:
    """Takes documents from ingest."""

    name = "documents"

    def absorb(self, connection: Connection, accepted: Sequence[Accepted]) -> Callable[[], None]:
        """Store the documents of some batches."""
        for batch in accepted:
            for document in batch.documents:
                if document.kind == REFUSED_CHECKS:
                    continue
                put(connection, batch.host_id, document)
        return _nothing


def put(connection: Connection, host_id: int, document: Document) -> None:
    """Store one document; an older one of a kind without history never replaces a newer one."""
    kind = document.kind[:KIND_LENGTH]
    same = (DOCUMENT.c.host_id == host_id) & (DOCUMENT.c.kind == kind)
    newest = connection.scalar(select(func.max(DOCUMENT.c.wall_ms)).where(same))
    keep_ms = HISTORY_MS.get(kind, 0)
    if newest is not None and document.wall_ms < newest - keep_ms:
        return
    horizon_ms = max(document.wall_ms, newest or 0) - keep_ms
    connection.execute(delete(DOCUMENT).where(same, DOCUMENT.c.wall_ms < horizon_ms))
    connection.execute(delete(DOCUMENT).where(same, DOCUMENT.c.wall_ms == document.wall_ms))
    connection.execute(
        insert(DOCUMENT).values(host_id=host_id, kind=kind, wall_ms=document.wall_ms, body=document.body)
    )


def latest(connection: Connection, host_id: int, kind: str, *, at_ms: int | None = None) -> Document | None:
    """The newest document of a kind, or the newest at or before `at_ms`."""
    statement = select(DOCUMENT).where(DOCUMENT.c.host_id == host_id, DOCUMENT.c.kind == kind)
    if at_ms is not None:
        statement = statement.where(DOCUMENT.c.wall_ms <= at_ms)
    row = connection.execute(statement.order_by(DOCUMENT.c.wall_ms.desc()).limit(1)).first()
    return None if row is None else Document(row.kind, row.wall_ms, bytes(row.body))


def times(connection: Connection, host_id: int, kind: str, *, since_ms: int, until_ms: int) -> list[int]:
    """When documents of a kind were seen, ascending, `since_ms` inclusive, `until_ms` exclusive."""
    statement = select(DOCUMENT.c.wall_ms).where(
        DOCUMENT.c.host_id == host_id,
        DOCUMENT.c.kind == kind,
        DOCUMENT.c.wall_ms >= since_ms,
        DOCUMENT.c.wall_ms < until_ms,
    )
    return list(connection.scalars(statement.order_by(DOCUMENT.c.wall_ms)))


def _nothing() -> None:
    return
