"""Accounts, one's own profile and the way back in, over HTTP with real sessions; and the same by REST."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest
from aiohttp import ClientSession, CookieJar
from aiohttp.test_utils import TestServer

from collector.domain.access import Lifetime, Role, Scope
from collector.domain.registers.base import Actor
from collector.edges.http import ROUTES
from collector.edges.http.access import authenticator
from collector.edges.http.context import Context
from collector.edges.http.frame import build
from collector.flows.access import Access
from collector.flows.accounts import Accounts
from collector.store import accounts as store
from collector.store.database import Database

PASSWORD = "a long and honest phrase"
ANOTHER = "kambing lompat pagar biru"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


class Answer(NamedTuple):
    """What came back."""

    status: int
    text: str
    location: str


class Person:
    """Somebody with a browser of their own."""

    def __init__(self, base: str) -> None:
        self.base = base
        self.client = ClientSession(cookie_jar=CookieJar(unsafe=True), headers={"User-Agent": FIREFOX})

    async def get(self, path: str) -> Answer:
        async with self.client.get(self.base + path, allow_redirects=False) as response:
            return Answer(response.status, await response.text(), response.headers.get("Location", ""))

    async def json(self, path: str) -> Any:
        async with self.client.get(self.base + path, headers={"Accept": "application/json"}) as response:
            return await response.json()

    async def send(self, path: str, method: str = "POST", json: Any = None, **form: str) -> Answer:
        found = re.search(r'name="csrf" content="(\w+)"', (await self.get("/styleguide")).text)
        headers = {"X-CSRF-Token": found[1] if found else "", "Origin": self.base}
        more: Mapping[str, Any] = {"json": json} if json is not None else {"data": form or None}
        url = self.base + path
        async with self.client.request(method, url, headers=headers, allow_redirects=False, **more) as response:
            return Answer(response.status, await response.text(), response.headers.get("Location", ""))

    async def sign_in(self, name: str, password: str = PASSWORD) -> Answer:
        return await self.send("/sign-in", name=name, password=password)


class Site(NamedTuple):
    """The application, its parts, the administrator at a browser, and a browser of somebody else."""

    access: Access
    accounts: Accounts
    db: Database
    siti: Person
    budi: Person
    budi_id: int


@pytest.fixture
async def site(sqlite: Database) -> AsyncIterator[Site]:
    access = Access(sqlite, clock=lambda: time.time_ns() // 1_000_000, lifetime=Lifetime(600_000, 600_000))
    accounts = Accounts(sqlite, clock=lambda: time.time_ns() // 1_000_000, passwords=access.passwords)
    context = Context(
        sqlite, access=access, accounts=accounts, authenticate=authenticator(access, open_on_loopback=False)
    )
    await access.set_up(await access.setup_link(), name="siti", password=PASSWORD, language="en")
    made = await accounts.add(Actor("siti", "admin"), name="budi", role=Role.OPERATOR, password=PASSWORD)
    async with TestServer(build(context, ROUTES)) as server:
        base = str(server.make_url("")).rstrip("/")
        siti, budi = Person(base), Person(base)
        assert (await siti.sign_in("siti")).status == 303
        assert (await budi.sign_in("budi")).status == 303
        yield Site(access, accounts, sqlite, siti, budi, made.id)
        await siti.client.close()
        await budi.client.close()


async def test_the_list_shows_role_state_last_sign_in_and_sessions_and_is_searched(site: Site) -> None:
    page = await site.siti.json("/settings/accounts.json")
    budi, siti = page["accounts"]
    assert (budi["name"], budi["role"], budi["state"], budi["sessions"], budi["tokens"]) == (
        "budi", "operator", "active", 1, 0,
    )  # fmt: skip
    assert siti["sessions"] == 2
    assert time.time() * 1_000 - budi["signed_in_ms"] < 60_000
    for query, names in (
        ("q=BUD", ["budi"]), ("role=admin", ["siti"]), ("state=disabled", []), ("sort=-name", ["siti", "budi"]),
        ("sort=sessions&q=i", ["budi", "siti"]), ("sort=-signed_in&state=active", ["budi", "siti"]),
    ):  # fmt: skip
        found = await site.siti.json(f"/settings/accounts.json?{query}")
        assert [one["name"] for one in found["accounts"]] == names, query
    assert "No account matches" in (await site.siti.get("/settings/accounts?q=nobody")).text
    assert (await site.siti.get("/settings/accounts?sort=password_hash")).status == 422


async def test_an_added_person_gets_a_link_and_chooses_the_password(site: Site) -> None:
    added = await site.siti.send("/settings/accounts", name="wati@toko.example", role="viewer")
    found = re.search(r"(http://[^\"<\s]+)(/reset\?link=[\w-]{40,})", added.text)
    assert found is not None
    assert found[1] == site.siti.base
    assert "/reset?link=" not in (await site.siti.get("/settings/accounts")).text, "it is shown once"
    wati = Person(site.siti.base)
    assert 'name="password"' in (await wati.get(found[2])).text
    link = found[2].rpartition("=")[2]
    differing = await wati.send("/reset", link=link, password=ANOTHER, repeated=PASSWORD)
    assert (differing.status, "The two passwords differ." in differing.text) == (422, True)
    weak = await wati.send("/reset", link=link, password="password123456", repeated="password123456")
    assert (weak.status, "four or more words" in weak.text) == (422, True)
    chosen = await wati.send("/reset", link=link, password=ANOTHER, repeated=ANOTHER)
    assert (chosen.status, chosen.location) == (303, "/")
    assert (await wati.get("/settings/profile")).status == 200
    again = await wati.send("/reset", link=link, password=PASSWORD, repeated=PASSWORD)
    assert (again.status, "does not work" in again.text) == (401, True)
    assert "does not work" in (await wati.get(found[2])).text
    await wati.client.close()


async def test_disabling_shuts_the_other_browser_out_and_enabling_lets_it_sign_in(site: Site) -> None:
    here = f"/settings/accounts/{site.budi_id}"
    assert (await site.siti.send(f"{here}/disable", why="on leave")).location == f"{here}?done=saved"
    assert (await site.budi.get("/settings")).location.startswith("/sign-in")
    assert (await site.budi.sign_in("budi")).status == 401
    page = (await site.siti.get(here)).text
    assert "on leave" in page
    assert "Nobody is signed in with this account." in page
    assert (await site.siti.send(f"{here}/reset")).status == 409
    await site.siti.send(f"{here}/enable")
    assert (await site.budi.sign_in("budi")).status == 303


async def test_the_last_administrator_is_told_why_and_stays(site: Site) -> None:
    for path, form in (("disable", {}), ("role", {"role": "viewer"})):
        refused = await site.siti.send(f"/settings/accounts/1/{path}", **form)
        assert refused.status == 409
        assert "siti is the last administrator who can sign in, and stays one." in refused.text
        assert "Make somebody else an administrator first." in refused.text
    assert (await site.siti.get("/settings/accounts")).status == 200


async def test_a_role_is_changed_with_a_reason_and_a_wrong_one_is_refused_at_its_field(site: Site) -> None:
    here = f"/settings/accounts/{site.budi_id}"
    wrong = await site.siti.send(f"{here}/role", role="king")
    assert (wrong.status, "One of viewer, operator, admin." in wrong.text) == (422, True)
    assert (await site.siti.send(f"{here}/role", role="viewer", why="other work")).status == 303
    assert "other work" in (await site.siti.get(here)).text
    assert (await site.budi.get("/")).location.startswith("/sign-in")


async def test_what_does_not_exist_is_not_found(site: Site) -> None:
    assert (await site.siti.get("/settings/accounts/999")).status == 404
    for path in ("role", "disable", "enable", "reset", "sessions/end", "sessions/0123456789abcdef/end"):
        assert (await site.siti.send(f"/settings/accounts/999/{path}", role="viewer")).status == 404, path


async def test_a_new_password_keeps_this_browser_and_ends_the_others(site: Site) -> None:
    other = Person(site.budi.base)
    await other.sign_in("budi")
    form = {"current": "wrong", "new": ANOTHER, "repeated": ANOTHER}
    wrong = await site.budi.send("/settings/profile/password", **form)
    assert (wrong.status, "This is not your password." in wrong.text) == (422, True)
    assert (await site.budi.send("/settings/profile/password", **form | {"current": PASSWORD})).status == 303
    assert (await site.budi.get("/settings/profile")).status == 200
    assert (await other.get("/settings/profile")).status == 303
    assert (await other.sign_in("budi")).status == 401
    assert (await other.sign_in("budi", ANOTHER)).status == 303
    await other.client.close()


async def test_ones_own_sessions_are_shown_and_ended(site: Site) -> None:
    other = Person(site.budi.base)
    await other.sign_in("budi")
    shown = (await site.budi.json("/settings/profile.json"))["sessions"]
    assert [(one["browser"], one["address"]) for one in shown] == [("Firefox, Linux", "127.0.0.1")] * 2
    theirs = next(one for one in shown if not one["is_this"])
    assert (await site.budi.send(f"/settings/profile/sessions/{theirs['id']}/end")).status == 303
    assert (await other.get("/")).status == 303
    await other.sign_in("budi")
    assert (await site.budi.send("/settings/profile/sessions/end")).status == 303
    assert [one["is_this"] for one in (await site.budi.json("/settings/profile.json"))["sessions"]] == [True]
    await other.client.close()


async def test_language_and_theme_follow_the_person_into_another_browser(site: Site) -> None:
    assert (await site.budi.send("/settings/profile", language="id", theme="dark")).status == 303
    other = Person(site.budi.base)
    await other.sign_in("budi")
    page = (await other.get("/settings/profile")).text
    assert '<html lang="id" data-theme="dark"' in page
    for form in ({"language": "xx", "theme": "dark"}, {"language": "en", "theme": "pink"}):
        assert (await site.budi.send("/settings/profile", **form)).status == 422
    await other.client.close()


async def test_somebody_else_sees_neither_accounts_nor_what_was_done_to_them(site: Site) -> None:
    for path in ("/settings/accounts", f"/settings/accounts/{site.budi_id}", "/api/v1/accounts/budi/changes"):
        assert (await site.budi.get(path)).status == 403
    assert "/settings/accounts" not in (await site.budi.get("/settings")).text
    for query in ("", "?register=account"):
        mine, theirs = [await who.json(f"/api/v1/changes{query}") for who in (site.siti, site.budi)]
        assert {one["register"] for one in mine["items"]} == {"account"}
        assert theirs["items"] == []


async def test_rest_does_what_the_pages_do(site: Site) -> None:
    name = "wati/toko ?#"
    made = await site.siti.send("/api/v1/accounts", json={"name": name, "role": "viewer"})
    assert made.status == 201
    assert f"{site.siti.base}/reset?link=" in made.text
    one = f"/api/v1/accounts/{quote(name, safe='')}"
    listed = await site.siti.json("/api/v1/accounts?state=invited")
    assert [(row["name"], row["state"]) for row in listed["items"]] == [(name, "invited")]
    changed = await site.siti.send(one, "PATCH", json={"role": "operator", "active": False, "why": "x"})
    assert (changed.status, '"state":"disabled"' in changed.text) == (200, True)
    assert (await site.siti.json(one))["role"] == "operator"
    assert (await site.siti.send(f"{one}/reset-links", json={})).status == 409
    actions = [each["action"] for each in (await site.siti.json(f"{one}/changes"))["items"]]
    assert actions == ["disable", "role", "reset-link", "create"]
    sessions = (await site.siti.json("/api/v1/accounts/budi/sessions"))["items"]
    assert sessions[0]["browser"] == "Firefox, Linux"
    assert (await site.siti.send(f"/api/v1/accounts/budi/sessions/{sessions[0]['id']}", "DELETE")).status == 200
    assert (await site.budi.get("/")).status == 303
    assert (await site.siti.send("/api/v1/accounts/budi/sessions", "DELETE")).text == '{"ended":0}'
    assert (await site.siti.send("/api/v1/accounts/siti", "PATCH", json={"role": "viewer"})).status == 409
    assert (await site.siti.send("/api/v1/accounts/nobody", "PATCH", json={"active": False})).status == 404
    assert (await site.siti.send("/api/v1/accounts/budi", "PATCH", json={"rank": "x"})).status == 422


async def test_an_account_of_a_disabled_owner_shows_that_its_tokens_open_nothing(site: Site) -> None:
    owner = await site.db.read(lambda c: store.by_name(c, "budi"))
    assert owner is not None
    await site.access.new_token(owner, "grafana", Scope.READ)
    here = f"/settings/accounts/{site.budi_id}"
    await site.siti.send(f"{here}/disable")
    page = (await site.siti.get(here)).text
    assert "they open nothing while the account is disabled" in page
    assert "1 API token works again." in page
    assert "grafana" in (await site.siti.get("/settings")).text


async def test_links_name_the_public_address_where_one_is_set(site: Site, sqlite: Database) -> None:
    access, accounts = site.access, site.accounts
    context = Context(
        sqlite,
        access=access,
        accounts=accounts,
        authenticate=authenticator(access, open_on_loopback=False),
        public_url="https://sigap.example",
    )
    async with TestServer(build(context, ROUTES)) as server:
        there = Person(str(server.make_url("")).rstrip("/"))
        await there.sign_in("siti")
        assert (
            "https://sigap.example/reset?link=" in (await there.send(f"/settings/accounts/{site.budi_id}/reset")).text
        )
        await there.client.close()
