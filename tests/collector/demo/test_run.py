"""`sigap demo` as a whole: it fills, says where to look, stays alive, and stops when it is told to."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import aiohttp
import pytest

from collector import config
from collector.app import Collector
from collector.demo import SETTINGS, run
from tests.collector.demo.conftest import free_addresses


@pytest.fixture
def settings(tmp_path: Path) -> config.Settings:
    web, telemetry, enrolment = free_addresses(3)
    return config.load(
        environment={},
        store__data=str(tmp_path / "data"),
        web__address=web,
        telemetry__address=telemetry,
        enrolment__address=enrolment,
        **SETTINGS,
    )


async def test_the_link_that_is_printed_opens_a_live_page(settings: config.Settings, capfd):
    web = settings.web.address
    collector, stopping, said = Collector(settings, simulated=True), asyncio.Event(), ""
    running = asyncio.create_task(run(collector, days=1, stopping=stopping))
    async with asyncio.timeout(60):
        while not (found := re.search(r"http://\S+", said)):
            assert not running.done(), await running
            await asyncio.sleep(0.1)
            said += capfd.readouterr().err
        jar = aiohttp.CookieJar(unsafe=True)
        async with aiohttp.ClientSession(cookie_jar=jar) as session:
            async with session.get(found[0], headers={"Accept": "text/html"}) as answer:
                csrf = re.search(r'name="csrf" value="([^"]+)"', await answer.text())[1]
            form = {"csrf": csrf, "link": found[0].partition("link=")[2], "next": "/services"}
            headers = {"Origin": f"http://{web}", "Accept": "text/html"}
            async with session.post(f"http://{web}/sign-in", data=form, headers=headers) as answer:
                page = await answer.text()
            assert answer.url.path == "/services"
            assert "Online shop" in page
            assert "Simulated data" in page
    stopping.set()
    await asyncio.wait_for(running, 30)


async def test_it_stops_at_once_when_it_is_told_to_while_it_fills(settings: config.Settings, capfd):
    collector, stopping = Collector(settings, simulated=True), asyncio.Event()
    running = asyncio.create_task(run(collector, stopping=stopping))
    async with asyncio.timeout(60):
        while len(collector.ingest.sessions()) < 20:
            await asyncio.sleep(0.05)
        stopping.set()
        await running
    assert collector.ingest.sessions() == []
    assert "Open it" not in capfd.readouterr().err
