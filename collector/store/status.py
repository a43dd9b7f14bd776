"""The record of status: runs of evidence per check, transitions as they became known, and the present.

Rows in, domain values out. What a result means is decided in `domain.status`; who is told, elsewhere.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, bindparam, delete, func, insert, or_, select, tuple_, update

from collector.domain.interval import Span
from collector.domain.sample import Result, State
from collector.domain.status import Evidence, Hole, Run, evidence
from collector.domain.status import insert as inserted
from collector.domain.status import lose as without
from collector.store import wording
from collector.store.schema import agent, check_binding, status_now, status_span, transition

IDS_AT_ONCE = 500
"""SQLite takes a bounded number of parameters in one statement."""
FOR_EVER_MS = 1 << 62
STATES: Mapping[str, State] = {state.word: state for state in State}


class Now(NamedTuple):
    """What is known of one subject at present."""

    state: State
    since_ms: int  # when it became so
    known_ms: int  # when we came to know
    reason: str


class Transition(NamedTuple):
    """A change of state as it became known."""

    subject: str  # check, host, service
    subject_id: int
    at_ms: int
    known_ms: int
    before: State
    after: State
    reason: str
    id: int = 0


class Heard(NamedTuple):
    """When a host's agent was last heard, why it left if it said so, and whether it takes checks from here."""

    host_id: int
    last_seen_ms: int
    goodbye: str
    accepts_checks: bool  # True until it has said so


def bindings(connection: Connection, agent_ids: Collection[str]) -> dict[tuple[str, str], int]:
    """(agent, check id on the wire) → check, for the agents given."""
    found: dict[tuple[str, str], int] = {}
    for some in _slices(sorted(agent_ids)):
        query = select(check_binding.c.agent_id, check_binding.c.wire_id, check_binding.c.check_id)
        for agent_id, wire_id, check_id in connection.execute(query.where(check_binding.c.agent_id.in_(some))):
            found[agent_id, wire_id] = check_id
    return found


def bind(connection: Connection, agent_id: str, wire_id: str, *, check_id: int) -> None:
    """Say which check an agent means by `wire_id`, from now on."""
    key = (check_binding.c.agent_id == agent_id) & (check_binding.c.wire_id == wire_id)
    if connection.execute(update(check_binding).where(key).values(check_id=check_id)).rowcount == 0:
        connection.execute(insert(check_binding).values(agent_id=agent_id, wire_id=wire_id, check_id=check_id))


def absorb(connection: Connection, results: Iterable[tuple[int, Result]], *, known_ms: int) -> dict[int, Run]:
    """Make results part of the record, in any order of time.

    Args:
        connection: In a transaction.
        results: Check and what one run of it found.
        known_ms: When they arrived.

    Returns:
        The newest run of each check.
    """
    fresh: dict[int, list[Evidence]] = {}
    for check_id, result in results:
        fresh.setdefault(check_id, []).append(evidence(result))
    if not fresh:
        return {}
    # One more millisecond on both sides, so that runs which merely touch are found and joined.
    since_ms = min(one.since_ms for some in fresh.values() for one in some) - 1
    before = _newest_runs(connection, fresh, since_ms)
    after: dict[int, list[Run]] = {}
    for check_id, some in fresh.items():
        runs: list[Run] = before.get(check_id, [])
        for one in sorted(some, key=lambda one: one.at_ms):
            runs = inserted(runs, one, known_ms=known_ms)
        after[check_id] = runs
    _replace(connection, before, after)
    return {check_id: max(runs, key=lambda run: run.last_ms) for check_id, runs in after.items()}


def _newest_runs(connection: Connection, check_ids: Iterable[int], since_ms: int) -> dict[int, list[Run]]:
    """The runs that end at `since_ms` or later."""
    found: dict[int, list[Run]] = {}
    for some in _slices(sorted(check_ids)):
        query = select(status_span).where(status_span.c.check_id.in_(some), status_span.c.until_ms >= since_ms)
        for row in connection.execute(query.order_by(status_span.c.check_id, status_span.c.until_ms)):
            found.setdefault(row.check_id, []).append(_run(row))
    return found


