"""Registers describe themselves: one file, and one word in the list below, is all that a register takes.

Table, list, search, form, record page, life cycle, REST, OpenAPI, YAML, CSV and change history follow.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from collector.domain.errors import NotFound
from collector.domain.message import Message
from collector.domain.registers.base import Record, Register

NAMES = (
    "host",
    "check",
    "service",
    "rule",
    "channel",
)
REGISTERS: dict[str, Register[Any]] = {name: import_module(f"{__name__}.{name}").REGISTER for name in NAMES}


def named(which: str | type[Record]) -> Register[Any]:
    """The register of that name, or of records of that class.

    Raises:
        NotFound: There is none.
    """
    if isinstance(which, str):
        if which not in REGISTERS:
            raise NotFound(
                Message("There is no register '{register}'.", register=str(which)),
                hint=Message("Known: {known}.", known=", ".join(REGISTERS)),
            )
        return REGISTERS[which]
    return next(register for register in REGISTERS.values() if register.entity is which)
