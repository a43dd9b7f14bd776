"""Charts: lines that are true whatever the beat of the series and the step of the chart."""

from __future__ import annotations

import numpy as np
import pytest

from collector.domain.series import SeriesData
from collector.edges.http import charts
from collector.edges.http.grid import grid

CPU = {"__name__": "node_cpu_seconds_total", "cpu": "0"}
BEAT_MS = 10_000


def counting(mode: str, times: np.ndarray, per_second: float) -> SeriesData:
    """A counter that grew evenly since long before it was watched."""
    return SeriesData({**CPU, "mode": mode}, times, 40_000 + times / 1_000 * per_second)


def drawn(found: list[SeriesData], *, since_ms: int, until_ms: int, points: int) -> dict[str, list[float]]:
    frame = charts.history(found, grid(since_ms, until_ms, points))
    lines = charts.draw(frame, since_ms=since_ms, until_ms=until_ms)["cpu"]["series"]
    return {one["label"]: [v for v in one["values"] if v is not None] for one in lines}


@pytest.mark.parametrize("points", [360, 90, 20], ids=["step 5 s", "step 10 s", "step 45 s"])
def test_an_even_counter_is_an_even_line_at_every_step(points: int) -> None:
    times = np.arange(303_700, 900_000, BEAT_MS, dtype=np.int64)
    found = [counting("user", times, 0.25), counting("idle", times, 0.75)]
    user = drawn(found, since_ms=0, until_ms=900_000, points=points)["user"]
    assert len(user) > 10
    assert user == pytest.approx([0.25] * len(user))


def test_a_counter_that_began_to_be_watched_shows_no_peak_and_a_gap_shows_nothing() -> None:
    times = np.arange(303_700, 900_000, BEAT_MS, dtype=np.int64)
    times = times[(times < 500_000) | (times > 700_000)]
    found = [counting("user", times, 0.25), counting("idle", times, 0.75)]
    user = drawn(found, since_ms=0, until_ms=900_000, points=180)["user"]
    assert max(user) == pytest.approx(0.25)
    assert len(user) < 80


def test_thin_old_rows_are_drawn_beside_dense_new_ones_and_a_hole_stays_one() -> None:
    thin = np.arange(0, 24 * 1_200_000, 1_200_000, dtype=np.int64)
    dense = np.arange(24 * 1_200_000, 24 * 1_200_000 + 4_000_000, 10_000, dtype=np.int64)
    times = np.concatenate((np.delete(thin, slice(10, 16)), dense))
    found = [
        SeriesData({"__name__": "node_load1"}, times, np.ones(times.size)),
        SeriesData({"__name__": "node_network_receive_bytes_total", "device": "eth0"}, times, times / 1000),
    ]
    at = np.arange(0, int(times[-1]), 60_000, dtype=np.int64)
    frame = charts.history(found, at)
    (_, load), (_, rate) = frame.rows("node_load1")[0], frame.rates("node_network_receive_bytes_total")[0]
    hole = (at > thin[9] + 3 * 1_200_000) & (at < thin[16])
    assert np.isnan(load[hole]).all()
    assert np.isnan(rate[hole]).all()
    whole = (at > 60_000) & ((at < thin[9]) | (at > thin[16] + 60_000))
    assert (load[whole] == 1).all()
    assert rate[whole] == pytest.approx(1.0)
