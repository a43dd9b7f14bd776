"""What pages show of hosts, checks and services side by side: records joined with what is known of them at present.

Reads only, and decides nothing: a host's state is what its agent proves by being heard, and the worst of its checks
stands beside it. What a check looks at may be elsewhere, so that its trouble is not its host's. Figures of availability
are `store.sla`'s.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, Connection, Join, Table, case, func, select

from collector.domain.sample import State
from collector.store import agents, registers, status, wording
from collector.store.agents import AgentRecord
from collector.store.schema import register_tables, status_now

WATCHED, PAUSED = "active", "paused"
UP = State.UP.word
WORST_FIRST = (State.DOWN.word, State.DEGRADED.word, State.UNKNOWN.word, UP, PAUSED)
"""Every state that pages show of a check, in the order in which they matter."""


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
    created_ms: int
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Trouble:
    """A check that is watched and not up, in short."""

    id: int
    host_id: int
    key: str
    name: str
    state: str  # down, degraded, unknown
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
    state: str  # up: its agent is heard; unknown: it is silent, or was never heard
    since_ms: int | None
    reason: str
    checks: Mapping[str, int]  # how many are in which state
    worst: Trouble | None  # of its checks; None while none is in trouble
    agent: AgentRecord | None

    @property
    def gravity(self) -> tuple[int, int, str]:
        """Where it stands in a list with the worst first: by itself or its worst check, silent ones before others."""
        own = rank(self.state)
        return (min(own, rank(self.worst.state)) if self.worst else own, own, self.key)


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
    return sorted(lines, key=lambda line: (rank(line.state), line.key))


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
    query = select(*columns).select_from(_with_status(check)).where(check.c.state == WATCHED, state != UP)
    found = [
        Trouble(check_id, host_id, key, name or key, word, since_ms, wording.together(reason or "", parts or ""))
        for check_id, host_id, key, name, word, since_ms, reason, parts in connection.execute(query)
    ]
    return sorted(found, key=lambda one: (rank(one.state), one.key))


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
        (now.since_ms or None) if now else None,
        now.reason if now else "",
        record.origin,
        record.interval_seconds,
        record.created_ms,
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
    return sorted(lines, key=lambda line: line.gravity)


def host_line(connection: Connection, record: Any, checks: Sequence[CheckLine]) -> HostLine:
    """One host, watched or not; `checks` are its own, the worst first."""
    now = status.present(connection, "host", [record.id]).get(record.id)
    agent = newest_agents(agents.list_agents(connection, host_id=record.id)).get(record.id)
    counts = Counter(line.state for line in checks)
    return _host_line(record, now, agent, counts, next((_trouble(one) for one in checks if _is_trouble(one)), None))


def _is_trouble(line: CheckLine) -> bool:
    return line.state not in (UP, PAUSED)


def _trouble(line: CheckLine) -> Trouble:
    return Trouble(line.id, line.host_id, line.key, line.name, line.state, line.since_ms, line.reason)


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
    worst: Trouble | None,
) -> HostLine:
    state, since_ms, reason = (now.state.word, now.since_ms, now.reason) if now else (State.UNKNOWN.word, None, "")
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
        worst,
        agent,
    )


def service_lines(connection: Connection) -> list[ServiceLine]:
    """Every service that is measured or in operation: the worst first, then by name."""
    closed = ("retired", "rejected", "cancelled")
    records = [one for one in registers.all_of(connection, "service") if one.state not in closed]
    now = status.present(connection, "service", [one.id for one in records])
    lines = [service_line(one, now.get(one.id)) for one in records]
    return sorted(lines, key=lambda line: (rank(line.state), line.name.lower()))


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


def rank(state: str) -> int:
    """The place of a state among the others, the worst first."""
    return WORST_FIRST.index(state)


def subject_names(
    connection: Connection, found: Iterable[status.Transition]
) -> dict[tuple[str, int], tuple[str, str, str]]:
    """(subject, id) → key, name and Indonesian name, empty without one, of what some transitions are about."""
    wanted: dict[str, set[int]] = {}
    for one in found:
        wanted.setdefault(one.subject, set()).add(one.subject_id)
    names: dict[tuple[str, int], tuple[str, str, str]] = {}
    for subject, ids in wanted.items():
        for record in registers.some_of(connection, subject, "id", ids):
            names[subject, record.id] = (record.key, record.name or record.key, getattr(record, "name_id", ""))
    return names
