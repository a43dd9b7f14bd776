"""From what somebody wrote to a check: strict reading, with errors that say where, what and what else is accepted.

Also the other way, for showing: a check's definition without its secrets. And the one door for definitions from the
collector, which is narrower than the one for the agent's own file.
"""

from __future__ import annotations

import types
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar, get_args, get_origin

import msgspec

from agent.probes import CHECKS
from agent.probes.check import COMMON_OPTIONS, Check, Settings
from agent.reason import Reason
from agent.sample import Moment, Observation, Outcome, State

CENTRAL_KINDS = ("dns", "http", "systemd", "tcp", "tls")
"""What looks at other hosts, at open ports, or at nothing but the state of a named unit."""
CENTRAL_LIMIT = 200
CENTRAL_INTERVAL_SECONDS = 10.0
CENTRAL_OPTIONS_BYTES = 16 * 1024
WIRE_ID_CHARACTERS = 128
HIDDEN = "(hidden)"

_UNITS = {"seconds": "seconds", "bytes": "bytes", "days": "days", "ratio": "parts of one, 0 to 1"}
_TYPES = {"float": "a number", "int": "a whole number", "str": "text", "bool": "true or false", "array": "a list",
          "object": "a section with keys"}  # fmt: skip
_ROOT = " - at `"
_Struct = TypeVar("_Struct", bound=msgspec.Struct)


class Refused(Exception):
    """What was written cannot be used; one sentence per problem, each beginning with where it is."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


class Central(NamedTuple):
    """A check definition as the collector sends it; `options` is JSON."""

    id: str
    kind: str
    name: str
    options: bytes


@dataclass(slots=True)
class Declined:
    """Stands in for a central check that this agent does not run: its result says why, or nobody would learn of it."""

    name: str  # on the wire
    why: str

    def observe(self, _moment: Moment) -> Observation:
        """Unknown, as nothing is looked at."""
        reason = Reason("The agent does not run this check: {problem}", problem=self.why)
        return Observation(outcome=Outcome(State.UNKNOWN, reason))


def read_check(raw: Any, *, path: str, lax: bool = False) -> Settings:
    """A check from its keys.

    Raises:
        Refused: The kind is none, a key is unknown, or a value cannot be meant.
    """
    if not isinstance(raw, Mapping):
        raise Refused([f"{path}: expected a section with name and kind"])
    kind = raw.get("kind")
    if kind not in CHECKS:
        raise Refused([f"{path}.kind: {'is missing' if kind is None else f'unknown: {kind!r}'}; {accepted(CHECKS)}"])
    options = {key: value for key, value in raw.items() if key != "kind"}
    if lax:
        options = {key: _listed(value, CHECKS[kind], key) for key, value in options.items()}
    return read(CHECKS[kind], options, path=path, also=("kind",), lax=lax)


def read(
    struct: type[_Struct], raw: Mapping[str, Any], *, path: str, also: tuple[str, ...] = (), lax: bool = False
) -> _Struct:
    """A structure from plain data, with every unknown key reported at once and values explained by name.

    Raises:
        Refused: Something does not fit.
    """
    problems = unknown_keys(struct, raw, path=path, also=also)
    if problems:
        raise Refused(problems)
    try:
        return msgspec.convert(raw, struct, strict=not lax)
    except msgspec.ValidationError as error:
        raise Refused([_explain(str(error), struct, raw, path=path)]) from None


def unknown_keys(struct: type[msgspec.Struct], raw: Any, *, path: str, also: tuple[str, ...] = ()) -> list[str]:
    """One sentence for every key that nothing reads, in nested sections too."""
    if not isinstance(raw, Mapping):
        return []
    fields = {field.name: field.type for field in msgspec.structs.fields(struct)}
    problems = []
    for key, value in raw.items():
        where = f"{path}.{key}" if path else str(key)
        if key not in fields:
            problems.append(f"{where}: unknown key; {accepted((*also, *fields))}")
        elif section := section_of(fields[key]):
            problems += unknown_keys(section, value, path=where)
        elif isinstance(value, Mapping) and (each := section_of(mapped_type(fields[key]))):
            for name, item in value.items():
                problems += unknown_keys(each, item, path=f"{where}.{name}")
    return problems


def section_of(annotation: Any) -> type[msgspec.Struct] | None:
    """The structure that a key holds, if it holds one."""
    return annotation if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct) else None


def mapped_type(annotation: Any) -> Any:
    """What the values of a mapping are; None when it is no mapping."""
    return get_args(annotation)[1] if get_origin(annotation) is dict else None


def accepted(names: Iterable[str]) -> str:
    """The end of an error message: what would have been right."""
    return "accepted: " + ", ".join(sorted(names))


def describe(settings: Settings, *, wire_id: str) -> dict[str, Any]:
    """A check's definition for showing: options that are set, without secrets."""
    own = [name for name in settings.__struct_fields__ if name not in (*COMMON_OPTIONS, "name")]
    defaults = {field.name: field.default for field in msgspec.structs.fields(type(settings))}
    options = {}
    for name in own:
        value = getattr(settings, name)
        if value in (defaults[name], {}, (), ""):
            continue
        options[name] = _shown(settings, name, value)
    common = {name: getattr(settings, name) for name in COMMON_OPTIONS}
    return {
        "id": wire_id,
        "name": settings.name,
        "kind": settings.KIND,
        **common,
        "options": msgspec.json.decode(msgspec.json.encode(options)),
    }


