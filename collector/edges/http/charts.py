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
from collector.domain.series import NAME_LABEL, Layout, SeriesData, Times, Values
from collector.edges.http.grid import Beats
from collector.edges.http.i18n import mark

LINES_MOST = 10
"""More lines than this cannot be told apart; the largest stay."""
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
    words: tuple[str, ...] = ()  # which lines are called, in English; the page translates them


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
        _memory, words=(mark("used"), mark("cache"), mark("free")),
    ),
    Chart("load", mark("Load"), "", "line", _of("node_load", "1", "5", "15"), _load, words=(mark("min"),)),
    Chart(
        "pressure", mark("Pressure: time spent waiting"), "percent", "line",
        tuple(f"node_pressure_{what}_waiting_seconds_total" for what in ("cpu", "memory", "io")), _pressure,
        words=(mark("memory"),),
    ),
    Chart(
        "filesystems", mark("Filesystems in use"), "percent", "line",
        _of("node_filesystem_", "avail_bytes", "size_bytes"), _filesystems, high=1,
    ),
    Chart(
        "disk", mark("Disk throughput"), "bytes_per_second", "line",
        _of("node_disk_", "read_bytes_total", "written_bytes_total"),
        _pairs(("node_disk_read_bytes_total", "read"), ("node_disk_written_bytes_total", "write")),
        words=(mark("read"), mark("write")),
    ),
    Chart("busy", mark("Disk busy"), "percent", "line", ("node_disk_io_time_seconds_total",), _busy),
    Chart(
        "network", mark("Network"), "bytes_per_second", "line",
        _of("node_network_", "receive_bytes_total", "transmit_bytes_total"),
        _pairs(("node_network_receive_bytes_total", "in"), ("node_network_transmit_bytes_total", "out")),
        words=(mark("in"), mark("out")),
    ),
    Chart(
        "swap", mark("Swap"), "bytes", "line", _of("node_memory_", "SwapTotal_bytes", "SwapFree_bytes"), _swap,
        words=(mark("used"), mark("total")),
    ),
)  # fmt: skip
NAMES = frozenset(name for chart in CHARTS for name in chart.names)
COUNTER_SUFFIX = "_total"


def history(found: Iterable[SeriesData], times: Times) -> Frame:
    """Stored series on a grid: counters by their growth, gauges as the mean between two times."""
    known = list(found)
    beats: dict[int, Beats] = {}
    table: dict[str, list[tuple[Mapping[str, str], Values]]] = {}
    for one in known:
        shared = beats.get(id(one.times))
        if shared is None:
            shared = beats[id(one.times)] = Beats(one.times, times)
        name = one.labels[NAME_LABEL]
        values = shared.totals(one.values) if name.endswith(COUNTER_SUFFIX) else shared.levels(one.values)
        table.setdefault(name, []).append((one.labels, values))
    return Frame(times, table)


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
            {"label": line.label, "values": rounded(line.values[keep])}
            for line in chart.compute(frame)
            if chart.kind != "stack" or np.nanmax(np.append(line.values[keep], 0)) > 0
        ]
        drawn[chart.key] = {"times": times, "series": lines, "since_ms": since_ms, "until_ms": until_ms}
    return drawn


def newest(frame: Frame) -> dict[str, dict[str, float | None]]:
    """The last point of every line of every chart."""
    points = {}
    for chart in CHARTS:
        lines = {line.label: rounded(line.values[-1:])[0] for line in chart.compute(frame)}
        if any(value is not None for value in lines.values()):
            points[chart.key] = lines
    return points


def rounded(values: Values) -> list[float | None]:
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
