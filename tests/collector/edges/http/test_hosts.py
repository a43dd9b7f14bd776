"""Pages about hosts, on either database: every state of a check, what a host's own state means, which disk is full."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from sqlalchemy import Connection

from collector.domain.sample import State
from collector.metrics import Metrics
from collector.store import board, registers, status
from collector.store.database import Database
from collector.store.status import Transition
from tests.collector.edges.http import world
from tests.collector.edges.http.conftest import Browser
from tests.collector.edges.http.world import WHO, World


@pytest.fixture
async def made(database: Database) -> World:
    some = await world.make(database, hosts=4, history_ms=world.MINUTE_MS)
    some.context.metrics = Metrics()
    return some


async def _check(made: World, key: str, host: str, state: State | None) -> None:
    """A check of a host; without a state it has given no result yet."""
    data = {"key": key, "name": key, "host": host, "kind": "http", "options": {"url": "https://else.example/"}}
    check = await made.registrar.create(WHO, "check", data)
    if state is not None:
        at = made.now_ms - 5000
        change = Transition("check", check.id, at, at, State.UNKNOWN, state, "refused" if state > State.UP else "")
        await made.db.write(lambda connection: status.record(connection, [change]))


async def _host(browser: Browser, key: str) -> dict[str, Any]:
    found: dict[str, Any] = (await (await browser.get(f"/hosts/{key}.json")).json())["host"]
    return found


async def test_lists_show_a_check_in_every_state(made: World, browser: Browser) -> None:
    for word, state in (("down", State.DOWN), ("degraded", State.DEGRADED), ("up", State.UP), ("unknown", None)):
        await _check(made, f"cache-1.{word}", "cache-1", state)
    await _check(made, "cache-1.paused", "cache-1", State.DOWN)
    await made.registrar.transition(WHO, "check", "cache-1.paused", "pause", why="works there")
    for path in ("/", "/hosts", "/hosts?sort=-state", "/hosts/cache-1", "/services"):
        assert (await browser.get(path)).status == 200, path
    checks = (await (await browser.get("/hosts/cache-1.json")).json())["checks"]
    words = [row["check"]["state"] for row in checks if row["check"]["key"].startswith("cache-1.")]
    assert words == list(board.WORST_FIRST)
    for word in board.WORST_FIRST:
        rows = (await (await browser.get(f"/hosts.json?checks={word}&q=cache-1")).json())["hosts"]
        assert [row["host"]["key"] for row in rows] == ["cache-1"], word


async def test_a_paused_check_says_nothing_about_its_host(made: World, browser: Browser) -> None:
    await _check(made, "cache-1.other", "cache-1", State.DOWN)
    assert (await _host(browser, "cache-1"))["worst"]["key"] == "cache-1.other"
    await made.registrar.transition(WHO, "check", "cache-1.other", "pause", why="works there")
    assert (await _host(browser, "cache-1"))["worst"] is None
    (row,) = (await (await browser.get("/hosts.json?q=cache-1")).json())["hosts"]
    assert row["host"]["worst"] is None
    assert "cache-1.other" not in {
        one["key"] for one in (await (await browser.get("/index.json")).json())["bad_checks"]
    }


async def test_a_host_that_is_heard_is_up_whatever_its_checks_find(made: World, browser: Browser) -> None:
    await _check(made, "cache-1.new", "cache-1", None)
    await _check(made, "cache-1.elsewhere", "cache-1", State.DOWN)
    host = await _host(browser, "cache-1")
    assert (host["state"], host["worst"]["key"], host["worst"]["state"]) == ("up", "cache-1.elsewhere", "down")
    overview = await (await browser.get("/index.json")).json()
    assert overview["silent_hosts"] == []
    assert overview["host_counts"] == {"up": 4}
    page = await (await browser.get("/hosts/cache-1")).text()
    assert '<a href="#checks">cache-1.elsewhere</a>: refused' in page
    metrics = await (await browser.get("/metrics")).text()
    assert 'sigap_host_state{host="cache-1",state="up"} 1' in metrics


async def test_a_silent_host_is_unknown_and_stands_before_others(made: World, browser: Browser) -> None:
    host = await made.db.read(lambda connection: registers.by_key(connection, "host", "cache-1"))
    gone = Transition("host", host.id, made.now_ms, made.now_ms, State.UP, State.UNKNOWN, "agent silent since 2 min")
    await made.db.write(lambda connection: status.record(connection, [gone]))
    rows = (await (await browser.get("/hosts.json?sort=state")).json())["hosts"]
    assert [(row["host"]["key"], row["host"]["state"]) for row in rows] == [
        ("web-1", "up"), ("db-1", "up"), ("cache-1", "unknown"), ("app-1", "up"),
    ]  # fmt: skip
    assert [one["key"] for one in (await (await browser.get("/index.json")).json())["silent_hosts"]] == ["cache-1"]


async def test_the_fullest_filesystem_is_named_with_its_sizes(browser: Browser) -> None:
    found = (await (await browser.get("/hosts/web-1.json")).json())["fullest"]
    assert found == {
        "mountpoint": "/srv/data", "used_ratio": pytest.approx(0.55), "size_bytes": 100 * world.GIB,
        "left_bytes": pytest.approx(45 * world.GIB),
    }  # fmt: skip
    assert "/srv/data: 45 GiB of 100 GiB free" in await (await browser.get("/hosts/web-1")).text()


def _since(key: str, since_ms: int, state: State, connection: Connection) -> None:
    check = registers.by_key(connection, "check", key)
    world.run(connection, check.id, since_ms, world.NOW_MS, state, "refused")


async def test_checks_that_fail_together_mark_a_time_once(made: World, browser: Browser) -> None:
    for minutes, state in ((30, State.DOWN), (20, State.DOWN), (40, State.DEGRADED)):
        await _check(made, f"cache-1.{minutes}", "cache-1", None)
        await made.db.write(partial(_since, f"cache-1.{minutes}", made.now_ms - minutes * world.MINUTE_MS, state))
    marks = (await (await browser.get("/hosts/cache-1.json?range=1h")).json())["marks"]
    found = [(made.now_ms - one["since"], one["until"] - one["since"], one["state"]) for one in marks]
    assert found[-1] == (40 * world.MINUTE_MS, 10 * world.MINUTE_MS, "degraded")
    assert [state for _, _, state in found] == ["down", "degraded"]
