"""Kinds of field that hold several values, refer to other records, or hide what they hold; see `kinds`.

A reference is an id in our records and tables and a key everywhere outside; turning one into the other needs the store
and is not done here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from collector.domain.errors import InvalidInput
from collector.domain.pattern import compile_anchored
from collector.domain.registers.kinds import CONTROL, Column, Kind, Refused
from collector.domain.registers.words import Words


@dataclass(frozen=True, slots=True)
class Ref(Kind):
    """Another record: its id in our records and tables, its key everywhere outside."""

    column: ClassVar[Column] = "integer"
    widget: ClassVar[str] = "ref"
    empty: ClassVar[Any] = None
    register: str = ""

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "description": f"Key of a {self.register}."}


@dataclass(frozen=True, slots=True)
class Refs(Kind):
    """Several records of one register, in order and each once; kept in the table `link`, not in a column."""

    widget: ClassVar[str] = "refs"
    empty: ClassVar[Any] = ()
    register: str = ""

    def schema(self) -> dict[str, Any]:
        return {
            "type": "array",
            "items": {"type": "string", "description": f"Key of a {self.register}."},
            "uniqueItems": True,
        }


@dataclass(frozen=True, slots=True)
class Map(Kind):
    """Names and texts; forms write one `name=value` a line. With `regex`, every value must be a regular expression."""

    widget: ClassVar[str] = "map"
    empty: ClassVar[Any] = {}
    name_pattern: str = r"[A-Za-z_][A-Za-z0-9_.-]{0,63}"
    regex: bool = False
    longest: int = 500
    most: int = 50

    def parse(self, given: Any) -> dict[str, Any]:
        if given is None or given == "":
            return {}
        pairs = _lines(given) if isinstance(given, str) else given
        if not isinstance(pairs, Mapping):
            raise Refused("must be pairs of name and value", "harus berupa pasangan nama dan nilai")
        if len(pairs) > self.most:
            raise Refused(f"must be at most {self.most} pairs", f"paling banyak {self.most} pasangan")
        return {self._name(name): self._value(name, value) for name, value in pairs.items()}

    def _name(self, name: object) -> str:
        if not re.fullmatch(self.name_pattern, str(name)):
            raise Refused(f"'{name}' is not a valid name", f"'{name}' bukan nama yang sah")
        return str(name)

    def _value(self, name: object, value: object) -> Any:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise Refused(f"'{name}' must be text", f"'{name}' harus berupa teks")
        text = str(value)
        if len(text) > self.longest or CONTROL.search(text):
            raise Refused(f"'{name}' is too long or not text", f"'{name}' terlalu panjang atau bukan teks")
        if self.regex:
            try:
                # As strict as whoever runs it: a rule that cannot be judged would stop all the others.
                compile_anchored(text)
            except InvalidInput as error:
                why = error.fields["match"]
                raise Refused(f"'{name}': the pattern {why}", f"'{name}': pola tidak dapat dipakai ({why})") from None
        return text

    def store(self, value: Mapping[str, Any]) -> str:
        return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))

    def load(self, stored: str) -> dict[str, Any]:
        loaded: dict[str, Any] = json.loads(stored or "{}")
        return loaded

    def dump(self, value: Mapping[str, Any]) -> dict[str, Any]:
        return dict(sorted(value.items()))

    def form(self, value: Mapping[str, Any]) -> str:
        return "\n".join(
            f"{name}={item if isinstance(item, str) else json.dumps(item, ensure_ascii=False)}"
            for name, item in sorted(value.items())
        )

    def schema(self) -> dict[str, Any]:
        return {"type": "object", "additionalProperties": {"type": "string"}}


@dataclass(frozen=True, slots=True)
class Setting:
    """One of the options that another field's value brings with it. `default` is what is meant when it is left out."""

    name: str
    label: Words
    kind: Kind
    help: Words = field(default_factory=lambda: Words(""))
    unit: str = ""
    required: bool = False
    default: str = ""


@dataclass(frozen=True, slots=True)
class Options(Map):
    """Settings whose names depend on another field: texts, numbers, true and false, and lists and maps of them.

    Args:
        by: The name of that field.
        known: Its value → the settings that it brings; what they take is judged by a rule of the register.
    """

    by: str = ""
    known: Mapping[str, tuple[Setting, ...]] = field(default_factory=dict)

    def _value(self, name: object, value: object) -> Any:
        if isinstance(value, str):
            return Map._value(self, name, value)
        try:
            text = json.dumps(value)
        except (TypeError, ValueError):
            text = ""
        if not text or len(text) > self.longest:
            raise Refused(f"'{name}' cannot be stored", f"'{name}' tidak dapat disimpan")
        return json.loads(text)

    def parse(self, given: Any) -> dict[str, Any]:
        # Forms have only text: what reads as a JSON number, truth value, list or map is one.
        if isinstance(given, str):
            given = {name: _json_or_text(value) for name, value in _lines(given).items()}
        return Map.parse(self, given)

    def schema(self) -> dict[str, Any]:
        return {"type": "object"}


@dataclass(frozen=True, slots=True)
class Secret(Kind):
    """Write-only text. Records hold it sealed; nothing outside ever sees more than whether it is set."""

    widget: ClassVar[str] = "secret"
    longest: int = 1000

    def parse(self, given: Any) -> str:
        text = str(given if given is not None else "")
        if len(text) > self.longest or CONTROL.search(text):
            raise Refused(
                f"must be text of at most {self.longest} characters",
                f"harus teks, paling banyak {self.longest} karakter",
            )
        return text

    def dump(self, value: str) -> str:
        return "set" if value else "not set"

    def form(self, value: Any) -> str:
        del value  # Never shown, not even masked: a mask would be saved in its place.
        return ""

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "writeOnly": True, "maxLength": self.longest}


def _lines(text: str) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for line in filter(None, (line.strip() for line in text.splitlines())):
        name, equals, value = line.partition("=")
        if not equals:
            raise Refused(f"'{line}' must look like name=value", f"'{line}' harus berbentuk nama=nilai")
        if name.strip() in pairs:
            raise Refused(f"'{name.strip()}' is given twice", f"'{name.strip()}' ditulis dua kali")
        pairs[name.strip()] = value.strip()
    return pairs


def _json_or_text(text: str) -> Any:
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, int | float | bool | list | dict) else text
