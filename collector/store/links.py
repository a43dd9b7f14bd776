"""Lists of references in records: rows of their own, in order.

Knows nothing of the records besides their ids.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, delete, insert, select

from collector.domain.registers.base import Register
from collector.domain.registers.compound import Refs
from collector.store.schema import link

IDS_AT_ONCE = 500
"""SQLite takes a bounded number of parameters in one statement."""


def replace(connection: Connection, register: Register[Any], record_id: int, values: Mapping[str, Any]) -> None:
    """Keep what `values` lists instead of what a record listed before."""
    connection.execute(delete(link).where(link.c.register == register.name, link.c.record_id == record_id))
    rows = [
        {
            "register": register.name,
            "record_id": record_id,
            "field": spec.name,
            "target_id": target_id,
            "position": position,
            "target_register": target,
        }
        for spec, target in register.references
        if isinstance(spec.kind, Refs)
        for position, target_id in enumerate(values[spec.name])
    ]
    if rows:
        connection.execute(insert(link), rows)


def of(connection: Connection, register: Register[Any], ids: Sequence[int]) -> dict[tuple[int, str], list[int]]:
    """What records list, by record and field, in order."""
    linked: dict[tuple[int, str], list[int]] = {}
    for start in range(0, len(ids), IDS_AT_ONCE):
        rows = connection.execute(
            select(link.c.record_id, link.c.field, link.c.target_id)
            .where(link.c.register == register.name, link.c.record_id.in_(ids[start : start + IDS_AT_ONCE]))
            .order_by(link.c.record_id, link.c.field, link.c.position)
        )
        for record_id, name, target_id in rows:
            linked.setdefault((record_id, name), []).append(target_id)
    return linked
