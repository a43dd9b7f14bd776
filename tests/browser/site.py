"""A running web application with a small organisation and its people, and a browser that looks at it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from collector.domain.access import Role, Scope
from collector.domain.registers.base import Actor
from collector.flows.access import Browser
from tests.browser.chromium import Chromium, Tab
from tests.collector.edges.http.world import World

AXE = Path(__file__).resolve().parents[2] / "web" / "node_modules" / "axe-core" / "axe.min.js"
FIREFOX = Browser("10.0.0.7", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0")
PHONE = Browser("2001:db8:85a3:8d3:1319:8a2e:370:7348", "Mozilla/5.0 (Linux; Android 15; K) Chrome/142.0 Safari/537.36")


class Site:
    """A running web application and a browser."""

    def __init__(self, browser: Chromium, base: str, made: World) -> None:
        self.browser, self.base, self.made = browser, base, made

    @asynccontextmanager
    async def tab(self, width: int = 1440, height: int = 900, **cookies: str) -> AsyncIterator[Tab]:
        """A page with cookies."""
        async with self.browser.tab(width, height) as tab:
            for name, value in {"zone": "Asia/Jakarta", **cookies}.items():
                await tab.call("Network.setCookie", name=name, value=value, url=self.base)
            yield tab

    def foreign(self, tab: Tab) -> list[str]:
        """Requests that left this host."""
        return [url for url in tab.requests if not url.startswith((self.base, "data:", "about:"))]


async def people(made: World) -> None:
    """Somebody at work with two browsers, somebody invited, somebody who left, and everything that is on record."""
    access, accounts, root = made.context.access, made.context.accounts, Actor("siti", "admin")
    added = {}
    for name, role in (
        ("budi.santoso@toko-nusantara.example", Role.OPERATOR),
        ("wati", Role.VIEWER),
        ("agus", Role.ADMIN),
    ):
        added[name] = await accounts.add(root, name=name, role=role)
    for browser in (FIREFOX, PHONE):
        for name in ("siti", "budi.santoso@toko-nusantara.example", "agus"):
            signed_in = await access.open_link(await access.sign_in_link(name), browser=browser)
    await access.new_token(signed_in.account, "grafana", Scope.READ)
    await accounts.alter(root, added["agus"].id, role=Role.OPERATOR, why="Other work")
    await accounts.alter(root, added["agus"].id, active=False, why="Left the company at the end of the month")


async def findings(tab: Tab) -> list[str]:
    """What axe finds serious or critical."""
    # Evaluated over DevTools, so the page's own policy stays as strict as it is.
    await tab.value(AXE.read_text() + ";true")
    text = await tab.value(
        "axe.run(document, {resultTypes: ['violations']}).then((found) => JSON.stringify(found.violations))"
    )
    found: list[dict[str, Any]] = json.loads(text)
    return [
        f"{one['id']}: {one['nodes'][0]['html'][:160]} {one['nodes'][0].get('failureSummary', '')}"
        for one in found
        if one["impact"] in ("serious", "critical")
    ]
