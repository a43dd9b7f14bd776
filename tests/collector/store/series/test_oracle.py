"""Random rows in random order, with kills, flushes and retention: `select` equals a plain dictionary, bit by bit."""

from __future__ import annotations

import asyncio
import struct
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete

from collector.domain.sample import Row
from collector.domain.series import ABSENT, Matcher
from collector.store import schema
from collector.store.database import Database
from tests.collector.store.series.farm import DAY_MS, START_MS, WINDOW_MS, Clock, declare, ingest, opened

SPAN_MS = 4 * WINDOW_MS
EVERYTHING = [Matcher("__name__", "=~", ".*")]
COLUMNS = ("node_load1", "idle", "user", "node_filesystem_avail_bytes")

bits = st.one_of(
    st.just(ABSENT),
    st.sampled_from([0x7FF8_0000_0000_BEEF, 0xFFF0_0000_0000_0001, 0x8000_0000_0000_0000]).map(
        lambda pattern: struct.unpack("<d", struct.pack("<Q", pattern))[0]
    ),
    st.floats(),
)
rows = st.lists(
    st.tuples(st.integers(1, 3), st.integers(0, 23).map(lambda n: n * 1201), st.tuples(bits, bits, bits, bits)),
    min_size=1,
    max_size=40,
)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("rows"), rows),
        st.tuples(st.sampled_from(["flush", "flush everything", "kill", "kill while flushing", "retain"]), st.none()),
        st.tuples(st.just("wait"), st.integers(1, WINDOW_MS)),
    ),
    min_size=1,
    max_size=14,
)


@dataclass
class Run:
    """A store and the dictionary it must equal."""

    database: Database
    clock: Clock = field(default_factory=lambda: Clock(START_MS + SPAN_MS // 2))
    told: dict[tuple[int, str, int], bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.store = opened(self.database, self.clock)
        self.layout_id = declare(self.database, self.store)

    async def step(self, verb: str, what: Any) -> None:
        if verb == "rows":
            for host_id, second, values in what:
                wall_ms = START_MS + second * 1000
                ingest(self.database, self.store, host_id, [Row(self.layout_id, wall_ms, struct.pack("<4d", *values))])
                for name, value in zip(COLUMNS, values, strict=True):
                    self.told.setdefault((host_id, name, wall_ms), struct.pack("<d", value))
        elif verb == "wait":
            self.clock.now_ms += what
        elif verb == "kill":
            self.store = opened(self.database, self.clock)
        elif verb == "kill while flushing":
            places = self.store._heads.due(self.clock(), everything=True)[:2]
            drafts = self.database.read_now(lambda connection: self.store._drafts(places, connection))
            self.database.write_now(lambda connection: self.store._commit(places, drafts, connection))
            self.store = opened(self.database, self.clock)
        elif verb == "retain":
            await self.store.retain()
        else:
            await self.store.flush(everything=verb == "flush everything")

    def check(self) -> None:
        got = {}
        for series in self.store.select(EVERYTHING, START_MS, START_MS + DAY_MS, resolution_ms=0):
            host_id = int(series.labels["instance"].removeprefix("web-"))
            name = series.labels.get("mode", series.labels["__name__"])
            assert np.all(np.diff(series.times) > 0)
            for wall_ms, value in zip(series.times.tolist(), series.values, strict=True):
                got[host_id, name, wall_ms] = value.tobytes()
        assert got == {key: value for key, value in self.told.items() if value != struct.pack("<d", ABSENT)}


@settings(
    max_examples=80,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(steps=steps)
def test_select_equals_a_dictionary_whatever_happens(database: Database, steps: list[tuple[str, Any]]) -> None:
    def empty(connection: Any) -> None:
        for table in (schema.journal, schema.block_family, schema.block, schema.series_layout, schema.meta):
            connection.execute(delete(table))

    database.write_now(empty)

    async def play() -> None:
        run = Run(database)
        for verb, what in steps:
            await run.step(verb, what)
            run.check()

    asyncio.run(play())
