"""Records as YAML documents: apply and export; their text is `written`'s.

One document is one record, named by register and key.

Applying is one transaction: every document or none, with all that is wrong told at once by document and field.
Fields that a document does not name stay as they are; `null` asks for the default.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from collector.domain.errors import CollectorError, InvalidInput
from collector.domain.message import Message, mark
from collector.domain.registers import NAMES, REGISTERS, named
from collector.domain.registers.base import Record, Register, Who
from collector.domain.registers.document import as_document, difference
from collector.domain.registers.words import Words
from collector.flows.record import Changed, Recorder
from collector.flows.written import Place
from collector.flows.written import read as read  # Whoever applies also reads.
from collector.flows.written import write as write
from collector.store import registers as store
from collector.store.database import Connection

DEFAULT_WHY = mark("applied from a document")
OWN_KEYS = frozenset({"register", "state", "why"})
"""What a document says about itself rather than about a field."""

Document = Mapping[str, Any]
_Named = tuple[str, Register[Any], Document]
"""A document with its path (`host/web-1`) and its register."""


class Step(NamedTuple):
    """What happens to one record: `action` is create, edit or none, and the transitions that follow."""

    register: str
    key: str
    action: str
    transitions: tuple[str, ...]
    before: Mapping[str, Any]
    after: Mapping[str, Any]


class Plan(NamedTuple):
    """What applying does, or in a dry run would do, in order."""

    steps: tuple[Step, ...]

    @property
    def changes(self) -> tuple[Step, ...]:
        """The steps that change something."""
        return tuple(step for step in self.steps if step.action != "none" or step.transitions)


def export(connection: Connection, registers: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Every record of the named registers, of all where none is named: in an order in which they can be applied.

    What the collector keeps by itself is left out: it comes from somewhere else, such as an agent's file.
    """
    documents: list[dict[str, Any]] = []
    for register in _in_order(registers or NAMES):
        records = [each for each in store.all_of(connection, register.name) if register.kept(each) is None]
        key_of = store.lookup(connection, register.name, records)
        documents += [as_document(register, record, key_of) for record in records]
    return documents


def apply(
    connection: Connection, recorder: Recorder, who: Who, documents: Sequence[Document], *, why: str = ""
) -> tuple[Plan, list[Changed]]:
    """Make the records what the documents say.

    Args:
        connection: In a transaction, which the caller rolls back in a dry run.
        recorder: Writes the changes, with history.
        who: Who wants it; needs the permission of every change.
        documents: Each with `register`, `key`, any fields (references by key), and optionally `state` and `why`.
        why: The reason where a document has none of its own.

    Raises:
        InvalidInput: What is wrong in all documents; `fields` is keyed `service/shop.members`, and so is `places`, for
            documents that know where they stand.
        Forbidden, Conflict: A document asks for what may not or cannot be.
    """
    problems: dict[str, str] = {}
    places: dict[str, str] = {}
    ordered = _sorted(documents, problems, places)
    steps: list[Step] = []
    changes: list[Changed] = []
    for path, register, document in ordered:
        try:
            with connection.begin_nested():
                done = _apply_one(connection, recorder, who, register, document, why)
        except InvalidInput as error:
            found = {f"{path}.{name}": words for name, words in error.fields.items()} or {path: error.message}
            problems |= found
            places |= _places(document, path, found)
        except CollectorError as error:
            where = _places(document, path, (path,)).get(path, path)
            raise type(error)(Message("{place}: {error}", place=where, error=error.message), hint=error.hint) from error
        else:
            steps.append(_step(connection, register, done))
            changes += done
    if problems:
        raise _refusal(problems, places)
    return Plan(tuple(steps)), changes


def _refusal(problems: Mapping[str, str], places: Mapping[str, str]) -> InvalidInput:
    count = Message("Nothing was applied: {count} things are wrong.", count=len(problems))
    return InvalidInput(
        count if len(problems) > 1 else "Nothing was applied: one thing is wrong.",
        fields=problems,
        places=places,
        hint="Mend that and apply again; each register's page About says what its fields take.",
    )


def _places(document: Document, path: str, names: Iterable[str]) -> dict[str, str]:
    """Where each of `names`, such as `service/shop.members`, was written; nothing for a document without a place."""
    place = getattr(document, "place", None)
    if not isinstance(place, Place):
        return {}
    record = path.replace("/", " ", 1) if "/" in path else ""
    found: dict[str, str] = {}
    for name in names:
        field = name.removeprefix(path).lstrip(".")
        where = place.of(field, record)
        found[name] = Message("{place}: {field}", place=where, field=field) if field else where
    return found


