"""A register's table, derived from its description.

Every column that must hold something has a server default, so that a field added to a register is one plain
`ADD COLUMN` on a table that already has rows. References carry no foreign key: registers refer to each other in
circles, which SQLite cannot add constraints for afterwards, and every write goes through the one flow that checks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import BigInteger, Boolean, Column, Float, Integer, MetaData, String, Table, Text, text
from sqlalchemy.types import TypeEngine

from collector.domain.registers.base import Register
from collector.domain.registers.compound import Ref, Refs
from collector.domain.registers.fields import Field

KEY_LENGTH = 128
STRING_LENGTH = 64
STATE_LENGTH = 32

TYPES: Mapping[str, Callable[[], TypeEngine[Any]]] = {
    "string": lambda: String(STRING_LENGTH),
    "text": Text,
    "integer": BigInteger,
    "float": Float,
    "boolean": Boolean,
}


def derive(register: Register[Any], metadata: MetaData) -> Table:
    """The table `register_<name>`: what every record has, then a column per field that is not a list of references."""
    return Table(
        f"register_{register.name}",
        metadata,
        Column("id", Integer, primary_key=True, autoincrement=True),
        Column("key", String(KEY_LENGTH), nullable=False, unique=True),
        Column("version", Integer, nullable=False),
        Column("state", String(STATE_LENGTH), nullable=False, index=True),
        Column("created_ms", BigInteger, nullable=False),
        Column("changed_ms", BigInteger, nullable=False),
        *(_column(each) for each in register.fields if each.name != "key" and not isinstance(each.kind, Refs)),
        # An id that was deleted is never given to another record: history and evidence refer to it.
        sqlite_autoincrement=True,
    )


def _column(spec: Field) -> Column[Any]:
    if spec.nullable:
        return Column(spec.name, TYPES[spec.kind.column](), nullable=True, index=isinstance(spec.kind, Ref))
    default = spec.kind.store(spec.default)
    if isinstance(default, bool):
        # Words that both databases take, whichever of them a migration was written on.
        server_default: Any = text("true" if default else "false")
    else:
        server_default = text(str(default)) if isinstance(default, int | float) else str(default)
    return Column(spec.name, TYPES[spec.kind.column](), nullable=False, server_default=server_default)
