"""Text that people read, in both languages of the product at once.

Knows nothing of who reads it: the edge picks the language.
"""

from __future__ import annotations

from typing import NamedTuple

LANGUAGES = ("en", "id")


class Words(str):
    """English text that also carries its Indonesian; wherever a plain `str` will do, it is the English.

    >>> Words("Owner", "Pemilik").to("id")
    'Pemilik'
    >>> Words("at most {0}", "paling banyak {0}").fill(5).to("id")
    'paling banyak 5'
    """

    __slots__ = ("indonesian",)
    indonesian: str

    def __new__(cls, english: str, indonesian: str = "") -> Words:
        """`indonesian` may be left out only where both languages use the same words."""
        words = super().__new__(cls, english)
        words.indonesian = indonesian or english
        return words

    def to(self, language: str) -> str:
        """The text in `language`; English for a language that we do not have."""
        return self.indonesian if language == "id" else str.__str__(self)

    def fill(self, *values: object) -> Words:
        """The same text with its `{0}`, `{1}` … replaced, each by its own words where it has both languages."""
        ours = [value.to("id") if isinstance(value, Words) else value for value in values]
        return Words(str.format(self, *values), self.indonesian.format(*ours))


def to_language(text: str, language: str) -> str:
    """`text` in `language` if it carries one, else as it is: for messages that may come from anywhere."""
    return text.to(language) if isinstance(text, Words) else text


class Option(NamedTuple):
    """One value of an enumeration and what people call it."""

    value: str
    label: Words


def choices(**labels: tuple[str, str]) -> tuple[Option, ...]:
    """Options in the order written: `choices(up=("Up", "Hidup"), down=("Down", "Mati"))`."""
    return tuple(Option(value, Words(*label)) for value, label in labels.items())


SEVERITIES = choices(info=("Info", "Info"), warning=("Warning", "Peringatan"), critical=("Critical", "Kritis"))
"""How bad, from mild to severe; shared by rules and channels."""