def _sorted(documents: Sequence[Document], problems: dict[str, str], places: dict[str, str]) -> list[_Named]:
    """The documents with their paths, in an order in which what is referred to comes first."""
    order = {register.name: place for place, register in enumerate(_in_order(NAMES))}
    found: list[_Named] = []
    seen: set[str] = set()
    for position, document in enumerate(documents, start=1):
        name, key = document.get("register"), document.get("key")
        path, unnamed = f"{name}/{key}", f"document {position}"
        wrong: dict[str, str] = {}
        if name not in REGISTERS:
            wrong[f"{unnamed}.register"] = Words(
                f"must be one of: {', '.join(NAMES)}", f"harus salah satu dari: {', '.join(NAMES)}"
            )
        elif not key:
            wrong[f"{unnamed}.key"] = Words("is required", "wajib diisi")
        elif path in seen:
            wrong[path] = Words("is given twice", "ditulis dua kali")
        else:
            seen.add(path)
            found.append((path, REGISTERS[name], document))
        problems |= wrong
        places |= _places(document, path if path in wrong else unnamed, wrong)
    return _referred_first(sorted(found, key=lambda each: order[each[1].name]))


def _referred_first(documents: Sequence[_Named]) -> list[_Named]:
    """Also within a register, what is referred to comes first; a circle is left as it was given."""
    by_path = {each[0]: each for each in documents}
    ordered: dict[str, _Named] = {}
    visiting: set[str] = set()

    def visit(path: str) -> None:
        if path in visiting or path not in by_path:
            return
        visiting.add(path)
        _, register, document = by_path[path]
        for spec, target in register.references:
            value = document.get(spec.name)
            for key in value if isinstance(value, list) else [value]:
                visit(f"{target}/{key}")
        ordered[path] = by_path[path]

    for path in by_path:
        visit(path)
    return list(ordered.values())


def _in_order(names: Sequence[str]) -> list[Register[Any]]:
    """Registers such that those referred to come first; within a circle, as declared."""
    ordered: list[Register[Any]] = []
    visiting: set[str] = set()

    def visit(register: Register[Any]) -> None:
        if register.name in visiting:
            return
        visiting.add(register.name)
        for _, target in register.references:
            if target in names:
                visit(named(target))
        ordered.append(register)

    for name in names:
        visit(named(name))
    return ordered


def _apply_one(
    connection: Connection, recorder: Recorder, who: Who, register: Register[Any], document: Document, why: str
) -> list[Changed]:
    reason = str(document.get("why") or why or DEFAULT_WHY)
    data = {name: value for name, value in document.items() if name not in OWN_KEYS}
    key = str(document["key"])
    before = store.find(connection, register.name, key)
    if before is None:
        created = recorder.create(connection, who, register.name, data, why=reason)
        wanted = str(document.get("state") or register.life.initial)
        return [created, *_move(connection, recorder, who, register, created.record, wanted, reason)]
    wanted = str(document.get("state") or before.state)
    moved: list[Changed] = []
    # A closed record cannot be edited: it is reopened first where that is asked for.
    if register.life.state(before.state).closed:
        moved = _move(connection, recorder, who, register, before, wanted, reason)
    edited = recorder.edit(connection, who, register.name, key, data, why=reason)
    return [*moved, edited, *_move(connection, recorder, who, register, edited.record, wanted, reason)]


def _move(
    connection: Connection,
    recorder: Recorder,
    who: Who,
    register: Register[Any],
    record: Record,
    wanted: str,
    why: str,
) -> list[Changed]:
    if wanted not in {state.name for state in register.life.states}:
        known = ", ".join(state.name for state in register.life.states)
        words = Words(f"must be one of: {known}", f"harus salah satu dari: {known}")
        raise InvalidInput(Message("'{state}' is no state.", state=wanted), fields={"state": words})
    way = register.life.path(record.state, wanted)
    if way is None:
        words = Words(f"cannot follow {record.state}", f"tidak dapat mengikuti {record.state}")
        message = Message("'{state}' cannot follow '{present}'.", state=wanted, present=record.state)
        raise InvalidInput(message, fields={"state": words})
    return [recorder.transition(connection, who, register.name, record.key, each.name, why=why) for each in way]


def _step(connection: Connection, register: Register[Any], done: Sequence[Changed]) -> Step:
    first, last = done[0].before, done[-1].record
    key_of = store.lookup(connection, register.name, (first, last))
    before, after = difference(register, first, last, key_of)
    names = [each.action for each in done if each.is_change]
    action = next((name for name in names if name in ("create", "edit")), "none")
    moves = tuple(name for name in names if name not in ("create", "edit"))
    return Step(register.name, last.key, action, moves, before, after)
