"""The notation in which a register is written: one call per field, read like a line of a specification.

    interval_seconds: float = seconds("Interval", "Jarak pemeriksaan", default=30.0, least=1, most=86_400)

Each call returns a dataclass field that carries a `Field`. What can be read off a field – column, form, filter,
schema – is derived elsewhere.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from collector.domain.registers import compound, kinds
from collector.domain.registers.words import Option, Words

META: Final = "register"

CREATE: Final = "create"
"""Must be given when the record is created."""
OPTIONAL: Final = "optional"
SYSTEM: Final = "system"
"""Set by the collector, never by a person."""
COMPUTED: Final = "computed"
"""Follows from other fields at every write."""


@dataclass(frozen=True, slots=True)
class Field:
    """What is known of one field. `need` is one of the words above or the name of the transition that asks for it."""

    kind: kinds.Kind
    label: Words
    help: Words
    need: str
    default: Any
    name: str = ""
    unit: str = ""
    unit_by: str = ""  # the field whose value brings the unit, and the units by that value
    units: Mapping[str, Words] = dataclasses.field(default_factory=dict)
    listed: bool = False
    searched: bool = False
    filtered: bool = False
    compute: Callable[[Mapping[str, Any]], Any] | None = None

    @property
    def nullable(self) -> bool:
        """Whether "nothing" is a value of its own, told apart from the kind's empty value."""
        return self.default is None

    @property
    def writable(self) -> bool:
        """Whether a person may set it."""
        return self.need not in (SYSTEM, COMPUTED)

    @property
    def secret(self) -> bool:
        """Whether its value never leaves."""
        return isinstance(self.kind, compound.Secret)

    def is_filled(self, value: Any) -> bool:
        """Whether `value` says something."""
        return value is not None and value not in ("", (), {})


def _field(kind: kinds.Kind, english: str, indonesian: str, *, default: Any, **facts: Any) -> Any:
    about = facts.pop("help", ("", ""))
    need = facts.pop("need", OPTIONAL)
    spec = Field(kind=kind, label=Words(english, indonesian), help=Words(*about), need=need, default=default, **facts)
    if isinstance(default, dict):
        return dataclasses.field(default_factory=dict, metadata={META: spec})
    if need == CREATE and kind.empty == default:
        return dataclasses.field(metadata={META: spec})
    return dataclasses.field(default=default, metadata={META: spec})


def text(english: str, indonesian: str, *, longest: int = 200, default: str = "", **facts: Any) -> Any:
    """One line of text."""
    return _field(kinds.Text(longest), english, indonesian, default=default, **facts)


def multiline(english: str, indonesian: str, *, longest: int = 4000, **facts: Any) -> Any:
    """Text of several lines."""
    return _field(kinds.Multiline(longest), english, indonesian, default="", **facts)


def slug(english: str, indonesian: str, **facts: Any) -> Any:
    """A stable key."""
    return _field(kinds.Slug(), english, indonesian, default="", **facts)


def integer(
    english: str, indonesian: str, *, default: int | None, least: int = 0, most: int = 2**31 - 1, **facts: Any
) -> Any:
    """A whole number, bounds inclusive."""
    return _field(kinds.Integer(least, most), english, indonesian, default=default, **facts)


def seconds(
    english: str, indonesian: str, *, default: float | None, least: float = 0, most: float = 86_400, **facts: Any
) -> Any:
    """A duration in seconds, bounds inclusive."""
    return _field(kinds.Number(least, most), english, indonesian, default=default, unit="s", **facts)


def number(
    english: str, indonesian: str, *, default: float | None, least: float = -1e15, most: float = 1e15, **facts: Any
) -> Any:
    """A floating-point number, bounds inclusive."""
    return _field(kinds.Number(least, most), english, indonesian, default=default, **facts)


def decimal(
    english: str, indonesian: str, *, default: str | None, least: str, most: str, places: int = 4, **facts: Any
) -> Any:
    """An exact decimal number, bounds inclusive."""
    kind = kinds.Exact(Decimal(least), Decimal(most), places)
    return _field(kind, english, indonesian, default=None if default is None else Decimal(default), **facts)


def boolean(english: str, indonesian: str, *, default: bool, **facts: Any) -> Any:
    """Yes or no."""
    return _field(kinds.Boolean(), english, indonesian, default=default, **facts)


def one_of(
    english: str,
    indonesian: str,
    options: tuple[Option, ...],
    *,
    default: str = "",
    offered: Collection[str] | None = None,
    **facts: Any,
) -> Any:
    """One of the options; without a default it must be chosen. Forms show those that are `offered`, or all."""
    return _field(
        kinds.Enum(options, None if offered is None else tuple(offered)), english, indonesian, default=default, **facts
    )


def date(english: str, indonesian: str, **facts: Any) -> Any:
    """A calendar day or none."""
    return _field(kinds.Date(), english, indonesian, default=None, **facts)


def time_zone(english: str, indonesian: str, *, default: str, **facts: Any) -> Any:
    """An IANA time zone."""
    return _field(kinds.TimeZone(), english, indonesian, default=default, **facts)


def url(english: str, indonesian: str, **facts: Any) -> Any:
    """An http or https address."""
    return _field(kinds.URL(), english, indonesian, default="", **facts)


def ref(english: str, indonesian: str, register: str, **facts: Any) -> Any:
    """One record of `register`."""
    return _field(compound.Ref(register), english, indonesian, default=None, **facts)


def refs(english: str, indonesian: str, register: str, **facts: Any) -> Any:
    """Several records of `register`."""
    return _field(compound.Refs(register), english, indonesian, default=(), **facts)


def pairs(english: str, indonesian: str, *, regex: bool = False, **facts: Any) -> Any:
    """Names and texts, such as labels; with `regex` each text is a regular expression."""
    return _field(compound.Map(regex=regex), english, indonesian, default={}, **facts)


def settings(
    english: str, indonesian: str, *, by: str, known: Mapping[str, tuple[compound.Setting, ...]], **facts: Any
) -> Any:
    """Names and values whose meaning depends on the field `by`."""
    return _field(compound.Options(by=by, known=known), english, indonesian, default={}, **facts)


def secret(english: str, indonesian: str, **facts: Any) -> Any:
    """Write-only text, sealed at rest."""
    return _field(compound.Secret(), english, indonesian, default="", **facts)
