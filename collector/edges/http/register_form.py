"""Registers as pages and clients see them: descriptions of fields, and forms as data.

No handler here: `registers` has the pages, `register_api` the REST resources.
"""

from __future__ import annotations

import zoneinfo
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from multidict import MultiDictProxy

from collector.domain.registers.base import Register
from collector.domain.registers.compound import Map, Options, Ref, Refs, Secret, Setting
from collector.domain.registers.fields import CREATE, Field
from collector.domain.registers.kinds import Boolean, Enum, Kind, Multiline, Refused, TimeZone
from collector.domain.registers.lifecycle import LifeCycle
from collector.domain.registers.words import Words
from collector.store import registers as store
from collector.store.database import Connection

CLEAR = "clear."
"""In front of a secret's name: the box that empties it."""
TONES: Mapping[str, str] = {"good": "up", "progress": "accent", "warn": "degraded", "muted": "unknown"}
YES, NO = Words("Yes", "Ya"), Words("No", "Tidak")


def describe(register: Register[Any]) -> dict[str, Any]:
    """A register for templates, JSON and clients."""
    return {
        "name": register.name,
        "title": register.title,
        "titles": register.titles,
        "about": register.about,
        "permission": register.permission,
        "fields": [describe_field(register, each) for each in register.fields],
        **_life(register.life),
    }


def _life(life: LifeCycle) -> dict[str, Any]:
    return {
        "states": {
            state.name: {"label": state.label, "tone": TONES.get(state.tone, ""), "closed": state.closed}
            for state in life.states
        },
        "transitions": [
            {
                "name": each.name,
                "label": each.label,
                "from": each.sources,
                "to": each.target,
                "permission": each.permission,
                "asks_why": each.asks_why,
            }
            for each in life.transitions
        ],
    }


def describe_field(register: Register[Any], spec: Field) -> dict[str, Any]:
    """A field for templates, JSON and clients."""
    gate = register.life.transition(spec.need)
    return {
        "name": spec.name,
        "label": spec.label,
        "help": spec.help,
        "kind": type(spec.kind).__name__.lower(),
        "widget": spec.kind.widget,
        "unit": spec.unit,
        "unit_by": spec.unit_by,
        "units": {slot: spec.units[value] for value, slot in _brought(spec).items()} if spec.units else {},
        "sections": _sections(register, spec),
        "slots": _slots(register, spec),
        "options": _options(spec),
        "offered": spec.kind.offered if isinstance(spec.kind, Enum) else None,
        "target": spec.kind.register if isinstance(spec.kind, Ref | Refs) else "",
        "required": spec.need == CREATE,
        "gate": gate.label if gate else "",
        "writable": spec.writable,
        "listed": spec.listed,
        "filtered": spec.filtered,
        "sortable": not isinstance(spec.kind, Refs | Secret),
    }


def _brought(spec: Field) -> dict[str, int]:
    """The values of another field that bring units or settings with them, numbered: a form shows one slot at a time."""
    values: Iterable[str] = spec.kind.known if isinstance(spec.kind, Options) else spec.units
    return {value: slot for slot, value in enumerate(values, start=1)}


def _slots(register: Register[Any], spec: Field) -> dict[str, int]:
    """Which slot each value of this field opens."""
    by_it = [each for each in register.fields if spec.name in (each.unit_by, getattr(each.kind, "by", ""))]
    return _brought(by_it[0]) if by_it else {}


def _sections(register: Register[Any], spec: Field) -> list[dict[str, Any]]:
    """The settings that each value of another field brings, with the names of their inputs."""
    by = register.field(spec.kind.by) if isinstance(spec.kind, Options) else None
    if by is None or not isinstance(spec.kind, Options) or not isinstance(by.kind, Enum):
        return []
    return [
        {
            "slot": slot,
            "label": by.kind.label(value),
            "settings": [_setting(each, input_of(spec, value, each)) for each in spec.kind.known[value]],
        }
        for value, slot in _brought(spec).items()
    ]


def _setting(setting: Setting, name: str) -> dict[str, Any]:
    options = setting.kind.options if isinstance(setting.kind, Enum) else ()
    return {
        "name": setting.name,
        "input": name,
        "label": setting.label,
        "help": setting.help,
        "widget": setting.kind.widget,
        "unit": setting.unit,
        "options": {option.value: option.label for option in options},
        "required": setting.required,
        "default": setting.default,
    }


def input_of(spec: Field, value: str, setting: Setting) -> str:
    """What a form calls a setting: settings of one name that different values bring are different inputs."""
    return f"{spec.name}.{value}.{setting.name}"


def _options(spec: Field) -> dict[str, Words]:
    if isinstance(spec.kind, Enum):
        return {option.value: option.label for option in spec.kind.options}
    return {"true": YES, "false": NO} if isinstance(spec.kind, Boolean) else {}


