"""A register and its records: the description from which table, pages, REST, YAML and history are derived.

Describes only. Checking values is `validate`'s work, showing them `document`'s, keeping them the store's.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, NamedTuple, TypeVar

from collector.domain.registers import compound
from collector.domain.registers import fields as needs
from collector.domain.registers.fields import CREATE, META, SYSTEM, Field, slug, text
from collector.domain.registers.lifecycle import LifeCycle, Permission
from collector.domain.registers.words import Words


class Actor(NamedTuple):
    """A person or token that wants to change a record, with the role that decides what they may."""

    name: str
    role: str


Who = Actor | str
"""Who acts: a person with a role, or – as a plain name – a part of the collector itself, which may do anything."""

ROLE_RIGHTS: Mapping[str, frozenset[Permission]] = {
    "viewer": frozenset(),
    "operator": frozenset({"operate"}),
    "admin": frozenset({"operate", "admin"}),
}


def may(who: Who, permission: Permission) -> bool:
    """Whether `who` has `permission`; an unknown role has none."""
    return isinstance(who, str) or permission in ROLE_RIGHTS.get(who.role, frozenset())


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What every record has. Times are Unix milliseconds, UTC; `version` starts at 1 and grows by one per change."""

    id: int
    version: int
    state: str
    created_ms: int
    changed_ms: int
    key: str = slug(
        "Key",
        "Kunci",
        help=(
            "Stable and unique: used in addresses, YAML and as a metric label.",
            "Tetap dan unik: dipakai dalam alamat, YAML, dan sebagai label metrik.",
        ),
        need=CREATE,
        listed=True,
        searched=True,
    )
    name: str = text("Name", "Nama", need=CREATE, listed=True, searched=True)


R = TypeVar("R", bound=Record)
Rule = Callable[[Any], Mapping[str, Words]]
"""What must hold between the fields of one record: a field's name → what is wrong with it, empty when all is well."""


@dataclass(frozen=True, slots=True)
class Register(Generic[R]):
    """One register.

    Args:
        name: Singular; names the table `register_<name>`, the REST resource and the YAML documents.
        entity: The frozen dataclass of its records.
        title, titles: One record, and all of them.
        about: What the register is for, in one sentence.
        life: States and transitions.
        permission: What creating, editing and deleting ask for.
        rules: What must hold between fields.
        kept: Says of a record that the collector keeps by itself why people cannot edit it; None for all others.
        deletable: States in which a record may be deleted; the others are evidence and are retired instead.
        example: A record as a document, for the register's page and for OpenAPI.
    """

    name: str
    entity: type[R]
    title: Words
    titles: Words
    about: Words
    life: LifeCycle
    permission: Permission = "operate"
    rules: tuple[Rule, ...] = ()
    kept: Callable[[Any], Words | None] = lambda _: None
    deletable: tuple[str, ...] = ()
    example: Mapping[str, Any] = field(default_factory=dict)
    fields: tuple[Field, ...] = field(init=False)
    _by_name: dict[str, Field] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        found = tuple(
            dataclasses.replace(each.metadata[META], name=each.name)
            for each in dataclasses.fields(self.entity)
            if META in each.metadata
        )
        object.__setattr__(self, "fields", found)
        self._by_name.update({each.name: each for each in found})
        gates = {CREATE, needs.OPTIONAL, SYSTEM, needs.COMPUTED, *(each.name for each in self.life.transitions)}
        for each in found:
            if each.need not in gates:
                raise ValueError(f"{self.name}.{each.name} is needed at {each.need!r}, which is no transition")

    def field(self, name: str) -> Field | None:
        """The field of that name."""
        return self._by_name.get(name)

    @property
    def noun(self) -> Words:
        """One record, inside a sentence."""
        return self.title.lowered()

    @property
    def listed(self) -> tuple[Field, ...]:
        """The columns of the list."""
        return tuple(each for each in self.fields if each.listed)

    @property
    def filtered(self) -> tuple[Field, ...]:
        """What a list can be narrowed by, besides the state."""
        return tuple(each for each in self.fields if each.filtered)

    @property
    def writable(self) -> tuple[Field, ...]:
        """The fields of the form."""
        return tuple(each for each in self.fields if each.writable)

    @property
    def references(self) -> tuple[tuple[Field, str], ...]:
        """Fields that refer to other records, with the name of the register they refer to."""
        return tuple(
            (each, each.kind.register) for each in self.fields if isinstance(each.kind, compound.Ref | compound.Refs)
        )

    def gate(self, transition: str) -> tuple[Field, ...]:
        """The fields that must be filled before `transition`."""
        return tuple(each for each in self.fields if each.need == transition)

    def values(self, record: Record) -> dict[str, Any]:
        """The described fields of `record` by name."""
        return {each.name: getattr(record, each.name) for each in self.fields}
