"""Change history: what was changed, by whom, from what to what and why. Rows are only ever added.

Gets the difference ready made, with secrets already masked.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy import Connection, insert, select

from collector.store.schema import change

WHY_CHARACTERS = 500


class Recorded(Protocol):
    """What has a history: a record of a register, or an account."""

    @property
    def id(self) -> int: ...
    @property
    def key(self) -> str: ...
    @property
    def version(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Change:
    """One change: create, edit, delete or a transition. `before` and `after` hold the changed fields only."""

    id: int
    at_ms: int
    who: str
    register: str
    record_id: int
    record_key: str
    version: int
    action: str
    before: Mapping[str, Any]
    after: Mapping[str, Any]
    why: str


def append(
    connection: Connection,
    record: Recorded,
    *,
    register: str,
    action: str,
    who: str,
    at_ms: int,
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    why: str = "",
) -> None:
    """Add one change of `record`, which is the record after it (for a deletion, the last there was)."""
    connection.execute(
        insert(change).values(
            at_ms=at_ms,
            who=who,
            register=register,
            record_id=record.id,
            record_key=record.key,
            version=record.version,
            action=action,
            before=json.dumps(before, ensure_ascii=False, sort_keys=True),
            after=json.dumps(after, ensure_ascii=False, sort_keys=True),
            why=why[:WHY_CHARACTERS],
        )
    )


def history(
    connection: Connection,
    register: str = "",
    *,
    record_id: int | None = None,
    most: int = 100,
    before_id: int = 0,
    without: str = "",
) -> list[Change]:
    """Changes, newest first: of one record, of one register, or of everything but `without`; older than `before_id`."""
    query = select(change).order_by(change.c.id.desc()).limit(most)
    if register:
        query = query.where(change.c.register == register)
    if without:
        query = query.where(change.c.register != without)
    if record_id is not None:
        query = query.where(change.c.record_id == record_id)
    if before_id:
        query = query.where(change.c.id < before_id)
    rows = connection.execute(query).mappings()
    return [Change(**{**row, "before": json.loads(row["before"]), "after": json.loads(row["after"])}) for row in rows]
