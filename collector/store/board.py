"""What pages show of hosts, checks and services side by side: records joined with what is known of them at present.

Reads only, and decides one thing: the state of a host as a whole, which is the worst of its checks unless its agent is
silent. Figures of availability are `store.sla`'s.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Join, Table, case, func, select

from collector.domain.sample import State
from collector.domain.tree import named
from collector.store import agents, registers, status, wording
from collector.store.agents import AgentRecord
from collector.store.schema import register_tables, status_now

WATCHED, PAUSED = "active", "paused"
UP = State.UP.word


@dataclass(frozen=True, slots=True)
class CheckLine:
    """A check and its present state."""

    id: int
    key: str
    name: str
    host_id: int
    host_key: str
    kind: str
    state: str  # up, degraded, down, unknown, paused
    since_ms: int | None
    reason: str
    origin: str
    interval_seconds: float
    options: Mapping[str, Any] = field(default_factory=dict)


class Trouble(NamedTuple):
    """A check that is not up, in short."""

    id: int
    host_id: int
    key: str
    name: str
    state: str  # down, degraded, unknown, paused
    since_ms: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class HostLine:
    """A host, its agent and its checks in short."""

    id: int
    key: str
    name: str
    site: str
    environment: str
    owner: str
    description: str
    labels: Mapping[str, str]
    state: str
    since_ms: int | None
    reason: str
    checks: Mapping[str, int]  # how many are in which state
    agent: AgentRecord | None


@dataclass(frozen=True, slots=True)
class ServiceLine:
    """A service and its present state."""

    id: int
    key: str
    name: str
    name_id: str
    description: str
    description_id: str
    owner: str
    criticality: str
    phase: str  # of its life: idea … live … retired
    members: tuple[int, ...]
    state: str
    since_ms: int | None
    reason: str


def check_lines(
    connection: Connection, *, ids: Collection[int] | None = None, host_id: int | None = None
) -> list[CheckLine]:
    """Every check that is not retired, those with `ids` or those of one host: the worst first, then by key."""
    if ids is not None:
        records = registers.some_of(connection, "check", "id", ids)
    elif host_id is not None:
        records = registers.some_of(connection, "check", "host", [host_id])
    else:
        records = registers.all_of(connection, "check")
    records = [one for one in records if one.state != "retired"]
    now = status.present(connection, "check", [one.id for one in records])
    hosts = registers.keys_of(connection, "host", {one.host for one in records})
    lines = [_check_line(one, now.get(one.id), hosts.get(one.host, "")) for one in records]
    return sorted(lines, key=lambda line: (-_rank(line.state), line.key))


def check_counts(connection: Connection) -> dict[int, Counter[str]]:
    """Host → how many of its checks are in which state; counted by the database, as there may be thousands."""
    check, state = _watched_checks()
    query = select(check.c.host, state, func.count()).select_from(_with_status(check)).where(check.c.state != "retired")
    found: dict[int, Counter[str]] = {}
    for host_id, word, count in connection.execute(query.group_by(check.c.host, state)):
        found.setdefault(host_id, Counter())[word] = count
    return found


def trouble(connection: Connection) -> list[Trouble]:
    """Every check that is watched and not up: the worst first, then by key."""
    check, state = _watched_checks()
    columns = (
        check.c.id,
        check.c.host,
        check.c.key,
        check.c.name,
        state,
        status_now.c.since_ms,
        status_now.c.reason,
        status_now.c.wording,
    )
    query = select(*columns).select_from(_with_status(check)).where(check.c.state != "retired", state != UP)
    found = [
        Trouble(check_id, host_id, key, name or key, word, since_ms, wording.together(reason or "", parts or ""))
        for check_id, host_id, key, name, word, since_ms, reason, parts in connection.execute(query)
    ]
    return sorted(found, key=lambda one: (-_rank(one.state), one.key))


def _watched_checks() -> tuple[Table, ColumnElement[str]]:
    """The checks, and the word for the state that one is in."""
    check = register_tables["check"]
    known = func.coalesce(status_now.c.state, State.UNKNOWN.word)
    return check, case((check.c.state == PAUSED, PAUSED), else_=known)


def _with_status(check: Table) -> Join:
    return check.outerjoin(status_now, (status_now.c.subject == "check") & (status_now.c.subject_id == check.c.id))


def _check_line(record: Any, now: status.Now | None, host_key: str) -> CheckLine:
    paused = record.state == PAUSED
    return CheckLine(
        record.id,
        record.key,
        record.name or record.key,
        record.host,
        host_key,
        record.kind,
        PAUSED if paused else now.state.word if now else State.UNKNOWN.word,
        now.since_ms if now else None,
        now.reason if now else "",
        record.origin,
        record.interval_seconds,
        record.options,
    )


def host_lines(connection: Connection) -> list[HostLine]:
    """Every watched host: the worst first, then by key."""
    records = registers.all_of(connection, "host", WATCHED)
    now = status.present(connection, "host")
    newest = newest_agents(agents.list_agents(connection))
    counts = check_counts(connection)
    worst: dict[int, Trouble] = {}
    for one in trouble(connection):
        worst.setdefault(one.host_id, one)
    lines = [
        _host_line(one, now.get(one.id), newest.get(one.id), counts.get(one.id, {}), worst.get(one.id))
        for one in records
    ]
    return sorted(lines, key=lambda line: (-_rank(line.state), line.key))


def host_line(connection: Connection, record: Any, checks: Sequence[CheckLine]) -> HostLine:
    """One host, watched or not; `checks` are its own, the worst first."""
    now = status.present(connection, "host", [record.id]).get(record.id)
    agent = newest_agents(agents.list_agents(connection, host_id=record.id)).get(record.id)
    return _host_line(record, now, agent, Counter(line.state for line in checks), next(iter(checks), None))


def newest_agents(found: Iterable[AgentRecord]) -> dict[int, AgentRecord]:
    """The agent of each host: of several the one that is active, then the one heard last."""
    newest: dict[int, AgentRecord] = {}
    for one in sorted(found, key=lambda one: (one.status == agents.ACTIVE, one.last_seen_ms or 0)):
        newest[one.host_id] = one
    return newest


def _host_line(
    record: Any,
    now: status.Now | None,
    agent: AgentRecord | None,
    counts: Mapping[str, int],
    worst: CheckLine | Trouble | None,
) -> HostLine:
    state, since_ms, reason = (now.state.word, now.since_ms, now.reason) if now else (State.UNKNOWN.word, None, "")
    if state != State.UNKNOWN.word and worst is not None and _rank(worst.state) > _rank(state):
        state, since_ms, reason = worst.state, worst.since_ms, named(worst.name, worst.reason)
    return HostLine(
        record.id,
        record.key,
        record.name or record.key,
        record.site,
        record.environment,
        record.owner,
        record.description,
        record.labels,
        state,
        since_ms,
        reason,
        counts,
        agent,
    )


def service_lines(connection: Connection) -> list[ServiceLine]:
    """Every service that is measured or in operation: the worst first, then by name."""
    closed = ("retired", "rejected", "cancelled")
    records = [one for one in registers.all_of(connection, "service") if one.state not in closed]
    now = status.present(connection, "service", [one.id for one in records])
    lines = [service_line(one, now.get(one.id)) for one in records]
    return sorted(lines, key=lambda line: (-_rank(line.state), line.name.lower()))


def service_line(record: Any, now: status.Now | None) -> ServiceLine:
    """One service with what is known of it."""
    return ServiceLine(
        record.id,
        record.key,
        record.name or record.key,
        record.name_id,
        record.description,
        record.description_id,
        record.owner,
        record.criticality,
        record.state,
        tuple(record.members),
        now.state.word if now else State.UNKNOWN.word,
        now.since_ms if now else None,
        now.reason if now else "",
    )


_RANKS = {"down": 4, "degraded": 3, "unknown": 2, "paused": 1, "up": 0}


def _rank(state: str) -> int:
    return _RANKS.get(state, 0)


def subject_names(connection: Connection, found: Iterable[status.Transition]) -> dict[tuple[str, int], tuple[str, str]]:
    """(subject, id) → key and name of what some transitions are about."""
    wanted: dict[str, set[int]] = {}
    for one in found:
        wanted.setdefault(one.subject, set()).add(one.subject_id)
    names: dict[tuple[str, int], tuple[str, str]] = {}
    for subject, ids in wanted.items():
        for record in registers.some_of(connection, subject, "id", ids):
            names[subject, record.id] = (record.key, record.name or record.key)
    return names
