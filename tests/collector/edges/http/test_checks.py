"""What pages say of a check beside its record: its state, why, its past, and how long it took."""

from __future__ import annotations

import numpy as np
import pytest

from collector.domain.sample import Accepted, Row
from collector.domain.series import Column, Kind, Layout
from collector.flows import stopped
from collector.store.database import Database
from collector.store.series.layouts import encode, identify
from tests.collector.edges.http import world
from tests.collector.edges.http.conftest import Browser, csrf_of
from tests.collector.edges.http.world import MINUTE_MS, WHO, World

STEP_MS = 30_000


@pytest.fixture
async def made(sqlite: Database) -> World:
    return await world.make(sqlite, hosts=2, history_ms=MINUTE_MS)


async def measure(made: World, check: str, *, host_id: int = 1, seconds: float = 0.25, kind: str = "http") -> None:
    """An hour of attempts, each as long as the other."""
    labels = (("check", check), ("kind", kind), ("target", f"https://{check}.example/"))
    layout = Layout((Column("probe_duration_seconds", labels, Kind.GAUGE),), STEP_MS)
    layout_id = identify(encode(layout))
    value = np.array([seconds], "<f8").tobytes()
    times = range(made.now_ms - 60 * MINUTE_MS, made.now_ms, STEP_MS)
    accepted = [Accepted("", host_id, made.now_ms, live=False, rows=[Row(layout_id, at, value) for at in times])]
    await made.db.write(lambda c: made.series.layouts.declare(c, layout_id, encode(layout), now_ms=made.now_ms))
    (await made.db.write(lambda c: made.series.absorb(c, accepted)))()


async def test_a_checks_page_says_its_state_its_reason_and_its_past(browser: Browser) -> None:
    page = await (await browser.get("/registers/check/shop.http")).text()
    assert ">Down</span>" in page
    assert "connect: connection refused" in page
    assert 'class="is-down"' in page
    assert "/checks/shop.http/latency?range=24h" in page
    watched = (await (await browser.get("/registers/check/shop.http.json?range=30d")).json())["watched"]
    assert [piece[2] for piece in watched["strip"]].count("down") == 5
    assert watched["transitions"][0]["after"] == watched["state"] == "down"


@pytest.mark.parametrize("query", ["range=1y", "since=x", "since=9&until=3"])
async def test_a_span_that_makes_no_sense_is_refused(browser: Browser, query: str) -> None:
    for address in ("/registers/check/shop.http", "/checks/shop.http/latency"):
        assert (await browser.get(f"{address}?{query}")).status == 422


async def test_a_check_in_use_leads_to_the_services_that_keep_it_from_being_retired(
    made: World, browser: Browser
) -> None:
    made.registrar.on_step("check", stopped.in_use)
    headers = await csrf_of(browser)
    address, form = "/registers/check/shop.http/transitions", {"transition": "retire", "why": "old"}
    refused = await browser.post(address, data=form, headers=headers)
    page = await refused.text()
    assert refused.status == 422
    assert "services use it: shop. Take it out of their members first" in page
    assert '<a class="link" href="/registers/service/shop/edit#field-members">shop</a>' in page
    assert 'id="field-members"' in await (await browser.get("/registers/service/shop/edit")).text()
    told = await browser.post("/api/v1/check/shop.http/transitions/retire", json={"why": "old"}, headers=headers)
    assert "until then it can be paused" in (await told.json())["fields"]["services"]
    members = (await (await browser.get("/api/v1/service/shop")).json())["members"]
    left = {"members": [one for one in members if one != "shop.http"]}
    await browser.patch("/api/v1/service/shop", json=left, headers=headers)
    assert "edit#field-members" not in await (await browser.get("/registers/check/shop.http")).text()
    assert (await browser.post(address, data=form, headers=headers, allow_redirects=False)).status == 303


async def test_latency_is_that_of_the_check_and_of_no_other(made: World, browser: Browser) -> None:
    await measure(made, "shop.http")
    await measure(made, "payment.http", seconds=7)
    await measure(made, "shop.http", host_id=2, seconds=7)
    await measure(made, "shop.http", kind="tcp", seconds=7)
    found = await (await browser.get("/checks/shop.http/latency?range=1h")).json()
    (line,) = found["series"]
    assert line["label"] == "https://shop.http.example/"
    assert {value for value in line["values"] if value is not None} == {0.25}
    assert len(line["values"]) == len(found["times"])


async def test_a_check_of_an_agents_own_file_is_found_by_its_name_there(made: World, browser: Browser) -> None:
    data = {"key": "web-1.backup", "name": "backup", "host": "web-1", "kind": "file", "origin": "agent"}
    recorder = made.registrar.recorder
    await made.db.write(lambda c: recorder.create(c, "agent's file", "check", data))
    await measure(made, "backup", kind="file")
    (line,) = (await (await browser.get("/checks/web-1.backup/latency?range=1h")).json())["series"]
    assert 0.25 in line["values"]


async def test_a_check_without_results_says_what_it_waits_for(made: World, browser: Browser) -> None:
    data = {"key": "new", "name": "New", "host": "web-1", "kind": "http", "options": {"url": "https://x.example/"}}
    await made.registrar.create(WHO, "check", data)
    assert (
        "No result has come yet. Its agent looks every 30 s" in await (await browser.get("/registers/check/new")).text()
    )
    assert (await (await browser.get("/checks/new/latency")).json())["series"] == []


async def test_the_list_of_checks_says_the_state_of_each(made: World, browser: Browser) -> None:
    states = (await (await browser.get("/registers/check.json")).json())["states"]
    assert states == {"shop.http": "down", "payment.http": "degraded", "mail.http": "up", "intranet.http": "up"}
    page = await (await browser.get("/registers/check?q=shop")).text()
    assert ">Down</span>" in page
    assert 'data-label="Now"' in page
    await made.registrar.transition(WHO, "check", "shop.http", "retire", why="over")
    assert "shop.http" not in (await (await browser.get("/registers/check.json")).json())["states"]
    assert "watched" not in await (await browser.get("/registers/check/shop.http")).text()
    assert (await (await browser.get("/registers/host.json")).json())["states"] == {}


async def test_how_long_a_look_into_the_host_took_is_not_drawn(made: World, browser: Browser) -> None:
    data = {"key": "web-1.backup", "name": "backup", "host": "web-1", "kind": "file", "origin": "agent"}
    await made.db.write(lambda c: made.registrar.recorder.create(c, "agent's file", "check", data))
    assert "data-chart" not in await (await browser.get("/registers/check/web-1.backup")).text()
    assert "data-chart" in await (await browser.get("/registers/check/shop.http")).text()
