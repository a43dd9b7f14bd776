"""The demo end to end: what the story says is what the collector has on record, to the millisecond."""

from __future__ import annotations

import asyncio
import contextlib

import aiohttp
import numpy as np
import pytest

from collector.demo import fill, live
from collector.demo.host import beat_of
from collector.demo.organisation import documents, watches
from collector.demo.results import looks
from collector.demo.story import DAY_MS, HOUR_MS, WESTERN_TIME_MS, tell
from collector.domain.errors import Conflict
from collector.domain.interval import Span
from collector.domain.sample import State
from collector.domain.series import Matcher
from collector.domain.status import reach_ms
from collector.store import board, registers, sla
from collector.store import documents as kept
from tests.collector.demo.conftest import DAYS, HOSTS, Filled
from tests.collector.durations import durations

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def timeline(filled: Filled, service: str):
    def read(connection):
        found = registers.by_key(connection, "service", service)
        return sla.segments(connection, sla.versions(connection, [found.id])[found.id], filled.span)

    return await filled.collector.db.read(read)


def local(filled: Filled, days_ago: int, clock: str) -> int:
    """A time of day in Jakarta, so many days ago."""
    hours, minutes, seconds = clock.split(":")
    now_ms = filled.span.until_ms
    midnight_ms = now_ms - (now_ms + WESTERN_TIME_MS) % DAY_MS
    return midnight_ms - days_ago * DAY_MS + (int(hours) * 60 + int(minutes)) * 60_000 + round(float(seconds) * 1000)


async def test_registers_hold_the_organisation_as_of_the_start_of_its_history(filled: Filled):
    def read(connection):
        return [
            {one.key: one for one in registers.all_of(connection, name)}
            for name in ("host", "check", "service", "channel")
        ]

    hosts, checks, services, channels = await filled.collector.db.read(read)
    assert set(hosts) == set(HOSTS)
    assert hosts["mks-wms-1"].site == "Makassar"
    assert hosts["lb-1"].created_ms == filled.span.since_ms
    assert {"shop.page", "warehouse.page"} <= set(checks)
    assert {key: one.state for key, one in services.items()} == {"shop": "live", "warehouse": "live"}
    assert services["shop"].name_id == "Toko daring"
    assert not channels["on-call"].enabled
    assert filled.summary[:4] == (len(HOSTS), len(checks), len(services), DAYS)


async def test_every_host_enrolled_and_delivers_over_its_own_certificate(filled: Filled):
    agents = await filled.collector.enroller.agents(filled.collector.clock())
    assert sorted(one.host_name for one in agents) == sorted(HOSTS)
    assert all(one.status == "active" and one.last_seen_ms for one in agents)
    assert {one.host_id for one in filled.collector.ingest.sessions()} == {one.host_id for one in agents}


async def test_outages_of_a_service_are_the_scripted_ones_to_the_millisecond(filled: Filled):
    down = [(one.since_ms, one.until_ms) for one in await timeline(filled, "shop") if one.state is State.DOWN]
    database_ms = local(filled, 19, "10:21:40.5")
    page_ms, gateway_ms = local(filled, 4, "20:07:44.610"), local(filled, 1, "08:03:27.330")
    checkout_until_ms = local(filled, 19, "10:22:05") + 2_830_500
    # The database was down for 47 minutes, and the checkout came back after it.
    assert down == [
        (database_ms, checkout_until_ms),
        (page_ms, page_ms + 132_400),
        (gateway_ms, gateway_ms + 688_210),
    ]


async def test_the_shop_was_up_whenever_the_story_says_nothing_else(filled: Filled):
    sums = durations(await timeline(filled, "shop"))
    assert sums[State.DOWN] == 2_855_000 + 132_400 + 688_210
    assert sums[State.DEGRADED] == (3 * 3600 + 840) * 1000
    assert sums[State.UNKNOWN] == 0
    assert sum(sums.values()) == filled.span.milliseconds


async def test_a_power_cut_is_unknown_until_the_host_speaks_again(filled: Filled):
    unknown = [one for one in await timeline(filled, "warehouse") if one.state is State.UNKNOWN]
    silence = Span(local(filled, 21, "13:05:00"), local(filled, 21, "16:05:00"))
    told = watches(documents(HOSTS))["mks-wms-1"]
    story = tell(filled.span.since_ms, filled.span.until_ms)
    interval_ms = beat_of(filled.span.until_ms - silence.since_ms)
    before = Span(silence.since_ms - HOUR_MS, silence.since_ms)
    ends = [
        looks(one, story, before, interval_ms=interval_ms)[-1].wall_ms + reach_ms(interval_ms, one.timeout_ms)
        for one in told
    ]
    # Evidence reaches two intervals and a timeout beyond the last result; the first result comes with the power.
    assert [(one.since_ms, one.until_ms) for one in unknown] == [(min(ends), silence.until_ms)]


