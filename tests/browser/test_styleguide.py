"""The styleguide in a browser: both themes beside each other, nothing in front of the page, nobody's focus taken."""

from __future__ import annotations

import pytest

from tests.browser.chromium import PROGRAM
from tests.browser.site import Site, findings

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(PROGRAM is None, reason="Chromium is not installed"),
    pytest.mark.xdist_group("browser"),
]

PANELS = "[...document.querySelectorAll('.themed')]"


@pytest.mark.parametrize("width", [1440, 360])
async def test_both_themes_are_there_and_the_page_stays_where_it_is(site: Site, width: int) -> None:
    async with site.tab(width, 900) as tab:
        await tab.open(f"{site.base}/styleguide")
        await tab.until("!document.querySelector('.plot[aria-busy]')")
        grounds = await tab.value(f"{PANELS}.map((one) => getComputedStyle(one).backgroundColor)")
        assert grounds == ["rgb(246, 246, 248)", "rgb(14, 15, 19)"]
        tops = await tab.value(f"{PANELS}.map((one) => Math.round(one.getBoundingClientRect().top))")
        assert (tops[0] == tops[1]) == (width > 1000)
        seen = await tab.value(
            f"{PANELS}.every((one) => ['dialog', '.toast'].every((part) => one.querySelector(part).checkVisibility()))"
        )
        assert seen
        assert await tab.value("document.activeElement === document.body && scrollY === 0")
        assert await tab.value("document.documentElement.scrollWidth - document.documentElement.clientWidth") == 0
        assert not tab.complaints
        assert await findings(tab) == []
