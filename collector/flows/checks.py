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
import yaml
from msgspec import Meta

from collector.domain.errors import CollectorError, InvalidInput
from collector.domain.message import from_json, mark, to_json
from collector.domain.registers.check import AGENT, CENTRAL
from collector.domain.registers.check_options import LINE_CHARACTERS
from collector.domain.registers.kinds import CONTROL, slugify
from collector.domain.registers.validate import summary
from collector.domain.sample import Accepted, Document
from collector.flows.record import Changed
from collector.flows.register import Registrar
from collector.store import documents, registers, status
from collector.store.database import Connection

log = logging.getLogger(__name__)

DOCUMENT = "checks"
WHO = "agent's file"
MOST_CHECKS = 500
"""Checks of one agent that become records; what is above it is left out and logged."""
NAME_SHOWN, WHY_SHOWN = 128, 500
"""Characters of a refused check's name and of what is wrong with it."""
GONE = mark("no longer in the agent's file")


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
    checks: list[msgspec.Raw]


class _Named(msgspec.Struct, frozen=True):
    """What is left of a check that is not one."""

    name: str = ""


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
            for change in self._take_alone(connection, batch, document)
        ]
        return lambda: self._registrar.announce(*changes)

    def _take_alone(self, connection: Connection, batch: Accepted, document: Document) -> list[Changed]:
        """What one agent declares: what is wrong with it is nothing to the other agents."""
        try:
            with connection.begin_nested():
                return self._take(connection, batch, document)
        except CollectorError as error:
            log.warning("declared checks refused agent=%s error=%r", batch.agent_id, str(error))
            return []

    def _take(self, connection: Connection, batch: Accepted, document: Document) -> list[Changed]:
        try:
            given = msgspec.json.decode(document.body, type=_Document).checks
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            log.warning("declared checks not readable agent=%s error=%r", batch.agent_id, str(error))
            return []
        if len(given) > MOST_CHECKS:
            log.warning("declared checks cut agent=%s count=%d limit=%d", batch.agent_id, len(given), MOST_CHECKS)
        declared, refused = _read(given[:MOST_CHECKS])
        kept = {one.id: one for one in declared if one.id.startswith("local:")}
        host = registers.get(connection, "host", batch.host_id)
        bound = {wire_id: check for (_, wire_id), check in status.bindings(connection, [batch.agent_id]).items()}
        changes: list[Changed] = []
        for one in kept.values():
            try:
                # One that cannot be taken is nothing to the others of the same file.
                with connection.begin_nested():
                    changes.append(self._keep(connection, batch.agent_id, host, one, bound.get(one.id)))
            except CollectorError as error:
                refused.append(_refusal(one.name, _why(error)))
        for wire_id, check_id in bound.items():
            # What cannot be read may be any of those that are missed.
            if wire_id.startswith("local:") and wire_id not in kept and len(declared) == len(given):
                changes += self._retire(connection, check_id)
        self._tell(connection, batch, document, refused)
        return [change for change in changes if change.is_change]

    def _tell(
        self, connection: Connection, batch: Accepted, document: Document, refused: Sequence[Mapping[str, str]]
    ) -> None:
        """Keep what was refused for the agent's page; log it when it is news."""
        body = json.dumps({"refused": refused}, ensure_ascii=False).encode()
        before = documents.latest(connection, batch.host_id, documents.REFUSED_CHECKS)
        if refused and (before is None or before.body != body):
            for one in refused:
                log.warning("declared check refused agent=%s check=%r why=%r", batch.agent_id, one["name"], one["why"])
        if refused or before is not None:
            documents.put(connection, batch.host_id, Document(documents.REFUSED_CHECKS, document.wall_ms, body))

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


def _read(given: Sequence[msgspec.Raw]) -> tuple[list[_Declared], list[Mapping[str, str]]]:
    """The checks that can be read, and what is said of the others."""
    declared: list[_Declared] = []
    refused: list[Mapping[str, str]] = []
    for raw in given:
        try:
            declared.append(msgspec.json.decode(raw, type=_Declared))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            refused.append(_refusal(_name_of(raw), str(error)))
    return declared, refused


def _name_of(raw: msgspec.Raw) -> str:
    try:
        return msgspec.json.decode(raw, type=_Named).name
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ""


def _why(error: CollectorError) -> str:
    return summary(error.fields) if isinstance(error, InvalidInput) and error.fields else error.message


def _refusal(name: str, why: str) -> Mapping[str, str]:
    return {"name": name[:NAME_SHOWN], "why": why[:WHY_SHOWN], "wording": to_json(why) if len(why) <= WHY_SHOWN else ""}


def _shown(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options as a record can hold them; they are shown here, and used by nobody but the agent that has them."""
    return {name: _short(value) for name, value in options.items()}


def _short(value: Any) -> Any:
    text = CONTROL.sub(" ", value) if isinstance(value, str) else json.dumps(value)
    if len(text) > LINE_CHARACTERS:
        return text[: LINE_CHARACTERS - 1] + "…"
    return text if isinstance(value, str) else value


def snippet(name: str, kind: str, options: Mapping[str, Any]) -> str:
    """A check as an agent's own file has it, for people to copy into the file."""
    check = {"name": name, "kind": kind, **options}
    return yaml.safe_dump({"checks": [check]}, sort_keys=False, allow_unicode=True, width=1000).rstrip("\n")


def refused_of(connection: Connection, host_id: int) -> list[tuple[str, str]]:
    """The checks of a host's own file that could not be taken: name and why."""
    found = documents.latest(connection, host_id, documents.REFUSED_CHECKS)
    refused = json.loads(found.body)["refused"] if found is not None else []
    return [(one["name"], from_json(one["why"], one["wording"])) for one in refused]


def _fields(one: _Declared) -> Mapping[str, Any]:
    return {
        "name": one.name,
        "options": _shown(one.options),
        "interval_seconds": one.interval_seconds,
        "timeout_seconds": one.timeout_seconds,
        "retries": one.retries,
        "degraded_seconds": one.degraded_seconds,
    }


def _free_key(connection: Connection, key: str) -> str:
    candidates = (key, *(f"{key}-{number}" for number in range(2, MOST_CHECKS)))
    return next(one for one in candidates if registers.find(connection, "check", one) is None)
