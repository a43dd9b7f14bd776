"""The charts of a host as data: which series they need and how lines are made of them.

One definition serves history and the live stream, which are both a `Frame`: columns over a common grid of times. Pure;
fetches nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from collector.domain import series
from collector.domain.pattern import LENGTH_LIMIT
from collector.domain.series import NAME_LABEL, Layout, SeriesData
from collector.edges.http.i18n import mark

Values = NDArray[np.float64]
LINES_MOST = 10
"""More lines than this cannot be told apart; the largest stay."""
STEP_LEAST_MS = 5000
REACH_MS = 10_000
SIGNIFICANT = 6
EXACT_TENS = 22
_VIRTUAL_DEVICES = re.compile(r"(lo|veth.*|cali.*|tunl.*|ifb\d+|dummy\d+|loop\d+|ram\d+|zram\d+|sr\d+|fd\d+)")
_NOT_FULL_LATER = frozenset({"iso9660", "squashfs", "erofs", "romfs", "udf", "tmpfs", "ramfs", "devtmpfs"})
# Without idle and the guest modes, which the kernel counts in user and nice as well.
_CPU_MODES = ("user", "system", "iowait", "nice", "softirq", "irq", "steal")


class Line(NamedTuple):
    """One line of a chart."""

    label: str
    values: Values


@dataclass(frozen=True, slots=True)
class Frame:
    """Series of one host over common times.

    Args:
        times: Milliseconds, ascending; rates are per second between neighbours.
        table: Metric name → labels and values, each as long as `times`; NaN where nothing is known.
    """

    times: NDArray[np.int64]
    table: Mapping[str, Sequence[tuple[Mapping[str, str], Values]]]

    def rows(self, name: str, **where: str) -> list[tuple[Mapping[str, str], Values]]:
        """The series of one name, narrowed by labels."""
        return [row for row in self.table.get(name, ()) if where.items() <= row[0].items()]

    def one(self, name: str) -> Values | None:
        """The only series of that name."""
        rows = self.rows(name)
        return rows[0][1] if rows else None

    def rates(self, name: str, **where: str) -> list[tuple[Mapping[str, str], Values]]:
        """Growth per second of counters; NaN at the first time."""
        return [(labels, self._rate(values)) for labels, values in self.rows(name, **where)]

    def _rate(self, values: Values) -> Values:
        seconds = np.diff(self.times) / 1000
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.concatenate(([np.nan], series.increments(values) / seconds))


@dataclass(frozen=True, slots=True)
class Chart:
    """One chart. `compute` makes its lines; none when the host does not have what it shows."""

    key: str
    title: str
    unit: str
    kind: str  # line, area, stack
    names: tuple[str, ...]
    compute: Callable[[Frame], list[Line]]
    high: float | None = None


def _cpu(frame: Frame) -> list[Line]:
    cores = len(frame.rows("node_cpu_seconds_total", mode="idle"))
    lines = []
    for mode in _CPU_MODES if cores else ():
        found = [values for _, values in frame.rates("node_cpu_seconds_total", mode=mode)]
        if found:
            lines.append(Line(mode, np.sum(found, axis=0) / cores))
    return lines


def _memory(frame: Frame) -> list[Line]:
    parts = {
        name: frame.one(f"node_memory_{name}_bytes")
        for name in ("MemTotal", "MemFree", "Buffers", "Cached", "SReclaimable")
    }
    whole, free = parts["MemTotal"], parts["MemFree"]
    if whole is None or free is None:
        return []
    cached = [values for name in ("Buffers", "Cached", "SReclaimable") if (values := parts[name]) is not None]
    cache = np.sum(cached, axis=0) + 0 * free
    return [Line("used", np.maximum(whole - free - cache, 0)), Line("cache", cache), Line("free", free)]


def _swap(frame: Frame) -> list[Line]:
    whole, free = frame.one("node_memory_SwapTotal_bytes"), frame.one("node_memory_SwapFree_bytes")
    if whole is None or free is None or not np.nanmax(np.append(whole, 0)):
        return []
    return [Line("used", whole - free), Line("total", whole)]


def _load(frame: Frame) -> list[Line]:
    found = ((minutes, frame.one(f"node_load{minutes}")) for minutes in (1, 5, 15))
    return [Line(f"{minutes} min", values) for minutes, values in found if values is not None]


def _pressure(frame: Frame) -> list[Line]:
    lines = []
    for what in ("cpu", "memory", "io"):
        found = frame.rates(f"node_pressure_{what}_waiting_seconds_total")
        if found:
            lines.append(Line(what, found[0][1]))
    return lines


def _filesystems(frame: Frame) -> list[Line]:
    sizes = {labels["mountpoint"]: values for labels, values in frame.rows("node_filesystem_size_bytes")}
    lines = []
    for labels, left in frame.rows("node_filesystem_avail_bytes"):
        size = sizes.get(labels["mountpoint"])
        if size is not None and labels.get("fstype") not in _NOT_FULL_LATER:
            with np.errstate(invalid="ignore", divide="ignore"):
                lines.append(Line(labels["mountpoint"], 1 - left / np.where(size > 0, size, np.nan)))
    return _largest(lines)


def _pairs(first: tuple[str, str], second: tuple[str, str]) -> Callable[[Frame], list[Line]]:
    def compute(frame: Frame) -> list[Line]:
        lines = [
            Line(f"{labels['device']} {word}", values)
            for name, word in (first, second)
            for labels, values in frame.rates(name)
            if not _VIRTUAL_DEVICES.fullmatch(labels["device"])
        ]
        return sorted(_largest(lines))

    return compute


def _busy(frame: Frame) -> list[Line]:
    found = frame.rates("node_disk_io_time_seconds_total")
    return _largest([Line(a["device"], v) for a, v in found if not _VIRTUAL_DEVICES.fullmatch(a["device"])])


def _largest(lines: list[Line]) -> list[Line]:
    if len(lines) <= LINES_MOST:
        return lines
    weight = {line.label: float(np.nanmax(np.append(line.values, 0))) for line in lines}
    kept = set(sorted(weight, key=lambda label: -weight[label])[:LINES_MOST])
    return [line for line in lines if line.label in kept]


def _of(prefix: str, *names: str) -> tuple[str, ...]:
    return tuple(f"{prefix}{name}" for name in names)


CHARTS: tuple[Chart, ...] = (
    Chart("cpu", mark("CPU by mode"), "percent", "stack", ("node_cpu_seconds_total",), _cpu, high=1),
    Chart(
        "memory", mark("Memory"), "bytes", "stack",
        _of("node_memory_", "MemTotal_bytes", "MemFree_bytes", "Buffers_bytes", "Cached_bytes", "SReclaimable_bytes"),
        _memory,
    ),
    Chart("load", mark("Load"), "", "line", _of("node_load", "1", "5", "15"), _load),
    Chart(
        "pressure", mark("Pressure: time spent waiting"), "percent", "line",
        tuple(f"node_pressure_{what}_waiting_seconds_total" for what in ("cpu", "memory", "io")), _pressure,
    ),
    Chart(
        "filesystems", mark("Filesystems in use"), "percent", "line",
        _of("node_filesystem_", "avail_bytes", "size_bytes"), _filesystems, high=1,
    ),
    Chart(
        "disk", mark("Disk throughput"), "bytes_per_second", "line",
        _of("node_disk_", "read_bytes_total", "written_bytes_total"),
        _pairs(("node_disk_read_bytes_total", "read"), ("node_disk_written_bytes_total", "write")),
    ),
    Chart("busy", mark("Disk busy"), "percent", "line", ("node_disk_io_time_seconds_total",), _busy),
    Chart(
        "network", mark("Network"), "bytes_per_second", "line",
        _of("node_network_", "receive_bytes_total", "transmit_bytes_total"),
        _pairs(("node_network_receive_bytes_total", "in"), ("node_network_transmit_bytes_total", "out")),
    ),
    Chart("swap", mark("Swap"), "bytes", "line", _of("node_memory_", "SwapTotal_bytes", "SwapFree_bytes"), _swap),
)  # fmt: skip
NAMES = tuple(sorted({name for chart in CHARTS for name in chart.names}))
COUNTER_SUFFIX = "_total"
BESIDE = 3
"""So many beats on each side tell what was usual at the time."""


def _alternatives(names: Iterable[str]) -> tuple[str, ...]:
    """As few regular expressions as match these names and nothing else."""
    patterns: list[str] = []
    for name in names:
        if patterns and len(patterns[-1]) + 1 + len(name) <= LENGTH_LIMIT:
            patterns[-1] += f"|{name}"
        else:
            patterns.append(name)
    return tuple(patterns)


NAME_PATTERNS = _alternatives(NAMES)


def grid(since_ms: int, until_ms: int, points: int) -> NDArray[np.int64]:
    """Equally spaced times that end at or before `until_ms`, one before `since_ms` for the first rate included."""
    step = max(STEP_LEAST_MS, -(-(until_ms - since_ms) // max(points, 1)))
    first = since_ms // step * step
    return np.arange(first, until_ms + 1, step, dtype=np.int64)


def history(found: Iterable[SeriesData], times: NDArray[np.int64]) -> Frame:
    """Stored series on a grid: counters by their growth, gauges as the mean between two times."""
    table: dict[str, list[tuple[Mapping[str, str], Values]]] = {}
    step = int(times[1] - times[0]) if times.size > 1 else STEP_LEAST_MS
    for one in found:
        name = one.labels[NAME_LABEL]
        reach = np.maximum(_reaches(one.times), step)
        if name.endswith(COUNTER_SUFFIX):
            values = _grown(one, times, step_ms=step)
        else:
            stood = series.resample(one.times, one.values, times, lookback_ms=int(reach.max(initial=step)))
            newest = np.maximum(np.searchsorted(one.times, times, side="right") - 1, 0)
            if one.times.size:
                stood = np.where(times - one.times[newest] < reach[newest], stood, np.nan)
            values = stood if step * series.GAP_FACTOR <= np.median(reach) * 1.5 else _means(one, times, stood)
        table.setdefault(name, []).append((one.labels, values))
    return Frame(times, table)


def _reaches(times: NDArray[np.int64]) -> Values:
    """How long each sample stands for, in milliseconds, until nothing is known.

    A few of the series' usual beats; where the beat was another one then, as in older and thinner rows, a few of those.
    """
    if times.size < 2:
        return np.full(times.shape, float(series.LOOKBACK_MS))
    beats = np.diff(times).astype(np.float64)
    usual = float(np.median(beats)) * series.GAP_FACTOR
    reaches = np.full(times.shape, usual)
    odd = np.flatnonzero(beats > usual)
    if odd.size:
        around = np.pad(beats, BESIDE, mode="symmetric")
        beside = np.stack([around[odd + place] for place in range(2 * BESIDE + 1) if place != BESIDE])
        reaches[odd] = np.maximum(usual, np.median(beside, axis=0) * series.GAP_FACTOR)
    reaches[-1] = reaches[-2]
    return reaches


def _grown(one: SeriesData, times: NDArray[np.int64], *, step_ms: int) -> Values:
    """What a counter had grown by at each time, interpolated, since times and beats do not fall together.

    Its first and its last rate are taken to hold a moment longer, so that a new host's lines show with its second beat.
    """
    number = np.isfinite(one.values)
    at, values = one.times[number], one.values[number]
    if at.size < 2:
        return np.full(times.shape, np.nan)
    total = np.concatenate(([0.0], np.cumsum(series.increments(values))))
    gaps = np.concatenate(([np.inf], np.maximum(_reaches(at)[:-1], step_ms), [np.inf]))
    slopes, reach = np.diff(total)[[0, -1]] / np.diff(at)[[0, -1]], min(step_ms, REACH_MS)
    at = np.concatenate(([at[0] - reach], at, [at[-1] + reach]))
    total = np.concatenate(([-slopes[0] * reach], total, [total[-1] + slopes[1] * reach]))
    later = np.clip(np.searchsorted(at, times), 1, at.size - 1)
    is_known = (times >= at[0]) & (times <= at[-1]) & (at[later] - at[later - 1] <= gaps[later - 1])
    return np.where(is_known, np.interp(times, at, total), np.nan)


def _means(one: SeriesData, times: NDArray[np.int64], otherwise: Values) -> Values:
    number = np.isfinite(one.values)
    bucket = np.searchsorted(times, one.times[number])
    count = np.bincount(bucket, minlength=times.size + 1)[: times.size]
    total = np.bincount(bucket, weights=one.values[number], minlength=times.size + 1)[: times.size]
    return np.where(count > 0, total / np.maximum(count, 1), otherwise)


def beat(layout: Layout, times: tuple[int, int], before: Values, now: Values) -> Frame:
    """Two rows of one layout as a frame of two times."""
    table: dict[str, list[tuple[Mapping[str, str], Values]]] = {}
    for position, column in enumerate(layout.columns):
        values = np.array([before[position], now[position]])
        table.setdefault(column.name, []).append((dict(column.labels), values))
    return Frame(np.array(times, dtype=np.int64), table)


def draw(frame: Frame, *, since_ms: int, until_ms: int) -> dict[str, Any]:
    """Every chart that has lines, as the browser takes it."""
    # The first time is there for rates only.
    keep = slice(1, None)
    times = frame.times[keep].tolist()
    drawn = {}
    for chart in CHARTS:
        lines = [
            {"label": line.label, "values": _rounded(line.values[keep])}
            for line in chart.compute(frame)
            if chart.kind != "stack" or np.nanmax(np.append(line.values[keep], 0)) > 0
        ]
        drawn[chart.key] = {"times": times, "series": lines, "since_ms": since_ms, "until_ms": until_ms}
    return drawn


def newest(frame: Frame) -> dict[str, dict[str, float | None]]:
    """The last point of every line of every chart."""
    points = {}
    for chart in CHARTS:
        lines = {line.label: _rounded(line.values[-1:])[0] for line in chart.compute(frame)}
        if any(value is not None for value in lines.values()):
            points[chart.key] = lines
    return points


def _rounded(values: Values) -> list[float | None]:
    """Six significant digits, which is more than a picture shows; None where nothing is known."""
    known = np.isfinite(values) & (values != 0)
    sizes = np.where(known, np.abs(values), 1.0)
    digits = np.clip(SIGNIFICANT - 1 - np.floor(np.log10(sizes)), -EXACT_TENS, EXACT_TENS)
    # Powers of ten up to this one are exact, so that the quotient is the nearest number to the decimal one.
    up, down = 10.0 ** np.maximum(digits, 0), 10.0 ** np.maximum(-digits, 0)
    short = np.rint(np.where(known, values, 0.0) / down * up) / up * down
    found: list[float | None] = short.tolist()
    for at in np.flatnonzero(~np.isfinite(values)).tolist():
        found[at] = None
    return found
