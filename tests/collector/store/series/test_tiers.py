"""Rollups and retention of the store from outside: coarser rows say the same, and each tier ends in its time."""

from __future__ import annotations

import itertools

from collector.domain.sample import Row
from collector.domain.series import Matcher
from collector.store.database import Database
from collector.store.series.tiers import FIVE_MINUTES, ONE_HOUR, RAW
from tests.collector.store.series.farm import (
    DAY_MS,
    START_MS,
    WINDOW_MS,
    Clock,
    beats,
    declare,
    ingest,
    named,
    opened,
    packed,
)


async def test_rollups_show_the_same_before_and_after_they_are_computed(database: Database) -> None:
    clock = Clock()
    store = opened(database, clock)
    layout_id = declare(database, store)
    for day in range(2):
        rows = beats(layout_id, START_MS + day * DAY_MS, 2880, step_ms=30_000)
        ingest(database, store, 1, rows)
    span = (START_MS, START_MS + 2 * DAY_MS)

    def shown(resolution_ms: int, aggregate: str) -> list[tuple[list[int], list[float]]]:
        found = store.select([Matcher("__name__", "=~", ".*")], *span, resolution_ms=resolution_ms, aggregate=aggregate)
        return [(series.times.tolist(), series.values.tolist()) for series in found]

    asked = [(r, a) for r in (FIVE_MINUTES, ONE_HOUR) for a in ("auto", "min", "max", "count", "increase")]
    from_heads = [shown(*each) for each in asked]
    clock.now_ms = START_MS + 20 * DAY_MS
    await store.flush()
    from_blocks = [shown(*each) for each in asked]
    removed = await store.retain()
    assert removed[RAW] == 24
    from_rollups = [shown(*each) for each in asked]
    assert from_heads == from_blocks == from_rollups
    assert store.select(named("node_load1"), *span, resolution_ms=RAW) == []
    assert store.select(named("node_load1"), *span)[0].times.size == from_rollups[0][3][0].__len__()


async def test_a_counter_keeps_its_increase_through_resets_in_rollups(database: Database) -> None:
    clock = Clock()
    store = opened(database, clock)
    layout_id = declare(database, store)
    values = [float(i % 7) for i in range(360)]
    rows = [Row(layout_id, START_MS + i * 10_000, packed(0, value, 0, 0)) for i, value in enumerate(values)]
    ingest(database, store, 1, rows)
    (idle,) = store.select(
        named("node_cpu_seconds_total", mode="idle"),
        START_MS,
        START_MS + DAY_MS,
        resolution_ms=FIVE_MINUTES,
        aggregate="increase",
    )
    want = sum(b - a if b >= a else b for a, b in itertools.pairwise(values))
    assert idle.values.sum() == want
    (hour,) = store.select(
        named("node_cpu_seconds_total", mode="idle"),
        START_MS,
        START_MS + DAY_MS,
        resolution_ms=ONE_HOUR,
        aggregate="increase",
    )
    assert hour.values.sum() == want


async def test_a_late_row_is_seen_in_rollups_that_were_computed_before(database: Database) -> None:
    clock = Clock()
    store = opened(database, clock)
    layout_id = declare(database, store)
    ingest(database, store, 1, beats(layout_id, START_MS, 60))
    clock.now_ms = START_MS + 9 * DAY_MS
    await store.flush()
    await store.retain()
    assert store.statistics().blocks == {RAW: 1, FIVE_MINUTES: 1, ONE_HOUR: 1}
    ingest(database, store, 1, [Row(layout_id, START_MS + 1_000, packed(5000, 0, 0, 0))])

    def peak(resolution_ms: int) -> float:
        (series,) = store.select(
            named("node_load1"), START_MS, START_MS + DAY_MS, resolution_ms=resolution_ms, aggregate="max"
        )
        return float(series.values.max())

    for _ in range(3):
        assert peak(FIVE_MINUTES) == peak(ONE_HOUR) == 5000
        clock.now_ms += WINDOW_MS
        await store.flush()
        await store.retain()
    assert store.statistics().blocks == {RAW: 1, FIVE_MINUTES: 1, ONE_HOUR: 1}


async def test_retention_is_per_tier_and_a_row_older_than_it_is_refused(database: Database) -> None:
    clock = Clock()
    store = opened(database, clock)
    layout_id = declare(database, store)
    ingest(database, store, 1, beats(layout_id, START_MS, 60))
    clock.now_ms = START_MS + 120 * DAY_MS
    await store.flush()
    removed = await store.retain()
    assert removed == {RAW: 1, FIVE_MINUTES: 1, ONE_HOUR: 0}
    ingest(database, store, 1, [Row(layout_id, START_MS + 1_000, packed(5000, 0, 0, 0))])
    assert store.statistics().too_old_rows == 1
    again = opened(database, clock)
    assert again.latest(named("node_load1"), max_age_ms=10**15) == []
    (series,) = again.select(named("node_load1"), START_MS, START_MS + DAY_MS)
    assert series.values.tolist() == [29.5]
