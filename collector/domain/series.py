"""Time series as numbers over time: columns, layouts, matchers, and the arithmetic charts and rules need.

Pure numpy. Knows nothing of how series are stored or asked for. Times are Unix milliseconds in UTC, int64, ascending
without duplicates; values are float64 of the same length. Spans are half-open: `[since_ms, until_ms)`.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from collector.domain.errors import InvalidInput
from collector.domain.message import Message
from collector.domain.pattern import compile_anchored

Times = NDArray[np.int64]
Values = NDArray[np.float64]

NAME_LABEL = "__name__"
ABSENT_BITS = 0x7FF0_0000_0000_0002
"""Prometheus' stale marker. Source: prometheus/prometheus, model/value/value.go (StaleNaN)."""
ABSENT: float = struct.unpack("<d", struct.pack("<Q", ABSENT_BITS))[0]
LOOKBACK_MS = 300_000
"""How long the newest sample of a series stands for "now". Source: Prometheus, --query.lookback-delta."""
GAP_FACTOR = 2.5
"""Missing beats before a pause is a gap: one lost beat plus jitter is none."""


class Kind(IntEnum):
    """How a series moves; the numbers are those of the wire."""

    GAUGE = 0
    COUNTER = 1


@dataclass(frozen=True, slots=True)
class Column:
    """One series of a layout: a metric name with the agent's labels, sorted by label name."""

    name: str
    labels: tuple[tuple[str, str], ...] = ()
    kind: Kind = Kind.GAUGE
    unit: str = ""
    help: str = ""


