"""A whole collector with a small organisation in it, and everybody who may knock: people, tokens, and those shut out.

Nothing runs in the background, and the clock stands still unless a test moves it, so what changes was changed by a
request.
"""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from aiohttp import ClientResponse, ClientSession, DummyCookieJar
from aiohttp.test_utils import TestServer

from collector.app import Collector
from collector.config import load
from collector.domain.access import Account, Role, Scope
from collector.edges.http import ROUTES
from collector.edges.http.frame import build
from collector.store import accounts
from tests.collector.edges.http import world

PASSWORD = "a long and honest phrase"
DAY_MS = 86_400_000
HOST, SERVICE, CHECK = "web-1", "shop", "shop.http"
AGENT = "00000000-0000-4000-8000-000000000001"
KEYS = {"host": HOST, "service": SERVICE, "check": CHECK, "rule": "filesystem-filling", "channel": "oncall"}
PUBLIC_PAGE = "/styleguide"

ADMINISTRATOR = "administrator"
PEOPLE = {"viewer": Role.VIEWER, "operator": Role.OPERATOR, ADMINISTRATOR: Role.ADMIN}
TOKENS = {"token read": Scope.READ, "token write": Scope.WRITE, "token admin": Scope.ADMIN}
SHUT_OUT = ("ended session", "idle session", "disabled account")
BAD_TOKENS = ("expired token", "revoked token", "token of disabled account", "invented token")
EVERYBODY = ("anonymous", *PEOPLE, *TOKENS, *SHUT_OUT, *BAD_TOKENS)


class Reply(NamedTuple):
    """What came back."""

    status: int
    headers: Mapping[str, str]
    text: str


@dataclass
class Fortress:
    """The collector, its address, and the credentials of everybody."""

    collector: Collector
    url: str
    client: ClientSession
    folder: Path
    credentials: dict[str, dict[str, str]] = field(default_factory=dict)
    accounts: dict[str, Account] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)
    _csrf: dict[str, str] = field(default_factory=dict)

    @asynccontextmanager
    async def open(
        self, who: str, method: str, path: str, *, headers: Mapping[str, str] | None = None, **more: Any
    ) -> AsyncIterator[ClientResponse]:
        """The beginning of an answer; the body may never end."""
        sent = {**self.credentials[who], **(headers or {})}
        async with self.client.request(
            method, self.url + path, headers=sent, allow_redirects=False, **more
        ) as response:
            yield response

    async def ask(
        self, who: str, method: str, path: str, *, headers: Mapping[str, str] | None = None, **more: Any
    ) -> Reply:
        """One request and its whole answer."""
        async with self.open(who, method, path, headers=headers, **more) as response:
            return Reply(response.status, response.headers, (await response.read()).decode("utf-8", "replace"))

    async def own_page(self, who: str) -> dict[str, str]:
        """The headers with which one of our own pages sends for `who`."""
        if who not in self._csrf:
            text = (await self.ask(who, "GET", PUBLIC_PAGE)).text
            found = re.search(r'name="csrf" content="(\w+)"', text)
            self._csrf[who] = found[1] if found else ""
        return {"X-CSRF-Token": self._csrf[who], "Origin": self.url, "Sec-Fetch-Site": "same-origin"}

    def digest(self) -> str:
        """What is in the database."""
        return hashlib.sha256("\n".join(self.dump()).encode()).hexdigest()

    def dump(self) -> list[str]:
        """The database as SQL."""
        with closing(sqlite3.connect(self.folder / "sigap.db")) as connection:
            return list(connection.iterdump())


