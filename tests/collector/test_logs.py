"""One event is one line."""

from __future__ import annotations

import logging
import sys

import pytest

from collector.logs import FORMAT, OneLine, escaped


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("Toko Sari – é 漢", "Toko Sari – é 漢"),
        ("a\r\nb", "a\\r\\nb"),
        ("\x1b[2J\x07\0", "\\x1b[2J\\x07\\x00"),
        ("\u202egnp\u2028", "\\u202egnp\\u2028"),
    ],
)
def test_what_is_not_one_visible_line_is_written_as_an_escape(text: str, shown: str) -> None:
    assert escaped(text) == shown


def test_a_traceback_keeps_its_lines() -> None:
    try:
        raise ValueError("it")
    except ValueError:
        record = logging.LogRecord("x", logging.ERROR, "f", 1, "failed\nforged", (), sys.exc_info())
    first, *rest = OneLine(FORMAT).format(record).splitlines()
    assert first.endswith("failed\\nforged")
    assert rest[0].startswith("Traceback")
