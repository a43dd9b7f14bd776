"""Labels in both languages of the product, and the options that carry them.

Knows nothing of who reads it: the edge picks the language.
"""

from __future__ import annotations

from typing import NamedTuple

from collector.domain.message import LANGUAGES, Words, to_language

__all__ = ["LANGUAGES", "SEVERITIES", "Option", "Words", "choices", "to_language"]


class Option(NamedTuple):
    """One value of an enumeration and what people call it."""

    value: str
    label: Words


def choices(**labels: tuple[str, str]) -> tuple[Option, ...]:
    """Options in the order written: `choices(up=("Up", "Hidup"), down=("Down", "Mati"))`."""
    return tuple(Option(value, Words(*label)) for value, label in labels.items())


SEVERITIES = choices(info=("Info", "Info"), warning=("Warning", "Peringatan"), critical=("Critical", "Kritis"))
"""How bad, from mild to severe; shared by rules and channels."""
