"""Settings: channels with "send a test", what the collector holds, and API tokens.

Rules are `flows.access`'s and `flows.deliver`'s; settings of the process itself are in its file. One's own account and
those of others have pages of their own: `profile.py` and `accounts.py`.
"""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import web

from collector.domain.access import Scope
from collector.domain.errors import Conflict, InvalidInput, NotFound
from collector.domain.message import Message
from collector.edges.http.context import Context, context_of, viewer_of
from collector.edges.http.form import fields_of, is_count
from collector.edges.http.profile import account_of
from collector.edges.http.routing import Page, Permission, Route
from collector.store import accounts, registers

DAYS_MOST = 3650


async def show(request: web.Request) -> Page:
    """Everything that can be set."""
    return await _page(request)


async def _page(request: web.Request, *, wrong: InvalidInput | None = None, where: str = "", **more: Any) -> Page:
    context, viewer = context_of(request), viewer_of(request)

    def read(connection: Any) -> dict[str, Any]:
        owners = {one.id: one for one in accounts.everybody(connection)}
        return {
            "tokens": [
                {
                    **one._asdict(),
                    "owner": owners[one.account_id].name,
                    "is_owner_active": owners[one.account_id].active,
                }
                for one in accounts.tokens(connection)
                if viewer.may(Permission.ADMIN) or one.account_id == viewer.account_id
            ],
            "channels": [
                {"key": one.key, "name": one.name, "kind": one.kind, "enabled": one.enabled}
                for one in registers.all_of(connection, "channel", "active")
            ],
        }

    data = await context.db.read(read)
    statistics = await asyncio.to_thread(context.series.statistics) if context.series is not None else None
    fields = wrong.fields if wrong else {}
    return Page(
        "settings.html",
        {
            **data,
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
            await account_of(request),
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
    await context.access.revoke_token(token_id, by=viewer.name)
    raise web.HTTPSeeOther("/settings?done=revoked#tokens")


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
    Route("GET", "/settings", show, Permission.VIEW, "Channels, storage and API tokens."),
    Route("POST", "/settings/tokens", make_token, Permission.SELF, "Make an API token."),
    Route("POST", "/settings/tokens/{id}/revoke", revoke_token, Permission.SELF, "Revoke an API token."),
    Route("POST", "/settings/channels/{key}/test", send_test, Permission.OPERATE, "Send a test to a channel."),
)
