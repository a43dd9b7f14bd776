"""Alerts as they stand and every event of their lives.

Rows in, values out. When an alert begins or ends is `domain.alert`'s decision; whom to tell is kept in `store.outbox`.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, bindparam, delete, func, insert, select, update

from collector.domain.alert import SEVERITIES, Alert, AlertState
from collector.store import wording
from collector.store.schema import alert as table
from collector.store.schema import alert_event

OPEN = (AlertState.PENDING.value, AlertState.FIRING.value)


@dataclass(frozen=True, slots=True)
class Kept:
    """An alert with what it is about; `id` is 0 until it is stored."""

    rule_id: int
    fingerprint: str
    subject: str  # host, check
    subject_id: int
    host_id: int | None
    severity: str
    labels: Mapping[str, str]
    alert: Alert
    annotations: Mapping[str, str] = field(default_factory=dict)
    id: int = 0
    acknowledged_ms: int | None = None
    acknowledged_by: str | None = None


class Event(NamedTuple):
    """Something that happened to an alert."""

    alert_id: int
    kind: str  # firing, resolved, acknowledged, frozen, undelivered, dismissed
    at_ms: int
    known_ms: int
    detail: str


def load_open(
    connection: Connection,
    *,
    rule_ids: Collection[int] | None = None,
    subject: str | None = None,
    subject_ids: Collection[int] | None = None,
    host_ids: Collection[int] | None = None,
) -> list[Kept]:
    """Pending and firing alerts, narrowed as asked."""
    query = select(table).where(table.c.state.in_(OPEN))
    for column, wanted in ((table.c.rule_id, rule_ids), (table.c.subject_id, subject_ids), (table.c.host_id, host_ids)):
        if wanted is not None:
            query = query.where(column.in_(wanted))
    if subject is not None:
        query = query.where(table.c.subject == subject)
    return [_kept(row) for row in connection.execute(query.order_by(table.c.id))]


def active(connection: Connection) -> list[Kept]:
    """Firing alerts, the most severe first, then the newest."""
    query = select(table).where(table.c.state == AlertState.FIRING.value).order_by(table.c.fired_ms.desc())
    found = [_kept(row) for row in connection.execute(query)]
    return sorted(found, key=lambda one: -SEVERITIES.index(one.severity))


def history(
    connection: Connection,
    *,
    since_ms: int = 0,
    host_id: int | None = None,
    severity: str | None = None,
    state: str | None = None,
    text: str = "",
    offset: int = 0,
    limit: int = 100,
) -> list[Kept]:
    """Alerts that fired, over or not, the newest first; every word of `text` in their labels or words, in any case."""
    query = select(table).where(table.c.fired_ms.is_not(None), table.c.fired_ms >= since_ms)
    for column, wanted in ((table.c.host_id, host_id), (table.c.severity, severity), (table.c.state, state)):
        if wanted is not None:
            query = query.where(column == wanted)
    for word in text.split():
        # As JSON spells it: both columns hold JSON.
        spelled = json.dumps(word.lower())[1:-1]
        said = func.lower(table.c.labels + " " + table.c.annotations)
        query = query.where(said.contains(spelled, autoescape=True))
    query = query.order_by(table.c.fired_ms.desc(), table.c.id.desc()).offset(offset).limit(limit)
    return [_kept(row) for row in connection.execute(query)]


def get(connection: Connection, alert_id: int) -> Kept | None:
    """The alert of that id."""
    row = connection.execute(select(table).where(table.c.id == alert_id)).first()
    return None if row is None else _kept(row)


def events(connection: Connection, alert_id: int) -> list[Event]:
    """What happened to an alert, in order."""
    query = select(alert_event).where(alert_event.c.alert_id == alert_id).order_by(alert_event.c.id)
    return [
        Event(row.alert_id, row.kind, row.at_ms, row.known_ms, wording.together(row.detail, row.wording))
        for row in connection.execute(query)
    ]


def counts(connection: Connection) -> dict[tuple[str, str], int]:
    """(state, severity) → how many alerts are open."""
    query = select(table.c.state, table.c.severity, func.count()).where(table.c.state.in_(OPEN))
    return {
        (state, severity): count
        for state, severity, count in connection.execute(query.group_by(table.c.state, table.c.severity))
    }


def begin(connection: Connection, kept: Sequence[Kept]) -> list[int]:
    """Keep new alerts; returns their ids, in order."""
    rows = [
        {
            "rule_id": one.rule_id,
            "fingerprint": one.fingerprint,
            "subject": one.subject,
            "subject_id": one.subject_id,
            "host_id": one.host_id,
            "severity": one.severity,
            "labels": json.dumps(dict(one.labels), sort_keys=True),
            "annotations": json.dumps(dict(one.annotations), sort_keys=True),
            **_columns(one.alert),
        }
        for one in kept
    ]
    if not rows:
        return []
    statement = insert(table).returning(table.c.id, sort_by_parameter_order=True)
    return [int(alert_id) for alert_id in connection.scalars(statement, rows)]


def save(connection: Connection, changed: Sequence[Kept]) -> None:
    """Keep how alerts stand now."""
    if changed:
        rows = [
            {
                "row": one.id,
                "words": json.dumps(dict(one.annotations), sort_keys=True),
                **{f"new_{name}": value for name, value in _columns(one.alert).items()},
            }
            for one in changed
        ]
        names = _columns(changed[0].alert)
        values: dict[str, Any] = {name: bindparam(f"new_{name}") for name in names}
        connection.execute(
            update(table).where(table.c.id == bindparam("row")).values(annotations=bindparam("words"), **values), rows
        )


def drop(connection: Connection, alert_ids: Iterable[int]) -> None:
    """Forget pending alerts that came to nothing; nobody was told of them."""
    connection.execute(delete(table).where(table.c.id.in_(list(alert_ids)), table.c.state == AlertState.PENDING.value))


def note(connection: Connection, happened: Sequence[Event]) -> None:
    """Append events."""
    if happened:
        rows = [one._asdict() | wording.apart(one.detail, "detail") for one in happened]
        connection.execute(insert(alert_event), rows)


def acknowledge(connection: Connection, alert_id: int, *, who: str, now_ms: int) -> bool:
    """Note who takes care of a firing alert; False when it is not firing or somebody already does."""
    done = connection.execute(
        update(table)
        .where(table.c.id == alert_id, table.c.state == AlertState.FIRING.value, table.c.acknowledged_ms.is_(None))
        .values(acknowledged_ms=now_ms, acknowledged_by=who)
    )
    if done.rowcount:
        note(connection, [Event(alert_id, "acknowledged", now_ms, now_ms, who)])
    return bool(done.rowcount)


def _columns(alert: Alert) -> dict[str, Any]:
    return {
        "state": alert.state.value,
        "value": alert.value,
        "pending_ms": alert.pending_ms,
        "fired_ms": alert.fired_ms,
        "resolved_ms": alert.resolved_ms,
        "last_ms": alert.last_ms,
        "hole_since_ms": alert.hole_since_ms,
        "hole_until_ms": alert.hole_until_ms,
        "heard_ms": alert.heard_ms,
        "step_ms": alert.step_ms,
        "reach_ms": alert.reach_ms,
    }


def _kept(row: Row[Any]) -> Kept:
    alert = Alert(
        AlertState(row.state),
        row.pending_ms,
        row.last_ms,
        row.value,
        row.fired_ms,
        row.resolved_ms,
        row.hole_since_ms,
        row.hole_until_ms,
        row.heard_ms,
        row.step_ms,
        row.reach_ms,
    )
    return Kept(
        row.rule_id,
        row.fingerprint,
        row.subject,
        row.subject_id,
        row.host_id,
        row.severity,
        json.loads(row.labels),
        alert,
        json.loads(row.annotations),
        row.id,
        row.acknowledged_ms,
        row.acknowledged_by,
    )
