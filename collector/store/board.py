"""What pages show of hosts, checks and services side by side: records joined with what is known of them at present.

Reads only, and decides one thing: the state of a host as a whole, which is the worst of its checks unless its agent is
silent. Figures of availability are `store.sla`'s.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection

from collector.domain.sample import State
from collector.store import agents, registers, status
from collector.store.agents import AgentRecord

WATCHED = "active"


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


def check_lines(connection: Connection, *, ids: Collection[int] | None = None) -> list[CheckLine]:
    """Every check that is not retired, or those with `ids`: the worst first, then by key."""
    records = [one for one in registers.all_of(connection, "check") if one.state != "retired"]
    if ids is not None:
        records = [one for one in records if one.id in ids]
    now = status.present(connection, "check", [one.id for one in records])
    hosts = registers.keys_of(connection, "host", {one.host for one in records})
    lines = [_check_line(one, now.get(one.id), hosts.get(one.host, "")) for one in records]
    return sorted(lines, key=lambda line: (-_rank(line.state), line.key))


def _check_line(record: Any, now: status.Now | None, host_key: str) -> CheckLine:
    paused = record.state == "paused"
    return CheckLine(
        record.id,
        record.key,
        record.name or record.key,
        record.host,
        host_key,
        record.kind,
        "paused" if paused else now.state.word if now else State.UNKNOWN.word,
        now.since_ms if now else None,
        now.reason if now else "",
        record.origin,
        record.interval_seconds,
        record.options,
    )


def host_lines(connection: Connection, *, ids: Collection[int] | None = None) -> list[HostLine]:
    """Every watched host, or those with `ids`: the worst first, then by key."""
    records = registers.all_of(connection, "host") if ids is not None else _watched(connection)
    if ids is not None:
        records = [one for one in records if one.id in ids]
    now = status.present(connection, "host", [one.id for one in records])
    newest = newest_agents(agents.list_agents(connection))
    checks: dict[int, list[CheckLine]] = {}
    for line in check_lines(connection):
        checks.setdefault(line.host_id, []).append(line)
    lines = [_host_line(one, now.get(one.id), newest.get(one.id), checks.get(one.id, [])) for one in records]
    return sorted(lines, key=lambda line: (-_rank(line.state), line.key))


def _watched(connection: Connection) -> list[Any]:
    return registers.all_of(connection, "host", WATCHED)


def newest_agents(found: Iterable[AgentRecord]) -> dict[int, AgentRecord]:
    """The agent of each host: of several the one that is active, then the one heard last."""
    newest: dict[int, AgentRecord] = {}
    for one in sorted(found, key=lambda one: (one.status == agents.ACTIVE, one.last_seen_ms or 0)):
        newest[one.host_id] = one
    return newest


def _host_line(
    record: Any, now: status.Now | None, agent: AgentRecord | None, checks: Collection[CheckLine]
) -> HostLine:
    state, since_ms, reason = (now.state.word, now.since_ms, now.reason) if now else (State.UNKNOWN.word, None, "")
    worst = next(iter(checks), None)
    if state != State.UNKNOWN.word and worst is not None and _rank(worst.state) > _rank(state):
        state, since_ms, reason = worst.state, worst.since_ms, f"{worst.name}: {worst.reason}"
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
        Counter(line.state for line in checks),
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
        for record in registers.all_of(connection, subject):
            if record.id in ids:
                names[subject, record.id] = (record.key, record.name or record.key)
    return names
