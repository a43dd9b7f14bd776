"""The store from outside: what was absorbed is selected, through flushes, restarts, damage and retention."""

from __future__ import annotations

import logging
import struct

import numpy as np
import pytest
from sqlalchemy import func, select, update

from collector.domain.errors import InvalidInput
from collector.domain.sample import Accepted, Row
from collector.domain.series import ABSENT
from collector.store.database import Database
from collector.store.schema import block, block_family, journal
from collector.store.series.tiers import Retention
from tests.collector.store.series.farm import (
    DAY_MS,
    LAYOUT,
    START_MS,
    WIDER,
    WINDOW_MS,
    Clock,
    beats,
    declare,
    ingest,
    named,
    opened,
    packed,
)

QUIET_NAN = struct.unpack("<d", struct.pack("<Q", 0x7FF8_0000_0000_BEEF))[0]


def _rows_of(database: Database) -> tuple[int, int]:
    """Journal records and blocks."""
    return database.read_now(
        lambda c: (
            c.execute(select(func.count()).select_from(journal)).scalar_one(),
            c.execute(select(func.count()).select_from(block)).scalar_one(),
        )
    )


async def test_absorbed_rows_are_selected_before_and_after_a_flush(database: Database) -> None:
    clock = Clock()
    store = opened(database, clock)
    layout_id = declare(database, store)
    ingest(database, store, 1, beats(layout_id, START_MS, 300))
    before = store.select(named("node_load1"), START_MS, START_MS + WINDOW_MS)
    clock.now_ms += 2 * WINDOW_MS
    assert await store.flush() == 1
    after = store.select(named("node_load1"), START_MS, START_MS + WINDOW_MS)
    for (series,) in (before, after):
        assert series.labels == {"__name__": "node_load1", "instance": "web-1", "job": "node"}
        assert series.times.tolist() == [START_MS + 10_000 * i for i in range(300)]
        assert series.values.tolist() == list(map(float, range(300)))
    assert store.statistics().heads == 0


async def test_every_bit_of_a_value_survives(database: Database) -> None:
    clock = Clock()
    store = opened(database, clock)
    layout_id = declare(database, store)
    odd = [QUIET_NAN, float("inf"), -0.0, 5e-324]
    rows = [Row(layout_id, START_MS + i, packed(odd[i % 4], *[0.1 * i] * 3)) for i in range(500)]
    ingest(database, store, 1, rows)
    clock.now_ms += 2 * WINDOW_MS
    await store.flush()
    (series,) = store.select(named("node_load1"), START_MS, START_MS + WINDOW_MS)
    want = np.array([odd[i % 4] for i in range(500)])
    assert series.values.view(np.uint64).tolist() == want.view(np.uint64).tolist()


async def test_absent_values_are_not_served(database: Database) -> None:
    clock = Clock()
    store = opened(database, clock)
    layout_id = declare(database, store)
    ingest(
        database,
        store,
        1,
        [Row(layout_id, START_MS, packed(1, 2, 3, 4)), Row(layout_id, START_MS + 10_000, packed(ABSENT, 2, 3, ABSENT))],
    )
    for _ in range(2):
        assert store.select(named("node_load1"), START_MS, START_MS + WINDOW_MS)[0].values.tolist() == [1]
        assert len(store.select(named("node_cpu_seconds_total"), START_MS, START_MS + WINDOW_MS)[0].times) == 2
        await store.flush(everything=True)
    clock.now_ms = START_MS + 20_000
    assert store.latest(named("node_load1")) == []


async def test_the_journal_is_replayed_after_a_kill(database: Database) -> None:
    clock = Clock()
    store = opened(database, clock)
    layout_id = declare(database, store)
    ingest(database, store, 1, beats(layout_id, START_MS, 50))
    ingest(database, store, 2, beats(layout_id, START_MS, 30))
    again = opened(database, clock)
    found = again.select(named("node_load1"), START_MS, START_MS + WINDOW_MS)
    assert [series.times.size for series in found] == [50, 30]
    assert [series.labels["instance"] for series in found] == ["web-1", "web-2"]


