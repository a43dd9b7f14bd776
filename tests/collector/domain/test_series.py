"""Arithmetic on series: counters, resampling, downsampling, gaps, matchers, safe patterns."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.domain import series
from collector.domain.errors import InvalidInput
from collector.domain.pattern import compile_anchored
from collector.domain.series import ABSENT, Column, Gap, Layout, Matcher


def _times(*values: int) -> series.Times:
    return np.array(values, dtype=np.int64)


def _values(*values: float) -> series.Values:
    return np.array(values, dtype=np.float64)


def test_a_counter_reset_counts_from_zero() -> None:
    assert series.increase(_values(10, 15, 3, 4)) == 5 + 3 + 1


def test_nothing_is_known_of_growth_beside_a_missing_sample() -> None:
    assert np.isnan(series.increments(_values(math.nan, 5_000, math.nan))).all()


def test_increase_of_one_sample_is_nothing() -> None:
    assert series.increase(_values(7)) == 0.0


def test_rate_is_per_second_and_silent_across_a_gap() -> None:
    times, rates = series.rate(_times(0, 10_000, 20_000, 900_000), _values(0, 5, 25, 30))
    assert times.tolist() == [10_000, 20_000]
    assert rates.tolist() == [0.5, 2.0]


def test_resample_takes_the_newest_sample_within_a_left_open_lookback() -> None:
    got = series.resample(_times(0, 60_000), _values(1, 2), _times(-1, 0, 59_999, 60_000, 359_999, 360_000))
    assert got[1:5].tolist() == [1, 1, 2, 2]
    assert math.isnan(got[0])
    assert math.isnan(got[5])


def test_downsample_keeps_the_peak_and_the_dip() -> None:
    times = np.arange(0, 100_000, 10, dtype=np.int64)
    values = np.zeros(times.size)
    values[1234], values[7777] = 99.0, -99.0
    few_times, few = series.downsample(times, values, points=100)
    assert few.size <= 100
    assert few.max() == 99.0
    assert few.min() == -99.0
    assert np.all(np.diff(few_times) > 0)


@given(st.lists(st.floats(allow_nan=False, width=32), min_size=1, max_size=300), st.integers(2, 50))
def test_downsample_keeps_extremes_of_anything(numbers: list[float], points: int) -> None:
    values = np.array(numbers, dtype=np.float64)
    times = np.arange(values.size, dtype=np.int64) * 1000
    few_times, few = series.downsample(times, values, points=points)
    assert few.size <= max(points, 2)
    assert few.min() == values.min()
    assert few.max() == values.max()
    assert np.array_equal(values[few_times // 1000], few)


def test_gaps_cover_what_no_sample_speaks_for() -> None:
    times = _times(0, 10_000, 20_000, 80_000, 90_000)
    assert series.gaps(times, since_ms=0, until_ms=95_000, interval_ms=10_000) == [Gap(30_000, 80_000)]
    assert series.gaps(times[:0], since_ms=5, until_ms=9, interval_ms=10_000) == [Gap(5, 9)]


def test_one_lost_beat_is_no_gap() -> None:
    assert series.gaps(_times(0, 20_000), since_ms=0, until_ms=30_000, interval_ms=10_000) == []


def test_percentile_leaves_unmeasured_values_out() -> None:
    assert series.percentile(_values(1, 2, 3, math.nan), 50) == 2
    assert math.isnan(series.percentile(_values(), 50))


def test_the_absent_marker_is_told_from_a_measured_nan() -> None:
    assert series.is_absent(_values(1, ABSENT, math.nan)).tolist() == [False, True, False]


def test_a_layout_knows_its_families() -> None:
    layout = Layout((Column("a"), Column("b"), Column("a", (("x", "1"),))), 10_000)
    assert layout.families == {"a": (0, 2), "b": (1,)}
    assert layout.row_bytes == 24


@pytest.mark.parametrize(
    ("op", "value", "text", "expected"),
    [
        ("=", "sda", "sda", True),
        ("=", "", "", True),
        ("!=", "sda", "sdb", True),
        ("=~", "sd.", "sda", True),
        ("=~", "sd", "sda", False),
        ("=~", "a|b", "b", True),
        ("!~", "lo|veth.*", "veth1", False),
        ("!~", "lo|veth.*", "eth0", True),
    ],
)
def test_matchers_work_as_in_prometheus(op: str, value: str, text: str, expected: bool) -> None:
    assert Matcher("device", op, value).accepts(text) is expected


@pytest.mark.parametrize(
    "pattern",
    ["(a+)+", "(a|a)*", "(a|aa)+b", "(.*)*", "(a?){30}", ".*.*.*.*", r"(a)\1", "(?=a)b", "(", "x" * 257, "a?" * 40],
)
def test_a_pattern_that_could_explode_is_refused(pattern: str) -> None:
    with pytest.raises(InvalidInput):
        Matcher("device", "=~", pattern)


@pytest.mark.parametrize(
    "pattern", [".*", "eth.*|ens.*|en[op][0-9]+", r"web-[0-9]+\.example\.(com|org)", "[ab]{2,5}x?"]
)
def test_everyday_patterns_are_accepted(pattern: str) -> None:
    assert compile_anchored(pattern)


def test_the_worst_accepted_pattern_stays_quick() -> None:
    started = time.perf_counter()
    assert compile_anchored(".*.*.*x").fullmatch("a" * 256) is None
    assert time.perf_counter() - started < 2


def test_an_unknown_operator_is_refused() -> None:
    with pytest.raises(InvalidInput):
        Matcher("device", "==", "sda")
