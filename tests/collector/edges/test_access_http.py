"""Setting up, signing in and out over HTTP, and what a request may do."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from collector.domain.access import Lifetime, Scope
from collector.edges.http import ROUTES
from collector.edges.http import access as access_pages
from collector.edges.http.context import Context
from collector.edges.http.frame import build
from collector.flows.access import Access
from collector.store.database import Database

PASSWORD = "a long and honest phrase"


class Site:
    """A running web application and a browser-like client of it."""

    def __init__(self, access: Access, url: str, client: aiohttp.ClientSession) -> None:
        self.access, self.url, self.client = access, url, client

    async def get(self, path: str, **headers: str) -> tuple[int, str]:
        async with self.client.get(self.url + path, headers=headers, allow_redirects=False) as response:
            return response.status, await response.text()

    async def post(self, path: str, form: dict[str, str], *, origin: str | None = None) -> aiohttp.ClientResponse:
        _, page = await self.get("/sign-in" if await self.access.is_set_up() else "/setup")
        found = re.search(r'name="csrf" value="(\w+)"', page)
        headers = {"Origin": origin or self.url}
        data = {"csrf": found[1] if found else "", **form}
        async with self.client.post(self.url + path, data=data, headers=headers, allow_redirects=False) as response:
            await response.read()
            return response


@pytest.fixture
async def site(sqlite: Database, request: pytest.FixtureRequest) -> AsyncIterator[Site]:
    access = Access(
        sqlite, clock=lambda: time.time_ns() // 1_000_000, lifetime=Lifetime(idle_ms=60_000, absolute_ms=600_000)
    )
    open_on_loopback = bool(getattr(request, "param", False))
    context = Context(
        sqlite,
        access=access,
        authenticate=access_pages.authenticator(access, open_on_loopback=open_on_loopback),
    )
    runner = web.AppRunner(build(context, ROUTES))
    await runner.setup()
    listener = web.TCPSite(runner, "127.0.0.1", 0)
    await listener.start()
    host, port = runner.addresses[0][:2]
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as client:
        yield Site(access, f"http://{host}:{port}", client)
    await runner.cleanup()


async def set_up(site: Site) -> None:
    form = {"link": await site.access.setup_link(), "name": "siti", "password": PASSWORD, "repeated": PASSWORD}
    response = await site.post("/setup", form)
    assert (response.status, response.headers["Location"]) == (303, "/")


async def test_the_first_visitor_is_led_to_set_up_and_signed_in(site: Site) -> None:
    assert (await site.get("/sign-in"))[0] == 303
    await set_up(site)
    assert (await site.get("/styleguide"))[0] == 200
    assert (await site.get("/setup"))[0] == 303


async def test_two_different_passwords_are_refused_and_the_name_is_kept(site: Site) -> None:
    link = await site.access.setup_link()
    response = await site.post("/setup", {"link": link, "name": "siti", "password": PASSWORD, "repeated": "other"})
    assert response.status == 422
    assert 'value="siti"' in await response.text()
    assert PASSWORD not in await response.text()


async def test_the_session_cookie_is_out_of_reach_of_scripts_and_other_sites(site: Site) -> None:
    await set_up(site)
    response = await site.post("/sign-in", {"name": "siti", "password": PASSWORD})
    cookie = response.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie


async def test_signing_out_ends_the_session(site: Site) -> None:
    await set_up(site)
    await site.post("/sign-out", {})
    status, _ = await site.get("/preferences.json")
    assert (await site.get("/api/v1/sd/agents"))[0] == 401
    assert status in (401, 404)


async def test_another_site_cannot_sign_anybody_in(site: Site) -> None:
    await set_up(site)
    response = await site.post("/sign-in", {"name": "siti", "password": PASSWORD}, origin="http://evil.example")
    assert response.status == 403


async def test_a_wrong_password_is_told_and_nothing_else(site: Site) -> None:
    await set_up(site)
    response = await site.post("/sign-in", {"name": "siti", "password": "wrong"})
    assert response.status == 401
    assert "The name or the password is not right." in await response.text()


@pytest.mark.parametrize("target", ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)"])
async def test_signing_in_never_leads_to_another_site(site: Site, target: str) -> None:
    await set_up(site)
    response = await site.post("/sign-in", {"name": "siti", "password": PASSWORD, "next": target})
    assert response.headers["Location"] == "/"


async def test_a_token_opens_what_its_scope_allows_and_a_bad_one_nothing(site: Site) -> None:
    await set_up(site)
    owner = (await site.access.sign_in("siti", PASSWORD, address="::1")).account
    token = await site.access.new_token(owner, "prometheus", Scope.READ)
    site.client.cookie_jar.clear()
    assert (await site.get("/api/v1/sd/agents"))[0] == 401
    assert (await site.get("/api/v1/sd/agents", Authorization="Bearer sigap_x_y"))[0] == 401
    assert await site.get("/api/v1/sd/agents", Authorization=f"Bearer {token.secret}") == (200, "[]")


@pytest.mark.parametrize("site", [True], indirect=True)
async def test_scrapers_on_this_host_need_no_token_where_that_is_allowed(site: Site) -> None:
    assert await site.get("/api/v1/sd/agents") == (200, "[]")
    assert (await site.get("/api/v1/sd/agents", Host="rebound.example"))[0] == 401


async def test_health_answers_everybody(site: Site) -> None:
    assert await site.get("/-/healthy") == (200, "Sigap is healthy.\n")
    assert await site.get("/-/ready") == (200, "Sigap is ready.\n")


def test_no_password_or_link_stays_in_a_template() -> None:
    templates = Path("web/templates/access").glob("*.html")
    assert not [path for path in templates if re.search(r'type="password"[^%]*value=', path.read_text())]
