"""Event streams over HTTP: a new row becomes a point of every chart."""

from __future__ import annotations

import json
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from collector.domain.sample import Accepted
from collector.edges.http import ROUTES
from collector.edges.http.frame import build
from collector.flows.hour import MINUTES
from collector.flows.live import Live
from collector.store.database import Database
from tests.collector.edges.http import world
from tests.collector.edges.http.conftest import signed_in


async def event(answer: Any, name: str) -> dict[str, Any]:
    """The data of the next event of that name."""
    async for line in answer.content:
        if line.strip() == f"event: {name}".encode():
            data = await answer.content.readline()
            found: dict[str, Any] = json.loads(data.removeprefix(b"data: "))
            return found
    raise AssertionError("the stream ended")


async def test_a_row_that_arrives_is_a_point_of_every_chart(sqlite: Database) -> None:
    made = await world.make(sqlite, hosts=1, history_ms=world.MINUTE_MS)
    made.context.authenticate = signed_in("viewer")
    async with TestClient(TestServer(build(made.context, ROUTES))) as client:
        answer = await client.get("/live/hosts/web-1")
        assert answer.content_type == "text/event-stream"
        at = made.now_ms + 7000
        made.live.absorb(None, [Accepted("a", 1, at, live=True, rows=[world.row(at, 0)])])()  # type: ignore[arg-type]
        tick = await event(answer, "tick")
        assert tick["time"] == at
        assert sum(tick["charts"]["cpu"].values()) > 0.05
        assert set(tick["charts"]["network"]) == {"eth0 in", "eth0 out"}
        answer.close()


async def test_pages_hear_that_something_changed(sqlite: Database) -> None:
    made = await world.make(sqlite, hosts=1, history_ms=world.MINUTE_MS)
    made.context.authenticate = signed_in("viewer")
    async with TestClient(TestServer(build(made.context, ROUTES))) as client:
        answer = await client.get("/live/changes")
        made.live.publish()
        assert await event(answer, "changed") == {}
        answer.close()


async def test_strangers_hear_nothing(sqlite: Database) -> None:
    made = await world.make(sqlite, hosts=1, history_ms=world.MINUTE_MS)
    async with TestClient(TestServer(build(made.context, ROUTES))) as client:
        answer = await client.get("/live/changes", headers={"Accept": "application/json"})
        assert answer.status == 401


async def test_a_restart_keeps_the_last_hour_of_each_host(sqlite: Database) -> None:
    made = await world.make(sqlite, hosts=1, history_ms=30 * world.MINUTE_MS)
    fresh = Live(made.series.layouts.get)
    fresh.last_hour.recall(made.series.select, 1, made.now_ms)
    history = fresh.last_hour.busy(1)
    assert len(history) == MINUTES
    assert history[0] is None
    middle = made.now_ms - 10 * world.MINUTE_MS - world.MINUTE_MS // 2
    assert history[-11] == pytest.approx(world.busy(middle, 0) * 0.96, abs=0.02)


async def test_the_last_hour_is_there_when_it_arrives_late(sqlite: Database) -> None:
    made = await world.make(sqlite, hosts=1, history_ms=world.MINUTE_MS)
    fresh = Live(made.series.layouts.get)
    late = [world.row(made.now_ms - n * world.BEAT_MS, 0) for n in range(240, 0, -1)]
    newer = [world.row(made.now_ms, 0)]
    fresh.absorb(None, [Accepted("a", 1, made.now_ms, live=True, rows=newer)])()  # type: ignore[arg-type]
    fresh.absorb(None, [Accepted("a", 1, made.now_ms, live=False, rows=late)])()  # type: ignore[arg-type]
    history = fresh.last_hour.busy(1)
    assert len(history) == MINUTES
    assert [one is None for one in history] == [True] * 20 + [False] * 40
    middle = made.now_ms - 10 * world.MINUTE_MS - world.MINUTE_MS // 2
    assert history[-11] == pytest.approx(world.busy(middle, 0) * 0.96, abs=0.02)