def _shown(settings: Settings, name: str, value: Any) -> Any:
    if name in settings.SECRET:
        return dict.fromkeys(value, HIDDEN) if isinstance(value, Mapping) else HIDDEN
    if name == "url" and "?" in value:
        return value.partition("?")[0] + "?" + HIDDEN
    return value


def central_checks(definitions: Sequence[Central], *, allowed: bool) -> tuple[list[Check], list[Declined]]:
    """The checks to run for the collector, and the first of those that are not run, with why.

    The agent's own file decides: nothing runs unless it allows central checks, and then only kinds that look at other
    hosts or at open ports, no option that reads a file of this host, not too often and not too many.
    """
    checks: dict[str, Check] = {}
    declined: dict[str, Declined] = {}
    for definition in definitions:
        wire_id = f"central:{definition.id.removeprefix('central:')}"
        try:
            if not allowed:
                raise Refused(["this agent's file does not allow central checks (central_checks: allow)"])
            if len(checks) >= CENTRAL_LIMIT:
                raise Refused([f"more than {CENTRAL_LIMIT} central checks"])
            checks[wire_id] = Check(_central(definition, wire_id), wire_id=wire_id)
        except Refused as error:
            if len(declined) < CENTRAL_LIMIT and len(wire_id) <= WIRE_ID_CHARACTERS:
                why = "; ".join(problem.removeprefix(wire_id).lstrip(".: ") for problem in error.problems)
                declined[wire_id] = Declined(wire_id, why)
    return list(checks.values()), list(declined.values())


def _central(definition: Central, wire_id: str) -> Settings:
    if definition.kind not in CENTRAL_KINDS:
        raise Refused([f"{wire_id}: kind {definition.kind!r} only runs from the agent's own file"])
    if len(definition.options) > CENTRAL_OPTIONS_BYTES:
        raise Refused([f"{wire_id}: options are longer than {CENTRAL_OPTIONS_BYTES} bytes"])
    try:
        options = msgspec.json.decode(definition.options or b"{}")
    except (msgspec.DecodeError, RecursionError):
        raise Refused([f"{wire_id}: options are no JSON"]) from None
    if not isinstance(options, dict):
        raise Refused([f"{wire_id}: options are no object"])
    if local := CHECKS[definition.kind].LOCAL_ONLY & options.keys():
        raise Refused([f"{wire_id}: {', '.join(sorted(local))} can only be set in the agent's own file"])
    key = definition.id.removeprefix("central:")
    settings = read_check({**options, "name": key, "kind": definition.kind}, path=wire_id, lax=True)
    if settings.interval_seconds < CENTRAL_INTERVAL_SECONDS:
        raise Refused([f"{wire_id}: interval_seconds is less than {CENTRAL_INTERVAL_SECONDS:g}"])
    return settings


def _listed(value: Any, struct: type[Settings], key: str) -> Any:
    """A comma-separated text as the list that the option is; forms and environments only know text."""
    types_by_name = {field.name: field.type for field in msgspec.structs.fields(struct)}
    if isinstance(value, str) and get_origin(types_by_name.get(key)) is tuple:
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def _explain(message: str, struct: type[msgspec.Struct], raw: Any, *, path: str) -> str:
    """A sentence about a value, from what msgspec says about it."""
    text, _, at = message.partition(_ROOT)
    is_key = at.startswith("key` in `")
    inside = at.removeprefix("key` in `").rstrip("`").removeprefix("$")
    where = f"{path}{inside}" if path else inside.removeprefix(".")
    name = inside.rpartition(".")[2].partition("[")[0]
    if text.startswith("Object missing required field"):
        return f"{where or 'file'}: {text.split('`')[1]} is required"
    if text.startswith("Invalid enum value"):
        choices = {field.name: get_args(field.type) for field in msgspec.structs.fields(struct)}.get(name, ())
        return f"{where}: unknown: {_given(raw, inside)}; {accepted(choices)}"
    if is_key:
        return f"{where}: a name in it is not accepted: {text[0].lower()}{text[1:]}"
    if text.startswith("Expected `"):
        wanted = _wanted(text.split("`")[1], name)
        bound = text.partition("` ")[2] if "got" not in text else ""
        return f"{where}: expected {wanted}{' ' + bound if bound else ''}, not {_given(raw, inside)}"
    return f"{where}: {text}" if where else text


def _wanted(kinds: str, name: str) -> str:
    unit = next((words for suffix, words in _UNITS.items() if name.endswith(f"_{suffix}")), "")
    wanted = " or ".join(_TYPES.get(kind.strip(), kind.strip()) for kind in kinds.split("|") if kind.strip() != "null")
    return f"{wanted} of {unit}" if unit and "number" in wanted else wanted


def _given(raw: Any, inside: str) -> str:
    value = raw
    for step in inside.replace("[", ".[").split("."):
        if not step:
            continue
        if step == "[...]":
            return "that"
        try:
            value = value[int(step[1:-1])] if step.startswith("[") else value[step]
        except (KeyError, IndexError, TypeError, ValueError):
            return "that"
    if isinstance(value, str | int | float | bool | types.NoneType):
        return f"{value!r}"[:80]
    return "a list" if isinstance(value, list | tuple) else "a section"
