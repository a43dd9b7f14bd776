"""What on-call people do on pages: take an alert, send a given-up message again, find an agent among many."""

from __future__ import annotations

import pytest

from collector.edges.http import ROUTES
from collector.flows.deliver import Deliverer
from collector.notify.egress import Egress
from collector.store import outbox
from collector.store.database import Connection, Database
from collector.store.outbox import Attempt
from tests.collector.edges.http import world
from tests.collector.edges.http.conftest import Browser, Open, csrf_of
from tests.collector.edges.http.world import World

ALERT = 1


@pytest.fixture
async def made(sqlite: Database, open_browser: Open) -> tuple[Browser, World]:
    some = await world.make(sqlite, hosts=3, history_ms=world.MINUTE_MS)
    deliverer = Deliverer(sqlite, clock=lambda: some.now_ms, egress=Egress(()), unseal=some.registrar.unseal)
    parts = {"registrar": some.registrar, "live": some.live, "series": some.series, "deliverer": deliverer}
    return await open_browser(ROUTES, **parts), some


async def _given_up(some: World) -> int:
    def work(connection: Connection) -> int:
        message = outbox.messages(connection, alert_id=ALERT)[0]
        failed = Attempt(some.now_ms, 5, ok=False, status=500, detail="answered 500")
        outbox.settle(connection, message, failed, retry_at_ms=None)
        return message.id

    return await some.db.write(work)


async def test_a_given_up_message_is_sent_again_by_its_button(made: tuple[Browser, World]) -> None:
    client, some = made
    message = await _given_up(some)
    address = f"/alerts/{ALERT}/messages/{message}/again"
    assert f'action="{address}"' in await (await client.get(f"/alerts/{ALERT}")).text()
    answer = await client.post(address, headers=await csrf_of(client), allow_redirects=False)
    assert (answer.status, answer.headers["Location"]) == (303, f"/alerts/{ALERT}?done=again")
    text = await (await client.get(answer.headers["Location"])).text()
    assert 'data-toast="It is sent again"' in text
    assert address not in text
    assert (await client.post(address, headers=await csrf_of(client))).status == 409


async def test_a_message_is_sent_again_by_rest_and_by_its_own_alert_only(made: tuple[Browser, World]) -> None:
    client, some = made
    message = await _given_up(some)
    headers = await csrf_of(client)
    assert (await client.post(f"/alerts/{ALERT + 1}/messages/{message}/again", headers=headers)).status == 404
    assert (await client.post(f"/api/v1/messages/{message}/again", headers=headers)).status == 200
    assert (await client.post(f"/api/v1/messages/{message}/again", headers=headers)).status == 409


async def test_agents_are_found_by_host_and_state(made: tuple[Browser, World]) -> None:
    client, _ = made
    everything = await (await client.get("/agents.json")).json()
    one = everything["agents"][0]
    found = await (await client.get("/agents.json", params={"q": one["host_key"], "state": one["state"]})).json()
    assert [row["agent"]["id"] for row in found["agents"]] == [one["agent"]["id"]]
    nothing = await (await client.get("/agents", params={"q": "no such agent"})).text()
    assert "No agent matches" in nothing


async def test_a_link_to_a_form_fills_it_in_but_never_its_secrets(made: tuple[Browser, World]) -> None:
    client, _ = made
    text = await (await client.get("/registers/check/-/new?host=web-1&kind=tcp")).text()
    assert '<option value="web-1" selected>' in text
    assert '<option value="tcp" selected' in text
    assert "whsec_mine" not in await (await client.get("/registers/channel/-/new?secret=whsec_mine")).text()


async def test_a_host_heard_for_the_first_time_is_no_change(made: tuple[Browser, World]) -> None:
    client, _ = made
    recent = (await (await client.get("/index.json")).json())["recent"]
    assert not [one for one in recent if one["subject"] == "host" and one["before"] == "unknown"]
