"""What happened to checks, hosts and services, inside the transaction that made it known.

Evidence becomes runs, runs become transitions, services follow their members. Told the time; remembers nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from collector.domain.interval import Span
from collector.domain.message import Message
from collector.domain.registers.check import CENTRAL
from collector.domain.sample import Result, State
from collector.domain.status import NO_EVIDENCE, Run, evidence
from collector.domain.tree import blame, roll_up
from collector.flows.catalogue import Catalogue
from collector.store import sla, status
from collector.store.database import Connection
from collector.store.status import Now, Transition

NEVER = Now(State.UNKNOWN, 0, 0, "")
CLOSED = Message("The agent's own file does not allow checks from here (central_checks: allow).")


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
    newer: dict[int, Now] = {}
    for one in sorted(seen, key=lambda one: one.result.wall_ms):
        claim, reason = evidence(one.result), one.result.reason
        before = present.get(one.check_id, NEVER)
        # What no longer reaches the present corrects history and is no news.
        is_news = one.live or claim.until_ms > one.received_ms
        if not is_news or claim.at_ms < before.since_ms:
            continue
        at_ms = max(claim.since_ms, before.since_ms)
        if before.state is not claim.state:
            changes.append(Transition("check", one.check_id, at_ms, now_ms, before.state, claim.state, reason))
            newer.pop(one.check_id, None)
            present[one.check_id] = Now(claim.state, at_ms, now_ms, reason)
        elif claim.state is not State.UP and reason != before.reason:
            # The same for another reason is no change of state, but it is what somebody has to mend.
            first = one.check_id not in present
            newer[one.check_id] = Now(claim.state, at_ms, now_ms, reason) if first else before._replace(reason=reason)
            present[one.check_id] = newer[one.check_id]
    status.record(connection, changes)
    status.remember(connection, "check", newer)
    latest = dict.fromkeys(newer, now_ms) | {one.subject_id: one.at_ms for one in changes}
    followed = refresh(connection, catalogue, now_ms=now_ms, only=latest) if latest else []
    return changes + followed, newest


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


def closed(connection: Connection, catalogue: Catalogue, *, now_ms: int) -> None:
    """Checks that were defined here for agents that take none are unknown, and say why: they are never handed over."""
    mine = [one.id for one in catalogue.checks.values() if one.host in catalogue.closed and one.origin == CENTRAL]
    present = status.present(connection, "check", mine)
    known = {check_id: present.get(check_id, Now(State.UNKNOWN, 0, now_ms, "")) for check_id in mine}
    newer = {check_id: now for check_id, now in known.items() if now.state is State.UNKNOWN and now.reason != CLOSED}
    status.remember(connection, "check", {check_id: now._replace(reason=CLOSED) for check_id, now in newer.items()})


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
    changes: list[Transition] = []
    newer: dict[int, Now] = {}
    for service_id, one in wanted.items():
        states = [(catalogue.check_name(check), checks.get(check, NEVER)) for check in one.members]
        state = roll_up([now.state for _, now in states], one) if one.exists else State.UNKNOWN
        known = before.get(service_id, NEVER)
        reason = blame([(name, now.state, now.reason) for name, now in states], state)
        at_ms = max((at for check, at in (only or {}).items() if check in one.members), default=now_ms)
        if known.state is not state:
            changes.append(Transition("service", service_id, at_ms, now_ms, known.state, state, reason))
        elif reason != known.reason:
            first = service_id not in before
            newer[service_id] = Now(state, at_ms, now_ms, reason) if first else known._replace(reason=reason)
    status.record(connection, changes)
    status.remember(connection, "service", newer)
    return changes
