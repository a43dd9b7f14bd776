"""Pages that stay open: what changes while nobody looks, or while the server is away, is shown when somebody does."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from aiohttp.test_utils import TestServer

from collector.domain.sample import Accepted
from collector.edges.http import ROUTES
from collector.edges.http.frame import build
from tests.browser.chromium import PROGRAM, Tab
from tests.browser.site import Site
from tests.collector.edges.http import world
from tests.collector.edges.http.world import WHO, World

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(PROGRAM is None, reason="Chromium is not installed"),
    pytest.mark.xdist_group("browser"),
]
NEWS = "document.getElementById('overview').textContent.includes('Renamed')"


async def _rename(made: World) -> None:
    await made.registrar.edit(WHO, "host", "web-1", {"name": "Renamed"}, why="test")


async def _open(tab: Tab, url: str) -> None:
    await tab.open(url)
    await tab.until("!!document.querySelector('#live.on')")


@pytest.fixture
async def server(site: Site) -> AsyncIterator[TestServer]:
    """A collector of its own, to be stopped."""
    started = TestServer(build(site.made.context, ROUTES))
    await started.start_server()
    yield started
    await started.close()


async def test_a_tab_in_the_background_catches_up_when_it_is_looked_at(site: Site) -> None:
    async with site.tab() as tab:
        await _open(tab, f"{site.base}/")
        async with site.browser.covered(tab):
            await _rename(site.made)
            before = len(tab.requests)
            site.made.live.publish()
            # Longer than the page gathers changes before it looks: for a page that nobody sees it does not.
            await tab.until("new Promise((done) => setTimeout(() => done(true), 400))")
            assert len(tab.requests) == before
            assert not await tab.value(NEWS)
        await tab.until(NEWS)
        assert not tab.complaints


async def test_a_page_shows_what_changed_while_the_server_was_away(site: Site, server: TestServer) -> None:
    port = server.port
    async with site.tab() as tab:
        await _open(tab, f"http://127.0.0.1:{port}/")
        await server.close()
        await tab.until("!document.querySelector('#live.on')")
        await _rename(site.made)
        async with TestServer(build(site.made.context, ROUTES), port=port):
            # Nothing changes any more, so nobody says so: the page has to look by itself.
            await tab.until(NEWS, 20)
            await tab.until("!!document.querySelector('#live.on')")


async def test_charts_have_the_points_of_the_time_in_which_the_server_was_away(site: Site, server: TestServer) -> None:
    port, made = server.port, site.made
    shown = "document.querySelector('#chart-load .legend').textContent"
    async with site.tab() as tab:
        await _open(tab, f"http://127.0.0.1:{port}/hosts/web-1")
        await tab.until(f"!document.querySelector('.plot[aria-busy]') && {shown}")
        before = await tab.value(shown)
        await server.close()
        await tab.until("!document.querySelector('#live.on')")
        at = made.now_ms + world.MINUTE_MS
        rows = [world.row(at - n * world.BEAT_MS, 3)._replace(wall_ms=at - n * world.BEAT_MS) for n in range(5, -1, -1)]
        accepted = [Accepted("00000000-0000-4000-8000-000000000000", 1, at, live=True, rows=rows)]
        (await made.db.write(lambda connection: made.series.absorb(connection, accepted)))()
        made.context.clock = lambda: at
        async with TestServer(build(made.context, ROUTES), port=port):
            await tab.until(f"{shown} !== {before!r} && !!document.querySelector('#live.on')", 20)


async def test_a_stream_that_is_refused_once_is_tried_again(site: Site, server: TestServer) -> None:
    made = site.made
    async with site.tab() as tab:
        live, made.context.live = made.context.live, None
        await tab.open(f"http://127.0.0.1:{server.port}/")
        await tab.until("!!document.querySelector('.toast')")
        made.context.live = live
        await _rename(made)
        await tab.until(NEWS, 20)