async def test_rows_in_a_block_and_still_in_the_journal_are_not_doubled(database: Database) -> None:
    clock = Clock()
    store = opened(database, clock)
    layout_id = declare(database, store)
    # One record holds rows of two windows, so the flush of the first must leave it in the journal.
    ingest(database, store, 1, beats(layout_id, START_MS + WINDOW_MS - 100_000, 20))
    clock.now_ms = START_MS + WINDOW_MS + 600_000
    assert await store.flush() == 1
    assert _rows_of(database) == (1, 1)
    again = opened(database, clock)
    for _ in range(3):
        (series,) = again.select(named("node_load1"), START_MS, START_MS + 2 * WINDOW_MS)
        assert series.values.tolist() == list(map(float, range(20)))
        clock.now_ms += WINDOW_MS
        await again.flush()
    assert _rows_of(database) == (1, 2)  # the newest record always stays


async def test_a_kill_between_building_and_committing_a_block_loses_nothing(database: Database) -> None:
    clock = Clock()
    store = opened(database, clock)
    layout_id = declare(database, store)
    ingest(database, store, 1, beats(layout_id, START_MS, 200))
    clock.now_ms += 2 * WINDOW_MS
    places = store._heads.due(clock())
    database.read_now(lambda connection: store._drafts(places, connection))
    (series,) = store.select(named("node_load1"), START_MS, START_MS + WINDOW_MS)
    assert series.times.size == 200
    again = opened(database, clock)
    assert again.select(named("node_load1"), START_MS, START_MS + WINDOW_MS)[0].times.size == 200


async def test_rows_that_arrive_while_their_window_is_flushed_are_kept(database: Database) -> None:
    clock = Clock()
    store = opened(database, clock)
    layout_id = declare(database, store)
    ingest(database, store, 1, beats(layout_id, START_MS, 5))
    clock.now_ms += 2 * WINDOW_MS
    places = store._heads.due(clock())
    drafts = database.read_now(lambda connection: store._drafts(places, connection))
    ingest(database, store, 1, beats(layout_id, START_MS + 50_000, 5, base=5.0))
    database.write_now(lambda connection: store._commit(places, drafts, connection))
    assert store.select(named("node_load1"), START_MS, START_MS + WINDOW_MS)[0].times.size == 10
    store._heads.discard(places)
    assert store.select(named("node_load1"), START_MS, START_MS + WINDOW_MS)[0].times.size == 10
    again = opened(database, clock)
    assert again.select(named("node_load1"), START_MS, START_MS + WINDOW_MS)[0].times.size == 10


async def test_a_committed_record_that_is_not_readable_yet_stays_in_the_journal(database: Database) -> None:
    clock = Clock()
    store = opened(database, clock)
    layout_id = declare(database, store)
    waiting = [
        database.write_now(
            lambda c, host_id=host_id: store.absorb(
                c,
                [Accepted(agent_id="", host_id=host_id, received_ms=0, live=True, rows=beats(layout_id, START_MS, 3))],
            )
        )
        for host_id in (1, 2, 3)
    ]
    waiting[1]()
    assert await store.flush(everything=True) == 1
    assert _rows_of(database)[0] == 3
    again = opened(database, clock)
    assert len(again.select(named("node_load1"), START_MS, START_MS + DAY_MS)) == 3


async def test_a_late_row_joins_the_block_of_its_window(database: Database) -> None:
    clock = Clock()
    store = opened(database, clock)
    layout_id = declare(database, store)
    ingest(database, store, 1, beats(layout_id, START_MS, 10))
    clock.now_ms += 2 * WINDOW_MS
    await store.flush()
    ingest(database, store, 1, [Row(layout_id, START_MS + 5_000, packed(99, 0, 0, 0))])
    clock.now_ms += WINDOW_MS
    assert await store.flush() == 1
    assert _rows_of(database)[1] == 1
    (series,) = store.select(named("node_load1"), START_MS, START_MS + WINDOW_MS)
    assert series.values.tolist()[:3] == [0, 99, 1]


