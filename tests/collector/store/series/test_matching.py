"""Which series a question is about: labels of the agent and of the store, names, hosts."""

from __future__ import annotations

from collector.domain.series import Matcher
from collector.store.database import Database
from tests.collector.store.series.farm import START_MS, WINDOW_MS, Clock, beats, declare, ingest, opened


async def test_matchers_choose_columns_and_hosts(database: Database) -> None:
    clock = Clock()
    store = opened(database, clock)
    layout_id = declare(database, store)
    for host_id in (1, 2, 3):
        ingest(database, store, host_id, beats(layout_id, START_MS, 2))

    def found(*matchers: Matcher, host_ids: set[int] | None = None) -> list[tuple[str, str]]:
        data = store.select(matchers, START_MS, START_MS + WINDOW_MS, host_ids=host_ids)
        return [(series.labels["instance"], series.labels.get("mode", "")) for series in data]

    cpu = Matcher("__name__", "=~", "node_cpu.*")
    assert found(cpu, Matcher("mode", "!=", "idle")) == [("web-1", "user"), ("web-2", "user"), ("web-3", "user")]
    assert found(cpu, Matcher("instance", "=~", "web-[12]"), Matcher("mode", "=", "idle")) == [
        ("web-1", "idle"),
        ("web-2", "idle"),
    ]
    assert found(cpu, host_ids={3}) == [("web-3", "idle"), ("web-3", "user")]
    assert found(cpu, Matcher("job", "=", "mysql")) == []
    assert found(Matcher("mode", "=", ""), Matcher("instance", "!~", "web-[12]")) == [("web-3", "")] * 2
    assert store.names() == ["node_cpu_seconds_total", "node_filesystem_avail_bytes", "node_load1"]
    assert store.label_values("mode") == ["idle", "user"]
    assert store.label_values("instance") == ["web-1", "web-2", "web-3"]
    assert store.label_values("job") == ["node"]
    assert store.hosts_with_data() == {1, 2, 3}


async def test_names_narrow_as_a_pattern_of_them_does(database: Database) -> None:
    store = opened(database, Clock())
    layout_id = declare(database, store)
    ingest(database, store, 1, beats(layout_id, START_MS, 2))
    span = (START_MS, START_MS + WINDOW_MS)
    pattern = Matcher("__name__", "=~", "node_load1|node_cpu_seconds_total")
    by_pattern = [series.labels for series in store.select([pattern], *span)]
    assert [one.labels for one in store.select([], *span, names={"node_load1", "node_cpu_seconds_total"})] == by_pattern
    found = store.select([Matcher("mode", "=", "idle")], *span, names={"node_load1", "node_cpu_seconds_total"})
    assert [one.labels["mode"] for one in found] == ["idle"]
    assert store.select([], *span, names=()) == []
    # What was measured together says so: charts compute with such times once.
    assert len({id(one.times) for one in store.select([], *span)}) == 1
