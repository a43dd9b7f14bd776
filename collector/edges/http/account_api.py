"""REST for accounts and their sessions: what the pages for administrators do. The command line uses it too.

Accounts go by their name. One's own password and sessions are not here: they are for people who signed in, on their
own page, and never for a token.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from aiohttp import web
from msgspec import Meta

from collector.domain.access import Account, Role
from collector.domain.errors import NotFound
from collector.edges.http.accounts import matches, read_all, shown
from collector.edges.http.body import read_json
from collector.edges.http.context import actor_of, context_of
from collector.edges.http.profile import shown_session
from collector.edges.http.routing import Page, Permission, Route
from collector.edges.http.security import site_of
from collector.store import accounts, audit, sessions
from collector.store.database import Connection

API = "/api/v1/accounts"
ONE = f"{API}/{{name}}"
CHANGES_MOST = 200
Text = Annotated[str, Meta(max_length=500)]


class NewAccount(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An account to add; without a password the answer has a link to choose one."""

    name: Text
    role: Role
    password: Text = ""


class AccountChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to change of an account."""

    role: Role | None = None
    active: bool | None = None
    why: Text = ""


async def _named(request: web.Request) -> Account:
    name = request.match_info["name"]
    found = await context_of(request).db.read(lambda connection: accounts.by_name(connection, name))
    if found is None:
        raise NotFound("There is no such account.", hint="The list of accounts shows all of them.")
    return found


async def list_accounts(request: web.Request) -> Page:
    """Every account; `?q=`, `?role=` and `?state=` narrow the list."""
    context = context_of(request)
    everybody = await context.db.read(lambda connection: read_all(connection, context))
    found = [row for row in everybody if matches(row, request.query)]
    return Page("", {"items": found, "total": len(found)})


async def add(request: web.Request) -> Page:
    """Add an account; without a password with a one-time link to choose one, which is in this answer only."""
    wanted, flow = await read_json(request, NewAccount), context_of(request).accounts
    account = await flow.add(actor_of(request), name=wanted.name, role=wanted.role, password=wanted.password)
    told: dict[str, Any] = {"id": account.id, "name": account.name}
    if not wanted.password:
        told |= _link(request, await flow.reset_link(actor_of(request), account.id))
    return Page("", told, status=201)


async def show(request: web.Request) -> Page:
    """One account."""
    return await _shown(request, await _named(request))


async def change(request: web.Request) -> Page:
    """Change the role, or disable or enable; its sessions end."""
    account, wanted = await _named(request), await read_json(request, AccountChange)
    changed = await context_of(request).accounts.alter(
        actor_of(request), account.id, role=wanted.role, active=wanted.active, why=wanted.why
    )
    return await _shown(request, changed)


async def _shown(request: web.Request, account: Account) -> Page:
    context = context_of(request)
    now_ms = context.clock()

    def read(connection: Connection) -> dict[str, Any]:
        opened = sessions.counts(connection, lifetime=context.access.lifetime, now_ms=now_ms)
        live = accounts.live_tokens(connection, now_ms)
        return shown(account, open_sessions=opened.get(account.id, 0), live_tokens=live.get(account.id, 0))

    return Page("", await context.db.read(read))


async def make_reset_link(request: web.Request) -> Page:
    """Make a one-time link to choose a password; it is in this answer and never again."""
    account = await _named(request)
    return Page("", _link(request, await context_of(request).accounts.reset_link(actor_of(request), account.id)), 201)


async def list_sessions(request: web.Request) -> Page:
    """The open sessions of an account, newest use first."""
    account = await _named(request)
    found = await context_of(request).access.sessions_of(account.id)
    return Page("", {"items": [shown_session(row) for row in found]})


async def end_sessions(request: web.Request) -> Page:
    """End every session of an account."""
    account = await _named(request)
    return Page("", {"ended": await context_of(request).accounts.end_sessions(actor_of(request), account.id)})


async def end_session(request: web.Request) -> Page:
    """End one session of an account."""
    account, session = await _named(request), request.match_info["session"]
    return Page("", {"ended": await context_of(request).accounts.end_sessions(actor_of(request), account.id, session)})


async def changes(request: web.Request) -> Page:
    """What was done to an account, newest first."""
    account = await _named(request)
    found = await context_of(request).db.read(
        lambda connection: audit.history(connection, accounts.HISTORY, record_id=account.id, most=CHANGES_MOST)
    )
    return Page("", {"items": found})


def _link(request: web.Request, made: Any) -> dict[str, Any]:
    return {"link": f"{site_of(request)}/reset?link={made.secret}", "expires_ms": made.expires_ms}


ROUTES = (
    Route("GET", API, list_accounts, Permission.ADMIN, "Accounts"),
    Route("POST", API, add, Permission.ADMIN, "Add an account", NewAccount, 201),
    Route("GET", ONE, show, Permission.ADMIN, "One account"),
    Route("PATCH", ONE, change, Permission.ADMIN, "Change the role of an account, disable or enable it", AccountChange),
    Route(
        "POST", f"{ONE}/reset-links", make_reset_link, Permission.ADMIN, "Make a link to choose a password", None, 201
    ),
    Route("GET", f"{ONE}/sessions", list_sessions, Permission.ADMIN, "Open sessions of an account"),
    Route("DELETE", f"{ONE}/sessions", end_sessions, Permission.ADMIN, "End every session of an account"),
    Route("DELETE", f"{ONE}/sessions/{{session}}", end_session, Permission.ADMIN, "End one session of an account"),
    Route("GET", f"{ONE}/changes", changes, Permission.ADMIN, "History of an account"),
)
