"""The page of agents: what waits, tokens out of the way, and a command that works where it is run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sqlalchemy import update

from collector.domain import trust
from collector.domain.sample import Accepted, Document
from collector.edges.http import agents
from collector.flows.authority import Authority
from collector.flows.checks import DeclaredChecks
from collector.flows.enrol import Enroller
from collector.store import agents as store
from collector.store.database import Database
from collector.store.schema import agent
from tests.collector.edges.http import world
from tests.collector.edges.http.conftest import Browser, Open, csrf_of
from tests.collector.edges.http.world import World

HERE, THERE = ("127.0.0.1:8422", "[::1]:8421"), ("collector.example:8422", "192.0.2.7:8421")


@pytest.fixture
async def made(sqlite: Database) -> World:
    return await world.make(sqlite, hosts=8, history_ms=world.MINUTE_MS)


def enroller(made: World, folder: Path, told: tuple[str, str]) -> Enroller:
    authority = Authority(folder, names=["collector.example"], clock=made.context.clock)
    return Enroller(
        made.db,
        authority,
        made.registrar,
        clock=made.context.clock,
        enrolment_address=told[0],
        telemetry_address=told[1],
    )


async def page(made: World, open_browser: Open, flow: Enroller | None = None) -> Browser:
    return await open_browser(
        agents.ROUTES, clock=made.context.clock, series=made.series, registrar=made.registrar, enroller=flow
    )


async def test_what_waits_is_told_and_not_how_large_the_file_is(made: World, open_browser: Open) -> None:
    client = await page(made, open_browser)
    rows = (await (await client.get("/agents.json")).json())["agents"]
    waiting = {row["host_key"]: row["waiting_batches"] for row in rows}
    silent = {row["host_key"] for row in rows if row["state"] == "silent"}
    assert (waiting["web-1"], waiting["db-1"]) == (0, 40)
    assert {key for key, batches in waiting.items() if batches is None} == silent != set()
    text = await (await client.get("/agents?q=db-1")).text()
    assert "40 batches" in text


async def test_tokens_that_are_over_are_folded_away(made: World, tmp_path: Path, open_browser: Open) -> None:
    flow = enroller(made, tmp_path, THERE)
    over, waiting = await flow.issue("siti", "web-8"), await flow.issue("siti", "web-9")
    await flow.withdraw("siti", over.id)
    text = await (await (await page(made, open_browser, flow)).get("/agents")).text()
    shown, folded = text.split('<details id="past-tokens"')
    assert (waiting.id in shown, over.id in shown, "web-9" in folded, "web-8" in folded) == (True, False, False, True)


@pytest.mark.parametrize("language", ["en", "id"])
async def test_a_command_that_only_this_host_can_use_says_what_to_set(
    made: World, tmp_path: Path, open_browser: Open, language: str
) -> None:
    texts = {}
    for told in (HERE, THERE):
        client = await page(made, open_browser, enroller(made, tmp_path, told))
        headers = await csrf_of(client, "/agents")
        client.session.cookie_jar.update_cookies({"language": language})
        texts[told] = await (await client.post("/agents/tokens", headers=headers)).text()
    for setting in ("enrolment.address = 192.0.2.10:8422", "telemetry.address = 192.0.2.10:8421"):
        assert (setting in texts[HERE], setting in texts[THERE]) == (True, False)
    only_here = "own host only" if language == "en" else "hanya berlaku di host kolektor"
    assert only_here in texts[HERE]


@pytest.mark.parametrize(
    ("address", "only_here"),
    [
        ("127.9.9.9:1", True),
        ("[::1]:1", True),
        ("localhost:1", True),
        ("0.0.0.0:1", True),
        ("[::]:1", True),
        ("192.0.2.1:1", False),
        ("[2001:db8::1]:1", False),
        ("collector.example:1", False),
    ],
)
def test_loopback_and_every_address_lead_a_host_to_itself(address: str, only_here: bool) -> None:
    assert trust.reaches_only_here(address) is only_here


async def test_checks_that_could_not_be_taken_are_told_in_the_readers_language(made: World, open_browser: Open) -> None:
    check = {
        "id": "local:many",
        "name": "many",
        "kind": "tcp",
        "interval_seconds": 30,
        "timeout_seconds": 5,
        "retries": 11,
    }
    document = Document("checks", made.now_ms, json.dumps({"checks": [check]}).encode())
    (one,) = [each for each in made.db.read_now(store.list_agents) if each.host_name == "web-2"]
    batch = Accepted(one.id, one.host_id, made.now_ms, True, documents=(document,))
    made.db.write_now(lambda connection: DeclaredChecks(made.registrar).absorb(connection, [batch]))
    client = await page(made, open_browser)
    assert "retries must be between 0 and 10" in await (await client.get(f"/agents/{one.id}")).text()
    text = await (await client.get(f"/agents/{one.id}", headers={"Cookie": "language=id"})).text()
    assert "retries harus antara 0 dan 10" in text


@pytest.mark.parametrize(("offset_ms", "told"), [(4200.0, "4 s ahead"), (-4200.0, "4 s behind"), (-40.0, "40 ms")])
async def test_a_clock_that_is_off_is_told_with_its_direction(
    made: World, browser: Browser, offset_ms: float, told: str
) -> None:
    await made.db.write(lambda connection: connection.execute(update(agent).values(clock_offset_ms=offset_ms)))
    one = (await (await browser.get("/agents.json")).json())["agents"][0]
    assert f">{told}</td>" in await (await browser.get("/agents")).text()
    host = await (await browser.get(f"/hosts/{one['host_key']}")).text()
    assert f"<dd>{told}</dd>" in host
    assert f'href="/agents/{one["agent"]["id"]}"' in host