def from_form(register: Register[Any], form: MultiDictProxy[Any], *, editing: bool) -> dict[str, Any]:
    """The fields that a form sent, as the registrar takes them.

    A box that is not ticked is not sent, so what a form does not mention is off or empty – but a secret left empty
    stays as it is, and the key of a record that exists is not the form's to change.
    """
    data: dict[str, Any] = {}
    for each in register.writable:
        if editing and each.name == "key":
            continue
        if isinstance(each.kind, Boolean):
            data[each.name] = each.name in form
        elif isinstance(each.kind, Refs):
            data[each.name] = [str(value) for value in form.getall(each.name, []) if value]
        elif isinstance(each.kind, Options):
            data[each.name] = _settings(each, each.kind, form)
        elif isinstance(each.kind, Secret):
            if form.get(CLEAR + each.name):
                data[each.name] = None
            elif form.get(each.name):
                data[each.name] = str(form[each.name])
        else:
            data[each.name] = str(form.get(each.name, ""))
    return data


def _settings(spec: Field, kind: Options, form: MultiDictProxy[Any]) -> dict[str, Any]:
    """The settings of the value that is chosen; what was typed for another value is not meant."""
    chosen = str(form.get(kind.by, ""))
    typed = {each.name: str(form.get(input_of(spec, chosen, each), "")) for each in kind.known.get(chosen, ())}
    return {
        each.name: _read(each.kind, typed[each.name]) for each in kind.known.get(chosen, ()) if typed[each.name].strip()
    }


def _read(kind: Kind, text: str) -> Any:
    """What a text says to a kind; the text itself where it says nothing, to be refused with whatever else is wrong."""
    if kind.widget == Map.widget:
        try:
            return Map().parse(text)
        except Refused:
            return text
    if kind.column not in ("integer", "float"):
        return text if kind.widget == Multiline.widget else text.strip()
    try:
        return kind.parse(text.strip())
    except Refused:
        return text


def at_inputs(register: Register[Any], problems: Mapping[str, str], chosen: Mapping[str, Any]) -> dict[str, str]:
    """What is wrong by the inputs of the form, given what is chosen: `options.url` is that of the chosen kind."""
    found = dict(problems)
    for each in register.fields:
        if isinstance(each.kind, Options):
            value = str(chosen.get(each.kind.by) or "")
            for setting in each.kind.known.get(value, ()):
                if words := found.pop(f"{each.name}.{setting.name}", None):
                    found[input_of(each, value, setting)] = words
    return found


def labels(register: Register[Any]) -> dict[str, Words]:
    """What people call the inputs of the form."""
    named = {each.name: each.label for each in register.fields}
    for each in register.fields:
        if isinstance(each.kind, Options):
            for value, settings in each.kind.known.items():
                named |= {input_of(each, value, setting): setting.label for setting in settings}
    return named


def filled(register: Register[Any], record: Any, shown: Mapping[str, Any] | None) -> dict[str, Any]:
    """What a fresh form holds: of a record, or the defaults of a new one."""
    values: dict[str, Any] = {}
    for each in register.writable:
        value = getattr(record, each.name) if record is not None else each.default
        if isinstance(each.kind, Ref | Refs):
            values[each.name] = shown[each.name] if shown else ([] if isinstance(each.kind, Refs) else "")
        elif isinstance(each.kind, Boolean):
            values[each.name] = bool(value)
        elif isinstance(each.kind, Options):
            chosen = getattr(record, each.kind.by) if record is not None else ""
            values[each.name] = {
                input_of(each, chosen, setting): setting.kind.form(value[setting.name])
                for setting in each.kind.known.get(chosen, ())
                if setting.name in value
            }
        else:
            values[each.name] = each.kind.form(value)
    return values


def as_typed(register: Register[Any], form: MultiDictProxy[Any]) -> dict[str, Any]:
    """What the person had typed, to be shown again after a refusal; a secret is not, and has to be typed again."""
    typed: dict[str, Any] = {}
    for each in register.writable:
        if isinstance(each.kind, Boolean):
            typed[each.name] = each.name in form
        elif isinstance(each.kind, Refs):
            typed[each.name] = [str(value) for value in form.getall(each.name, [])]
        elif isinstance(each.kind, Options):
            typed[each.name] = {name: str(text) for name, text in form.items() if name.startswith(f"{each.name}.")}
        elif each.secret:
            typed[each.name] = ""
        else:
            typed[each.name] = str(form.get(each.name, ""))
    return typed


def choices(connection: Connection, register: Register[Any], record: Any = None) -> dict[str, list[tuple[str, str]]]:
    """What each field of references may refer to, as (key, text); what a record refers to already is always there."""
    offered: dict[str, list[tuple[str, str]]] = {}
    for spec, target in register.references:
        names = dict(store.names_of(connection, target))
        if record is not None:
            key_of = store.lookup(connection, register.name, (record,))
            value = getattr(record, spec.name)
            ids: Iterable[int] = value if isinstance(value, tuple) else (value,) if value else ()
            names = {key_of(target, each): "" for each in ids} | names
        offered[spec.name] = [(key, f"{key} – {name}" if name and name != key else key) for key, name in names.items()]
    return offered


@cache
def time_zones() -> tuple[str, ...]:
    """Every IANA name, for a form to offer."""
    return tuple(sorted(zoneinfo.available_timezones()))


def has_time_zone(register: Register[Any]) -> bool:
    """Whether the form needs them."""
    return any(isinstance(each.kind, TimeZone) for each in register.writable)
