"""Settings: one's own account, API tokens, people, channels with "send a test", and what the collector holds.

Rules are `flows.access`'s and `flows.deliver`'s; settings of the process itself are in its file and shown only.
"""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import web

from collector.domain.access import Account, Role, Scope
from collector.domain.errors import Conflict, InvalidInput, NotFound
from collector.domain.message import Message
from collector.edges.http.context import Context, context_of, viewer_of
from collector.edges.http.form import fields_of, is_count
from collector.edges.http.i18n import COOKIE, LANGUAGES
from collector.edges.http.preferences import YEAR_SECONDS
from collector.edges.http.routing import Page, Permission, Route
from collector.edges.http.security import over_tls
from collector.store import accounts, registers

DAYS_MOST = 3650


async def show(request: web.Request) -> Page:
    """Everything that can be set."""
    return await _page(request)


async def _page(request: web.Request, *, wrong: InvalidInput | None = None, where: str = "", **more: Any) -> Page:
    context, viewer = context_of(request), viewer_of(request)

    def read(connection: Any) -> dict[str, Any]:
        everybody = accounts.everybody(connection)
        names = {one.id: one.name for one in everybody}
        mine = next((one for one in everybody if one.id == viewer.account_id), None)
        return {
            "has_password": bool(mine and mine.password_hash),
            "people": [{"name": one.name, "role": one.role, "active": one.active} for one in everybody],
            "tokens": [
                {**one._asdict(), "owner": names.get(one.account_id, "")}
                for one in accounts.tokens(connection)
                if viewer.may(Permission.ADMIN) or one.account_id == viewer.account_id
            ],
            "channels": [
                {"key": one.key, "name": one.name, "kind": one.kind, "enabled": one.enabled}
                for one in registers.all_of(connection, "channel", "active")
            ],
        }

    data = await context.db.read(read)
    if not viewer.may(Permission.ADMIN):
        data["people"] = []
    statistics = await asyncio.to_thread(context.series.statistics) if context.series is not None else None
    fields = wrong.fields if wrong else {}
    return Page(
        "settings.html",
        {
            **data,
            "account": {"name": viewer.name, "role": viewer.role, "language": viewer.language},
            "statistics": statistics,
            "fields": fields,
            "where": where,
            "refused": wrong.message if wrong and not fields else "",
            "secret": "",
            "typed": {},
            "test": None,
            **more,
        },
        status=422 if wrong else 200,
    )


async def _account(request: web.Request) -> Account:
    viewer = viewer_of(request)
    account_id = viewer.account_id
    found = await context_of(request).db.read(
        lambda connection: accounts.by_id(connection, account_id) if account_id is not None else None
    )
    if found is None:
        raise Conflict("This is nobody's account.", hint="Sign in as a person.")
    return found


async def set_language(request: web.Request) -> web.StreamResponse:
    """Remember the language of the account, and use it in this browser."""
    language = (await fields_of(request)).get("language", "")
    if language not in LANGUAGES:
        raise InvalidInput(
            "There is no such language.", fields={"language": Message("One of {known}.", known=", ".join(LANGUAGES))}
        )
    account = await _account(request)
    await context_of(request).access.set_language(account.id, language)
    response = web.HTTPSeeOther("/settings?done=saved")
    response.set_cookie(COOKIE, language, max_age=YEAR_SECONDS, path="/", samesite="Lax", secure=over_tls(request))
    raise response


async def set_password(request: web.Request) -> Page:
    """Change one's own password; every session ends, this one too."""
    fields = await fields_of(request)
    try:
        if fields.get("new") != fields.get("repeated"):
            raise InvalidInput("The password was not changed.", fields={"repeated": "The two passwords differ."})
        account = await _account(request)
        await context_of(request).access.change_password(
            account, current=fields.get("current", ""), new=fields.get("new", "")
        )
    except InvalidInput as error:
        return await _page(request, wrong=error, where="password")
    raise web.HTTPSeeOther("/sign-in?done=password")


async def make_token(request: web.Request) -> Page:
    """Make an API token; its secret is in this answer and never again."""
    fields = await fields_of(request)
    try:
        days = fields.get("days", "")
        if days and not (is_count(days) and 0 < int(days) <= DAYS_MOST):
            raise InvalidInput(
                "The token was not made.", fields={"days": Message("From 1 to {count}, or empty.", count=DAYS_MOST)}
            )
        if fields.get("scope", "read") not in list(Scope):
            raise InvalidInput(
                "The token was not made.", fields={"scope": Message("One of {known}.", known=", ".join(Scope))}
            )
        made = await context_of(request).access.new_token(
            await _account(request),
            fields.get("name", ""),
            Scope(fields.get("scope", "read")),
            days=int(days) if days else None,
        )
    except InvalidInput as error:
        return await _page(request, wrong=error, where="token", typed=dict(fields))
    return await _page(request, secret=made.secret, where="token")


async def revoke_token(request: web.Request) -> web.StreamResponse:
    """Make a token of one's own invalid, or anybody's as an administrator."""
    context, viewer, token_id = context_of(request), viewer_of(request), request.match_info["id"]
    found = await context.db.read(lambda connection: accounts.find_token(connection, token_id))
    if found is not None and found[0].account_id != viewer.account_id and not viewer.may(Permission.ADMIN):
        # The same words as for none at all: whose token it is, is nobody else's business.
        raise NotFound("There is no such token, or it is revoked already.")
    await context.access.revoke_token(token_id)
    raise web.HTTPSeeOther("/settings?done=revoked#tokens")


async def add_person(request: web.Request) -> Page:
    """Add an account."""
    fields = await fields_of(request)
    try:
        if fields.get("role", "") not in list(Role):
            raise InvalidInput(
                "The account was not added.", fields={"role": Message("One of {known}.", known=", ".join(Role))}
            )
        await context_of(request).access.add_account(
            await _account(request),
            name=fields.get("name", ""),
            role=Role(fields["role"]),
            password=fields.get("password", ""),
        )
    except InvalidInput as error:
        return await _page(request, wrong=error, where="person", typed=dict(fields))
    raise web.HTTPSeeOther("/settings?done=added#people")


async def send_test(request: web.Request) -> Page:
    """Send a test message to a channel and say how that went."""
    context: Context = context_of(request)
    key = request.match_info["key"]
    if context.deliverer is None:
        raise Conflict("Nothing is delivered at present.", hint="Start the collector with its deliverer.")
    attempt = await context.deliverer.test(key)
    test = {"channel": key, "ok": attempt.ok, "status": attempt.status, "detail": attempt.detail}
    return await _page(request, test={**test, "took_ms": attempt.took_ms}, where="channels")


ROUTES = (
    Route("GET", "/settings", show, Permission.VIEW, "Account, tokens, people, channels and storage."),
    Route("POST", "/settings/language", set_language, Permission.SELF, "Set the language of one's account."),
    Route("POST", "/settings/password", set_password, Permission.SELF, "Change one's own password."),
    Route("POST", "/settings/tokens", make_token, Permission.SELF, "Make an API token."),
    Route("POST", "/settings/tokens/{id}/revoke", revoke_token, Permission.SELF, "Revoke an API token."),
    Route("POST", "/settings/people", add_person, Permission.ADMIN, "Add an account."),
    Route("POST", "/settings/channels/{key}/test", send_test, Permission.OPERATE, "Send a test to a channel."),
)
