"""How log lines are written: one event is one line, whatever a stranger put into it.

Level and destination are settings; what is worth a line is each module's own decision.
"""

from __future__ import annotations

import logging
import sys
import unicodedata

FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Unicode categories that end a line, steer a terminal or turn the direction of text."""


class OneLine(logging.Formatter):
    """Writes control characters of the message as escapes; a traceback below it stays as it is."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        """The line without its traceback."""
        return escaped(super().formatMessage(record))


def escaped(text: str) -> str:
    """`text` with everything that would not be one visible line as backslash escapes."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_shown(each) if unicodedata.category(each) in _UNSEEN else each for each in text)


def _shown(character: str) -> str:
    return character.encode("unicode_escape").decode()


def set_up(level: str) -> None:
    """Log to standard error from `level` on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(OneLine(FORMAT))
    logging.basicConfig(level=level.upper(), handlers=[handler])
    # What it says at every start, eight lines long, is news to nobody.
    logging.getLogger("alembic").setLevel(logging.WARNING)
