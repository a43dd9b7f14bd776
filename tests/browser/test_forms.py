"""Forms that follow what is chosen in them, with scripts and without."""

from __future__ import annotations

import json

import pytest

from tests.browser.chromium import PROGRAM, Tab
from tests.browser.site import Site, findings
from tests.collector.edges.http.world import WHO

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(PROGRAM is None, reason="Chromium is not installed"),
    pytest.mark.xdist_group("browser"),
]
SEEN = """JSON.stringify([...document.querySelectorAll('#record-form [name^="options."]')]
  .filter((one) => one.offsetParent).map((one) => one.name))"""
UNIT = """[...document.querySelectorAll('#field-level ~ .unit')].filter((one) => one.offsetParent)
  .map((one) => one.textContent).join('|')"""


async def choose(tab: Tab, field: str, value: str) -> None:
    """Choose in a select as a person does: with the keyboard's change event."""
    await tab.value(
        f"(() => {{ const one = document.getElementById('field-{field}'); one.value = '{value}';"
        " one.dispatchEvent(new Event('change', {bubbles: true})); return true; })()"
    )


@pytest.mark.parametrize("scripts", [True, False])
async def test_the_form_of_a_check_shows_the_options_of_its_kind(site: Site, scripts: bool) -> None:
    async with site.tab(1280, 1200) as tab:
        await tab.call("Emulation.setScriptExecutionDisabled", value=not scripts)
        await tab.open(f"{site.base}/registers/check/-/new?host=web-1")
        assert json.loads(await tab.value(SEEN)) == []
        await choose(tab, "kind", "tcp")
        assert json.loads(await tab.value(SEEN)) == [
            "options.tcp.address", "options.tcp.send", "options.tcp.expect", "options.tcp.retry_interval_seconds",
        ]  # fmt: skip
        await choose(tab, "kind", "systemd")
        assert json.loads(await tab.value(SEEN))[0] == "options.systemd.unit"
        kinds = await tab.value("[...document.querySelectorAll('#field-kind option')].map((one) => one.value).join()")
        assert kinds == ",http,tcp,dns,tls,systemd"
        if scripts:
            assert await findings(tab) == []


async def test_what_is_wrong_with_an_option_is_told_while_the_form_is_filled(site: Site) -> None:
    async with site.tab(1280, 1200) as tab:
        await tab.open(f"{site.base}/registers/check/-/new?host=web-1")
        await choose(tab, "kind", "http")
        await tab.value("document.getElementById('field-options.http.url').value = 'ftp://x'")
        await choose(tab, "options.http.url", "ftp://x")
        error = "document.getElementById('error-options.http.url')?.textContent ?? ''"
        await tab.until(f"{error}.startsWith('must begin with http')")


async def test_the_level_of_a_rule_is_asked_for_in_the_unit_of_its_measure(site: Site) -> None:
    async with site.tab(1280, 1200) as tab:
        await tab.open(f"{site.base}/registers/rule/-/new")
        await choose(tab, "measure", "filesystem_used_ratio")
        assert await tab.value(UNIT) == "0 to 1; 95 % is 0.95"
        await choose(tab, "measure", "agent_silent_seconds")
        assert await tab.value(UNIT) == "seconds"


async def test_checks_of_a_service_are_ticked_and_a_long_list_is_narrowed(site: Site) -> None:
    for number in range(12):
        data = {"key": f"more-{number:02}", "name": f"More {number}", "host": "web-1", "kind": "tcp"}
        await site.made.registrar.create(WHO, "check", data | {"options": {"address": "127.0.0.1:80"}})
    async with site.tab(360, 760) as tab:
        await tab.open(f"{site.base}/registers/service/shop/edit")
        seen = """[...document.querySelectorAll('#field-members label')].filter((one) => one.offsetParent)
          .map((one) => one.querySelector('input').value).join()"""
        assert (await tab.value(seen)).startswith("shop.http,"), "what is chosen comes first"
        await tab.value("document.querySelector('[data-sift]').focus()")
        await tab.press(*"more 11")
        await tab.until(f"{seen} === 'more-11'")
        await tab.press("Enter")
        await tab.value("document.querySelector('#field-members input[value=more-11]').click()")
        assert await findings(tab) == []
        await tab.value("document.querySelector('#record-form').requestSubmit()")
        await tab.until("location.pathname === '/registers/service/shop' && document.readyState === 'complete'")
        assert "more-11" in await tab.value("document.querySelector('.facts').textContent")
        assert not tab.complaints