async def test_what_is_wrong_just_now_is_the_present_state(filled: Filled):
    async with asyncio.timeout(10):
        # Services follow at the evaluator's next tick.
        while (lines := {one.key: one for one in await filled.collector.db.read(board.service_lines)})[
            "warehouse"
        ].state != "degraded":
            await asyncio.sleep(0.05)
    assert lines["shop"].state == "up"
    assert "3.1 s" in lines["warehouse"].reason


async def test_the_month_of_rows_can_be_selected(filled: Filled):
    matchers = (Matcher("__name__", "=", "node_filesystem_avail_bytes"), Matcher("instance", "=", "app-1"))
    found = await asyncio.to_thread(filled.collector.series.select, matchers, *filled.span, resolution_ms=0)
    by_mountpoint = {one.labels["mountpoint"]: one for one in found}
    assert set(by_mountpoint) == {"/", "/srv"}
    srv = by_mountpoint["/srv"]
    assert srv.times.size > DAYS * 140
    assert srv.values[0] > srv.values[-1] > 0


async def test_the_page_of_a_check_draws_how_long_each_look_took(filled: Filled):
    def read(connection):
        return [registers.by_key(connection, "check", key) for key in ("shop.page", "warehouse.page")]

    for check in await filled.collector.db.read(read):
        matchers = (Matcher("__name__", "=", "probe_duration_seconds"), Matcher("check", "=", check.key))
        found = await asyncio.to_thread(
            filled.collector.series.select, matchers, *filled.span, host_ids=[check.host], resolution_ms=0
        )
        times = np.concatenate([one.times for one in found])
        assert times.size > DAYS * 140
        assert {one.labels["target"] for one in found} == {check.options["url"]}
        assert times.max() > filled.span.until_ms - HOUR_MS / 6


async def test_rows_of_the_power_cut_are_missing_and_the_host_booted_after_it(filled: Filled):
    matchers = (Matcher("__name__", "=", "node_boot_time_seconds"), Matcher("instance", "=", "mks-wms-1"))
    (boots,) = await asyncio.to_thread(filled.collector.series.select, matchers, *filled.span, resolution_ms=0)
    silence = Span(local(filled, 21, "13:05:00"), local(filled, 21, "16:05:00"))
    assert not ((boots.times >= silence.since_ms) & (boots.times < silence.until_ms)).any()
    assert silence.since_ms < boots.values[-1] * 1000 < silence.until_ms
    assert boots.values[0] * 1000 < filled.span.since_ms


async def test_hosts_say_what_they_are(filled: Filled):
    agents = await filled.collector.enroller.agents(filled.collector.clock())
    found = await filled.collector.db.read(lambda c: [kept.latest(c, one.host_id, "host") for one in agents])
    assert len(found) == len(HOSTS)
    assert all(one is not None and b"Debian" in one.body for one in found)


async def test_nothing_was_lost_or_refused_on_the_way(filled: Filled):
    agents = await filled.collector.enroller.agents(filled.collector.clock())
    assert [one.gaps for one in agents] == [0] * len(HOSTS)
    statistics = await asyncio.to_thread(filled.collector.series.statistics)
    assert (statistics.duplicate_rows, statistics.too_old_rows, statistics.unreadable_rows) == (0, 0, 0)
    assert filled.told[-1][0] == filled.told[-1][1] > 0


async def test_every_page_says_that_its_numbers_are_made_up(filled: Filled):
    address = f"http://{filled.collector.settings.web.address}/sign-in"
    async with aiohttp.ClientSession() as session, session.get(address) as answer:
        assert "Simulated data" in await answer.text()


async def test_an_instance_with_hosts_is_not_mixed_with_simulated_ones(filled: Filled):
    with pytest.raises(Conflict, match="has hosts already"):
        await fill(filled.collector, now_ms=filled.collector.clock())


async def test_live_beats_follow_the_history(filled: Filled):
    # The last of these tests: it ends the streams.
    collector = filled.collector
    going_on = asyncio.create_task(live(collector, filled.summary.fleet, beat_ms=200))

    async with asyncio.timeout(20):
        matcher = (Matcher("__name__", "=", "node_load1"),)
        while len([one for one in collector.series.latest(matcher) if one.wall_ms > filled.span.until_ms]) < len(HOSTS):
            await asyncio.sleep(0.05)
    going_on.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await going_on
    async with asyncio.timeout(10):
        while {one.goodbye for one in await collector.enroller.agents(collector.clock())} != {"stop"}:
            await asyncio.sleep(0.05)
    assert collector.ingest.sessions() == []
