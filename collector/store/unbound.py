"""Results of checks that the register does not know yet: acknowledged, so they are on disk until it does.

Rows in, domain values out. Which check is meant is found out in `flows.bindings`.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, delete, insert, select, tuple_

from collector.domain.sample import Result, State
from collector.store import schema, wording

UNBOUND = schema.unbound_result

PAIRS_AT_ONCE = 400
"""SQLite takes a bounded number of parameters in one statement."""
Pair = tuple[str, str]  # agent, check id on the wire


class Unbound(NamedTuple):
    """A result whose check is not in the register yet, with who sent it, when and how."""

    agent_id: str
    host_id: int
    result: Result
    live: bool
    received_ms: int

    @property
    def pair(self) -> Pair:
        """Who means which check."""
        return self.agent_id, self.result.wire_id


def pairs(connection: Connection) -> dict[Pair, int]:
    """Whose results of which checks wait → the agent's host."""
    query = select(UNBOUND.c.agent_id, UNBOUND.c.wire_id, UNBOUND.c.host_id).distinct()
    return {(row.agent_id, row.wire_id): row.host_id for row in connection.execute(query)}


def keep(connection: Connection, results: Sequence[Unbound], *, most: int) -> list[Unbound]:
    """Keep results, in their order; returns what had to go for them, the oldest of agents with more than `most`."""
    connection.execute(insert(UNBOUND), [_columns(one) for one in results])
    gone: list[Unbound] = []
    for agent_id in sorted({one.agent_id for one in results}):
        mine = UNBOUND.c.agent_id == agent_id
        oldest_first = select(UNBOUND.c.id).where(mine).order_by(UNBOUND.c.id.desc())
        if connection.scalar(oldest_first.limit(1).offset(most)) is None:
            continue
        # A tenth more than needed, so that the next result does not come to this again.
        last = connection.scalar(oldest_first.limit(1).offset(most - most // 10))
        gone += _removed(connection, mine & (UNBOUND.c.id <= last))
    return gone


def take(connection: Connection, wanted: Collection[Pair]) -> list[Unbound]:
    """Hand over what waits of these, oldest first: from now on it is the caller's."""
    found: list[Unbound] = []
    for some in _slices(sorted(wanted)):
        found += _removed(connection, tuple_(UNBOUND.c.agent_id, UNBOUND.c.wire_id).in_(some))
    return found


def expire(connection: Connection, *, before_ms: int) -> list[Unbound]:
    """Give up what came before `before_ms`, by our clock; returns it."""
    return _removed(connection, UNBOUND.c.received_ms < before_ms)


def _removed(connection: Connection, which: ColumnElement[bool]) -> list[Unbound]:
    rows = connection.execute(delete(UNBOUND).where(which).returning(UNBOUND)).all()
    return [_unbound(row._mapping) for row in sorted(rows, key=lambda row: row.id)]


def _columns(one: Unbound) -> dict[str, Any]:
    result = one.result._asdict() | wording.apart(one.result.reason)
    return {
        "agent_id": one.agent_id,
        "host_id": one.host_id,
        "wire_id": result.pop("wire_id"),
        "live": one.live,
        "received_ms": one.received_ms,
        "body": json.dumps(result),
    }


def _unbound(row: Mapping[Any, Any]) -> Unbound:
    result = json.loads(row["body"])
    reason = wording.together(result.pop("reason"), result.pop("wording"))
    state = State(result.pop("state"))
    made = Result(wire_id=row["wire_id"], state=state, reason=reason, **result)
    return Unbound(row["agent_id"], row["host_id"], made, row["live"], row["received_ms"])


def _slices(items: Sequence[Pair]) -> Iterator[Sequence[Pair]]:
    for start in range(0, len(items), PAIRS_AT_ONCE):
        yield items[start : start + PAIRS_AT_ONCE]
