"""The newest rows of each host, and whoever looks at them."""

from __future__ import annotations

import numpy as np
import pytest

from collector.domain.errors import TooMuch
from collector.domain.sample import Accepted, Row
from collector.domain.series import Column, Kind, Layout
from collector.flows import live as module
from collector.flows.live import QUEUE_LENGTH, Live

LAYOUT = Layout(
    (
        Column("node_cpu_seconds_total", (("cpu", "0"), ("mode", "idle")), Kind.COUNTER),
        Column("node_memory_MemAvailable_bytes"),
        Column("node_memory_MemTotal_bytes"),
    ),
    10_000,
)
LAYOUTS = {7: LAYOUT}
START_MS = 1_700_000_040_000


def feed(live: Live, *rows: tuple[int, float, float], host_id: int = 1, fresh: bool = True) -> None:
    made = [Row(7, at, np.array([idle, left, 100.0], "<f8").tobytes()) for at, idle, left in rows]
    live.absorb(None, [Accepted("a", host_id, 0, live=fresh, rows=made)])()  # type: ignore[arg-type]


def test_vitals_are_those_of_the_newest_rows() -> None:
    live = Live(LAYOUTS.get)
    feed(live, (START_MS, 100.0, 50.0), (START_MS + 10_000, 107.5, 20.0))
    vitals = live.vitals(1)
    assert vitals is not None
    assert vitals.wall_ms == START_MS + 10_000
    assert vitals.cpu == pytest.approx(0.25)
    assert vitals.memory == pytest.approx(0.8)
    assert vitals.filesystem is None


def test_a_host_that_was_never_heard_has_no_vitals() -> None:
    assert Live(LAYOUTS.get).vitals(1) is None


def test_a_beat_without_the_counters_does_not_hide_the_one_before() -> None:
    live = Live(LAYOUTS.get)
    feed(live, (START_MS, 100.0, 50.0), (START_MS + 10_000, 105.0, 50.0), (START_MS + 20_000, np.nan, 50.0))
    vitals = live.vitals(1)
    assert vitals is not None
    assert vitals.cpu == pytest.approx(0.5)


async def test_a_series_more_or_less_does_not_hide_a_rate_for_a_beat() -> None:
    more = Layout((Column("sigap_agent_clock_skew_seconds"), *LAYOUT.columns), 10_000)
    live = Live({7: LAYOUT, 8: more}.get)
    feed(live, (START_MS, 100.0, 50.0))
    with live.beats(1) as looking:
        late = Row(8, START_MS + 10_000, np.array([0.001, 107.5, 20.0, 100.0], "<f8").tobytes())
        live.absorb(None, [Accepted("a", 1, 0, live=True, rows=[late])])()  # type: ignore[arg-type]
        beat = await looking.next(1)
    vitals = live.vitals(1)
    assert vitals is not None
    assert vitals.cpu == pytest.approx(0.25)
    assert beat is not None
    assert beat.before_ms == START_MS
    assert beat.before.tolist()[1:] == [100.0, 50.0, 100.0]


def test_the_checks_of_a_host_do_not_hide_what_is_measured_on_it() -> None:
    checks = {number: Layout((Column("probe_success", (("check", str(number)),)),), 2_000) for number in range(20, 40)}
    live = Live({7: LAYOUT, **checks}.get)
    for at_ms in range(START_MS, START_MS + 60_000, 2_000):
        if at_ms % 10_000 == START_MS % 10_000:
            feed(live, (at_ms, at_ms / 1000 * 0.75, 50.0))
        rows = [Row(number, at_ms, np.array([1.0], "<f8").tobytes()) for number in checks]
        live.absorb(None, [Accepted("a", 1, 0, live=True, rows=rows)])()  # type: ignore[arg-type]
    vitals = live.vitals(1)
    assert vitals is not None
    assert vitals.cpu == pytest.approx(0.25)


def test_what_was_measured_while_the_agent_connected_counts() -> None:
    live = Live(LAYOUTS.get)
    row = Row(7, START_MS, np.array([100.0, 50.0, 100.0], "<f8").tobytes())
    live.absorb(None, [Accepted("a", 1, START_MS + 2_000, live=False, rows=[row])])()  # type: ignore[arg-type]
    feed(live, (START_MS + 10_000, 107.5, 50.0))
    vitals = live.vitals(1)
    assert vitals is not None
    assert vitals.cpu == pytest.approx(0.25)


