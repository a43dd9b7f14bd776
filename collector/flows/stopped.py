"""What follows when nobody looks at a check any more: its evidence ends with the step, and services are not surprised.

Steps of the life cycle are `record`'s; what services make of an unknown member is `observe`'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from collector.domain.message import Message, Words
from collector.domain.registers.lifecycle import Transition as Step
from collector.domain.sample import State
from collector.domain.status import evidence
from collector.flows.catalogue import Catalogue
from collector.flows.observe import Seen
from collector.store import registers, sla, status
from collector.store.database import Connection
from collector.store.status import Transition

ACTIVE, RETIRE = "active", "retire"
WHY = {"paused": Message("the check is paused"), "retired": Message("the check is retired")}
IN_USE = Words(
    "services use it: {0}. Take it out of their members first; until then it can be paused",
    "dipakai oleh layanan: {0}. Keluarkan dahulu dari anggota layanan itu; sementara itu pemeriksaan dapat dijeda",
)


def users(connection: Connection, check_id: int) -> list[Any]:
    """The services that are measured by a check, by key."""
    found = registers.all_of(connection, "service")
    return [one for one in found if check_id in one.members and one.state not in sla.ENDED]


def in_use(connection: Connection, record: Any, step: Step) -> dict[str, Words]:
    """What keeps a check from being retired by a person; meant for `Registrar.on_step`."""
    found = users(connection, record.id) if step.name == RETIRE else []
    return {"services": IN_USE.fill(", ".join(one.key for one in found))} if found else {}


def record_end(connection: Connection, register: str, record: Any, before: Any, now_ms: int) -> None:
    """End the evidence of a check that was stopped; a hook for `Registrar.on_write`. Other changes are ignored."""
    if register != "check" or record is None or before is None or before.state != ACTIVE or record.state not in WHY:
        return
    status.end(connection, record.id, at_ms=now_ms)
    now = status.present(connection, "check", [record.id]).get(record.id)
    if now is None or now.state is State.UNKNOWN:
        known = status.Now(State.UNKNOWN, now.since_ms if now else 0, now_ms, WHY[record.state])
        status.remember(connection, "check", {record.id: known})
        return
    at_ms = max(now_ms, now.since_ms)
    step = Transition("check", record.id, at_ms, now_ms, now.state, State.UNKNOWN, WHY[record.state])
    status.record(connection, [step])


def without(connection: Connection, seen: Sequence[Seen], catalogue: Catalogue) -> list[Seen]:
    """What was seen, but for results that would speak for a time in which their check was stopped."""
    suspects = {one.check_id for one in seen} & catalogue.stopped
    if not suspects:
        return list(seen)
    # The snapshot may be older than the step that started it again.
    records = registers.some_of(connection, "check", "id", suspects)
    ended = {one.id: one.changed_ms for one in records if one.state != ACTIVE}
    return [one for one in seen if one.check_id not in ended or evidence(one.result).until_ms <= ended[one.check_id]]
