"""Series on the times of a chart: nothing that was measured is lost, whatever the step."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.domain import series
from collector.edges.http.grid import Beats, grid

BEAT_MS, BEATS = 10_000, 180
AT = np.arange(1, BEATS + 1, dtype=np.int64) * BEAT_MS
END_MS = BEATS * BEAT_MS

counts = st.lists(st.integers(0, 1000), min_size=BEATS, max_size=BEATS).map(lambda one: np.array(one, dtype=np.float64))
gone = st.sets(st.integers(0, BEATS - 1), max_size=BEATS - 10)
points = st.integers(2, 400)


@given(values=counts, points=st.sampled_from([180, 90, 60, 36, 20, 10]))
def test_a_counter_s_growth_adds_up_at_every_step_resets_included(values: np.ndarray, points: int) -> None:
    times = grid(0, END_MS, points)
    totals = Beats(AT, times).totals(values)
    assert totals[-1] - totals[1] == pytest.approx(series.increase(values[times[1] <= AT]), abs=1e-6)


@given(values=counts, spike=st.integers(0, BEATS - 1), points=st.sampled_from([60, 36, 20, 10]))
def test_a_spike_of_one_beat_is_in_the_mean_of_its_step(values: np.ndarray, spike: int, points: int) -> None:
    step = BEATS // points
    lifted = values.copy()
    lifted[spike] += 1e6
    times = grid(0, END_MS, points)
    beats = Beats(AT, times)
    difference = beats.levels(lifted) - beats.levels(values)
    assert difference[1 + spike // step] == pytest.approx(1e6 / step)
    assert np.count_nonzero(np.nan_to_num(difference) > 1) == 1


@given(values=counts, missing=gone, points=points)
def test_what_is_no_number_is_as_if_it_had_not_been_measured(
    values: np.ndarray, missing: set[int], points: int
) -> None:
    times = grid(0, END_MS, points)
    there = np.array([beat not in missing for beat in range(BEATS)])
    holed = np.where(there, values, np.nan)
    np.testing.assert_array_equal(Beats(AT, times).totals(holed), Beats(AT[there], times).totals(values[there]))


@given(several=st.lists(counts, min_size=2, max_size=4), points=points)
def test_series_with_common_times_are_as_each_alone(several: list[np.ndarray], points: int) -> None:
    times = grid(0, END_MS, points)
    shared = Beats(AT, times)
    for values in several:
        np.testing.assert_array_equal(shared.totals(values), Beats(AT, times).totals(values))
        np.testing.assert_array_equal(shared.levels(values), Beats(AT, times).levels(values))


@pytest.mark.parametrize("beats", [0, 1])
def test_too_few_beats_are_no_line(beats: int) -> None:
    times = grid(0, END_MS, 60)
    at, values = AT[:beats], np.ones(beats)
    assert np.isnan(Beats(at, times).totals(values)).all()
    assert np.isfinite(Beats(at, times).levels(values)).any() == bool(beats)
