"""One's own account: language, theme, password and the sessions that are open. For people only, never for tokens.

Rules are `flows.access`'s; the accounts of others are `accounts.py`.
"""

from __future__ import annotations

from typing import Any

from aiohttp import web

from collector.domain.access import Account
from collector.domain.browser import shortened
from collector.domain.errors import Conflict, InvalidInput, TooMuch
from collector.domain.message import Message
from collector.edges.http.access import browser_of
from collector.edges.http.context import context_of, viewer_of
from collector.edges.http.errors import page_for
from collector.edges.http.form import fields_of
from collector.edges.http.i18n import COOKIE, LANGUAGES
from collector.edges.http.preferences import YEAR_SECONDS
from collector.edges.http.render import THEME_COOKIE, THEMES
from collector.edges.http.routing import Page, Permission, Route
from collector.edges.http.security import give_session, over_tls, session_cookie
from collector.flows import links
from collector.store import accounts
from collector.store.sessions import ID_CHARACTERS, SessionRow

HERE = "/settings/profile"


async def account_of(request: web.Request) -> Account:
    """The account of the person who asks.

    Raises:
        Conflict: The request is nobody's: it came from this host without signing in.
    """
    account_id = viewer_of(request).account_id
    found = await context_of(request).db.read(
        lambda connection: accounts.by_id(connection, account_id) if account_id is not None else None
    )
    if found is None:
        raise Conflict("This is nobody's account.", hint="Sign in as a person.")
    return found


def shown_session(row: SessionRow, present: str = "") -> dict[str, Any]:
    """A session for pages and programs; `present` is the id of the one that asks."""
    return {
        "id": row.id,
        "created_ms": row.created_ms,
        "used_ms": row.used_ms,
        "address": row.address,
        "browser": shortened(row.agent),
        "is_this": row.id == present,
    }


async def show(request: web.Request) -> Page:
    """One's own account."""
    return await _page(request)


async def _page(request: web.Request, *, wrong: InvalidInput | TooMuch | None = None) -> Page:
    account = await account_of(request)
    secret = session_cookie(request)
    present = links.digest(secret)[:ID_CHARACTERS] if secret else ""
    found = await context_of(request).access.sessions_of(account.id)
    fields = wrong.fields if isinstance(wrong, InvalidInput) else {}
    told = page_for(wrong) if wrong else None
    return Page(
        "account/profile.html",
        {
            "account": {
                "name": account.name,
                "role": account.role,
                "language": account.language,
                "theme": account.theme,
                "created_ms": account.created_ms,
                "signed_in_ms": account.signed_in_ms,
            },
            "has_password": bool(account.password_hash),
            "sessions": [shown_session(row, present) for row in found],
            "fields": fields,
            "refused": wrong.message if wrong and not fields else "",
        },
        status=told.status if told else 200,
        headers=told.headers if told else {},
    )


async def set_look(request: web.Request) -> web.StreamResponse:
    """Remember language and theme of the account, and use them in this browser."""
    fields = await fields_of(request)
    chosen = {"language": fields.get("language", ""), "theme": fields.get("theme", "")}
    for name, allowed in (("language", tuple(LANGUAGES)), ("theme", THEMES)):
        if chosen[name] not in allowed:
            raise InvalidInput(
                Message("There is no such {name}.", name=name),
                fields={name: Message("One of {known}.", known=", ".join(allowed))},
            )
    account = await account_of(request)
    await context_of(request).access.set_look(account.id, **chosen)
    response = web.HTTPSeeOther(f"{HERE}?done=saved")
    for cookie, value in ((COOKIE, chosen["language"]), (THEME_COOKIE, chosen["theme"])):
        response.set_cookie(cookie, value, max_age=YEAR_SECONDS, path="/", samesite="Lax", secure=over_tls(request))
    raise response


async def set_password(request: web.Request) -> Page:
    """Change one's own password: every other session ends, and this browser gets a new one."""
    fields = await fields_of(request)
    try:
        if fields.get("new") != fields.get("repeated"):
            raise InvalidInput("The password was not changed.", fields={"repeated": "The two passwords differ."})
        signed_in = await context_of(request).access.change_password(
            await account_of(request),
            current=fields.get("current", ""),
            new=fields.get("new", ""),
            browser=browser_of(request),
        )
    except (InvalidInput, TooMuch) as error:
        return await _page(request, wrong=error)
    response = web.HTTPSeeOther(f"{HERE}?done=password")
    give_session(request, response, signed_in.token)
    raise response


async def end_others(request: web.Request) -> web.StreamResponse:
    """End every other session of one's own."""
    await context_of(request).access.end_own(await account_of(request), but=session_cookie(request))
    raise web.HTTPSeeOther(f"{HERE}?done=ended#sessions")


async def end_session(request: web.Request) -> web.StreamResponse:
    """End one session of one's own."""
    await context_of(request).access.end_own(await account_of(request), request.match_info["session"])
    raise web.HTTPSeeOther(f"{HERE}?done=ended#sessions")


ROUTES = (
    Route("GET", HERE, show, Permission.SELF, "One's own account and its sessions."),
    Route("POST", HERE, set_look, Permission.SELF, "Set language and theme of one's account."),
    Route("POST", f"{HERE}/password", set_password, Permission.SELF, "Change one's own password."),
    Route("POST", f"{HERE}/sessions/end", end_others, Permission.SELF, "End every other session of one's own."),
    Route("POST", f"{HERE}/sessions/{{session}}/end", end_session, Permission.SELF, "End one session of one's own."),
)
