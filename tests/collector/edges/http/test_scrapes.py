"""What scrapers read: the text is ours, so prometheus_client's parsers say what it means."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client import parser
from prometheus_client.openmetrics import parser as openmetrics

from collector.domain.sample import Row
from collector.domain.series import ABSENT, Column, Layout
from collector.edges.http import exposition, federate, metrics
from collector.flows.register import Registrar
from collector.metrics import Metrics
from collector.store.database import Database
from collector.store.series import SeriesStore
from tests.collector.edges.http.conftest import Open
from tests.collector.store.series.farm import LAYOUT, START_MS, Clock, declare, ingest, packed

OPEN = {"Accept": "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.2"}
EVERYTHING = '/federate?match[]={job="node"}'
AWKWARD = Layout((Column("node_mount", (("instance", "mine"), ("note", 'C:\\ "x"'), ("zone", "é"))),), 10_000)
HOSTS_MANY = 3_000
read_text: Any = parser.text_string_to_metric_families
read_open: Any = openmetrics.text_string_to_metric_families

Told = dict[tuple[str, tuple[tuple[str, str], ...]], tuple[float, float | None]]


def store_of(database: Database, clock: Clock, *, host_key: Any = lambda host_id: f"web-{host_id}") -> SeriesStore:
    store = SeriesStore(database, clock=clock, host_key=host_key)
    store.open()
    return store


async def register(database: Database, *keys: str) -> None:
    records = [{"register": "host", "key": key, "name": f'The "{key}"', "site": "Jakarta"} for key in keys]
    await Registrar(database, clock=Clock()).apply("siti", records, why="")


def told(families: Any) -> Told:
    """Series → value and time in seconds; a series that comes twice is a fault."""
    found: Told = {}
    for sample in (sample for family in families for sample in family.samples):
        key = (sample.name, tuple(sorted(sample.labels.items())))
        assert key not in found
        found[key] = (sample.value, None if sample.timestamp is None else float(sample.timestamp))
    return found


def expected(store: SeriesStore) -> Told:
    found: Told = {}
    for labels, wall_ms, value in store.latest([], max_age_ms=federate.LOOKBACK_MS):
        rest = tuple(sorted((name, text) for name, text in labels.items() if name != "__name__"))
        found[labels["__name__"], rest] = (value, wall_ms / 1_000)
    return found


async def test_both_formats_tell_the_newest_sample_of_every_series(sqlite: Database, open_browser: Open) -> None:
    clock = Clock(START_MS + 60_000)
    store = store_of(sqlite, clock)
    layout_id, awkward_id = declare(sqlite, store), declare(sqlite, store, AWKWARD)
    for host_id in (1, 2, 3):
        times = [START_MS + 7, START_MS + 10_000 * host_id + 123]
        ingest(sqlite, store, host_id, [Row(layout_id, at, packed(0.1 * host_id, 1e16, 1e-9, -2.5)) for at in times])
    ingest(sqlite, store, 2, [Row(awkward_id, START_MS + 20_000, packed(3.0))])
    await register(sqlite, "web-3")
    client = await open_browser(federate.ROUTES, series=store, clock=clock)
    plain, opened = await client.get(EVERYTHING), await client.get(EVERYTHING, headers=OPEN)
    assert plain.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert opened.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    assert len(expected(store)) == 3 * len(LAYOUT.columns) + 1
    assert told(read_text(await plain.text())) == expected(store)
    assert told(read_open(await opened.text())) == expected(store)
    one_host = told(read_text(await (await client.get("/federate/hosts/web-3")).text()))
    assert {dict(labels)["instance"] for _, labels in one_host} == {"web-3"}
    assert len(one_host) == len(LAYOUT.columns)


async def test_what_is_no_number_is_told_and_what_is_absent_is_not(sqlite: Database, open_browser: Open) -> None:
    clock = Clock(START_MS)
    store = store_of(sqlite, clock)
    layout_id = declare(sqlite, store)
    ingest(sqlite, store, 1, [Row(layout_id, START_MS, packed(float("nan"), float("inf"), ABSENT, float("-inf")))])
    client = await open_browser(federate.ROUTES, series=store, clock=clock)
    lines = (await (await client.get(EVERYTHING)).text()).splitlines()
    values = {line.split("{")[0]: line.split(" ")[-2] for line in lines if not line.startswith("#")}
    assert values == {
        "node_load1": "NaN", "node_cpu_seconds_total": "+Inf", "node_filesystem_avail_bytes": "-Inf",
    }  # fmt: skip


async def test_a_series_in_two_layouts_and_two_selectors_comes_once(sqlite: Database, open_browser: Open) -> None:
    clock = Clock(START_MS + 30_000)
    store = store_of(sqlite, clock)
    before_id = declare(sqlite, store)
    after_id = declare(sqlite, store, Layout((Column("node_load1"), Column("node_load5")), 10_000))
    ingest(sqlite, store, 1, [Row(before_id, START_MS, packed(1, 2, 3, 4))])
    ingest(sqlite, store, 1, [Row(after_id, START_MS + 10_000, packed(5, ABSENT))])
    client = await open_browser(federate.ROUTES, series=store, clock=clock)
    text = await (await client.get('/federate?match[]=node_load1&match[]={instance="web-1"}&match[]=node_load5')).text()
    found = told(read_text(text))
    assert found == expected(store)
    assert [value for (name, _), value in found.items() if name == "node_load1"] == [(5, (START_MS + 10_000) / 1_000)]
    clock.now_ms += 400_000
    assert await (await client.get(EVERYTHING)).text() == ""


async def test_a_long_answer_is_sent_in_pieces_that_are_the_whole(sqlite: Database, open_browser: Open) -> None:
    clock = Clock(START_MS)
    store = store_of(sqlite, clock)
    layout_id = declare(sqlite, store)
    for host_id in range(HOSTS_MANY):
        ingest(sqlite, store, host_id, [Row(layout_id, START_MS, packed(host_id, 1, 2, 3))])
    await register(sqlite, "web-7")
    client = await open_browser(federate.ROUTES, series=store, clock=clock)
    answer = await client.get(EVERYTHING, headers=OPEN)
    assert answer.headers["Transfer-Encoding"] == "chunked"
    text = await answer.text()
    assert len(text) > 3 * federate.CHUNK
    assert text.endswith(exposition.EOF)
    assert told(read_open(text)) == expected(store)
    few = await client.get("/federate/hosts/web-7")
    assert few.status == 200
    assert "Content-Length" in few.headers


@pytest.mark.parametrize(("headers", "read"), [({}, read_text), (OPEN, read_open)], ids=["text", "OpenMetrics"])
async def test_our_own_metrics_stand_beside_what_the_database_says(
    sqlite: Database, open_browser: Open, headers: dict[str, str], read: Any
) -> None:
    clock = Clock()
    registrar = Registrar(sqlite, clock=clock)
    records = [
        {"register": "host", "key": key, "name": f'The "{key}"', "site": "Jakarta"} for key in ("web-1", "web-2")
    ]
    await registrar.apply("siti", records, why="")
    counted = Metrics()
    counted.ingest_samples.inc(7)
    store = store_of(sqlite, clock)
    client = await open_browser(metrics.ROUTES, series=store, clock=clock, metrics=counted)
    answer = await client.get("/metrics", headers=headers)
    found = {key: value for key, (value, _) in told(read(await answer.text())).items()}
    assert found["sigap_ingest_samples_total", ()] == 7
    assert found["sigap_series_duplicate_rows_total", ()] == 0
    states = {dict(labels)["state"]: value for (name, labels), value in found.items() if name == "sigap_host_state"
              and dict(labels)["host"] == "web-2"}  # fmt: skip
    assert states == {"up": 0, "degraded": 0, "down": 0, "unknown": 1}
    labels = {"host": "web-1", "name": 'The "web-1"', "site": "Jakarta", "environment": ""}
    assert found["sigap_host_info", tuple(sorted(labels.items()))] == 1
