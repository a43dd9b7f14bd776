"""Event streams over HTTP: a new row becomes a point of every chart."""

from __future__ import annotations

import json
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from collector.domain.sample import Accepted
from collector.edges.http import ROUTES
from collector.edges.http.frame import build
from collector.flows.live import HISTORY_MINUTES, Live
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
    fresh.seed_from(made.series.select, 1, made.now_ms)
    history = fresh.cpu_history(1)
    assert len(history) == HISTORY_MINUTES
    assert history[0] is None
    middle = made.now_ms - 10 * world.MINUTE_MS - world.MINUTE_MS // 2
    assert history[-11] == pytest.approx(world.busy(middle, 0) * 0.96, abs=0.02)
