"""What was said, as columns: the English for everybody who reads the database, and beside it what it is made of."""

from __future__ import annotations

from collector.domain.message import from_json, to_json

TEXT_LENGTH = 500
PARTS_LENGTH = 4000
"""What would be longer is kept in English only."""


def apart(text: str, column: str = "reason", *, most: int = TEXT_LENGTH) -> dict[str, str]:
    """The columns `column` and `wording` for something that was said."""
    parts = to_json(text)
    return {column: str(text)[:most], "wording": parts if len(parts) <= PARTS_LENGTH else ""}


def together(text: str, parts: str) -> str:
    """What was said, from the two columns."""
    return from_json(text, parts)
