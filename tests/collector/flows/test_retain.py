"""Upkeep of the series store, on both databases."""

from __future__ import annotations

import logging

import pytest

from collector.flows import retain
from collector.store.database import Database
from tests.collector.store.series.farm import DAY_MS, START_MS, WINDOW_MS, Clock, beats, declare, ingest, named, opened


async def test_upkeep_says_what_it_did_and_only_then(database: Database, caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    store = opened(database, clock, retention=retain.retention_of(raw_days=2, five_minutes_days=20, one_hour_days=30))
    ingest(database, store, 1, beats(declare(database, store), START_MS, 100))
    with caplog.at_level(logging.INFO):
        assert await retain.flush(store) == 0
        assert await retain.retain(store) == 0
        assert "series_" not in caplog.text
        clock.now_ms += 2 * WINDOW_MS
        assert await retain.flush(store) == 1
        clock.now_ms += 10 * DAY_MS
        assert await retain.retain(store) == 1
    assert "series_flushed blocks=1" in caplog.text
    assert "series_expired resolution_ms=0 blocks=1" in caplog.text
    assert store.select(named("node_load1"), START_MS, START_MS + DAY_MS)[0].times.size == 4


async def test_flushing_everything_leaves_the_next_start_nothing_to_compute(database: Database) -> None:
    clock = Clock()
    store = opened(database, clock)
    ingest(database, store, 1, beats(declare(database, store), START_MS, 100))
    assert await retain.flush(store, everything=True) == 1
    again = opened(database, clock)
    assert await retain.flush(again, everything=True) == 0
    assert again.select(named("node_load1"), START_MS, START_MS + DAY_MS)[0].times.size == 100
