"""Records as others see them – JSON, YAML, CSV, differences – with references as keys and secrets never.

`KeyOf` turns a referenced id into its key; whoever calls has looked the keys up.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from collector.domain.registers.base import Record, Register
from collector.domain.registers.compound import Map, Ref, Refs
from collector.domain.registers.fields import Field
from collector.domain.registers.kinds import Exact, Integer, Number

KeyOf = Callable[[str, int], str]
"""(register, id) → key."""
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "|", "%")
"""How a cell begins that a spreadsheet may take for a formula (OWASP, CSV injection)."""


def show(spec: Field, value: Any, key_of: KeyOf) -> Any:
    """One value as JSON shows it."""
    if isinstance(spec.kind, Ref):
        return None if value is None else key_of(spec.kind.register, value)
    if isinstance(spec.kind, Refs):
        return [key_of(spec.kind.register, each) for each in value]
    return spec.kind.dump(value)


def show_all(register: Register[Any], record: Record, key_of: KeyOf) -> dict[str, Any]:
    """A record as REST returns it."""
    return {
        "id": record.id,
        **{each.name: show(each, getattr(record, each.name), key_of) for each in register.fields},
        "state": record.state,
        "version": record.version,
        "created_ms": record.created_ms,
        "changed_ms": record.changed_ms,
    }


def as_document(register: Register[Any], record: Record, key_of: KeyOf) -> dict[str, Any]:
    """A record as YAML holds it: what differs from the defaults, in the order of the fields; secrets are left out."""
    document: dict[str, Any] = {"register": register.name}
    for each in register.writable:
        value = getattr(record, each.name)
        if not each.secret and value != each.default:
            document[each.name] = show(each, value, key_of)
    if record.state != register.life.initial:
        document["state"] = record.state
    return document


def difference(
    register: Register[Any], before: Record | None, after: Record | None, key_of: KeyOf
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What changed, from what to what, by field name; for a secret only whether it was and is set."""
    old: dict[str, Any] = {}
    new: dict[str, Any] = {}
    for each in register.fields:
        was = getattr(before, each.name) if before else each.default
        now = getattr(after, each.name) if after else each.default
        if was != now:
            old[each.name], new[each.name] = show(each, was, key_of), show(each, now, key_of)
            if each.secret and was and now:
                new[each.name] = "changed"
    if before and after and before.state != after.state:
        old["state"], new["state"] = before.state, after.state
    return old, new


def to_csv(register: Register[Any], rows: Iterable[Mapping[str, Any]]) -> str:
    """Rows of `show_all` as CSV (RFC 4180) with a head; no cell can be taken for a formula, secrets have no column."""
    shown = [each for each in register.fields if not each.secret]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow([each.name for each in shown] + ["state", "version", "created_ms", "changed_ms"])
    for row in rows:
        cells = [_cell(each, row[each.name]) for each in shown]
        writer.writerow([*cells, row["state"], row["version"], row["created_ms"], row["changed_ms"]])
    return out.getvalue()


def _cell(spec: Field, value: Any) -> str:
    if value is None:
        return ""
    if isinstance(spec.kind, Integer | Number | Exact):
        return str(value)
    if isinstance(spec.kind, Map):
        value = spec.kind.form(value)
    elif isinstance(spec.kind, Refs):
        value = " ".join(value)
    elif isinstance(value, bool):
        return "true" if value else "false"
    text = str(value)
    # The leading quote is what spreadsheets themselves use to say "this is text".
    return "'" + text if text.startswith(FORMULA_STARTS) else text
