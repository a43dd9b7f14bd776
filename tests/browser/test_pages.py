"""Pages in a real Chromium: no complaint, no foreign request, no serious finding by axe, and what scripts add."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from collector.domain.sample import Accepted
from tests.browser.chromium import PROGRAM
from tests.browser.site import Site, findings
from tests.collector.edges.http import world

ROOT = Path(__file__).resolve().parents[2]
PICTURES = ROOT / "tests" / "screenshots"
PAGES = {
    "overview": "/", "hosts": "/hosts", "host": "/hosts/web-1", "services": "/services", "service": "/services/shop",
    "alerts": "/alerts", "history": "/alerts/history", "alert": "/alerts/1", "agents": "/agents",
    "agent": "/agents/00000000-0000-4000-8000-000000000001", "settings": "/settings", "manual": "/docs",
    "profile": "/settings/profile", "accounts": "/settings/accounts", "nobody": "/settings/accounts?q=nobody",
    "account": "/settings/accounts/2", "disabled": "/settings/accounts/4", "reset": "/reset",
    "glossary": "/docs/glossary", "registers": "/registers", "checks": "/registers/check",
    "check": "/registers/check/shop.http", "form": "/registers/service/-/new", "styleguide": "/styleguide",
    "missing": "/nowhere",
}  # fmt: skip
SIZES = (("desktop", 1440, 900), ("phone", 360, 760))

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(PROGRAM is None, reason="Chromium is not installed"),
    pytest.mark.xdist_group("browser"),
]


@pytest.mark.parametrize("theme", ["light", "dark"])
async def test_no_page_complains_or_leaves_this_host(site: Site, theme: str) -> None:
    language = "en" if theme == "light" else "id"
    wrong: dict[str, object] = {}
    for size, width, height in SIZES:
        for name, path in PAGES.items():
            async with site.tab(width, height, theme=theme, language=language) as tab:
                await tab.open(site.base + path)
                if await tab.value("!!document.querySelector('[data-chart]')"):
                    await tab.until("!document.querySelector('.plot[aria-busy]')")
                found = await findings(tab)
                wide = await tab.value("document.documentElement.scrollWidth - document.documentElement.clientWidth")
                complaints = [one for one in tab.complaints if not (name == "missing" and "404" in one)]
                if problems := [
                    *complaints,
                    *site.foreign(tab),
                    *found,
                    *(["scrolls sideways"] if wide > 0 else []),
                ]:
                    wrong[f"{name} {size}"] = problems
                await tab.picture(PICTURES / f"{name}-{size}-{theme}.png")
    assert not wrong, json.dumps(wrong, indent=1, default=str)


async def test_charts_show_points_that_arrive_while_one_looks(site: Site) -> None:
    async with site.tab() as tab:
        await tab.open(f"{site.base}/hosts/web-1")
        await tab.until("document.querySelector('#live.on') && document.querySelectorAll('.u-wrap').length >= 8")
        before = await tab.value("document.querySelector('#chart-load .legend').textContent")
        for number in range(1, 4):
            at = site.made.now_ms + 7000 + number * world.BEAT_MS
            row = world.row(at + number * 3 * world.MINUTE_MS, 5)._replace(wall_ms=at)
            site.made.live.absorb(None, [Accepted("a", 1, at, live=True, rows=[row])])()  # type: ignore[arg-type]
        await tab.until(f"document.querySelector('#chart-load .legend').textContent !== {json.dumps(before)}")
        assert not tab.complaints


async def test_zoom_is_shared_and_taken_back(site: Site) -> None:
    async with site.tab() as tab:
        await tab.open(f"{site.base}/hosts/web-1")
        await tab.until("document.querySelectorAll('.u-over').length >= 8")
        box = await tab.value("JSON.stringify(document.querySelector('.u-over').getBoundingClientRect())")
        area = json.loads(box)
        y = area["y"] + area["height"] / 2
        for kind, share in (("mousePressed", 0.3), ("mouseMoved", 0.5), ("mouseReleased", 0.6)):
            await tab.call(
                "Input.dispatchMouseEvent", type=kind, x=area["x"] + area["width"] * share, y=y, button="left",
                buttons=1, clickCount=1,
            )  # fmt: skip
        await tab.until("!document.querySelector('[data-zoom-reset]').hidden")
        await tab.value("document.querySelector('[data-zoom-reset]').click()")
        assert await tab.value("document.querySelector('[data-zoom-reset]').hidden")
        assert not tab.complaints


async def test_the_list_of_hosts_follows_what_is_typed(site: Site) -> None:
    async with site.tab() as tab:
        await tab.open(f"{site.base}/hosts")
        await tab.press("/", *"cache")
        await tab.until("document.querySelectorAll('#hosts tbody tr').length === 3")
        assert (await tab.value("location.search")) == "?q=cache"
        assert await tab.value("document.activeElement.name") == "q"


async def test_the_keyboard_is_enough(site: Site) -> None:
    async with site.tab() as tab:
        await tab.open(f"{site.base}/")
        await tab.press("Tab")
        assert await tab.value("document.activeElement.className") == "skip"
        await tab.press("g", "s")
        await tab.until("location.pathname === '/services' && document.readyState === 'complete'")
        await tab.open(f"{site.base}/styleguide")
        await tab.value("document.querySelector('[data-opens]').focus()")
        await tab.press("Enter")
        await tab.until("!!document.querySelector('dialog:modal')")
        await tab.press("Escape")
        await tab.until("!document.querySelector('dialog:modal')")
        assert not tab.complaints


async def test_an_alert_is_taken_in_the_browser(site: Site) -> None:
    async with site.tab() as tab:
        await tab.open(f"{site.base}/alerts")
        await tab.value("document.querySelector('form[action$=acknowledge] button').click()")
        await tab.until("location.pathname.startsWith('/alerts/') && document.body.textContent.includes('siti')")
        assert not tab.complaints


async def test_theme_and_language_are_switched_without_signing_in(site: Site) -> None:
    async with site.tab() as tab:
        await tab.open(f"{site.base}/styleguide")
        await tab.value("document.querySelector('button[name=theme][value=dark]').click()")
        await tab.until("document.documentElement.dataset.theme === 'dark' && document.readyState === 'complete'")
        await tab.value("document.querySelector('button[name=language][value=id]').click()")
        await tab.until("document.documentElement.lang === 'id' && document.readyState === 'complete'")
        assert await tab.value("getComputedStyle(document.body).backgroundColor") == "rgb(14, 15, 19)"


async def test_the_language_is_chosen_before_signing_in_and_the_link_is_kept(site: Site) -> None:
    async with site.tab() as tab:
        await tab.open(f"{site.base}/sign-in?link=once")
        await tab.value("document.querySelector('.gate button[name=language][value=id]').click()")
        await tab.until("document.documentElement.lang === 'id' && document.readyState === 'complete'")
        assert await tab.value("location.search") == "?link=once"
        assert await tab.value("document.querySelector('.gate input[name=link]').value") == "once"


async def test_another_site_can_change_nothing(site: Site) -> None:
    async def page(request: web.Request) -> web.Response:
        form = f'<form method="post" action="{site.base}/alerts/1/acknowledge"><button>x</button></form>'
        return web.Response(text=form, content_type="text/html")

    evil = web.Application()
    evil.router.add_get("/", page)
    async with TestServer(evil) as other, site.tab() as tab:
        await tab.open(f"http://localhost:{other.port}/")
        await tab.value("document.querySelector('button').click()")
        await tab.until("location.pathname === '/alerts/1/acknowledge' && document.readyState === 'complete'")
        assert "403" in await tab.value("document.body.textContent")
