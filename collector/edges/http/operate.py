"""REST for what people do on pages other than the registers': agents, tokens, alerts, channels, sign-in links.

The command line uses exactly this, over the control socket of the collector on the same host.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from aiohttp import web
from msgspec import Meta

from collector.domain.access import Account, Role, Scope
from collector.domain.errors import Forbidden, NotFound
from collector.edges.http import answers
from collector.edges.http.agents import told
from collector.edges.http.alerts import history, shown
from collector.edges.http.alerts import show as show_alert
from collector.edges.http.body import read_json
from collector.edges.http.context import context_of, viewer_of
from collector.edges.http.deliveries import show_log
from collector.edges.http.i18n import choose
from collector.edges.http.routing import Page, Permission, Route
from collector.flows import on_call
from collector.languages import in_language
from collector.store import accounts, agents, alerts, registers
from collector.store.database import Connection

API = "/api/v1"
Text = Annotated[str, Meta(max_length=500)]


class _Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a request may carry; anything else is refused by name."""


class NewToken(_Body, frozen=True):
    name: Text
    scope: Scope = Scope.READ
    days: Annotated[int, Meta(ge=1, le=3_650)] | None = None
    account: Text = ""  # whose; empty: the caller's own


class SignInLink(_Body, frozen=True):
    name: Text


class NewEnrolmentToken(_Body, frozen=True):
    host_name: Text = ""


class Reason(_Body, frozen=True):
    why: Text = ""


def _made(data: Any, status: int = 201) -> Page:
    return Page("", data, status=status)


async def list_agents(request: web.Request) -> Page:
    """Every agent that ever enrolled; `?host=web-1` of one host."""
    context, key = context_of(request), request.query.get("host", "")
    now_ms = context.clock()

    def read(connection: Connection) -> list[dict[str, Any]]:
        host_id = registers.by_key(connection, "host", key).id if key else None
        found = agents.list_agents(connection, host_id=host_id)
        keys = registers.keys_of(connection, "host", {one.host_id for one in found})
        return [{"host": keys.get(one.host_id, ""), **told(one, now_ms)} for one in found]

    return _made({"agents": await context.db.read(read)}, 200)


async def revoke_agent(request: web.Request) -> Page:
    """Revoke an agent's certificates; it is cut off within seconds."""
    why = (await read_json(request, Reason)).why
    await context_of(request).enroller.revoke(viewer_of(request).name, request.match_info["id"], why)
    return _made({}, 200)


async def issue_enrolment(request: web.Request) -> Page:
    """A one-time token for the next host; its secret is in this answer and never again."""
    wanted = await read_json(request, NewEnrolmentToken)
    issued = await context_of(request).enroller.issue(viewer_of(request).name, wanted.host_name)
    told = {"id": issued.id, "secret": issued.secret, "command": issued.command, "expires_ms": issued.expires_ms}
    return _made({**told, "hint": in_language(issued.hint, choose(request, viewer_of(request)))})


async def list_enrolment(request: web.Request) -> Page:
    """Enrolment tokens that were issued lately, without their secrets."""
    return _made({"tokens": await context_of(request).enroller.tokens()}, 200)


async def withdraw_enrolment(request: web.Request) -> Page:
    """End an unused enrolment token now."""
    await context_of(request).enroller.withdraw(viewer_of(request).name, request.match_info["id"])
    return _made({}, 200)


async def make_sign_in_link(request: web.Request) -> Page:
    """A one-time link that signs a person in, for the way back when a password is lost."""
    context, name = context_of(request), (await read_json(request, SignInLink)).name
    link = await context.access.sign_in_link(name, by=viewer_of(request).name)
    return _made({"link": f"{context.settings.url}/sign-in?link={link}"})


async def list_tokens(request: web.Request) -> Page:
    """Every API token, without its secret."""
    return _made({"tokens": [one._asdict() for one in await context_of(request).db.read(accounts.tokens)]}, 200)


