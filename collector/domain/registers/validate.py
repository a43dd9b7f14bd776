"""Whether what was given makes a record: every field is looked at, and all that is wrong is told at once.

References come as ids: turning keys into ids needs the store, and is done before.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from collector.domain.errors import InvalidInput
from collector.domain.message import Message
from collector.domain.registers.base import Record, Register
from collector.domain.registers.fields import COMPUTED, CREATE, SYSTEM, Field
from collector.domain.registers.kinds import Refused
from collector.domain.registers.lifecycle import Transition
from collector.domain.registers.words import Words

MISSING = Words("is required", "wajib diisi")
UNKNOWN = Words("there is no such field; known are: {0}", "tidak ada kolom ini; yang dikenal: {0}")
NOT_YOURS = Words("is filled in by the system", "diisi oleh sistem")
PASSED = Words("cannot be emptied any more: {0} needed it", "tidak dapat dikosongkan lagi: diperlukan oleh {0}")
AT_GATE = Words("is required for: {0}", "wajib diisi untuk: {0}")

Problems = dict[str, Words]


def parse(register: Register[Any], data: Mapping[str, Any], *, system: bool = False) -> tuple[dict[str, Any], Problems]:
    """The values of `data` by field name, and what is wrong with the rest.

    Args:
        register: Whose fields.
        data: From JSON, YAML or a form. None asks for a field's default.
        system: Whether the collector itself acts, which may also set the fields of need SYSTEM.
    """
    values: dict[str, Any] = {}
    problems: Problems = {}
    for name, given in data.items():
        spec = register.field(name)
        if spec is None:
            problems[name] = UNKNOWN.fill(", ".join(each.name for each in register.writable))
        elif spec.need == COMPUTED or (spec.need == SYSTEM and not system):
            problems[name] = NOT_YOURS
        else:
            try:
                values[name] = _value(spec, given)
            except Refused as refused:
                problems[name] = refused.words
    return values, problems


def _value(spec: Field, given: Any) -> Any:
    if given is None or given == "":
        return spec.default
    return spec.kind.parse(given)


def complete(register: Register[Any], values: Mapping[str, Any], state: str) -> dict[str, Any]:
    """`values` with defaults for what is missing and with the computed fields, given the record's `state`."""
    whole = {each.name: values.get(each.name, each.default) for each in register.fields}
    for each in register.fields:
        if each.compute is not None:
            whole[each.name] = each.compute({**whole, "state": state})
    return whole


def judge(register: Register[Any], record: Record, *, before: Record | None = None) -> Problems:
    """What is wrong with a whole record: missing fields, broken rules, fields emptied after the gate that asked."""
    problems: Problems = {}
    for each in register.fields:
        value = getattr(record, each.name)
        if each.is_filled(value):
            continue
        if each.need == CREATE:
            problems[each.name] = MISSING
        elif before is not None and each.is_filled(getattr(before, each.name)):
            gate = register.life.transition(each.need)
            if gate is not None and _is_past(register, record.state, gate):
                problems[each.name] = PASSED.fill(gate.label)
    for rule in register.rules:
        for name, words in rule(record).items():
            problems.setdefault(name, words)
    return problems


def _is_past(register: Register[Any], state: str, gate: Transition) -> bool:
    # A state lies behind a gate when the usual way leads there and not back to where the gate is asked.
    if any(register.life.path(state, source, detours=False) is not None for source in gate.sources):
        return False
    return register.life.path(gate.target, state, detours=False) is not None


def unmet(register: Register[Any], record: Record, transition: Transition) -> Problems:
    """What keeps `record` from `transition`: by field where a field is empty, by condition name otherwise."""
    problems: Problems = {
        each.name: AT_GATE.fill(transition.label)
        for each in register.gate(transition.name)
        if not each.is_filled(getattr(record, each.name))
    }
    for condition in transition.conditions:
        words = condition(record)
        if words is not None:
            problems.setdefault(condition.__name__, words)
    return problems


def refuse(register: Register[Any], problems: Mapping[str, Words], *, hint: str = "") -> None:
    """Raise if anything is wrong.

    Raises:
        InvalidInput: `fields` says what, in words of both languages.
    """
    if problems:
        order = {each.name: place for place, each in enumerate(register.fields)}
        problems = dict(sorted(problems.items(), key=lambda each: order.get(each[0], len(order))))
        message = Message(
            "The {register} cannot be saved: {problems}.", register=register.noun, problems=summary(problems)
        )
        raise InvalidInput(message, fields=problems, hint=hint)


def summary(problems: Mapping[str, str], most: int = 5) -> Message:
    """The first few problems in one line."""
    parts = [Message("{field} {problem}", field=name, problem=text) for name, text in problems.items()]
    if len(parts) > most:
        parts[most:] = [Message("and {count} more", count=len(parts) - most)]
    return Message.joined("; ", parts)
