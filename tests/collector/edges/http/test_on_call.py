"""What on-call people do on pages: take an alert, send a given-up message again, find an agent among many."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from collector.domain.alert import AlertState
from collector.edges.http import format
from collector.store import alerts
from collector.store.database import Connection, Database
from tests.collector.edges.http import world
from tests.collector.edges.http.conftest import Browser, csrf_of
from tests.collector.edges.http.world import World

ALERT = 1


@pytest.fixture
async def made(sqlite: Database) -> World:
    return world.delivering(await world.make(sqlite, hosts=3, history_ms=world.MINUTE_MS))


async def test_a_given_up_message_is_sent_again_by_its_button(made: World, browser: Browser) -> None:
    message = await world.give_up(made)
    address = f"/alerts/{ALERT}/messages/{message}/again"
    assert f'action="{address}"' in await (await browser.get(f"/alerts/{ALERT}")).text()
    answer = await browser.post(address, headers=await csrf_of(browser), allow_redirects=False)
    assert (answer.status, answer.headers["Location"]) == (303, f"/alerts/{ALERT}?done=again")
    text = await (await browser.get(answer.headers["Location"])).text()
    assert 'data-toast="It is sent again"' in text
    assert address not in text
    assert (await browser.post(address, headers=await csrf_of(browser))).status == 409


async def test_a_message_is_sent_again_by_rest_and_by_its_own_alert_only(made: World, browser: Browser) -> None:
    message = await world.give_up(made)
    headers = await csrf_of(browser)
    assert (await browser.post(f"/alerts/{ALERT + 1}/messages/{message}/again", headers=headers)).status == 404
    assert (await browser.post(f"/api/v1/messages/{message}/again", headers=headers)).status == 200
    assert (await browser.post(f"/api/v1/messages/{message}/again", headers=headers)).status == 409


async def test_a_measured_value_is_told_in_the_readers_language(browser: Browser) -> None:
    for path in ("/", "/alerts", f"/alerts/{ALERT}"):
        page = await (await browser.get(path, headers={"Cookie": "language=id"})).text()
        assert "93,4 %" in page, path
        assert "93.4 %" not in page, path


async def test_agents_are_found_by_host_and_state(browser: Browser) -> None:
    everything = await (await browser.get("/agents.json")).json()
    one = everything["agents"][0]
    found = await (await browser.get("/agents.json", params={"q": one["host_key"], "state": one["state"]})).json()
    assert [row["agent"]["id"] for row in found["agents"]] == [one["agent"]["id"]]
    nothing = await (await browser.get("/agents", params={"q": "no such agent"})).text()
    assert "No agent matches" in nothing


async def test_a_link_to_a_form_fills_it_in_but_never_its_secrets(browser: Browser) -> None:
    text = await (await browser.get("/registers/check/-/new?host=web-1&kind=tcp")).text()
    assert '<option value="web-1" selected>' in text
    assert '<option value="tcp" selected' in text
    assert "whsec_mine" not in await (await browser.get("/registers/channel/-/new?secret=whsec_mine")).text()


async def test_a_host_heard_for_the_first_time_is_no_change(browser: Browser) -> None:
    recent = (await (await browser.get("/index.json")).json())["recent"]
    assert not [one for one in recent if one["subject"] == "host" and one["before"] == "unknown"]


async def test_what_happened_to_an_alert_does_not_repeat_its_heading(browser: Browser) -> None:
    over = await (await browser.get("/alerts/3.json")).json()
    assert over["alert"]["state"] == "resolved"
    text = await (await browser.get("/alerts/3")).text()
    happened = text[text.index("What happened") : text.index("Who was told")]
    assert over["alert"]["annotations"]["summary"] not in happened


async def test_what_changed_lately_leads_to_its_page(browser: Browser) -> None:
    recent = (await (await browser.get("/index.json")).json())["recent"]
    text = await (await browser.get("/")).text()
    lately = text[text.index("Lately") :]
    assert {one["subject"] for one in recent} >= {"check", "service"}
    for one in recent:
        page = "registers/check" if one["subject"] == "check" else f"{one['subject']}s"
        assert f'href="/{page}/{one["key"]}"' in lately


@pytest.mark.parametrize("page", ["/hosts/web-1", "/services/shop"])
async def test_edit_opens_the_form_at_once(browser: Browser, page: str) -> None:
    text = await (await browser.get(page)).text()
    register, key = page.strip("/").split("/")
    assert f'href="/registers/{register.removesuffix("s")}/{key}/edit"' in text


@pytest.mark.parametrize(
    ("page", "way"),
    [
        ("/registers/check/shop.http", ["/registers/check"]),
        ("/registers/host/web-1/edit", ["/registers", "/registers/host", "/registers/host/web-1"]),
    ],
)
async def test_the_way_back_is_that_of_the_menu(browser: Browser, page: str, way: list[str]) -> None:
    text = await (await browser.get(page)).text()
    trail = text.partition('class="crumbs"')[2].partition("</ol>")[0]
    assert re.findall(r'href="([^"]*)"', trail) == ["/", *way]


async def test_an_alert_that_waits_says_when_it_fires(made: World, browser: Browser) -> None:
    await made.registrar.edit(world.WHO, "rule", "filesystem-filling", {"for_seconds": 300})

    def back(connection: Connection) -> int:
        kept = alerts.load_open(connection)[0]
        alerts.save(connection, [replace(kept, alert=replace(kept.alert, state=AlertState.PENDING, fired_ms=None))])
        return kept.alert.pending_ms

    pending_ms = await made.db.write(back)
    (waiting,) = (await (await browser.get("/alerts.json")).json())["pending"]
    assert waiting["due_ms"] == pending_ms + 300_000
    text = await (await browser.get("/alerts")).text()
    assert f'Fires <time datetime="{format.iso(waiting["due_ms"])}"' in text
    assert f'<a href="/alerts/{waiting["id"]}">' in text
