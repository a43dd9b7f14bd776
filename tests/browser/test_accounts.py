"""People and their accounts in a real Chromium: adding, choosing a password, disabling, and what goes wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.browser.chromium import PROGRAM
from tests.browser.site import Site, findings

PICTURES = Path(__file__).resolve().parents[1] / "screenshots"
WEAK, STRONG = "password123456", "kambing lompat pagar biru"

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(PROGRAM is None, reason="Chromium is not installed"),
    pytest.mark.xdist_group("browser"),
]
READY = "document.readyState === 'complete'"


@pytest.mark.parametrize(("theme", "language"), [("light", "en"), ("dark", "id")])
async def test_a_person_is_added_and_chooses_a_password(site: Site, theme: str, language: str) -> None:
    async with site.tab(360, 760, theme=theme, language=language) as tab:
        await tab.open(f"{site.base}/settings/accounts")
        await tab.value("document.querySelector('[data-opens=add]').click()")
        await tab.until("!!document.querySelector('dialog[open] [name=name]')")
        assert await findings(tab) == []
        await tab.picture(PICTURES / f"accounts-add-phone-{theme}.png", whole=False)
        await tab.value("document.querySelector('dialog[open] [name=name]').value = 'siti'")
        await tab.value("document.querySelector('dialog[open] .dialog-body [type=submit]').click()")
        await tab.until(f"{READY} && !!document.querySelector('.notice[role=alert] a')")
        assert await findings(tab) == []
        await tab.picture(PICTURES / f"accounts-taken-phone-{theme}.png")
        await tab.value("document.querySelector('[name=name]').value = 'rina'")
        await tab.value("document.querySelector('form[action=\"/settings/accounts\"] [type=submit]').click()")
        link = await tab.until(f"{READY} && document.querySelector('.copy code')?.textContent")
        assert await findings(tab) == []
        await tab.picture(PICTURES / f"accounts-link-phone-{theme}.png")
        await tab.open(link)
        for password, wanted in (
            (WEAK, "!!document.querySelector('#error-password')"),
            (STRONG, "location.pathname === '/'"),
        ):
            for name in ("password", "repeated"):
                await tab.value(f"document.querySelector('[name={name}]').value = '{password}'")
            if password == WEAK:
                assert await findings(tab) == []
                await tab.picture(PICTURES / f"reset-phone-{theme}.png")
            await tab.value("document.querySelector('[type=submit]').click()")
            await tab.until(f"{READY} && {wanted}")
            if password == WEAK:
                assert await findings(tab) == []
                await tab.picture(PICTURES / f"reset-weak-phone-{theme}.png")
        assert not [one for one in tab.complaints if "422" not in one]


async def test_the_last_administrator_is_told_why_in_the_page(site: Site) -> None:
    async with site.tab(language="id") as tab:
        await tab.open(f"{site.base}/settings/accounts/1")
        await tab.value("document.querySelector('[data-opens=disable]').click()")
        await tab.until("!!document.querySelector('dialog[open] [type=submit]')")
        assert await findings(tab) == []
        await tab.value("document.querySelector('dialog[open] [type=submit].danger').click()")
        told = await tab.until(f"{READY} && document.querySelector('.notice[role=alert]')?.textContent")
        assert "siti adalah administrator terakhir" in told
        await tab.picture(PICTURES / "account-last-desktop.png")


async def test_ending_sessions_is_asked_about_and_done(site: Site) -> None:
    async with site.tab() as tab:
        await tab.open(f"{site.base}/settings/accounts/2")
        assert await tab.value("document.querySelectorAll('#sessions li').length") == 2
        await tab.value("document.querySelector('#sessions li form button').click()")
        await tab.until("!!document.querySelector('dialog[open]')")
        assert await tab.value("[...document.querySelectorAll('dialog[open] button')].at(-1).textContent") == "End"
        await tab.value("[...document.querySelectorAll('dialog[open] button')].at(-1).click()")
        await tab.until(f"{READY} && document.querySelectorAll('#sessions li').length === 1")
        assert not tab.complaints