def filled(path: str, **given: str) -> str:
    """A route's path with something that exists in every place."""
    values = {"key": HOST, "id": AGENT, "name": "glossary", "register": "host", "transition": "retire", "message": "1"}
    values["session"] = "0123456789abcdef"
    values |= given
    if path.startswith("/static"):
        values["name"] = "app.js"
    if "/alerts/" in path or "/messages/" in path:
        values["id"] = given.get("id", "1")
    if "/settings/accounts/" in path or path.startswith("/api/v1/accounts/"):
        values |= {"id": given.get("id", "1"), "name": given.get("key", "idler")}
    if "/services/" in path:
        values["key"] = given.get("key", SERVICE)
    if "/channels/" in path or "/channel/" in path:
        values["key"] = given.get("key", "missing")  # a test message would leave this machine
    return re.sub(r"\{(\w+)(?::(?:[^{}]|\{[^{}]*\})*)?\}", lambda found: values[found[1]], path)


@asynccontextmanager
async def fortress(folder: Path) -> AsyncIterator[Fortress]:
    """Build it, let everybody in who may, and shut out who may not."""
    time_ms = [world.NOW_MS]
    settings = load(Path("/dev/null"), {}, store__data=str(folder))
    collector = Collector(settings, clock=lambda: time_ms[0])
    await world.make(collector.db, hosts=2, history_ms=2 * world.MINUTE_MS)
    collector.series.open()
    async with (
        TestServer(build(collector.context, ROUTES)) as server,
        ClientSession(cookie_jar=DummyCookieJar()) as client,
    ):
        made = Fortress(collector, str(server.make_url("")).rstrip("/"), client, folder)
        await _admit(made, time_ms)
        yield made
    collector.db.close()


async def _admit(made: Fortress, time_ms: list[int]) -> None:
    access, db = made.collector.access, made.collector.db

    async def person(name: str, role: Role) -> str:
        # The same password for all: hashing it eight times would be most of what these tests do.
        known = made.accounts.get(ADMINISTRATOR)
        password_hash = known.password_hash if known else await access.passwords.accept(PASSWORD, name)
        await db.write(
            lambda c: accounts.create(c, name, role=role, password_hash=password_hash, language="en", now_ms=time_ms[0])
        )
        signed_in = await access.open_link(await access.sign_in_link(name))
        made.accounts[name] = signed_in.account
        return signed_in.token

    made.credentials["anonymous"] = {}
    made.credentials["idle session"] = _cookie(await person("idler", Role.ADMIN))
    time_ms[0] += DAY_MS // 4
    for name, role in sorted(PEOPLE.items(), reverse=False):
        made.secrets[name] = await person(name, role)
        made.credentials[name] = _cookie(made.secrets[name])
    owner = made.accounts[ADMINISTRATOR]
    for name, scope in TOKENS.items():
        made.secrets[name] = (await access.new_token(owner, name, scope)).secret
        made.credentials[name] = _bearer(made.secrets[name])
    ended = await person("leaver", Role.ADMIN)
    await access.sign_out(ended)
    made.credentials["ended session"] = _cookie(ended)
    gone = await person("gone", Role.ADMIN)
    made.credentials["disabled account"] = _cookie(gone)
    its = await access.new_token(made.accounts["gone"], "its", Scope.ADMIN)
    made.credentials["token of disabled account"] = _bearer(its.secret)
    await db.write(lambda c: accounts.change(c, made.accounts["gone"].id, active=False))
    revoked = await access.new_token(owner, "revoked", Scope.ADMIN)
    await access.revoke_token(revoked.id, by=ADMINISTRATOR)
    made.credentials["revoked token"] = _bearer(revoked.secret)
    await db.write(lambda c: accounts.add_token(c, _expired(owner, time_ms[0]), hashlib.sha256(b"old").hexdigest()))
    made.credentials["expired token"] = _bearer("sigap_0123456789ab_old")
    made.credentials["invented token"] = _bearer("sigap_0123456789ab_new")


def _expired(owner: Account, now_ms: int) -> accounts.TokenRow:
    return accounts.TokenRow("0123456789ab", "old", owner.id, Scope.ADMIN, now_ms - 2, now_ms, None, None)


def _cookie(secret: str) -> dict[str, str]:
    return {"Cookie": f"sigap={secret}"}


def _bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


def pretty(found: Any) -> str:
    """Findings as a person reads them."""
    return json.dumps(found, indent=1, default=str)