def _run(row: Row[Any]) -> Run:
    reason = wording.together(row.reason, row.wording)
    holes = tuple(Hole(*one) for one in json.loads(row.holes))
    span = (row.since_ms, row.until_ms, row.first_ms, row.last_ms)
    return Run(*span, STATES[row.state], reason, row.known_ms, row.id, holes)


def _replace(connection: Connection, before: Mapping[int, Sequence[Run]], after: Mapping[int, Sequence[Run]]) -> None:
    new: list[dict[str, Any]] = []
    changed: list[dict[str, Any]] = []
    gone: set[int | None] = set()
    for check_id, runs in after.items():
        known = {run.id: run for run in before.get(check_id, ())}
        gone |= known.keys() - {run.id for run in runs}
        for run in runs:
            if run.id is None:
                new.append({"check_id": check_id, **_columns(run)})
            elif run != known[run.id]:
                changed.append({"row": run.id, **_columns(run)})
    for some in _slices(sorted(one for one in gone if one is not None)):
        connection.execute(delete(status_span).where(status_span.c.id.in_(some)))
    if changed:
        connection.execute(update(status_span).where(status_span.c.id == bindparam("row")), changed)
    if new:
        connection.execute(insert(status_span), new)


def _columns(run: Run) -> dict[str, Any]:
    columns = run._asdict()
    del columns["id"]
    return columns | {"state": run.state.word, "holes": json.dumps(run.holes)} | wording.apart(run.reason)


def lose(connection: Connection, agent_id: str, lost: Span) -> None:
    """Take back what would stand for results of an agent's checks that are known to be lost."""
    named = select(check_binding.c.check_id).where(check_binding.c.agent_id == agent_id)
    before = runs(connection, set(connection.scalars(named)), Span(lost.since_ms - 1, FOR_EVER_MS))
    _replace(connection, before, {check_id: without(some, lost) for check_id, some in before.items()})


def end(connection: Connection, check_id: int, *, at_ms: int) -> None:
    """Let the evidence of a check reach no further than `at_ms`: from then on nobody looks."""
    before = runs(connection, [check_id], Span(at_ms, FOR_EVER_MS))
    after = {
        one: [run._replace(until_ms=min(run.until_ms, at_ms)) for run in some if run.since_ms < at_ms]
        for one, some in before.items()
    }
    _replace(connection, before, after)


def runs(connection: Connection, check_ids: Collection[int], span: Span) -> dict[int, list[Run]]:
    """The runs of each check that touch `span`, in order of time; every check has an entry."""
    found: dict[int, list[Run]] = {check_id: [] for check_id in check_ids}
    for some in _slices(sorted(check_ids)):
        query = select(status_span).where(
            status_span.c.check_id.in_(some),
            status_span.c.until_ms > span.since_ms,
            status_span.c.since_ms < span.until_ms,
        )
        for row in connection.execute(query.order_by(status_span.c.check_id, status_span.c.until_ms)):
            found[row.check_id].append(_run(row))
    return found


def reaches(connection: Connection) -> dict[int, int]:
    """How far the evidence of each check reaches that is not unknown now."""
    ids = [subject_id for subject_id, now in present(connection, "check").items() if now.state is not State.UNKNOWN]
    found = dict.fromkeys(ids, 0)
    for some in _slices(ids):
        query = select(status_span.c.check_id, func.max(status_span.c.until_ms)).where(status_span.c.check_id.in_(some))
        for check_id, until_ms in connection.execute(query.group_by(status_span.c.check_id)):
            found[check_id] = until_ms
    return found


def present(connection: Connection, subject: str, ids: Collection[int] | None = None) -> dict[int, Now]:
    """What is known of subjects of one kind: check, host or service; those never heard of are missing."""
    query = select(status_now).where(status_now.c.subject == subject)
    found: dict[int, Now] = {}
    for some in _slices(sorted(ids)) if ids is not None else (None,):
        rows = connection.execute(query if some is None else query.where(status_now.c.subject_id.in_(some)))
        for row in rows:
            found[row.subject_id] = Now(
                STATES[row.state], row.since_ms, row.known_ms, wording.together(row.reason, row.wording)
            )
    return found


