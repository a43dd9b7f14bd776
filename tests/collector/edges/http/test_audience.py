"""That nobody is told of alerts is told where alerts are shown."""

from __future__ import annotations

import html

import pytest

from collector.edges.http import ROUTES
from collector.flows.deliver import GONE_WHY
from collector.store.database import Database
from tests.collector.edges.http import world
from tests.collector.edges.http.conftest import Browser, Open
from tests.collector.edges.http.world import World

NOBODY, GONE = "Nobody is told about alerts.", "was switched off: its receiver answered 410 Gone"


@pytest.fixture
async def made(sqlite: Database) -> World:
    return await world.make(sqlite, hosts=2, history_ms=world.MINUTE_MS)


async def start(made: World, open_browser: Open, role: str = "admin") -> Browser:
    context = made.context
    parts = {"clock": context.clock, "series": made.series, "registrar": made.registrar, "live": made.live}
    return await open_browser(ROUTES, role, **parts)


async def pages(client: Browser, language: str = "en") -> dict[str, str]:
    headers = {"Cookie": f"language={language}"}
    paths = ("/", "/alerts", "/registers/channel/oncall")
    return {path: html.unescape(await (await client.get(path, headers=headers)).text()) for path in paths}


async def test_an_open_channel_is_worth_no_word(made: World, open_browser: Open) -> None:
    found = await pages(await start(made, open_browser))
    assert not [path for path, text in found.items() if NOBODY in text or GONE in text]


async def test_a_channel_that_its_receiver_had_switched_off_is_told_everywhere(made: World, open_browser: Open) -> None:
    await made.registrar.edit("sigap", "channel", "oncall", {"enabled": False}, why=GONE_WHY)
    client = await start(made, open_browser)
    found = await pages(client)
    assert all(GONE in text for text in found.values())
    assert all((NOBODY in text) == ("channel" not in path) for path, text in found.items())
    indonesian = await pages(client, "id")
    assert all("dimatikan: penerimanya menjawab 410 Gone" in text for text in indonesian.values())
    overview = await (await client.get("/api/v1/status")).json()
    assert (overview["channels"], [one["key"] for one in overview["switched_off"]]) == (0, ["oncall"])
    await made.registrar.edit("siti", "channel", "oncall", {"enabled": True})
    assert not [path for path, text in (await pages(client)).items() if NOBODY in text or GONE in text]


async def test_a_channel_that_a_person_switched_off_or_retired_tells_nobody_either(
    made: World, open_browser: Open
) -> None:
    client = await start(made, open_browser)
    await made.registrar.edit("siti", "channel", "oncall", {"enabled": False}, why="holiday")
    found = await pages(client)
    assert all((NOBODY in text) == ("channel" not in path) for path, text in found.items())
    assert not [path for path, text in found.items() if GONE in text]
    await made.registrar.edit("siti", "channel", "oncall", {"enabled": True})
    await made.registrar.transition("siti", "channel", "oncall", "retire", why="replaced")
    assert NOBODY in (await pages(client))["/"]
