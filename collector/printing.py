"""What commands print: tables for people, JSON for programs.

A table is plain text: it pipes without colour, and a terminal gets bold headings unless `NO_COLOR` is set. Decides
nothing about what is shown.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import textwrap
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import click

GAP = "  "
LEAST_WRAPPED = 20
"""A last column narrower than this is not wrapped: it would be a ribbon."""
BYTES = ("B", "KiB", "MiB", "GiB", "TiB")
STEP = 1024
Columns = Mapping[str, Callable[[Mapping[str, Any]], str]]
"""Heading of a column → its cell of one row."""

json_option = click.option("--json", "as_json", is_flag=True, help="For programs.")


def json_out(value: Any) -> None:
    """Print `value` as JSON."""
    click.echo(json.dumps(value, indent=2, default=str, ensure_ascii=False))


def list_out(
    found: Sequence[Mapping[str, Any]],
    columns: Columns,
    *,
    as_json: bool,
    empty: str,
) -> None:
    """Print what was found as JSON, or as a table of these columns."""
    if as_json:
        json_out(found)
        return
    table_out(tuple(columns), [tuple(cell(one) for cell in columns.values()) for one in found], empty=empty)


def table_out(columns: Sequence[str], rows: Sequence[Sequence[str]], *, empty: str) -> None:
    """Print the rows below their headings; `empty` to people when there are none, and to programs only headings."""
    people = sys.stdout.isatty()
    if people and not rows:
        click.echo(empty)
        return
    width = shutil.get_terminal_size().columns if people else None
    head, *lines = table([columns, *rows], width=width)
    click.echo(click.style(head, bold=True) if people and "NO_COLOR" not in os.environ else head)
    for line in lines:
        click.echo(line)


def table(rows: Sequence[Sequence[str]], *, width: int | None = None) -> list[str]:
    """The rows as lines, each column as wide as its widest cell.

    Args:
        rows: All of one length.
        width: Of the terminal, in which the last column is wrapped; None to leave every row one line.
    """
    safe = [[_one_line(cell) for cell in row] for row in rows]
    widths = [max(_cells(cell) for cell in column) for column in zip(*safe, strict=True)]
    indent = sum(widths[:-1]) + len(GAP) * (len(widths) - 1)
    room = width - indent if width is not None and width - indent >= LEAST_WRAPPED else None
    lines = []
    for *first, last in safe:
        start = GAP.join(cell + " " * (wide - _cells(cell)) for cell, wide in zip(first, widths, strict=False))
        parts = (
            textwrap.wrap(last, room, break_long_words=False, break_on_hyphens=False)
            if room is not None and last
            else [last]
        )
        lines.append(f"{start}{GAP if first else ''}{parts[0]}".rstrip())
        lines += [" " * indent + part for part in parts[1:]]
    return lines


def moment(unix_ms: int | None) -> str:
    """A point in time in UTC, as logs have it."""
    if unix_ms is None:
        return "never"
    return datetime.fromtimestamp(unix_ms / 1_000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def amount(size_bytes: float) -> str:
    """Bytes in binary steps: 1.5 MiB."""
    step = 0
    while size_bytes >= STEP and step < len(BYTES) - 1:
        size_bytes, step = size_bytes / STEP, step + 1
    return f"{size_bytes:.{1 if step else 0}f} {BYTES[step]}"


def _one_line(text: str) -> str:
    """Without what would end the line or steer the terminal: a host names itself."""
    return "".join(" " if unicodedata.category(each) in ("Cc", "Cf", "Zl", "Zp") else each for each in text)


def _cells(text: str) -> int:
    """How many columns of a terminal the text takes."""
    return sum(2 if unicodedata.east_asian_width(each) in "WF" else not unicodedata.combining(each) for each in text)
