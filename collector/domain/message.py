"""What is said to people, kept so that whoever reads it can have it in their language.

`Words` carry both languages at once: labels. A `Message` is an English sentence with named values, kept apart:
`collector.languages` translates the sentence, and never the values.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

LANGUAGES = ("en", "id")
Value = str | int | float
"""Words and messages are values too. Plain text is a name, or somebody else's words, and is never translated."""

PLACEHOLDER = re.compile(r"\{(\w+)\}")
_PRECISE_BELOW = 100


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

    def lowered(self) -> Words:
        """The same in lower case, for the inside of a sentence."""
        return Words(self.lower(), self.indonesian.lower())

    def fill(self, *values: object) -> Words:
        """The same text with its `{0}`, `{1}` … replaced, each by its own words where it has both languages."""
        ours = [value.to("id") if isinstance(value, Words) else value for value in values]
        return Words(str.format(self, *values), self.indonesian.format(*ours))


def to_language(text: str, language: str) -> str:
    """`text` in `language` if it carries one, else as it is: for messages that may come from anywhere."""
    return text.to(language) if isinstance(text, Words) else text


class Message(str):
    """A sentence of ours, filled in; wherever a plain `str` will do, it is the English.

    A number with a fraction is given as it is: the reader's language writes it.

    >>> Message("There is no {register} '{key}'.", register="host", key="web-3")
    "There is no host 'web-3'."
    """

    __slots__ = ("_parts",)
    _parts: tuple[str, Mapping[str, Value]] | str  # as JSON until somebody asks

    def __new__(cls, template: str, /, **values: Value) -> Message:
        """`template` is a literal, so that it can be found and translated; `{name}` stands for the value `name`."""
        message = super().__new__(cls, fill(template, {name: written(value) for name, value in values.items()}))
        message._parts = (template, values)
        return message

    @classmethod
    def joined(cls, separator: str, parts: Iterable[str]) -> Message:
        """Several messages one after another.

        >>> Message.joined("; ", [Message("no members"), "web-3"])
        'no members; web-3'
        """
        values: dict[str, Value] = {f"part{place}": part for place, part in enumerate(parts)}
        return cls(separator.join(f"{{{name}}}" for name in values), **values)

    @classmethod
    def kept(cls, english: str, parts: str) -> Message:
        """A message from its text and `to_json`; read only when somebody wants it in another language."""
        message = super().__new__(cls, english)
        message._parts = parts
        return message

    @property
    def template(self) -> str:
        """The sentence."""
        return self._read()[0]

    @property
    def values(self) -> Mapping[str, Value]:
        """What is filled in."""
        return self._read()[1]

    def _read(self) -> tuple[str, Mapping[str, Value]]:
        if isinstance(self._parts, str):
            self._parts = _parts(json.loads(self._parts))
        return self._parts

    def retold(self, translate: Callable[[str], str], write: Callable[[Value], str]) -> str:
        """The sentence by another translator; `write` says values that are no messages."""
        told = {
            name: value.retold(translate, write) if isinstance(value, Message) else write(value)
            for name, value in self.values.items()
        }
        return fill(translate(self.template), told)


def to_json(text: str) -> str:
    """What `text` carries beside its English; empty for plain text.

    >>> to_json(Message("There is no {register}.", register=Words("host", "host")))
    '["There is no {register}.",{"register":{"en":"host","id":"host"}}]'
    """
    if not isinstance(text, Message | Words):
        return ""
    return json.dumps(_apart(text), ensure_ascii=False, separators=(",", ":"))


def from_json(english: str, parts: str) -> str:
    """What was kept as text and `to_json`."""
    if not parts:
        return english
    return Message.kept(english, parts) if parts.startswith("[") else _together(json.loads(parts))  # type: ignore[return-value]


def _apart(value: Value) -> Any:
    if isinstance(value, Message):
        return [value.template, {name: _apart(one) for name, one in value.values.items()}]
    if isinstance(value, Words):
        return {language: value.to(language) for language in LANGUAGES}
    return str(value) if isinstance(value, str) else value


def _together(found: Any) -> Value:
    if isinstance(found, dict):
        return Words(*(found[language] for language in LANGUAGES))
    if isinstance(found, list):
        template, values = _parts(found)
        return Message(template, **values)
    return found  # type: ignore[no-any-return]


def _parts(found: list[Any]) -> tuple[str, Mapping[str, Value]]:
    template, values = found
    return template, {name: _together(value) for name, value in values.items()}


def mark(template: str) -> str:
    """Mark a text for translation where it is written; it is translated where it is shown."""
    return template


def fill(template: str, words: Mapping[str, str]) -> str:
    """`template` with each `{name}` replaced by its word; unknown names stay as they are. Nothing else is understood.

    >>> fill("{mountpoint} on {instance} is {value} full", {"mountpoint": "/", "value": "91 %"})
    '/ on {instance} is 91 % full'
    """
    return PLACEHOLDER.sub(lambda found: words.get(found[1], found[0]), template)


def placeholders(template: str) -> list[str]:
    """The names that `fill` would look for, in order.

    >>> placeholders("{mountpoint} on {host} is {value} full")
    ['mountpoint', 'host', 'value']
    """
    return PLACEHOLDER.findall(template)


def written(value: Value) -> str:
    """A value in an English sentence; a number with a fraction as agents write it: 0.12, 3, 90."""
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < _PRECISE_BELOW else f"{value:.0f}"
    return str(value)
