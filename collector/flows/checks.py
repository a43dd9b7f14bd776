"""Keeps the register of checks and the agents in step, in both directions.

An agent tells which checks its own file defines; they become records that people can use in services and cannot edit.
Checks that were defined here are handed to the agent of their host, which runs them only where its own file allows it.
What the checks find is `evaluate`'s.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import Meta

from collector.domain.errors import CollectorError
from collector.domain.registers.check import AGENT, CENTRAL
from collector.domain.registers.kinds import slugify
from collector.domain.sample import Accepted
from collector.flows.record import Changed
from collector.flows.register import Registrar
from collector.store import registers, status
from collector.store.database import Connection

log = logging.getLogger(__name__)

DOCUMENT = "checks"
WHO = "agent's file"
MOST_CHECKS = 500
"""Checks of one agent that become records; what is above it is left out and logged."""
GONE = "no longer in the agent's file"


class _Declared(msgspec.Struct, frozen=True):
    """One check as an agent describes it: `agent.probes.discovery` says the same from the other side."""

    id: Annotated[str, Meta(max_length=128)]
    name: Annotated[str, Meta(min_length=1, max_length=128)]
    kind: str
    interval_seconds: float
    timeout_seconds: float
    retries: int = 0
    degraded_seconds: float | None = None
    options: dict[str, Any] = {}


class _Document(msgspec.Struct, frozen=True):
    checks: list[_Declared]


class Handed(NamedTuple):
    """A central check as its agent gets it; `options` is JSON with the keys of the agent's own file."""

    id: str
    kind: str
    name: str
    options: bytes


class DeclaredChecks:
    """A sink of ingest: makes records of the checks that agents declare."""

    name = "checks"

    def __init__(self, registrar: Registrar) -> None:
        self._registrar = registrar

    def absorb(self, connection: Connection, accepted: Sequence[Accepted]) -> Callable[[], None]:
        """Create, edit, retire and bind inside the transaction; tell listeners after it."""
        changes = [
            change
            for batch in accepted
            for document in batch.documents
            if document.kind == DOCUMENT
            for change in self._take_alone(connection, batch, document.body)
        ]
        return lambda: self._registrar.announce(*changes)

    def _take_alone(self, connection: Connection, batch: Accepted, body: bytes) -> list[Changed]:
        """What one agent declares, all of it or nothing: what is wrong with it is nothing to the other agents."""
        try:
            with connection.begin_nested():
                return self._take(connection, batch, body)
        except CollectorError as error:
            log.warning("declared checks refused agent=%s error=%r", batch.agent_id, str(error))
            return []

    def _take(self, connection: Connection, batch: Accepted, body: bytes) -> list[Changed]:
        try:
            declared = msgspec.json.decode(body, type=_Document).checks
        except msgspec.MsgspecError as error:
            log.warning("declared checks not readable agent=%s error=%r", batch.agent_id, str(error))
            return []
        if len(declared) > MOST_CHECKS:
            log.warning("declared checks cut agent=%s count=%d limit=%d", batch.agent_id, len(declared), MOST_CHECKS)
        kept = {one.id: one for one in declared[:MOST_CHECKS] if one.id.startswith("local:")}
        host = registers.get(connection, "host", batch.host_id)
        bound = {wire_id: check for (_, wire_id), check in status.bindings(connection, [batch.agent_id]).items()}
        changes = [self._keep(connection, batch.agent_id, host, one, bound.get(one.id)) for one in kept.values()]
        for wire_id, check_id in bound.items():
            if wire_id.startswith("local:") and wire_id not in kept:
                changes += self._retire(connection, check_id)
        return [change for change in changes if change.is_change]

    def _keep(self, connection: Connection, agent_id: str, host: Any, one: _Declared, check_id: int | None) -> Changed:
        recorder = self._registrar.recorder
        fields = _fields(one)
        record = registers.get(connection, "check", check_id) if check_id else self._mine(connection, host, one)
        if record is None:
            key = _free_key(connection, slugify(f"{host.key}.{one.name}"))
            values = {**fields, "key": key, "host": host.key, "kind": one.kind, "origin": AGENT}
            change = recorder.create(connection, WHO, "check", values)
        else:
            if record.state == "retired":
                recorder.transition(connection, WHO, "check", record.key, "reactivate")
            change = recorder.edit(connection, WHO, "check", record.key, {**fields, "kind": one.kind})
        if check_id != change.record.id:
            status.bind(connection, agent_id, one.id, check_id=change.record.id)
        return change

    def _mine(self, connection: Connection, host: Any, one: _Declared) -> Any:
        """The record of an earlier agent of the same host: a re-enrolled host keeps its history."""
        record = registers.find(connection, "check", slugify(f"{host.key}.{one.name}"))
        return record if record is not None and record.host == host.id and record.origin == AGENT else None

    def _retire(self, connection: Connection, check_id: int) -> list[Changed]:
        record = registers.get(connection, "check", check_id)
        if record.state == "retired":
            return []
        return [self._registrar.recorder.transition(connection, WHO, "check", record.key, "retire", why=GONE)]


def handed(connection: Connection, host_id: int) -> Iterator[Handed]:
    """The checks that were defined here for the agent of a host, by key."""
    mine = [one for one in registers.all_of(connection, "check", "active") if one.host == host_id]
    for record in sorted(mine, key=lambda one: str(one.key)):
        if record.origin == CENTRAL:
            yield Handed(f"central:{record.key}", record.kind, record.name, _options(record))


def _options(record: Any) -> bytes:
    common = {
        "interval_seconds": record.interval_seconds,
        "timeout_seconds": record.timeout_seconds,
        "retries": record.retries,
        "degraded_seconds": record.degraded_seconds,
    }
    given = {name: value for name, value in common.items() if value is not None}
    return json.dumps({**record.options, **given}, sort_keys=True).encode()


def _fields(one: _Declared) -> Mapping[str, Any]:
    return {
        "name": one.name,
        "options": one.options,
        "interval_seconds": one.interval_seconds,
        "timeout_seconds": one.timeout_seconds,
        "retries": one.retries,
        "degraded_seconds": one.degraded_seconds,
    }


def _free_key(connection: Connection, key: str) -> str:
    candidates = (key, *(f"{key}-{number}" for number in range(2, MOST_CHECKS)))
    return next(one for one in candidates if registers.find(connection, "check", one) is None)
