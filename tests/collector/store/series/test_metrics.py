"""The store's own metrics, as Prometheus reads them."""

from __future__ import annotations

from prometheus_client import generate_latest

from collector.metrics import Metrics, series_families
from collector.store.database import Database
from tests.collector.store.series.farm import START_MS, Clock, beats, declare, ingest, opened


async def test_the_store_shows_its_sizes_and_losses(database: Database) -> None:
    clock = Clock()
    store = opened(database, clock)
    metrics = Metrics()
    metrics.observe(lambda: series_families(store.statistics(), now_ms=clock()))
    layout_id = declare(database, store)
    ingest(database, store, 1, beats(layout_id, START_MS, 3))
    await store.flush(everything=True)
    ingest(database, store, 1, [*beats(layout_id, START_MS + 30_000, 1)] * 2)
    clock.now_ms += 60_000
    text = generate_latest(metrics.registry).decode()
    for line in (
        "sigap_series_hosts 1.0",
        "sigap_series_active 4.0",
        "sigap_series_head_rows 1.0",
        "sigap_series_duplicate_rows_total 1.0",
        "sigap_series_damaged_blocks_total 0.0",
        "sigap_series_journal_records 2.0",
        "sigap_series_journal_age_seconds 60.0",
        'sigap_series_blocks{resolution_seconds="0"} 1.0',
    ):
        assert line in text.splitlines()
