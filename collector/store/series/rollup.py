"""Rollups: what a bucket of time keeps of a column, from raw samples or from finer buckets.

A gauge keeps minimum, maximum, sum, count and last; a counter keeps first, last, count and the increase between its
samples inside the bucket, resets accounted for. A bucket covers `[label - resolution, label)` and is labelled with its
end, so that nobody reads a value before it was measured. NaN, absent or measured, is left out; a column without a
sample in a bucket has count, sum and increase 0 and NaN elsewhere. Pure numpy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from collector.domain.series import Kind, Times, Values

Slots = Mapping[str, Values]
Positions = NDArray[np.int64]
Mask = NDArray[np.bool_]

SLOTS: dict[Kind, tuple[str, ...]] = {
    Kind.GAUGE: ("min", "max", "sum", "count", "last"),
    Kind.COUNTER: ("first", "last", "increase", "count"),
}
"""What a bucket keeps, in the order of storage."""


def edges(times: Times, resolution_ms: int) -> tuple[Times, Positions]:
    """The labels of the buckets that hold samples, and the position of each one's first sample."""
    label = times - times % resolution_ms + resolution_ms
    starts = np.flatnonzero(np.diff(label, prepend=label[:1] - 1))
    return label[starts], starts


def from_samples(values: Values, starts: Positions, wanted: Iterable[str]) -> Slots:
    """Some slots of one column from its samples."""
    number = ~np.isnan(values)
    with np.errstate(over="ignore", invalid="ignore"):
        return {slot: _FROM_SAMPLES[slot](values, number, starts) for slot in wanted}


def from_buckets(fine: Slots, starts: Positions, wanted: Iterable[str]) -> Slots:
    """Some slots of one column from the same ones of its finer buckets, and its counts or last values.

    `starts` is as from `edges` of the finer labels minus one.
    """
    # The last value of a bucket is NaN where it has no sample, and only there.
    number = fine["count"] > 0 if "count" in fine else ~np.isnan(fine["last"])
    with np.errstate(over="ignore", invalid="ignore"):
        return {slot: _FROM_BUCKETS[slot](fine, number, starts) for slot in wanted}


def steps(slots: Slots) -> Values:
    """Growth from the last sample of the bucket before to the first of each; 0 where there is none before."""
    number = slots["count"] > 0
    before = _previous(number)
    grown = np.zeros(number.size)
    known = number & (before >= 0)
    now, then = slots["first"][known], slots["last"][before[known]]
    with np.errstate(invalid="ignore"):
        grown[known] = np.where(now >= then, now - then, now)
    return grown


AGGREGATES: dict[str, dict[Kind, Callable[[Slots], Values]]] = {
    "auto": {Kind.GAUGE: lambda s: _mean(s), Kind.COUNTER: lambda s: s["last"]},
    "mean": {Kind.GAUGE: lambda s: _mean(s), Kind.COUNTER: lambda s: s["last"]},
    "min": {Kind.GAUGE: lambda s: s["min"], Kind.COUNTER: lambda s: s["first"]},
    "max": {Kind.GAUGE: lambda s: s["max"], Kind.COUNTER: lambda s: s["last"]},
    "last": {Kind.GAUGE: lambda s: s["last"], Kind.COUNTER: lambda s: s["last"]},
    "count": {Kind.GAUGE: lambda s: s["count"], Kind.COUNTER: lambda s: s["count"]},
    "increase": {Kind.GAUGE: lambda s: s["last"], Kind.COUNTER: lambda s: s["increase"] + steps(s)},
}
"""What a reader can ask of a bucket. `auto` is the mean of a gauge and the last value of a counter; `increase` is a
counter's growth since the bucket before."""

NEEDED: dict[str, dict[Kind, tuple[str, ...]]] = {
    "auto": {Kind.GAUGE: ("sum", "count"), Kind.COUNTER: ("last",)},
}
"""The slots that an aggregate of `AGGREGATES` is computed from; those that are not named here may need any."""


def _mean(slots: Slots) -> Values:
    return slots["sum"] / np.maximum(slots["count"], 1.0)


def _count(number: Mask, starts: Positions) -> Values:
    return np.add.reduceat(number, starts, dtype=np.float64)


def _lowest(values: Values, number: Mask, starts: Positions) -> Values:
    low = np.minimum.reduceat(np.where(number, values, np.inf), starts)
    return np.where(np.logical_or.reduceat(number, starts), low, np.nan)


def _highest(values: Values, number: Mask, starts: Positions) -> Values:
    high = np.maximum.reduceat(np.where(number, values, -np.inf), starts)
    return np.where(np.logical_or.reduceat(number, starts), high, np.nan)


def _total(values: Values, number: Mask, starts: Positions) -> Values:
    return np.asarray(np.add.reduceat(np.where(number, values, 0.0), starts))


def _first(values: Values, number: Mask, starts: Positions) -> Values:
    return _pick(values, _first_number(number, starts))


def _last(values: Values, number: Mask, starts: Positions) -> Values:
    return _pick(values, _last_number(number, starts))


def _grown(fine: Slots, number: Mask, starts: Positions) -> Values:
    """Growth inside the finer buckets, and from each to the next of the same bucket."""
    between = np.where(_same_bucket(number, starts), steps(fine), 0.0)
    return _total(fine["increase"], number, starts) + np.add.reduceat(between, starts)


def _inside(values: Values, number: Mask, starts: Positions) -> Values:
    before = _previous(number)
    grown = np.zeros(values.size)
    known = _same_bucket(number, starts)
    now, then = values[known], values[before[known]]
    grown[known] = np.where(now >= then, now - then, now)
    return np.asarray(np.add.reduceat(grown, starts), dtype=np.float64)


def _same_bucket(number: Mask, starts: Positions) -> Mask:
    """Which samples are numbers with another number before them in the same bucket."""
    own_start = np.repeat(starts, np.diff(starts, append=number.size))
    return np.asarray(number & (_previous(number) >= own_start))


def _previous(number: Mask) -> Positions:
    """Position of the newest number before each position; -1 where there is none."""
    newest = np.maximum.accumulate(np.where(number, np.arange(number.size), -1))
    return np.concatenate((np.array([-1]), newest[:-1]))


def _last_number(number: Mask, starts: Positions) -> Positions:
    return np.asarray(np.maximum.reduceat(np.where(number, np.arange(number.size), -1), starts))


def _first_number(number: Mask, starts: Positions) -> Positions:
    found = np.minimum.reduceat(np.where(number, np.arange(number.size), number.size), starts)
    return np.where(found == number.size, -1, found)


def _pick(values: Values, positions: Positions) -> Values:
    return np.where(positions >= 0, values[np.maximum(positions, 0)], np.nan)


_FROM_SAMPLES: dict[str, Callable[[Values, Mask, Positions], Values]] = {
    "min": _lowest,
    "max": _highest,
    "sum": _total,
    "count": lambda _, number, starts: _count(number, starts),
    "first": _first,
    "last": _last,
    "increase": _inside,
}
_FROM_BUCKETS: dict[str, Callable[[Slots, Mask, Positions], Values]] = {
    "min": lambda fine, number, starts: _lowest(fine["min"], number, starts),
    "max": lambda fine, number, starts: _highest(fine["max"], number, starts),
    "sum": lambda fine, _, starts: np.asarray(np.add.reduceat(fine["sum"], starts)),
    "count": lambda fine, _, starts: np.asarray(np.add.reduceat(fine["count"], starts)),
    "first": lambda fine, number, starts: _first(fine["first"], number, starts),
    "last": lambda fine, number, starts: _last(fine["last"], number, starts),
    "increase": _grown,
}
