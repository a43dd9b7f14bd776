"""Pages about services, on either database: months that a calendar has, and the time before a service existed."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from collector.domain.sample import State
from collector.edges.http import svg
from collector.metrics import Metrics
from collector.store.database import Database
from tests.collector.edges.http import world
from tests.collector.edges.http.conftest import Browser
from tests.collector.edges.http.world import WHO, World


@pytest.fixture
async def made(database: Database) -> World:
    return await world.make(database, hosts=1, history_ms=world.MINUTE_MS)


@pytest.mark.parametrize(
    ("month", "code"),
    [("9999-12", 422), ("0000-01", 422), ("0001-01", 422), ("2999-12", 404), ("2026-12", 404), ("1970-01", 200)],
)
async def test_a_month_far_away_is_answered_and_not_a_mistake(browser: Browser, month: str, code: int) -> None:
    answer = await browser.get(f"/services/shop?month={month}")
    assert answer.status == code
    assert "<h1" in await answer.text()


async def test_the_way_back_ends_where_a_service_began(browser: Browser) -> None:
    now = await (await browser.get("/services/shop.json")).json()
    assert now["previous"] == "2026-10"
    assert (await (await browser.get("/services/shop.json?month=2026-10")).json())["previous"] is None


async def test_a_running_month_is_never_met_and_one_that_is_over_is_never_on_track(browser: Browser) -> None:
    running = (await (await browser.get("/services/shop.json")).json())["month"]
    assert (running["is_over"], running["verdict"]) == (False, "on_track")
    assert running["ahead_ms"] > 0
    assert running["down_ms"] < running["forecast_ms"] < running["allowance_ms"]
    over = (await (await browser.get("/services/shop.json?month=2026-10")).json())["month"]
    assert (over["is_over"], over["verdict"], over["ahead_ms"]) == (True, "met", 0)
    assert over["forecast_ms"] == over["down_ms"]


async def test_the_verdict_says_what_it_rests_on_while_its_month_runs(made: World, browser: Browser) -> None:
    worse = made.now_ms - 40 * world.MINUTE_MS
    await made.db.write(lambda c: world.run(c, 1, worse, made.now_ms, State.DOWN, "refused"))
    for address in ("/services", "/services/shop"):
        assert "Breached" in await (await browser.get(address)).text()
    made.context.metrics = Metrics()
    scraped = verdicts_in(await (await browser.get("/metrics")).text())
    assert scraped["shop", "breached"] == 1
    assert sum(value for (service, _), value in scraped.items() if service == "shop") == 1
    assert not [verdict for service, verdict in scraped if service == "intranet"]  # nothing was promised


def verdicts_in(text: str) -> dict[tuple[str, str], float]:
    found: Any = text_string_to_metric_families(text)
    return {
        (sample.labels["service"], sample.labels["verdict"]): sample.value
        for family in found
        for sample in family.samples
        if sample.name == "sigap_service_verdict"
    }


@pytest.mark.parametrize("cut_ms", [0, 5_826])
async def test_the_evidence_on_the_page_adds_up_and_says_in_which_time_zone(
    made: World, browser: Browser, cut_ms: int
) -> None:
    since_ms = made.now_ms - 5 * world.HOUR_MS
    await made.db.write(lambda c: world.run(c, 1, since_ms, since_ms + cut_ms, State.DOWN, "refused"))
    page = await (await browser.get("/services/shop", headers={"Cookie": "zone=Europe/Berlin"})).text()
    outages, parts = (table_in(page, caption) for caption in ("Outages", "Evidence"))
    assert sum(outages[:-1]) == outages[-1]  # the last row is the sum
    assert sum(parts[:-1]) == parts[-1]
    assert parts[1] == outages[-1]
    assert (outages[-1] % 1 == 0) is (cut_ms == 0)
    assert page.count("(Asia/Jakarta)") == 2 * len(outages)  # headings, and labels of each cell
    assert ">25 Nov 2026 06:46:00</time>" in page  # in Jakarta; in Berlin it was a quarter to one
    assert "<span>Europe/Berlin</span>" in page


def table_in(page: str, caption: str) -> list[Decimal]:
    """The seconds in each row of a table."""
    table = page.partition(f'<caption class="sr">{caption}</caption>')[2].partition("</table>")[0]
    return [Decimal(text.replace(",", "")) for text in re.findall(r">([\d,.]+) s</td>", table)]


async def test_the_time_before_a_service_existed_is_left_blank(made: World, browser: Browser) -> None:
    made.context.clock = lambda: made.now_ms + world.HOUR_MS
    await made.registrar.create(WHO, "service", {"key": "new", "name": "New", "members": ["shop.http"]})
    strip = (await (await browser.get("/services/new.json")).json())["strip"]
    assert strip[0][0] == made.now_ms
    bars = svg.strip(strip, made.now_ms - 23 * world.HOUR_MS, made.context.clock())
    assert (bars[0].state, bars[0].until_ms) == (svg.ABSENT, made.now_ms)
    page = await (await browser.get("/services/new")).text()
    assert "Did not exist ·" in page


async def test_the_time_before_a_check_existed_is_left_blank(made: World, browser: Browser) -> None:
    made.context.clock = lambda: made.now_ms + world.HOUR_MS
    data = {"key": "new", "name": "New", "host": "web-1", "kind": "http", "options": {"url": "https://x.example/"}}
    await made.registrar.create(WHO, "check", data)
    rows = (await (await browser.get("/hosts/web-1.json")).json())["checks"]
    strips = {row["check"]["key"]: row["strip"] for row in rows}
    (unknown,) = strips["new"]
    assert unknown[:3] == [made.now_ms, made.now_ms + world.HOUR_MS, "unknown"]
    assert strips["shop.http"][0][2] == "up"


async def test_numbers_of_a_record_are_written_as_its_reader_does(browser: Browser) -> None:
    for language, percent, seconds in (("en", "99.9%", ">&nbsp;s<"), ("id", "99,9%", ">&nbsp;dtk<")):
        cookie = {"Cookie": f"language={language}"}
        service = await (await browser.get("/registers/service/shop", headers=cookie)).text()
        assert f'<span class="num">{percent}</span>' in service
        assert f"<title>{'Toko web' if language == 'id' else 'Web shop'} ·" in service
        check = await (await browser.get("/registers/check/shop.http", headers=cookie)).text()
        assert f'<span class="num">30</span{seconds}' in check
