"""Lists and pages on a phone and on a very wide screen: nothing is dropped, cut or broken inside a word."""

from __future__ import annotations

import json

import pytest

from tests.browser.chromium import PROGRAM
from tests.browser.site import Site, findings
from tests.collector.edges.http.conftest import signed_in

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(PROGRAM is None, reason="Chromium is not installed"),
    pytest.mark.xdist_group("browser"),
]
LISTS = (
    "/hosts", "/hosts/web-1", "/services", "/services/shop", "/alerts", "/alerts/history", "/alerts/1", "/agents",
    "/registers/rule", "/registers/check", "/registers/service/shop", "/registers/service/-/about",
    "/settings/accounts",
)  # fmt: skip
# Cells that hold something and show nothing of it, or less than all of it.
CUT = """JSON.stringify([...document.querySelectorAll('main .table.cards td')].filter((cell) => cell.textContent.trim())
  .filter((cell) => !cell.offsetHeight || cell.scrollWidth > cell.clientWidth + 1
    || cell.getBoundingClientRect().right > innerWidth).map((cell) => cell.outerHTML.slice(0, 200)))"""
# Words of a list that go over two lines although one line would hold them.
BROKEN = """JSON.stringify([...document.querySelectorAll('main .table.cards td a, main .table.cards td span')]
  .filter((one) => !one.children.length && one.textContent.trim() && !/[\\s-]/.test(one.textContent.trim()))
  .filter((one) => one.getClientRects().length > 1).map((one) => one.outerHTML))"""
UNNAMED = """JSON.stringify([...document.querySelectorAll('main .table.cards tbody tr')]
  .filter((row) => row.querySelectorAll('td[data-label], td[colspan]').length < row.cells.length - 1)
  .map((row) => row.outerHTML.slice(0, 200)))"""


@pytest.mark.parametrize("language", ["en", "id"])
async def test_on_a_phone_every_cell_is_there_under_its_name(site: Site, language: str) -> None:
    long = {"key": "a-very-long-name-of-a-host-that-nobody-shortened-0001", "name": "x" * 30}
    await site.made.registrar.create("siti", "host", long)
    wrong: dict[str, object] = {}
    for path in LISTS:
        async with site.tab(360, 760, language=language) as tab:
            await tab.open(site.base + path)
            assert await tab.value("document.querySelectorAll('main .table.cards td').length"), path
            found = [one for script in (CUT, BROKEN, UNNAMED) for one in json.loads(await tab.value(script))]
            wide = await tab.value("document.documentElement.scrollWidth > innerWidth")
            if problems := [*found, *await findings(tab), *(["scrolls sideways"] if wide else [])]:
                wrong[path] = problems
    assert not wrong, json.dumps(wrong, indent=1)


async def test_hosts_with_long_names_fit_on_a_small_desktop(site: Site) -> None:
    for number in range(1, 4):
        edit = {"name": f"Warehouse server number {number} in Makassar, behind the second door"}
        await site.made.registrar.edit("siti", "host", f"web-{number}", edit, why="test")
    async with site.tab(1280, 800) as tab:
        await tab.open(f"{site.base}/hosts")
        scroll = "document.querySelector('.table-scroll')"
        assert await tab.value(f"{scroll}.scrollWidth <= {scroll}.clientWidth")


@pytest.mark.parametrize("language", ["en", "id"])
async def test_no_table_is_cut_off_on_a_small_desktop(site: Site, language: str) -> None:
    cut = "[...document.querySelectorAll('.table-scroll')].some((one) => one.scrollWidth > one.clientWidth)"
    wrong = []
    for path in LISTS:
        async with site.tab(1280, 800, language=language) as tab:
            await tab.open(site.base + path)
            # What went wrong is often told at length.
            reason = "branch.surabaya on sby-gw-1 is down: Connection to 192.0.2.62:7443 failed: No route to host"
            told = "document.querySelectorAll('.name.wrap a, td.reason')"
            await tab.value(f"{told}.forEach((one) => {{ one.textContent = {json.dumps(reason)}; }})")
            if await tab.value(cut):
                wrong.append(path)
    assert not wrong


async def test_ranges_stand_on_one_line_on_a_phone(site: Site) -> None:
    async with site.tab(360, 760, language="id") as tab:
        for path in ("/hosts/web-1", "/services/shop", "/registers/check/shop.http"):
            await tab.open(site.base + path)
            tops = "new Set([...document.querySelectorAll('.segments a')].map((one) => one.offsetTop)).size"
            assert await tab.value(tops) == 1, path


