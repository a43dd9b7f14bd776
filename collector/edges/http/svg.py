"""Geometry of the small pictures that the server draws: sparklines, state strips, bars.

Returns path data and rectangles; the macros make elements of them. No colours, no words.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

ABSENT = "absent"
"""The state of the time in which something did not exist."""
MINIMUM_WIDTH = 0.35
"""Of a strip's 100 units: a short outage must still be seen."""


class Bar(NamedTuple):
    """One piece of a strip, in hundredths of its width."""

    x: float
    width: float
    state: str
    since_ms: int
    until_ms: int
    reason: str


class Spark(NamedTuple):
    """A sparkline: `line` and `area` are path data in a box of `width` × `height`; empty without points."""

    line: str
    area: str
    width: int
    height: int


def spark(
    values: Iterable[float | None], width: int = 96, *, height: int = 24, low: float | None = 0.0,
    high: float | None = None,
) -> Spark:  # fmt: skip
    """Path data of a sparkline over equally spaced values; None and NaN are gaps.

    Args:
        values: Oldest first.
        width: Of the box.
        height: Of the box.
        low: Value at the bottom; None takes the smallest.
        high: Value at the top; None takes the largest.
    """
    points = [None if value is None or not math.isfinite(value) else float(value) for value in values]
    known = [value for value in points if value is not None]
    if not known:
        return Spark("", "", width, height)
    bottom = min(known) if low is None else min(low, *known)
    top = max(known) if high is None else max(high, *known)
    span = (top - bottom) or 1.0
    step = width / max(len(points) - 1, 1)
    line, area = [], []
    for run in _runs(points):
        corners = [(index * step, height - 1 - (height - 2) * (value - bottom) / span) for index, value in run]
        path = "L".join(f"{x:.1f} {y:.1f}" for x, y in corners)
        line.append("M" + path + ("h.5" if len(corners) == 1 else ""))
        area.append(f"M{corners[0][0]:.1f} {height}L{path}L{corners[-1][0]:.1f} {height}Z")
    return Spark("".join(line), "".join(area), width, height)


def _runs(points: Sequence[float | None]) -> Iterable[list[tuple[int, float]]]:
    run: list[tuple[int, float]] = []
    for index, value in enumerate(points):
        if value is not None:
            run.append((index, value))
        elif run:
            yield run
            run = []
    if run:
        yield run


def strip(segments: Iterable[Sequence[object]], since_ms: int, until_ms: int) -> list[Bar]:
    """Pieces of a state strip.

    Args:
        segments: (since_ms, until_ms, state, reason) in order; in what none covers the thing did not exist.
        since_ms: Left edge, inclusive.
        until_ms: Right edge, exclusive.

    Returns:
        Pieces that cover the whole strip, absent ones included; a piece shorter than MINIMUM_WIDTH is widened.
    """
    whole = max(until_ms - since_ms, 1)
    bars: list[Bar] = []
    reached = since_ms
    for segment in segments:
        first, last = max(int(segment[0]), since_ms), min(int(segment[1]), until_ms)  # type: ignore[call-overload]
        if last <= first:
            continue
        if first > reached:
            bars.append(_bar(reached, first, ABSENT, "", since_ms, whole))
        bars.append(_bar(first, last, str(segment[2]), str(segment[3]), since_ms, whole))
        reached = max(reached, last)
    if reached < until_ms:
        bars.append(_bar(reached, until_ms, ABSENT, "", since_ms, whole))
    return bars


def _bar(first: int, last: int, state: str, reason: str, origin: int, whole: int) -> Bar:
    width = max(100 * (last - first) / whole, MINIMUM_WIDTH)
    x = min(100 * (first - origin) / whole, 100 - width)
    return Bar(round(x, 3), round(width, 3), state, first, last, reason)