@dataclass(frozen=True, slots=True)
class Layout:
    """The columns of a row, in row order, and how often a row is due.

    `families` maps each metric name to the positions of its columns, ascending.
    """

    columns: tuple[Column, ...]
    interval_ms: int
    families: Mapping[str, tuple[int, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        families: dict[str, list[int]] = {}
        for position, column in enumerate(self.columns):
            families.setdefault(column.name, []).append(position)
        object.__setattr__(self, "families", {name: tuple(places) for name, places in families.items()})

    @property
    def row_bytes(self) -> int:
        """Length of one packed row."""
        return 8 * len(self.columns)


_OPERATORS: dict[str, Callable[[str, str], bool]] = {
    "=": lambda text, value: text == value,
    "!=": lambda text, value: text != value,
    "=~": lambda text, value: compile_anchored(value).fullmatch(text) is not None,
    "!~": lambda text, value: compile_anchored(value).fullmatch(text) is None,
}


@dataclass(frozen=True, slots=True)
class Matcher:
    """A condition on one label, with Prometheus' operators `=`, `!=`, `=~` and `!~` (fully anchored).

    Raises:
        InvalidInput: Unknown operator, or a pattern that is not valid or not safe.
    """

    name: str
    op: str
    value: str

    def __post_init__(self) -> None:
        if self.op not in _OPERATORS:
            raise InvalidInput(
                Message("Unknown operator “{operator}”.", operator=self.op), fields={"match": "one of =, !=, =~, !~"}
            )
        if self.op in ("=~", "!~"):
            compile_anchored(self.value)

    def accepts(self, text: str) -> bool:
        """Whether a label with this value fulfils the condition; a missing label has the value ""."""
        return _OPERATORS[self.op](text, self.value)


@dataclass(frozen=True, slots=True, eq=False)
class SeriesData:
    """One series over a span: its full labels (`__name__` included), times and values, ascending in time."""

    labels: dict[str, str]
    times: Times
    values: Values


class Point(NamedTuple):
    """The newest value of one series."""

    labels: dict[str, str]
    wall_ms: int
    value: float


class Gap(NamedTuple):
    """A time without samples, half-open."""

    since_ms: int
    until_ms: int


def is_absent(values: Values) -> NDArray[np.bool_]:
    """Which values are the stale marker, as opposed to a NaN that was measured; same shape."""
    return np.asarray(np.ascontiguousarray(values).view(np.uint64) == ABSENT_BITS)


def increments(values: Values) -> Values:
    """Growth of a counter from each sample to the next: one element fewer than `values`.

    A counter that falls was reset to zero in between, so its new value is the growth.

    Source:
        Prometheus, "rate() … breaks in monotonicity are automatically adjusted for".
    """
    before, after = values[:-1], values[1:]
    with np.errstate(invalid="ignore"):
        # In this order a missing neighbour gives NaN and not the whole counter.
        return np.where(after < before, after, after - before)


def increase(values: Values) -> float:
    """Growth of a counter over all its samples, resets accounted for; 0.0 with fewer than two samples."""
    present = values[~np.isnan(values)]
    return float(increments(present).sum()) if present.size > 1 else 0.0


def rate(times: Times, values: Values, *, gap_ms: int = LOOKBACK_MS) -> tuple[Times, Values]:
    """Growth of a counter per second, between each pair of neighbouring samples.

    Args:
        times: Milliseconds, ascending.
        values: The counter; resets are accounted for.
        gap_ms: Neighbours further apart than this give no rate, as nothing is known of the time between.

    Returns:
        Times of the later sample of each pair, and the rate per second.
    """
    if times.size < 2:
        return times[:0], values[:0]
    seconds = np.diff(times) / 1000.0
    near = (seconds > 0) & (seconds * 1000.0 <= gap_ms)
    return times[1:][near], increments(values)[near] / seconds[near]


def resample(times: Times, values: Values, at: Times, *, lookback_ms: int = LOOKBACK_MS) -> Values:
    """The value that stood at each of some moments: the newest sample not older than `lookback_ms`.

    Args:
        times: Milliseconds, ascending.
        values: Of the same length; may hold absent markers, which end a series at once.
        at: Moments to ask for, any order.
        lookback_ms: Left-open, as in Prometheus 3: a sample exactly this old does not count.

    Returns:
        One value per moment; NaN where nothing stood.
    """
    if times.size == 0:
        return np.full(at.shape, np.nan)
    found = np.searchsorted(times, at, side="right") - 1
    safe = np.maximum(found, 0)
    stands = (found >= 0) & (at - times[safe] < lookback_ms)
    return np.where(stands, values[safe], np.nan)


def downsample(times: Times, values: Values, *, points: int) -> tuple[Times, Values]:
    """At most `points` samples that keep every peak and every dip: the lowest and highest of equal spans of time.

    Args:
        times: Milliseconds, ascending.
        values: Of the same length; NaN are left out when something must be left out.
        points: At least 2.

    Returns:
        Samples as they were, ascending in time; everything when there are no more than `points`.
    """
    if times.size <= points:
        return times, values
    number = ~np.isnan(values)
    times, values = times[number], values[number]
    if times.size <= points:
        return times, values
    spans = max(1, points // 2)
    width = (int(times[-1]) - int(times[0])) / spans
    bucket = np.minimum(((times - times[0]) / width).astype(np.int64), spans - 1)
    order = np.lexsort((values, bucket))
    first = np.flatnonzero(np.diff(bucket[order], prepend=-1))
    last = np.append(first[1:], order.size) - 1
    keep = np.unique(np.concatenate((order[first], order[last])))
    return times[keep], values[keep]


def gaps(times: Times, *, since_ms: int, until_ms: int, interval_ms: int) -> list[Gap]:
    """Times within `[since_ms, until_ms)` that no sample speaks for.

    A sample speaks for `interval_ms` from its own time on; a pause counts once it exceeds `GAP_FACTOR` intervals.

    Returns:
        Gaps ascending, not touching; the whole span when there is no sample.
    """
    inside = times[(times >= since_ms - interval_ms) & (times < until_ms)]
    if inside.size == 0:
        return [Gap(since_ms, until_ms)] if until_ms > since_ms else []
    limit = int(GAP_FACTOR * interval_ms)
    found = []
    if inside[0] - since_ms > limit:
        found.append(Gap(since_ms, int(inside[0])))
    for position in np.flatnonzero(np.diff(inside) > limit):
        found.append(Gap(max(since_ms, int(inside[position]) + interval_ms), int(inside[position + 1])))
    if until_ms - inside[-1] > limit:
        found.append(Gap(max(since_ms, int(inside[-1]) + interval_ms), until_ms))
    return found


def percentile(values: Values, percent: float) -> float:
    """The value below which `percent` (0 to 100) of the samples lie, interpolated linearly; NaN without samples."""
    present = values[~np.isnan(values)]
    return float(np.percentile(present, percent)) if present.size else float("nan")