async def test_of_two_rows_with_one_time_the_first_stays(database: Database) -> None:
    clock = Clock()
    store = opened(database, clock)
    layout_id = declare(database, store)
    ingest(database, store, 1, [Row(layout_id, START_MS, packed(1, 0, 0, 0))])
    ingest(database, store, 1, [Row(layout_id, START_MS, packed(2, 0, 0, 0))])
    for _ in range(2):
        assert store.select(named("node_load1"), START_MS, START_MS + 1)[0].values.tolist() == [1]
        await store.flush(everything=True)
        ingest(database, store, 1, [Row(layout_id, START_MS, packed(3, 0, 0, 0))])
    assert store.statistics().duplicate_rows == 1


async def test_a_block_keeps_its_values_when_late_rows_join_it(database: Database) -> None:
    clock = Clock()
    store = opened(database, clock)
    layout_id = declare(database, store)
    ingest(database, store, 1, [Row(layout_id, START_MS, packed(1, 0, 0, 0))])
    await store.flush(everything=True)
    late = [Row(layout_id, START_MS, packed(2, 0, 0, 0)), Row(layout_id, START_MS + 1, packed(3, 0, 0, 0))]
    ingest(database, store, 1, late)
    await store.flush(everything=True)
    assert store.select(named("node_load1"), START_MS, START_MS + 2)[0].values.tolist() == [1, 3]


async def test_a_new_layout_continues_the_series_it_shares(database: Database) -> None:
    clock = Clock()
    store = opened(database, clock)
    first, second = declare(database, store), declare(database, store, WIDER)
    ingest(database, store, 1, beats(first, START_MS, 3))
    ingest(database, store, 1, [Row(second, START_MS + 30_000, packed(3, 0, 0, 0, 7))])
    found = store.select(named("node_load1"), START_MS, START_MS + WINDOW_MS)
    assert [series.values.tolist() for series in found] == [[0, 1, 2, 3]]
    clock.now_ms = START_MS + 40_000
    assert [point.value for point in store.latest(named("node_load1"))] == [3]
    assert len(store.latest(named("node_filesystem_avail_bytes"))) == 2


