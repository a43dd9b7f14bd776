"""The accounts of everybody, for administrators: the list, and one account with what can be done to it.

Rules are `flows.accounts`'s; one's own account is `profile.py`, the same for programs is `account_api.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import web

from collector.domain.access import Account, Role
from collector.domain.errors import CollectorError, InvalidInput, NotFound
from collector.domain.message import Message, Words, mark
from collector.edges.http.context import Context, actor_of, context_of
from collector.edges.http.errors import page_for
from collector.edges.http.form import fields_of
from collector.edges.http.listing import PAGE_ROWS, order_of, page_of, put_in_order, rows_of
from collector.edges.http.profile import shown_session
from collector.edges.http.routing import Page, Permission, Route
from collector.edges.http.security import site_of
from collector.flows.accounts import ResetLink
from collector.store import accounts, audit, sessions
from collector.store.database import Connection

HERE = "/settings/accounts"
ONE = rf"{HERE}/{{id:\d{{1,18}}}}"
HISTORY_ROWS = 50

_SORTS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "name": lambda row: row["name"].casefold(),
    "role": lambda row: (list(Role).index(row["role"]), row["name"].casefold()),
    "state": lambda row: (row["state"], row["name"].casefold()),
    "signed_in": lambda row: row["signed_in_ms"] or 0,
    "sessions": lambda row: row["sessions"],
}


def shown(account: Account, *, open_sessions: int, live_tokens: int) -> dict[str, Any]:
    """An account for pages and programs."""
    return {
        "id": account.id,
        "name": account.name,
        "role": account.role,
        "state": account.standing,
        "language": account.language,
        "created_ms": account.created_ms,
        "signed_in_ms": account.signed_in_ms,
        "sessions": open_sessions,
        "tokens": live_tokens,
    }


def read_all(connection: Connection, context: Context) -> list[dict[str, Any]]:
    """Every account, by name, with how many sessions are open and tokens work."""
    now_ms = context.clock()
    opened = sessions.counts(connection, lifetime=context.access.lifetime, now_ms=now_ms)
    live = accounts.live_tokens(connection, now_ms)
    return [
        shown(one, open_sessions=opened.get(one.id, 0), live_tokens=live.get(one.id, 0))
        for one in accounts.everybody(connection)
    ]


def matches(row: Mapping[str, Any], query: Mapping[str, str]) -> bool:
    """Whether an account is among those that were asked for: words of its name, role, state."""
    words = query.get("q", "").casefold().split()
    return all(word in row["name"].casefold() for word in words) and all(
        not query.get(name) or row[name] == query[name] for name in ("role", "state")
    )


async def show_all(request: web.Request) -> Page:
    """The list, narrowed and ordered as the address says."""
    return await _list(request)


async def _list(request: web.Request, *, wrong: CollectorError | None = None, **more: Any) -> Page:
    context, query = context_of(request), request.query
    sort = order_of(query, _SORTS, usual="name", rows=Words("Accounts", "Akun"))
    page = page_of(query)
    everybody = await context.db.read(lambda connection: read_all(connection, context))
    found = [row for row in everybody if matches(row, query)]
    put_in_order(found, sort, _SORTS)
    return Page(
        "account/list.html",
        {
            "accounts": rows_of(found, page),
            "total": len(found),
            "all": len(everybody),
            "counts": Counter(row["state"] for row in everybody),
            "page": page,
            "size": PAGE_ROWS,
            "sort": sort,
            "search": query.get("q", ""),
            "chosen": {name: query.get(name, "") for name in ("role", "state")},
            "made": None,
            "typed": {},
            **_told(wrong),
            **more,
        },
        status=page_for(wrong).status if wrong else 200,
    )


async def add(request: web.Request) -> Page:
    """Add an account, and show the link with which its owner chooses a password; it is in this answer only."""
    fields, flow = await fields_of(request), context_of(request).accounts
    try:
        role = _role(fields, mark("The account was not added."))
        account = await flow.add(actor_of(request), name=fields.get("name", ""), role=role)
    except InvalidInput as error:
        return await _list(request, wrong=error, typed={name: fields.get(name, "") for name in ("name", "role")})
    return await _list(request, made=_link(request, await flow.reset_link(actor_of(request), account.id)))


async def show(request: web.Request) -> Page:
    """One account: facts, sessions, tokens, history."""
    return await _one(request)


async def _one(request: web.Request, *, wrong: CollectorError | None = None, **more: Any) -> Page:
    context, account_id = context_of(request), int(request.match_info["id"])
    now_ms = context.clock()

    def read(connection: Connection) -> dict[str, Any]:
        account = accounts.by_id(connection, account_id)
        if account is None:
            raise NotFound("There is no such account.", hint="The list of accounts shows all of them.")
        found = sessions.of_account(connection, account_id, lifetime=context.access.lifetime, now_ms=now_ms)
        tokens = [one for one in accounts.tokens(connection) if one.account_id == account_id]
        live = [one for one in tokens if not one.revoked_ms and (not one.expires_ms or one.expires_ms > now_ms)]
        return {
            "account": shown(account, open_sessions=len(found), live_tokens=len(live)),
            "has_password": bool(account.password_hash),
            "sessions": [shown_session(row) for row in found],
            "tokens": [one._asdict() for one in live],
            "history": audit.history(connection, accounts.HISTORY, record_id=account_id, most=HISTORY_ROWS),
        }

    data = await context.db.read(read)
    more = {"made": None, **_told(wrong), **more}
    return Page("account/one.html", {**data, **more}, status=page_for(wrong).status if wrong else 200)


async def set_role(request: web.Request) -> Page:
    """Change what the person may do; they sign in again."""
    fields = await fields_of(request)
    try:
        role = _role(fields, mark("The role was not changed."))
        await context_of(request).accounts.alter(actor_of(request), _id(request), role=role, why=fields.get("why", ""))
    except NotFound:
        raise
    except CollectorError as error:
        return await _one(request, wrong=error)
    raise _back(request, "saved")


async def disable(request: web.Request) -> Page:
    """Shut the account: its sessions end and its tokens open nothing."""
    return await _switch(request, active=False)


async def enable(request: web.Request) -> Page:
    """Open the account again."""
    return await _switch(request, active=True)


async def _switch(request: web.Request, *, active: bool) -> Page:
    why = (await fields_of(request)).get("why", "")
    try:
        await context_of(request).accounts.alter(actor_of(request), _id(request), active=active, why=why)
    except NotFound:
        raise
    except CollectorError as error:
        return await _one(request, wrong=error)
    raise _back(request, "saved")


async def make_reset_link(request: web.Request) -> Page:
    """Make a link to choose a password; it is in this answer and never again."""
    try:
        link = await context_of(request).accounts.reset_link(actor_of(request), _id(request))
    except NotFound:
        raise
    except CollectorError as error:
        return await _one(request, wrong=error)
    return await _one(request, made=_link(request, link))


async def end_sessions(request: web.Request) -> web.StreamResponse:
    """End every session of the account."""
    await context_of(request).accounts.end_sessions(actor_of(request), _id(request))
    raise _back(request, "ended")


async def end_session(request: web.Request) -> web.StreamResponse:
    """End one session of the account."""
    session = request.match_info["session"]
    await context_of(request).accounts.end_sessions(actor_of(request), _id(request), session)
    raise _back(request, "ended")


def _id(request: web.Request) -> int:
    return int(request.match_info["id"])


def _back(request: web.Request, done: str) -> web.HTTPSeeOther:
    return web.HTTPSeeOther(f"{HERE}/{_id(request)}?done={done}")


def _role(fields: Mapping[str, str], refused: str) -> Role:
    if fields.get("role", "") not in list(Role):
        raise InvalidInput(refused, fields={"role": Message("One of {known}.", known=", ".join(Role))})
    return Role(fields["role"])


def _link(request: web.Request, made: ResetLink) -> dict[str, Any]:
    link = f"{site_of(request)}/reset?link={made.secret}"
    return {"name": made.account.name, "link": link, "expires_ms": made.expires_ms}


def _told(wrong: CollectorError | None) -> dict[str, Any]:
    fields = getattr(wrong, "fields", {})
    refused = wrong if wrong is not None and not fields else None
    return {
        "fields": fields,
        "refused": refused.message if refused else "",
        "refused_hint": refused.hint if refused else "",
    }


ROUTES = (
    Route("GET", HERE, show_all, Permission.ADMIN, "Every account."),
    Route("POST", HERE, add, Permission.ADMIN, "Add an account."),
    Route("GET", ONE, show, Permission.ADMIN, "One account: sessions, tokens, history."),
    Route("POST", f"{ONE}/role", set_role, Permission.ADMIN, "Change the role of an account."),
    Route("POST", f"{ONE}/disable", disable, Permission.ADMIN, "Disable an account."),
    Route("POST", f"{ONE}/enable", enable, Permission.ADMIN, "Enable an account."),
    Route("POST", f"{ONE}/reset", make_reset_link, Permission.ADMIN, "Make a link to choose a password."),
    Route("POST", f"{ONE}/sessions/end", end_sessions, Permission.ADMIN, "End every session of an account."),
    Route("POST", f"{ONE}/sessions/{{session}}/end", end_session, Permission.ADMIN, "End one session of an account."),
)
