from __future__ import annotations

import time

import numpy as np
import pytest

from collector.domain.measure import MEASURES, Rows, shown
from collector.domain.series import Column, Kind, Layout

DAY = 86_400.0


def layout(*columns: tuple[str, dict[str, str]]) -> Layout:
    return Layout(tuple(Column(name, tuple(sorted(labels.items())), Kind.GAUGE) for name, labels in columns), 10_000)


def measured(
    name: str, on: Layout, now: list[list[float]], before: list[list[float]] | None = None, wall: float = 0.0
) -> list[list[float]]:
    compiled = MEASURES[name].compile(on)
    assert compiled is not None
    matrix = np.array(now, dtype=float)
    old = np.full_like(matrix, np.nan) if before is None else np.array(before, dtype=float)
    seconds = np.full((len(now), 1), np.nan if before is None else 10.0)
    values = compiled.evaluate(Rows(matrix, old, seconds, np.full((len(now), 1), wall)))
    assert values.shape == (len(now), len(compiled.targets))
    return values.tolist()  # type: ignore[no-any-return]


CPU = layout(
    *(("node_cpu_seconds_total", {"cpu": cpu, "mode": mode}) for cpu in "01" for mode in ("idle", "iowait", "user"))
)


def test_cpu_busy_is_what_is_neither_idle_nor_waiting_for_a_disk() -> None:
    busy = measured("cpu_busy_ratio", CPU, [[5, 1, 4, 10, 0, 0]], [[0, 0, 0, 0, 0, 0]])
    assert busy == [[pytest.approx(0.2)]]


def test_a_rate_needs_a_row_before_and_no_reset() -> None:
    assert np.isnan(measured("cpu_busy_ratio", CPU, [[5, 1, 4, 10, 0, 0]])).all()
    assert np.isnan(measured("cpu_busy_ratio", CPU, [[5, 1, 4, 1, 0, 0]], [[0, 0, 0, 9, 0, 0]])).all()


def test_load_is_per_cpu() -> None:
    both = layout(*((column.name, dict(column.labels)) for column in CPU.columns), ("node_load5", {}))
    assert measured("load_per_cpu", both, [[0, 0, 0, 0, 0, 0, 3.0]]) == [[1.5]]


def test_memory_and_swap_are_told_as_used_shares_and_no_swap_is_no_value() -> None:
    memory = layout(("node_memory_MemAvailable_bytes", {}), ("node_memory_MemTotal_bytes", {}))
    swap = layout(("node_memory_SwapFree_bytes", {}), ("node_memory_SwapTotal_bytes", {}))
    assert measured("memory_used_ratio", memory, [[25, 100], [100, 100]]) == [[0.75], [0.0]]
    assert np.isnan(measured("swap_used_ratio", swap, [[0, 0]])).all()


def test_each_filesystem_is_a_target_of_its_own_and_read_only_ones_are_left_out() -> None:
    columns = []
    for mountpoint, fstype in (("/", "ext4"), ("/cd", "iso9660"), ("/ro", "ext4")):
        labels = {"device": "d", "fstype": fstype, "mountpoint": mountpoint}
        columns += [(f"node_filesystem_{what}", labels) for what in ("size_bytes", "avail_bytes", "readonly")]
    disks = layout(*columns)
    compiled = MEASURES["filesystem_used_ratio"].compile(disks)
    assert compiled is not None
    assert [target["mountpoint"] for target in compiled.targets] == ["/", "/ro"]
    used = measured("filesystem_used_ratio", disks, [[100, 10, 0, 5, 0, 1, 100, 0, 1]])
    assert used[0][0] == pytest.approx(0.9)
    assert np.isnan(used[0][1])


def test_memory_pressure_is_the_share_of_time_somebody_waited() -> None:
    pressure = layout(("node_pressure_memory_waiting_seconds_total", {}))
    assert measured("memory_pressure_ratio", pressure, [[7.5]], [[5.0]]) == [[0.25]]


def test_clock_skew_counts_in_both_directions() -> None:
    assert measured("clock_skew_seconds", layout(("sigap_agent_clock_skew_seconds", {})), [[-3.5]]) == [[3.5]]


def test_each_certificate_is_a_target_with_days_left() -> None:
    certificates = layout(*(("probe_ssl_earliest_cert_expiry", {"check": name}) for name in ("a", "b")))
    days = measured("certificate_days_left", certificates, [[1000 + 10 * DAY, 1000 - DAY]], wall=1000.0)
    assert days == [[10.0, -1.0]]


def test_a_layout_without_the_columns_is_not_measured() -> None:
    assert all(measure.compile(layout(("up", {}))) is None for measure in MEASURES.values())


@pytest.mark.parametrize(
    ("measure", "value", "english", "indonesian"),
    [
        ("filesystem_used_ratio", 0.9199, "91.9 %", "91,9 %"),
        ("clock_skew_seconds", 3.21, "3.2 s", "3,2 dtk"),
        ("agent_silent_seconds", 75.0, "75 s", "75 dtk"),
        ("certificate_days_left", 6.9, "6 days", "6 hari"),
        ("load_per_cpu", 1.239, "1.24", "1,24"),
        ("check_state", 3.0, "down", "mati"),
    ],
)
def test_values_are_shown_with_their_unit(measure: str, value: float, english: str, indonesian: str) -> None:
    text = shown(measure, value)
    assert (text.to("en"), text.to("id")) == (english, indonesian)


def test_measuring_a_row_costs_less_than_ten_microseconds_when_hosts_share_a_layout() -> None:
    columns = [(column.name, dict(column.labels)) for column in CPU.columns]
    columns += [("node_load5", {}), ("node_memory_MemAvailable_bytes", {}), ("node_memory_MemTotal_bytes", {})]
    columns += [("node_pressure_memory_waiting_seconds_total", {}), ("sigap_agent_clock_skew_seconds", {})]
    columns += [(f"other_{number}", {}) for number in range(150)]
    wide = layout(*columns)
    compiled = [found for measure in MEASURES.values() if (found := measure.compile(wide))]
    hosts = 200
    chance = np.random.default_rng(1)
    now = chance.random((hosts, len(columns))) + 1
    rows = Rows(now, now - 0.5, np.full((hosts, 1), 10.0), np.full((hosts, 1), 0.0))
    best = min(_seconds(compiled, rows) for _ in range(20))
    assert best / hosts < 10e-6


def _seconds(compiled: list, rows: Rows) -> float:  # type: ignore[type-arg]
    before = time.perf_counter()
    for one in compiled:
        one.evaluate(rows)
    return time.perf_counter() - before
