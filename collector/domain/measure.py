"""What rules can watch: named quantities, computed for many rows of one layout at once.

A measure is compiled once per layout into column positions; evaluating it is a handful of array operations on a matrix
of rows, one per host, whatever their number. A quantity that cannot be told is NaN, and a rule says nothing about it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from collector.domain.message import Words
from collector.domain.series import Column, Layout

Matrix = NDArray[np.float64]
Labels = Mapping[str, str]
SECONDS_A_DAY = 86_400.0
BOUNDS: Mapping[str, tuple[float, float]] = {
    "ratio": (0.0, 1.0),
    "seconds": (0.0, 366 * SECONDS_A_DAY),
    "days": (-36_600.0, 36_600.0),
    "count": (0.0, 100_000.0),
    "state": (0.0, 3.0),
}
"""Unit → the lowest and the highest value that a level is worth comparing with, inclusive."""
READ_ONLY_FILESYSTEMS = frozenset({"iso9660", "squashfs", "erofs", "romfs", "udf"})


class Rows(NamedTuple):
    """Rows of one layout, one per host, with what each host sent before; absent values are NaN."""

    now: Matrix  # hosts by columns
    before: Matrix  # the same shape; all NaN where there is no previous row
    seconds: Matrix  # hosts by 1: between the two; NaN where there is no previous row
    wall_seconds: Matrix  # hosts by 1: Unix time of `now`


Formula = Callable[[Rows], Matrix]
Places = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Compiled:
    """A measure on a layout: `evaluate` gives hosts by targets, and `targets` says what each column of it is about."""

    targets: tuple[Labels, ...]
    formula: Formula

    def evaluate(self, rows: Rows) -> Matrix:
        """The values, hosts by targets; NaN where there is nothing to tell."""
        # Absent values are signalling NaNs, and 0/0 is an answer here: no swap, no value.
        with np.errstate(all="ignore"):
            return self.formula(rows)


@dataclass(frozen=True, slots=True)
class Measure:
    """A quantity. `compile` gives None for a layout without the columns it needs; event measures have no rows."""

    name: str
    unit: str  # ratio, seconds, days, count, state
    compile: Callable[[Layout], Compiled | None]
    by_event: bool = False
    words: tuple[str, ...] = ()  # what texts may name, beside what is known of every host

    @property
    def bounds(self) -> tuple[float, float]:
        """The values that it can have, inclusive; those of seconds, days and counts are generous."""
        return BOUNDS[self.unit]


def _where(layout: Layout, name: str, **labels: str) -> list[int]:
    wanted = labels.items()
    return [at for at in layout.families.get(name, ()) if wanted <= dict(layout.columns[at].labels).items()]


def _single(layout: Layout, name: str) -> int | None:
    found = layout.families.get(name, ())
    return found[0] if found else None


def _clean(values: Matrix) -> Matrix:
    return np.where(np.isfinite(values), values, np.nan)


def _places(columns: Sequence[int]) -> Places:
    # As an array once, or numpy would turn the list into one for every row.
    return np.array(columns, dtype=np.intp)


def rate(rows: Rows, columns: Places) -> Matrix:
    """Growth per second of counters, NaN across a reset or without a row before."""
    grown = rows.now[:, columns] - rows.before[:, columns]
    return np.where((grown >= 0) & (rows.seconds > 0), grown / rows.seconds, np.nan)


def _one(formula: Formula) -> Compiled:
    return Compiled(({},), formula)


def _cpu_busy(layout: Layout) -> Compiled | None:
    idle = [
        *_where(layout, "node_cpu_seconds_total", mode="idle"),
        *_where(layout, "node_cpu_seconds_total", mode="iowait"),
    ]
    cores = len(_where(layout, "node_cpu_seconds_total", mode="idle"))
    if not cores:
        return None
    places = _places(idle)
    return _one(lambda rows: np.clip(1 - rate(rows, places).sum(axis=1, keepdims=True) / cores, 0, 1))


def _load_per_cpu(layout: Layout) -> Compiled | None:
    load = _single(layout, "node_load5")
    cores = len(_where(layout, "node_cpu_seconds_total", mode="idle"))
    if load is None or not cores:
        return None
    return _one(lambda rows: rows.now[:, load : load + 1] / cores)


def _used(available: str, size: str) -> Callable[[Layout], Compiled | None]:
    def compile(layout: Layout) -> Compiled | None:
        left, whole = _single(layout, available), _single(layout, size)
        if left is None or whole is None:
            return None
        return _one(lambda rows: _clean(1 - rows.now[:, left : left + 1] / rows.now[:, whole : whole + 1]))

    return compile


def _filesystem_used(layout: Layout) -> Compiled | None:
    left = {layout.columns[at].labels: at for at in _where(layout, "node_filesystem_avail_bytes")}
    locked = {layout.columns[at].labels: at for at in _where(layout, "node_filesystem_readonly")}
    found = [
        (labels, at, left[labels], locked.get(labels))
        for at in _where(layout, "node_filesystem_size_bytes")
        if (labels := layout.columns[at].labels) in left and dict(labels).get("fstype") not in READ_ONLY_FILESYSTEMS
    ]
    if not found:
        return None
    sizes, lefts = _places([at for _, at, _, _ in found]), _places([at for _, _, at, _ in found])
    flags = [(i, at) for i, (_, _, _, at) in enumerate(found) if at is not None]
    flagged, flag_columns = _places([i for i, _ in flags]), _places([at for _, at in flags])

    def evaluate(rows: Rows) -> Matrix:
        used = _clean(1 - rows.now[:, lefts] / rows.now[:, sizes])
        # Nothing fills up what nobody can write to.
        used[:, flagged] = np.where(rows.now[:, flag_columns] == 1, np.nan, used[:, flagged])
        return used

    return Compiled(tuple(dict(labels) for labels, *_ in found), evaluate)


def _memory_pressure(layout: Layout) -> Compiled | None:
    waiting = _single(layout, "node_pressure_memory_waiting_seconds_total")
    if waiting is None:
        return None
    places = _places([waiting])
    return _one(lambda rows: rate(rows, places))


def _clock_skew(layout: Layout) -> Compiled | None:
    skew = _single(layout, "sigap_agent_clock_skew_seconds")
    return None if skew is None else _one(lambda rows: np.abs(rows.now[:, skew : skew + 1]))


def _certificate_days(layout: Layout) -> Compiled | None:
    expiry = list(layout.families.get("probe_ssl_earliest_cert_expiry", ()))
    if not expiry:
        return None
    targets, places = tuple(_labels(layout.columns[at]) for at in expiry), _places(expiry)
    return Compiled(targets, lambda rows: (rows.now[:, places] - rows.wall_seconds) / SECONDS_A_DAY)


def _labels(column: Column) -> Labels:
    return dict(column.labels)


def _no_rows(_layout: Layout) -> None:
    return None


_ALL = (
    Measure("filesystem_used_ratio", "ratio", _filesystem_used, words=("device", "fstype", "mountpoint")),
    Measure("memory_used_ratio", "ratio", _used("node_memory_MemAvailable_bytes", "node_memory_MemTotal_bytes")),
    Measure("memory_pressure_ratio", "ratio", _memory_pressure),
    Measure("swap_used_ratio", "ratio", _used("node_memory_SwapFree_bytes", "node_memory_SwapTotal_bytes")),
    Measure("cpu_busy_ratio", "ratio", _cpu_busy),
    Measure("load_per_cpu", "count", _load_per_cpu),
    Measure("clock_skew_seconds", "seconds", _clock_skew),
    Measure("certificate_days_left", "days", _certificate_days, words=("check", "kind", "target")),
    Measure("agent_silent_seconds", "seconds", _no_rows, by_event=True),
    Measure("check_state", "state", _no_rows, by_event=True, words=("check", "kind", "reason")),
)
MEASURES: Mapping[str, Measure] = {measure.name: measure for measure in _ALL}

_STATES = (
    Words("unknown", "tidak diketahui"),
    Words("up", "hidup"),
    Words("degraded", "terganggu"),
    Words("down", "mati"),
)
_SHOWN: Mapping[str, Callable[[float], Words]] = {
    "ratio": lambda value: _number(f"{int(value * 1000) / 10:g} %"),
    "seconds": lambda value: _number(f"{value:.{0 if abs(value) >= 10 else 1}f} s", unit=("s", "dtk")),
    "days": lambda value: Words(f"{int(value)} days", f"{int(value)} hari"),
    "count": lambda value: _number(f"{value:.2f}"),
    "state": lambda value: _STATES[int(value)],
}


def shown(measure: str, value: float) -> Words:
    """A value as a person reads it, with its unit; cut off, not rounded up, where it is a ratio."""
    return _SHOWN[MEASURES[measure].unit](value)


def _number(text: str, *, unit: tuple[str, str] = ("", "")) -> Words:
    """A number in both languages; `unit` is how each of them calls what `text` ends with."""
    return Words(text, text.replace(".", ",").removesuffix(unit[0]) + unit[1])
