"""Rollups: what a bucket of time keeps of a column, from raw samples or from finer buckets.

A gauge keeps minimum, maximum, sum, count and last; a counter keeps first, last, count and the increase between its
samples inside the bucket, resets accounted for. A bucket covers `[label - resolution, label)` and is labelled with its
end, so that nobody reads a value before it was measured. NaN, absent or measured, is left out; a column without a
sample in a bucket has count, sum and increase 0 and NaN elsewhere. Pure numpy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from collector.domain.series import Kind, Times, Values

Slots = Mapping[str, Values]
Positions = NDArray[np.int64]

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


def from_samples(kind: Kind, values: Values, starts: Positions) -> Slots:
    """The slots of one column from its samples."""
    number = ~np.isnan(values)
    count = np.add.reduceat(number, starts, dtype=np.float64)
    last = _pick(values, _last_number(number, starts))
    with np.errstate(over="ignore", invalid="ignore"):
        if kind is Kind.COUNTER:
            first = _pick(values, _first_number(number, starts))
            return {"first": first, "last": last, "increase": _inside(values, number, starts), "count": count}
        low = np.minimum.reduceat(np.where(number, values, np.inf), starts)
        high = np.maximum.reduceat(np.where(number, values, -np.inf), starts)
        total = np.add.reduceat(np.where(number, values, 0.0), starts)
    low[count == 0] = high[count == 0] = np.nan
    return {"min": low, "max": high, "sum": total, "count": count, "last": last}


def from_buckets(kind: Kind, fine: Slots, starts: Positions) -> Slots:
    """The slots of one column from its finer buckets; `starts` as from `edges` of the finer labels minus one."""
    number = fine["count"] > 0
    count = np.add.reduceat(fine["count"], starts)
    last = _pick(fine["last"], _last_number(number, starts))
    with np.errstate(over="ignore", invalid="ignore"):
        if kind is Kind.COUNTER:
            first = _pick(fine["first"], _first_number(number, starts))
            total = np.add.reduceat(np.where(number, fine["increase"], 0.0), starts)
            between = np.where(_same_bucket(number, starts), steps(fine), 0.0)
            return {"first": first, "last": last, "increase": total + np.add.reduceat(between, starts), "count": count}
        low = np.minimum.reduceat(np.where(number, fine["min"], np.inf), starts)
        high = np.maximum.reduceat(np.where(number, fine["max"], -np.inf), starts)
        total = np.add.reduceat(fine["sum"], starts)
    low[count == 0] = high[count == 0] = np.nan
    return {"min": low, "max": high, "sum": total, "count": count, "last": last}


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


def _inside(values: Values, number: NDArray[np.bool_], starts: Positions) -> Values:
    before = _previous(number)
    grown = np.zeros(values.size)
    known = _same_bucket(number, starts)
    now, then = values[known], values[before[known]]
    grown[known] = np.where(now >= then, now - then, now)
    return np.asarray(np.add.reduceat(grown, starts), dtype=np.float64)


def _same_bucket(number: NDArray[np.bool_], starts: Positions) -> NDArray[np.bool_]:
    """Which samples are numbers with another number before them in the same bucket."""
    own_start = np.repeat(starts, np.diff(starts, append=number.size))
    return np.asarray(number & (_previous(number) >= own_start))


def _previous(number: NDArray[np.bool_]) -> Positions:
    """Position of the newest number before each position; -1 where there is none."""
    newest = np.maximum.accumulate(np.where(number, np.arange(number.size), -1))
    return np.concatenate((np.array([-1]), newest[:-1]))


def _last_number(number: NDArray[np.bool_], starts: Positions) -> Positions:
    return np.asarray(np.maximum.reduceat(np.where(number, np.arange(number.size), -1), starts))


def _first_number(number: NDArray[np.bool_], starts: Positions) -> Positions:
    found = np.minimum.reduceat(np.where(number, np.arange(number.size), number.size), starts)
    return np.where(found == number.size, -1, found)


def _pick(values: Values, positions: Positions) -> Values:
    return np.where(positions >= 0, values[np.maximum(positions, 0)], np.nan)