async def test_a_host_is_named_in_full_on_its_tile(site: Site) -> None:
    long = {"key": "wms-1", "name": "Warehouse server number 1 in Makassar"}
    await site.made.registrar.create("siti", "host", long)
    for width in (360, 1280):
        async with site.tab(width, 800) as tab:
            await tab.open(site.base)
            cut = (
                "[...document.querySelectorAll('.tile span')].filter((one) => one.scrollWidth > one.clientWidth).length"
            )
            assert await tab.value("document.querySelectorAll('.tile').length")
            assert await tab.value(cut) == 0


async def test_a_list_is_sorted_on_a_phone_too(site: Site) -> None:
    async with site.tab(360, 760) as tab:
        await tab.open(f"{site.base}/hosts")
        await tab.value("[...document.querySelectorAll('.sorts a')].find((a) => a.textContent.includes('CPU')).click()")
        await tab.until("location.search === '?sort=cpu' && document.readyState === 'complete'")
        assert await tab.value("document.querySelector('th[aria-sort]').offsetHeight > 0")


async def test_what_a_service_was_down_in_all_is_told_on_a_phone(site: Site) -> None:
    async with site.tab(360, 760) as tab:
        await tab.open(f"{site.base}/services/shop")
        row = await tab.value("document.querySelector('.sum').innerText")
        assert "Sum of all outages" in row
        assert "1,920 s" in row


@pytest.mark.parametrize("path", ["/", "/hosts/web-1", "/alerts/history"])
async def test_on_a_very_wide_screen_page_and_bar_are_in_line(site: Site, path: str) -> None:
    def left(selector: str) -> str:
        return f"Math.round(document.querySelector('{selector}').getBoundingClientRect().left)"

    async with site.tab(2560, 1440) as tab:
        await tab.open(site.base + path)
        assert await tab.value(left(".crumbs")) == await tab.value(left("main > *"))
        space = "getComputedStyle(document.querySelector('main'))"
        assert await tab.value(f"{space}.paddingLeft === {space}.paddingRight")


async def test_a_cursor_has_no_height_in_other_charts(site: Site) -> None:
    async with site.tab() as tab:
        await tab.open(f"{site.base}/hosts/web-1")
        await tab.until("document.querySelectorAll('.u-over').length >= 8")
        box = json.loads(await tab.value("JSON.stringify(document.querySelector('.u-over').getBoundingClientRect())"))
        await tab.call("Input.dispatchMouseEvent", type="mouseMoved", x=box["x"] + 40, y=box["y"] + 40)
        upright = "[...document.querySelectorAll('.u-cursor-x')].filter((one) => one.offsetParent).length"
        await tab.until(f"{upright} >= 8")
        assert await tab.value("document.querySelectorAll('.u-cursor-y:not(.u-off)').length") == 0


async def test_legends_are_in_the_language_of_the_page(site: Site) -> None:
    async with site.tab(language="id") as tab:
        await tab.open(f"{site.base}/hosts/web-1")
        await tab.until("document.querySelectorAll('.u-over').length >= 8")
        text = await tab.value("document.querySelector('.charts').innerText")
        assert "terpakai" in text
        assert "eth0 masuk" in text
        assert "1 mnt" in text
        assert await tab.value("document.querySelector('.range .segments').innerText.split('\\n')") == [
            "15 mnt", "1 jam", "6 jam", "24 jam", "7 hari", "30 hari",
        ]  # fmt: skip


async def test_the_keyboard_tells_what_it_does(site: Site) -> None:
    async with site.tab() as tab:
        await tab.open(f"{site.base}/hosts")
        await tab.press("?")
        await tab.until("document.querySelector('dialog#keys').open")
        keys = await tab.value("document.querySelector('#keys dl').innerText")
        assert all(
            await tab.value("[...document.querySelectorAll('[data-key]')].map((one) => one.dataset.key.slice(2))")
        )
        for item in await tab.value(
            "[...document.querySelectorAll('[data-key]')].map((one) => one.textContent.trim())"
        ):
            assert item in keys
        await tab.press("Escape")
        await tab.until("!document.querySelector('dialog#keys').open")


async def test_a_dialog_begins_in_its_first_field(site: Site) -> None:
    async with site.tab() as tab:
        await tab.open(f"{site.base}/settings/accounts")
        await tab.value("document.querySelector('[data-opens]').click()")
        await tab.until("!!document.querySelector('dialog[open]')")
        assert await tab.value("document.activeElement.matches('dialog .field input')")
        await tab.press("b")
        assert await tab.value("document.activeElement.value") == "b"


async def test_signing_in_begins_in_its_first_field(site: Site) -> None:
    site.made.context.authenticate = signed_in("")
    async with site.tab() as tab:
        await tab.open(f"{site.base}/sign-in")
        assert await tab.value("document.activeElement.matches('.gate input:not([type=hidden])')")