async def test_a_damaged_journal_record_is_skipped_counted_and_said(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    store = opened(database, clock)
    layout_id = declare(database, store)
    ingest(database, store, 1, beats(layout_id, START_MS, 5))
    ingest(database, store, 1, beats(layout_id, START_MS + 50_000, 5))
    _flip(database, journal, journal.c.id == 1)
    with caplog.at_level(logging.ERROR):
        again = opened(database, clock)
    assert "series_journal_damaged record=1" in caplog.text
    assert again.statistics().damaged_records == 1
    (series,) = again.select(named("node_load1"), START_MS, START_MS + WINDOW_MS)
    assert series.times.tolist() == [START_MS + 50_000 + 10_000 * i for i in range(5)]


async def test_a_damaged_family_is_never_served_and_the_others_are(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    store = opened(database, clock)
    layout_id = declare(database, store)
    ingest(database, store, 1, beats(layout_id, START_MS, 50))
    await store.flush(everything=True)
    _flip(database, block_family, block_family.c.family == "node_load1")
    with caplog.at_level(logging.ERROR):
        assert store.select(named("node_load1"), START_MS, START_MS + WINDOW_MS) == []
        assert store.select(named("node_load1"), START_MS, START_MS + WINDOW_MS) == []
    assert len(store.select(named("node_cpu_seconds_total"), START_MS, START_MS + WINDOW_MS)) == 2
    assert store.statistics().damaged_blocks == 2
    assert caplog.text.count("series_block_damaged") == 1


async def test_a_block_with_damaged_times_is_never_served(database: Database) -> None:
    clock = Clock()
    store = opened(database, clock)
    layout_id = declare(database, store)
    ingest(database, store, 1, beats(layout_id, START_MS, 50))
    await store.flush(everything=True)
    _flip(database, block, block.c.id > 0)
    assert store.select(named("node_load1"), START_MS, START_MS + WINDOW_MS) == []


def _flip(database: Database, table: object, where: object) -> None:
    def flip(connection: object) -> None:
        body = connection.execute(select(table.c.body).where(where)).scalar_one()  # type: ignore[attr-defined]
        broken = bytes(body[:-3]) + bytes([body[-3] ^ 0x10]) + bytes(body[-2:])
        connection.execute(update(table).where(where).values(body=broken))  # type: ignore[attr-defined, arg-type]

    database.write_now(flip)


async def test_rows_of_an_unknown_layout_or_a_wrong_length_are_counted(database: Database) -> None:
    clock = Clock()
    store = opened(database, clock)
    layout_id = declare(database, store)
    ingest(database, store, 1, [Row(42, START_MS, packed(1)), Row(layout_id, START_MS, packed(1, 2))])
    assert store.statistics().unreadable_rows == 2
    assert store.select([], START_MS, START_MS + 1) == []


async def test_latest_answers_from_memory_within_its_age(database: Database) -> None:
    clock = Clock()
    store = opened(database, clock)
    layout_id = declare(database, store)
    ingest(database, store, 1, beats(layout_id, START_MS, 3))
    clock.now_ms = START_MS + 60_000
    (point,) = store.latest(named("node_load1"))
    assert (point.wall_ms, point.value, point.labels["instance"]) == (START_MS + 20_000, 2.0, "web-1")
    assert store.latest(named("node_load1"), max_age_ms=40_000) == []
    assert store.latest(named("node_load1"), host_ids={2}) == []


async def test_times_that_cannot_be_kept_or_asked_for_are_refused(database: Database) -> None:
    with pytest.raises(InvalidInput):
        opened(database, Clock(), retention=Retention(raw_ms=DAY_MS))
    store = opened(database, Clock())
    with pytest.raises(InvalidInput):
        store.select([], 0, 1, resolution_ms=7)
    with pytest.raises(InvalidInput):
        store.select([], 0, 1, aggregate="median")


async def test_a_layout_is_stored_again_when_its_declaration_was_rolled_back(database: Database) -> None:
    clock = Clock()
    store = opened(database, clock)

    def declare_and_fail(connection: object) -> None:
        from collector.store.series import layouts

        body = layouts.encode(LAYOUT)
        store.layouts.declare(connection, layouts.identify(body), body)  # type: ignore[arg-type]
        raise InvalidInput("rolled back")

    with pytest.raises(InvalidInput):
        database.write_now(declare_and_fail)
    from collector.store.series import layouts

    ingest(database, store, 1, beats(layouts.identify(layouts.encode(LAYOUT)), START_MS, 3))
    assert opened(database, clock).select(named("node_load1"), START_MS, START_MS + DAY_MS)[0].times.size == 3


async def test_a_clock_in_the_future_does_not_hold_the_journal_back(database: Database) -> None:
    clock = Clock()
    store = opened(database, clock)
    layout_id = declare(database, store)
    ingest(database, store, 1, beats(layout_id, START_MS + 30 * DAY_MS, 3))
    ingest(database, store, 1, beats(layout_id, START_MS, 3))
    assert await store.flush() == 1
    assert _rows_of(database)[0] == 1


async def test_statistics_say_what_is_held_and_how_old_the_journal_is(database: Database) -> None:
    clock = Clock()
    store = opened(database, clock)
    assert store.statistics().journal_oldest_ms is None
    layout_id = declare(database, store)
    ingest(database, store, 1, beats(layout_id, START_MS, 3))
    clock.now_ms += 20_000
    ingest(database, store, 2, beats(layout_id, START_MS, 2))
    found = store.statistics()
    assert (found.hosts, found.series, found.heads, found.head_rows) == (2, 8, 2, 5)
    assert (found.journal_records, found.journal_oldest_ms) == (2, START_MS)
    assert (found.rows, found.samples) == (5, 20)
    assert found.head_bytes > 0


async def test_a_window_waits_for_rows_on_their_way(database: Database) -> None:
    clock = Clock(START_MS + WINDOW_MS)
    store = opened(database, clock)
    layout_id = declare(database, store)
    ingest(database, store, 1, beats(layout_id, START_MS, 3))
    assert await store.flush() == 0
    clock.now_ms += 300_000
    assert await store.flush() == 1