def record(connection: Connection, changes: Sequence[Transition]) -> None:
    """Append transitions, in order of time, and make the last of each subject the present."""
    if not changes:
        return
    rows = [
        one._asdict() | {"before": one.before.word, "after": one.after.word, **wording.apart(one.reason)}
        for one in changes
    ]
    for row in rows:
        del row["id"]
    connection.execute(insert(transition), rows)
    last = {(row["subject"], row["subject_id"]): row for row in rows}
    for some in _slices(last):
        connection.execute(delete(status_now).where(tuple_(status_now.c.subject, status_now.c.subject_id).in_(some)))
    connection.execute(
        insert(status_now),
        [
            {
                "subject": row["subject"],
                "subject_id": row["subject_id"],
                "state": row["after"],
                "since_ms": row["at_ms"],
                "known_ms": row["known_ms"],
                "reason": row["reason"],
                "wording": row["wording"],
            }
            for row in last.values()
        ],
    )


def remember(connection: Connection, subject: str, present: Mapping[int, Now]) -> None:
    """Keep a newer reason, and what is known of subjects that had nothing on record; no state changes by it."""
    key = (status_now.c.subject == subject) & (status_now.c.subject_id == bindparam("id"))
    rows = {
        subject_id: {"state": now.state.word, "since_ms": now.since_ms, "known_ms": now.known_ms}
        | wording.apart(now.reason)
        for subject_id, now in present.items()
    }
    known: set[int] = set()
    for some in _slices(sorted(rows)):
        query = select(status_now.c.subject_id).where(
            status_now.c.subject == subject, status_now.c.subject_id.in_(some)
        )
        known |= set(connection.scalars(query))
    changed = [{"id": subject_id, "said": row["reason"], "parts": row["wording"]} for subject_id, row in rows.items()]
    if changed := [row for row in changed if row["id"] in known]:
        newer = update(status_now).where(key).values(reason=bindparam("said"), wording=bindparam("parts"))
        connection.execute(newer, changed)
    new = [{"subject": subject, "subject_id": one, **row} for one, row in rows.items() if one not in known]
    if new:
        connection.execute(insert(status_now), new)


def transitions(
    connection: Connection,
    *,
    subject: str | None = None,
    subject_id: int | None = None,
    since_ms: int = 0,
    limit: int = 100,
    first_contacts: bool = True,
) -> list[Transition]:
    """The newest changes first; of one kind or one subject where named.

    Without `first_contacts`, that a host was heard for the first time is left out: new is not what changed.
    """
    query = select(transition).where(transition.c.at_ms >= since_ms)
    if subject is not None:
        query = query.where(transition.c.subject == subject)
    if subject_id is not None:
        query = query.where(transition.c.subject_id == subject_id)
    if not first_contacts:
        older = transition.alias()
        known = select(older.c.id).where(
            older.c.subject == transition.c.subject,
            older.c.subject_id == transition.c.subject_id,
            older.c.at_ms < transition.c.at_ms,
        )
        query = query.where(or_(transition.c.subject != "host", known.exists()))
    rows = connection.execute(query.order_by(transition.c.at_ms.desc(), transition.c.id.desc()).limit(limit))
    return [
        Transition(
            row.subject,
            row.subject_id,
            row.at_ms,
            row.known_ms,
            STATES[row.before],
            STATES[row.after],
            wording.together(row.reason, row.wording),
            row.id,
        )
        for row in rows
    ]


def heard(connection: Connection) -> list[Heard]:
    """Each host that has an active agent, with the last sign of life."""
    query = select(agent.c.host_id, agent.c.last_seen_ms, agent.c.goodbye, agent.c.enrolled_ms, agent.c.accepts_checks)
    newest: dict[int, Heard] = {}
    for row in connection.execute(query.where(agent.c.status == "active")):
        seen_ms = row.last_seen_ms or row.enrolled_ms
        if row.host_id not in newest or newest[row.host_id].last_seen_ms < seen_ms:
            newest[row.host_id] = Heard(
                row.host_id, seen_ms, row.goodbye, row.accepts_checks or row.last_seen_ms is None
            )
    return list(newest.values())


def _slices(items: Iterable[Any]) -> Iterator[list[Any]]:
    some = list(items)
    for start in range(0, len(some), IDS_AT_ONCE):
        yield some[start : start + IDS_AT_ONCE]
