"""Records of every register: read, searched, written.

Plain functions of a connection. Checks nothing: permission, life cycle, history and references are `flows.register`'s.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar, overload

from sqlalchemy import ColumnElement, Connection, Select, Table, delete, exists, func, insert, or_, select, update

from collector.domain.errors import InvalidInput, NotFound, Stale, Taken
from collector.domain.message import Message
from collector.domain.registers import REGISTERS, named
from collector.domain.registers.base import Record, Register
from collector.domain.registers.compound import Ref, Refs
from collector.domain.registers.document import KeyOf, show_all
from collector.domain.registers.fields import Field
from collector.domain.registers.kinds import Boolean, Kind
from collector.store import links
from collector.store.links import IDS_AT_ONCE
from collector.store.schema import link, register_tables

R = TypeVar("R", bound=Record)
PAGE_ROWS = 50
PAGE_ROWS_MOST = 500
FACETS_MOST = 100


@dataclass(frozen=True, slots=True)
class Query:
    """What to look for.

    Args:
        text: Found in any searched field, whatever the case.
        filters: Field name or "state" → value; a reference by its key.
        sort: Name of a field, "state", "created_ms" or "changed_ms"; with "-" in front descending.
        offset: How many to leave out at the front.
        limit: How many at most; None for all.
    """

    text: str = ""
    filters: Mapping[str, str] = field(default_factory=dict)
    sort: str = "key"
    offset: int = 0
    limit: int | None = PAGE_ROWS


class Found(NamedTuple):
    """One page of records, and how many there are in all."""

    records: Sequence[Any]
    total: int


class Referrer(NamedTuple):
    """A record that refers to another, and by which field."""

    register: str
    key: str
    field: str


# ── reading ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@overload
def get(connection: Connection, which: type[R], record_id: int) -> R: ...
@overload
def get(connection: Connection, which: str, record_id: int) -> Any: ...
def get(connection: Connection, which: str | type[Record], record_id: int) -> Any:
    """The record of that id.

    Raises:
        NotFound: There is none.
    """
    register = named(which)
    table = register_tables[register.name]
    found = _load(connection, register, select(table).where(table.c.id == record_id))
    if not found:
        raise NotFound(Message("There is no {register} with id {id}.", register=register.noun, id=record_id))
    return found[0]


@overload
def by_key(connection: Connection, which: type[R], key: str) -> R: ...
@overload
def by_key(connection: Connection, which: str, key: str) -> Any: ...
def by_key(connection: Connection, which: str | type[Record], key: str) -> Any:
    """The record of that key.

    Raises:
        NotFound: There is none.
    """
    register = named(which)
    record = find(connection, register.name, key)
    if record is None:
        raise NotFound(Message("There is no {register} '{key}'.", register=register.noun, key=key))
    return record


@overload
def find(connection: Connection, which: type[R], key: str) -> R | None: ...
@overload
def find(connection: Connection, which: str, key: str) -> Any: ...
def find(connection: Connection, which: str | type[Record], key: str) -> Any:
    """The record of that key, or None."""
    register = named(which)
    table = register_tables[register.name]
    found = _load(connection, register, select(table).where(table.c.key == key))
    return found[0] if found else None


@overload
def all_of(connection: Connection, which: type[R], *states: str) -> list[R]: ...
@overload
def all_of(connection: Connection, which: str, *states: str) -> list[Any]: ...
def all_of(connection: Connection, which: str | type[Record], *states: str) -> list[Any]:
    """Every record, by key; only those in one of `states` where any is named."""
    register = named(which)
    table = register_tables[register.name]
    query = select(table).order_by(table.c.key)
    return _load(connection, register, query.where(table.c.state.in_(states)) if states else query)


def some_of(connection: Connection, which: str | type[Record], column: str, values: Iterable[Any]) -> list[Any]:
    """The records whose `column` (an id, a reference, a state, a text) is one of `values`, by key."""
    register = named(which)
    table = register_tables[register.name]
    wanted = sorted(set(values))
    found: list[Any] = []
    for start in range(0, len(wanted), IDS_AT_ONCE):
        condition = table.c[column].in_(wanted[start : start + IDS_AT_ONCE])
        found += _load(connection, register, select(table).where(condition))
    return sorted(found, key=lambda record: str(record.key))


def search(connection: Connection, which: str | type[Record], query: Query) -> Found:
    """One page of what `query` asks for.

    Raises:
        InvalidInput: A filter or the order names something that is not to be filtered or sorted by.
    """
    register = named(which)
    table = register_tables[register.name]
    conditions = [*_matches(register, table, query.text), *_filters(connection, register, table, query.filters)]
    total = connection.execute(select(func.count()).select_from(table).where(*conditions)).scalar_one()
    wanted = select(table).where(*conditions).order_by(_order(register, table, query.sort), table.c.id)
    wanted = wanted.offset(max(0, query.offset))
    if query.limit is not None:
        wanted = wanted.limit(min(max(1, query.limit), PAGE_ROWS_MOST))
    return Found(_load(connection, register, wanted), total)


def _matches(register: Register[Any], table: Table, text: str) -> list[ColumnElement[bool]]:
    if not text.strip():
        return []
    columns = [func.lower(table.c[each.name]) for each in register.fields if each.searched]
    return [or_(*(column.contains(word.lower(), autoescape=True) for column in columns)) for word in text.split()[:10]]


def _filters(
    connection: Connection, register: Register[Any], table: Table, filters: Mapping[str, str]
) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    for name, value in filters.items():
        spec = register.field(name)
        if name == "state":
            conditions.append(table.c.state == value)
        elif spec is None or not spec.filtered:
            known = ", ".join(["state", *(each.name for each in register.filtered)])
            raise InvalidInput(
                Message("{registers} cannot be filtered by '{name}'.", registers=register.titles, name=name),
                hint=Message("Filters: {known}.", known=known),
            )
        elif isinstance(spec.kind, Ref | Refs):
            target = ids_of(connection, spec.kind.register, [value]).get(value, 0)
            conditions.append(_refers(register, table, spec, target))
        elif isinstance(spec.kind, Boolean):
            conditions.append(table.c[name].is_(value.lower() in ("true", "yes", "1", "on")))
        else:
            conditions.append(table.c[name] == value)
    return conditions


def _refers(register: Register[Any], table: Table, spec: Field, target_id: int) -> ColumnElement[bool]:
    if isinstance(spec.kind, Ref):
        return table.c[spec.name] == target_id
    return exists().where(
        link.c.register == register.name,
        link.c.record_id == table.c.id,
        link.c.field == spec.name,
        link.c.target_id == target_id,
    )


def _order(register: Register[Any], table: Table, sort: str) -> ColumnElement[Any]:
    name = sort.removeprefix("-")
    spec = register.field(name)
    plain = ("state", "created_ms", "changed_ms")
    if name not in plain and (spec is None or spec.secret or isinstance(spec.kind, Refs)):
        raise InvalidInput(
            Message("{registers} cannot be sorted by '{name}'.", registers=register.titles, name=name),
            hint="Sort by key, name or state.",
        )
    column = table.c[name]
    return column.desc() if sort.startswith("-") else column.asc()


def facets(connection: Connection, which: str | type[Record], name: str) -> list[str]:
    """The distinct values that a text field has, for a filter to offer."""
    register = named(which)
    column = register_tables[register.name].c[name]
    rows = connection.execute(select(column).where(column != "").distinct().order_by(column).limit(FACETS_MOST))
    return [str(value) for (value,) in rows]


def ids_of(connection: Connection, which: str | type[Record], keys: Iterable[str]) -> dict[str, int]:
    """Key → id of those that exist."""
    table = register_tables[named(which).name]
    wanted = list(keys)
    found: dict[str, int] = {}
    for start in range(0, len(wanted), IDS_AT_ONCE):
        rows = connection.execute(
            select(table.c.key, table.c.id).where(table.c.key.in_(wanted[start : start + IDS_AT_ONCE]))
        )
        found.update((key, record_id) for key, record_id in rows)
    return found


def keys_of(connection: Connection, which: str | type[Record], ids: Iterable[int]) -> dict[int, str]:
    """Id → key of those that exist."""
    table = register_tables[named(which).name]
    wanted = sorted(set(ids))
    found: dict[int, str] = {}
    for start in range(0, len(wanted), IDS_AT_ONCE):
        rows = connection.execute(
            select(table.c.id, table.c.key).where(table.c.id.in_(wanted[start : start + IDS_AT_ONCE]))
        )
        found.update((record_id, key) for record_id, key in rows)
    return found


def keys_in_use(connection: Connection, which: str | type[Record]) -> dict[int, str]:
    """Id → key of every record that is not retired, by key; a tenth of what reading the records takes."""
    table = register_tables[named(which).name]
    query = select(table.c.id, table.c.key).where(table.c.state != "retired").order_by(table.c.key)
    return {row.id: row.key for row in connection.execute(query)}


def lookup(connection: Connection, which: str | type[Record], records: Iterable[Record | None]) -> KeyOf:
    """The keys of everything that `records` refer to; an id without a record reads `#<id>`."""
    register = named(which)
    given = [each for each in records if each is not None]
    keys: dict[str, dict[int, str]] = {}
    for spec, target in register.references:
        ids = [each for record in given for each in _ids(getattr(record, spec.name))]
        keys.setdefault(target, {}).update(keys_of(connection, target, ids))
    return lambda target, record_id: keys.get(target, {}).get(record_id, f"#{record_id}")


def shown(connection: Connection, which: str | type[Record], records: Sequence[Any]) -> list[dict[str, Any]]:
    """The records as REST and pages show them: references by key, secrets only as set or not."""
    register = named(which)
    key_of = lookup(connection, register.name, records)
    return [show_all(register, record, key_of) for record in records]


def _ids(value: Any) -> tuple[int, ...]:
    if value is None:
        return ()
    return value if isinstance(value, tuple) else (value,)


def names_of(connection: Connection, which: str | type[Record]) -> list[tuple[str, str]]:
    """(key, name) of every record that is not closed, for a form to offer."""
    register = named(which)
    table = register_tables[register.name]
    open_states = [state.name for state in register.life.states if not state.closed]
    rows = connection.execute(
        select(table.c.key, table.c.name).where(table.c.state.in_(open_states)).order_by(table.c.key)
    )
    return [(key, name) for key, name in rows]


def referrers(connection: Connection, which: str | type[Record], record_id: int, *, most: int = 20) -> list[Referrer]:
    """Who refers to the record; at most `most` of each field."""
    target = named(which).name
    found: list[Referrer] = []
    for register in REGISTERS.values():
        table = register_tables[register.name]
        for spec, name in register.references:
            if name == target:
                query = select(table.c.key).where(_refers(register, table, spec, record_id)).order_by(table.c.key)
                rows = connection.execute(query.limit(most))
                found += [Referrer(register.name, key, spec.name) for (key,) in rows]
    return found


# ── writing ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def add(connection: Connection, which: str | type[Record], values: Mapping[str, Any]) -> Any:
    """Insert a record from its whole values and return it.

    Args:
        connection: In a transaction.
        which: The register.
        values: Every described field, and state, created_ms, changed_ms.

    Raises:
        Taken: The key is another record's.
    """
    register = named(which)
    table = register_tables[register.name]
    if find(connection, register.name, values["key"]) is not None:
        raise Taken(
            Message("There is already a {register} '{key}'.", register=register.noun, key=str(values["key"])),
            hint="Choose another key.",
        )
    row = connection.execute(insert(table).values(version=1, **_stored(register, values)).returning(table.c.id))
    record_id = row.scalar_one()
    links.replace(connection, register, record_id, values)
    return get(connection, register.name, record_id)


def change(connection: Connection, which: str | type[Record], before: Record, values: Mapping[str, Any]) -> Any:
    """Replace a record by `values`, one version on, and return it.

    Raises:
        Stale: It is not at the version of `before` any more.
        Taken: The new key is another record's.
    """
    register = named(which)
    table = register_tables[register.name]
    if values["key"] != before.key and find(connection, register.name, values["key"]) is not None:
        raise Taken(
            Message("There is already a {register} '{key}'.", register=register.noun, key=str(values["key"])),
            hint="Choose another key.",
        )
    done = connection.execute(
        update(table)
        .where(table.c.id == before.id, table.c.version == before.version)
        .values(version=before.version + 1, **_stored(register, values))
    )
    if done.rowcount != 1:
        raise Stale(
            Message("The {register} '{key}' was changed meanwhile.", register=register.noun, key=before.key),
            hint="Load it again.",
        )
    links.replace(connection, register, before.id, values)
    return get(connection, register.name, before.id)


def remove(connection: Connection, which: str | type[Record], record_id: int) -> None:
    """Delete a record and its outgoing references."""
    register = named(which)
    table = register_tables[register.name]
    connection.execute(delete(link).where(link.c.register == register.name, link.c.record_id == record_id))
    connection.execute(delete(table).where(table.c.id == record_id))


def _stored(register: Register[Any], values: Mapping[str, Any]) -> dict[str, Any]:
    kept = {each: values[each] for each in ("state", "created_ms", "changed_ms")}
    for each in register.fields:
        if not isinstance(each.kind, Refs):
            kept[each.name] = each.kind.store(values[each.name])
    return kept


def _load(connection: Connection, register: Register[Any], query: Select[Any]) -> list[Any]:
    result = connection.execute(query)
    names = tuple(result.keys())
    rows = result.all()
    lists = [each.name for each in register.fields if isinstance(each.kind, Refs)]
    at_id = names.index("id")
    linked = links.of(connection, register, [row[at_id] for row in rows]) if lists else {}
    # Most kinds hold what their column holds: only the others are asked, for each of what may be thousands of rows.
    loaders = [
        (each.name, each.kind.load)
        for each in register.fields
        if each.name not in lists and type(each.kind).load is not Kind.load
    ]
    records = []
    for row in rows:
        values = dict(zip(names, row, strict=True))
        for name, load in loaders:
            values[name] = load(values[name])
        for name in lists:
            values[name] = tuple(linked.get((row[at_id], name), ()))
        records.append(register.entity(**values))
    return records