def test_backfill_and_late_rows_change_nothing() -> None:
    live = Live(LAYOUTS.get)
    feed(live, (START_MS, 100.0, 50.0), (START_MS + 10_000, 105.0, 50.0))
    before = live.vitals(1)
    feed(live, (START_MS + 20_000, 0.0, 1.0), fresh=False)
    feed(live, (START_MS + 5000, 0.0, 1.0))
    assert live.vitals(1) == before


def test_the_history_has_one_point_a_minute_and_gaps_where_nothing_came() -> None:
    live = Live(LAYOUTS.get)
    for seconds in (*range(0, 120, 10), *range(240, 300, 10)):
        feed(live, (START_MS + seconds * 1000, seconds * 0.8, 50.0))
    assert live.last_hour.busy(1)[-5:] == [None, pytest.approx(0.2), None, None, None]
    feed(live, (START_MS + 300_000, 240.0, 50.0))
    assert live.last_hour.busy(1)[-3:] == [None, None, pytest.approx(0.2)]


def test_the_vitals_of_many_hosts_are_those_of_each_alone() -> None:
    live, alone = Live(LAYOUTS.get), Live(LAYOUTS.get)
    for host_id in range(1, 6):
        # The fourth has not told its counters a second time, the fifth left them out of its newest row.
        rows = [(START_MS, 100.0, 50.0), (START_MS + 10_000, 100.0 + host_id, 10.0 * host_id)][
            : 1 if host_id == 4 else 2
        ]
        rows += [(START_MS + 20_000, np.nan, 50.0)] if host_id == 5 else []
        feed(live, *rows, host_id=host_id)
        feed(alone, *rows, host_id=host_id)
    together = live.vitals_of(range(9))
    assert together == {host_id: alone.vitals(host_id) for host_id in range(1, 6)}
    assert [one.cpu for one in together.values()] == pytest.approx([0.9, 0.8, 0.7, None, 0.5])


def test_vitals_follow_the_next_row() -> None:
    live = Live(LAYOUTS.get)
    feed(live, (START_MS, 100.0, 50.0))
    assert live.vitals_of([1])[1].memory == pytest.approx(0.5)
    feed(live, (START_MS + 10_000, 105.0, 20.0))
    assert live.vitals_of([1])[1].memory == pytest.approx(0.8)


def test_a_host_with_a_history_only_has_no_vitals_yet() -> None:
    live = Live(LAYOUTS.get)
    feed(live, (START_MS, 100.0, 50.0), (START_MS + 60_000, 130.0, 50.0), fresh=False)
    assert live.last_hour.busy(1)[-1] == pytest.approx(0.5)
    assert live.vitals(1) is None
    live.forget(1)
    assert live.last_hour.busy(1) == []


async def test_subscribers_get_a_row_with_the_one_before_it() -> None:
    live = Live(LAYOUTS.get)
    with live.beats(1) as mine, live.beats(2) as other:
        feed(live, (START_MS, 100.0, 50.0), (START_MS + 10_000, 105.0, 50.0))
        first, second = await mine.next(1), await mine.next(1)
        assert first is not None
        assert first.before_ms == 0
        assert second is not None
        assert (second.before_ms, second.wall_ms) == (START_MS, START_MS + 10_000)
        assert second.values[0] - second.before[0] == 5.0
        with pytest.raises(TimeoutError):
            await other.next(0.01)
    assert live.subscribers == 0


async def test_a_slow_reader_loses_the_oldest_and_nobody_waits() -> None:
    live = Live(LAYOUTS.get)
    with live.beats(1) as slow:
        for number in range(QUEUE_LENGTH + 5):
            feed(live, (START_MS + number * 10_000, 100.0, 50.0))
        assert slow.lost == 5
        beat = await slow.next(1)
        assert beat is not None
        assert beat.wall_ms == START_MS + 5 * 10_000


async def test_the_word_of_a_change_reaches_every_page() -> None:
    live = Live(LAYOUTS.get)
    with live.changes() as one, live.changes() as two:
        live.publish()
        assert await one.next(1) is None
        assert await two.next(1) is None


def test_there_is_a_limit_to_open_pages() -> None:
    live = Live(LAYOUTS.get)
    open_pages = [live.changes() for _ in range(module.SUBSCRIBERS_MOST)]
    for one in open_pages:
        one.__enter__()
    with pytest.raises(TooMuch), live.changes():
        pass
    for one in open_pages:
        one.__exit__(None, None, None)
    assert live.subscribers == 0