async def make_token(request: web.Request) -> Page:
    """An API token; its secret is in this answer and never again."""
    context, viewer = context_of(request), viewer_of(request)
    if viewer.by_token and not viewer.may(Permission.ADMIN):
        # It would outlive the token that made it, and could be wider.
        raise Forbidden("Only a token of scope admin makes tokens.", hint="Sign in as a person.")
    wanted = await read_json(request, NewToken)
    if wanted.account and wanted.account != viewer.name and not viewer.may(Permission.ADMIN):
        raise Forbidden("Only an administrator makes tokens for others.", hint="Leave `account` out.")

    def owner(connection: Connection) -> Account | None:
        if wanted.account:
            return accounts.by_name(connection, wanted.account)
        if viewer.account_id is not None:
            return accounts.by_id(connection, viewer.account_id)
        # The control socket is nobody's account: the first administrator answers for what is made there.
        return next((one for one in accounts.everybody(connection) if one.active and one.role is Role.ADMIN), None)

    account = await context.db.read(owner)
    if account is None:
        raise NotFound("There is no such account.", hint="Set Sigap up first, or name an account that exists.")
    made = await context.access.new_token(account, wanted.name, wanted.scope, days=wanted.days, by=viewer.name)
    return _made({"id": made.id, "secret": made.secret})


async def revoke_token(request: web.Request) -> Page:
    """Make an API token invalid at once."""
    await context_of(request).access.revoke_token(request.match_info["id"], by=viewer_of(request).name)
    return _made({}, 200)


async def list_alerts(request: web.Request) -> Page:
    """Alerts that fire now, worst first."""
    found = await context_of(request).db.read(alerts.active)
    return _made({"alerts": [shown(one) for one in found]}, 200)


async def list_fired(request: web.Request) -> Page:
    """Alerts that fired, newest first, narrowed as asked."""
    return _made(await history(request), 200)


async def acknowledge_alert(request: web.Request) -> Page:
    """Say that somebody takes care of an alert."""
    context, alert_id = context_of(request), int(request.match_info["id"])
    await on_call.take(context.db, alert_id, who=viewer_of(request).name, now_ms=context.clock())
    context.live.publish()
    return _made({}, 200)


async def test_channel(request: web.Request) -> Page:
    """Send a test message to a channel and say how that went."""
    attempt = await context_of(request).deliverer.test(request.match_info["key"])
    return _made({"ok": attempt.ok, "status": attempt.status, "detail": attempt.detail}, 200)


ROUTES = (
    Route("GET", f"{API}/agents", list_agents, Permission.VIEW, "Agents"),
    Route(
        "POST", f"{API}/agents/{{id}}/revoke", revoke_agent, Permission.ADMIN, "Revoke an agent's certificates", Reason
    ),
    Route(
        "POST",
        f"{API}/enrolment-tokens",
        issue_enrolment,
        Permission.OPERATE,
        "Issue a one-time enrolment token",
        NewEnrolmentToken,
        201,
    ),
    Route(
        "GET",
        f"{API}/enrolment-tokens",
        list_enrolment,
        Permission.VIEW,
        "Enrolment tokens",
        answer=answers.EnrolmentTokens,
    ),
    Route("DELETE", f"{API}/enrolment-tokens/{{id}}", withdraw_enrolment, Permission.OPERATE, "End an unused token"),
    Route(
        "POST",
        f"{API}/sign-in-links",
        make_sign_in_link,
        Permission.ADMIN,
        "Make a one-time sign-in link",
        SignInLink,
        201,
    ),
    Route("GET", f"{API}/tokens", list_tokens, Permission.ADMIN, "API tokens"),
    Route("POST", f"{API}/tokens", make_token, Permission.VIEW, "Make an API token", NewToken, 201),
    Route("DELETE", f"{API}/tokens/{{id}}", revoke_token, Permission.ADMIN, "Revoke an API token"),
    Route("GET", f"{API}/alerts", list_alerts, Permission.VIEW, "Alerts that fire now", answer=answers.Alerts),
    Route(
        "GET",
        f"{API}/alerts/history",
        list_fired,
        Permission.VIEW,
        "Alerts that fired, newest first",
        answer=answers.AlertHistory,
    ),
    Route(
        "GET",
        rf"{API}/alerts/{{id:\d{{1,18}}}}",
        show_alert,
        Permission.VIEW,
        "One alert, what happened, and who was told",
        answer=answers.AlertWithHistory,
    ),
    Route(
        "POST",
        rf"{API}/alerts/{{id:\d{{1,18}}}}/acknowledge",
        acknowledge_alert,
        Permission.OPERATE,
        "Take care of an alert",
    ),
    Route("POST", f"{API}/channel/{{key}}/test", test_channel, Permission.OPERATE, "Send a test message"),
    Route(
        "GET",
        f"{API}/channel/{{key}}/messages",
        show_log,
        Permission.VIEW,
        "What was sent to a channel, newest first",
        answer=answers.Messages,
    ),
)
