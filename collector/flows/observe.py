"""What happened to checks, hosts and services, inside the transaction that made it known.

Evidence becomes runs, runs become transitions, services follow their members. Told the time; remembers nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from collector.domain.interval import Span
from collector.domain.sample import Result, State
from collector.domain.status import NO_EVIDENCE, Run, evidence
from collector.domain.tree import blame, roll_up
from collector.flows.catalogue import Catalogue
from collector.store import sla, status
from collector.store.database import Connection
from collector.store.status import Now, Transition

NEVER = Now(State.UNKNOWN, 0, 0, "")


class Seen(NamedTuple):
    """A result of a known check, with when and how it arrived."""

    check_id: int
    result: Result
    live: bool
    received_ms: int


def results(
    connection: Connection, seen: Sequence[Seen], catalogue: Catalogue, *, now_ms: int
) -> tuple[list[Transition], dict[int, Run]]:
    """Make results part of the record; returns what changed for checks and services, and each check's newest run."""
    newest = status.absorb(connection, [(one.check_id, one.result) for one in seen], known_ms=now_ms)
    present = status.present(connection, "check", newest)
    changes: list[Transition] = []
    for one in sorted(seen, key=lambda one: one.result.wall_ms):
        claim = evidence(one.result)
        before = present.get(one.check_id, NEVER)
        # What no longer reaches the present corrects history and is no news.
        is_news = one.live or claim.until_ms > one.received_ms
        if not is_news or claim.at_ms < before.since_ms or before.state is claim.state:
            continue
        at_ms = max(claim.since_ms, before.since_ms)
        changes.append(Transition("check", one.check_id, at_ms, now_ms, before.state, claim.state, one.result.reason))
        present[one.check_id] = Now(claim.state, at_ms, now_ms, one.result.reason)
    status.record(connection, changes)
    return changes + services(connection, changes, catalogue, now_ms=now_ms), newest


def lapse(
    connection: Connection, last_seen: Mapping[int, int], catalogue: Catalogue, *, now_ms: int
) -> list[Transition]:
    """Checks whose evidence has run out become unknown, from where it ended.

    Args:
        connection: In a transaction.
        last_seen: Check → its newest result when it was found to have lapsed; one that has newer ones by now is spared.
        catalogue: For names.
        now_ms: Now.
    """
    changes = []
    recent = status.runs(connection, last_seen, Span(min(last_seen.values(), default=0) - 1, now_ms + 1))
    for check_id, now in status.present(connection, "check", last_seen).items():
        run = recent[check_id][-1] if recent[check_id] else None
        if now.state is State.UNKNOWN or (run is not None and run.last_ms > last_seen[check_id]):
            continue
        at_ms = min(now_ms, max(now.since_ms, run.until_ms if run else last_seen[check_id]))
        changes.append(Transition("check", check_id, at_ms, now_ms, now.state, State.UNKNOWN, NO_EVIDENCE))
    status.record(connection, changes)
    return changes + services(connection, changes, catalogue, now_ms=now_ms)


def hosts(connection: Connection, states: Mapping[int, tuple[State, int, str]], *, now_ms: int) -> list[Transition]:
    """Hosts that were heard again or went silent: host → state, since when, reason."""
    present = status.present(connection, "host", states)
    changes = [
        Transition("host", host_id, at_ms, now_ms, present.get(host_id, NEVER).state, state, reason)
        for host_id, (state, at_ms, reason) in states.items()
        if host_id not in present or present[host_id].state is not state
    ]
    status.record(connection, changes)
    return changes


def services(
    connection: Connection, changed: Iterable[Transition], catalogue: Catalogue, *, now_ms: int
) -> list[Transition]:
    """Services follow from the checks that changed."""
    latest: dict[int, int] = {one.subject_id: one.at_ms for one in changed if one.subject == "check"}
    return refresh(connection, catalogue, now_ms=now_ms, only=latest) if latest else []


def refresh(
    connection: Connection, catalogue: Catalogue, *, now_ms: int, only: Mapping[int, int] | None = None
) -> list[Transition]:
    """Work out services anew: those with a member in `only` (check → when it changed), or all of them."""
    current = {service_id: history[-1].composition for service_id, history in sla.versions(connection).items()}
    wanted = {
        service_id: one
        for service_id, one in current.items()
        if only is None or not only.keys().isdisjoint(one.members)
    }
    members: Collection[int] = {check for one in wanted.values() for check in one.members}
    checks = status.present(connection, "check", members)
    before = status.present(connection, "service", wanted)
    changes = []
    for service_id, one in wanted.items():
        states = [(catalogue.check_name(check), checks.get(check, NEVER)) for check in one.members]
        state = roll_up([now.state for _, now in states], one) if one.exists else State.UNKNOWN
        known = before.get(service_id, NEVER).state
        if known is state:
            continue
        at_ms = max((at for check, at in (only or {}).items() if check in one.members), default=now_ms)
        reason = blame([(name, now.state, now.reason) for name, now in states], state)
        changes.append(Transition("service", service_id, at_ms, now_ms, known, state, reason))
    status.record(connection, changes)
    return changes
