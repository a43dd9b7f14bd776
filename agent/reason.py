"""Why a check is in its state: an English sentence with named values, kept apart so that a page can say it otherwise.

Knows no language but English; the collector translates the sentence, and never the values.
"""

from __future__ import annotations

import re
from typing import Any

Value = str | int | float
"""A reason is a value too. Text is a host's, a server's or an operator's own and is never translated."""

TEXT_CHARACTERS = 200
"""Longer values are cut; they may quote what a stranger's server said."""

REASON_CHARACTERS = 300
"""Longer reasons are cut, and then they are English only."""

_PLACEHOLDER = re.compile(r"\{(\w+)\}")
_PRECISE_BELOW = 100


class Reason(str):
    """A sentence of ours, filled in; wherever a plain `str` will do, it is the English.

    One clean line of bounded length, whatever the values are. A number with a fraction is given as it is: the reader's
    language writes it.

    >>> Reason("No answer from {address} within {seconds} s", address="db:5432", seconds=3.0)
    'No answer from db:5432 within 3 s'
    """

    __slots__ = ("template", "values")
    template: str  # empty: English only
    values: dict[str, Value]

    def __new__(cls, template: str, /, **values: Value) -> Reason:
        """`template` is a literal, so that it can be found and translated; `{name}` stands for the value `name`."""
        kept = {name: _kept(value) for name, value in values.items()}
        text = _PLACEHOLDER.sub(lambda found: written(kept[found[1]]), template)
        reason = super().__new__(cls, cut(text, REASON_CHARACTERS))
        reason.template, reason.values = (template, kept) if len(text) <= REASON_CHARACTERS else ("", {})
        return reason


def _kept(value: Value) -> Value:
    if isinstance(value, float):
        return float(written(value))  # no more digits than anybody sees
    return one_line(value) if isinstance(value, str) and not isinstance(value, Reason) else value


def took(seconds: float) -> Reason:
    """How long something took, in the unit in which one says it.

    >>> took(0.00195), took(1.84)
    ('1.95 ms', '1.84 s')
    """
    if seconds < 1:
        return Reason("{milliseconds} ms", milliseconds=seconds * 1000)
    return Reason("{seconds} s", seconds=seconds)


def apart(value: Value) -> Any:
    """A reason as JSON for documents: `["template", {"name": value}]`; other values as they are."""
    if isinstance(value, Reason) and value.template:
        return [value.template, {name: apart(one) for name, one in value.values.items()}]
    return str(value) if isinstance(value, str) else value


def written(value: Value) -> str:
    """A value in an English sentence: 0.12, 3, 90."""
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < _PRECISE_BELOW else f"{value:.0f}"
    return str(value)


def one_line(text: str) -> str:
    """Printable characters only, cut at a bound."""
    return cut("".join(character if character.isprintable() else " " for character in text), TEXT_CHARACTERS)


def cut(text: str, most: int) -> str:
    """At most so many characters, with a sign where some are missing."""
    return text if len(text) <= most else text[: most - 1] + "…"
