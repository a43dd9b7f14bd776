"""Alerts: what fires now, what fired before, and one alert with its events and deliveries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aiohttp import web

from collector.domain.alert import SEVERITIES, AlertState
from collector.domain.errors import InvalidInput, NotFound
from collector.domain.message import Message
from collector.edges.http import deliveries
from collector.edges.http.audience import audience
from collector.edges.http.context import context_of, viewer_of
from collector.edges.http.listing import page_of
from collector.edges.http.routing import Page, Permission, Route
from collector.flows import on_call
from collector.store import alerts, board, outbox, registers
from collector.store.alerts import Kept

PAGE_ROWS = 50
CHOICES = {"severity": SEVERITIES[::-1], "state": (AlertState.FIRING.value, AlertState.RESOLVED.value)}
"""What the history can be narrowed by, and to what."""


async def show_active(request: web.Request) -> Page:
    """Alerts that fire now, and those that may soon."""

    def read(connection: Any) -> dict[str, Any]:
        firing = alerts.active(connection)
        pending = [one for one in alerts.load_open(connection) if one.alert.state == "pending"]
        given_up = outbox.given_up(connection)
        keys = registers.keys_of(connection, "channel", given_up)
        return {
            "alerts": [shown(one) for one in firing],
            "pending": _waiting(connection, pending),
            "undelivered": [{"channel": keys.get(one, ""), "count": count} for one, count in given_up.items()],
            **audience(connection),
        }

    return Page("alerts.html", {"view": "active", **await context_of(request).db.read(read)})


def _waiting(connection: Any, pending: Sequence[Kept]) -> list[dict[str, Any]]:
    """Alerts that do not fire yet, each with the moment at which it does if nothing changes."""
    keys = {one.labels.get("alertname", "") for one in pending}
    lasts_ms = {rule.key: round(rule.for_seconds * 1000) for rule in registers.some_of(connection, "rule", "key", keys)}
    return [
        shown(one) | {"due_ms": one.alert.pending_ms + lasts_ms.get(one.labels.get("alertname", ""), 0)}
        for one in pending
    ]


async def show_history(request: web.Request) -> Page:
    """Alerts that fired, the newest first, narrowed as the address says."""
    found = await history(request)
    chosen = {"search": request.query.get("q", ""), **{name: request.query.get(name, "") for name in CHOICES}}
    more = {"pending": [], "undelivered": [], "channels": 1, "switched_off": [], "chosen": chosen, "choices": CHOICES}
    return Page("alerts.html", {"view": "history", **found, **more})


async def history(request: web.Request) -> dict[str, Any]:
    """One page of the alerts that fired and match the address."""
    page, query = page_of(request.query), request.query
    for name, known in CHOICES.items():
        if query.get(name, "") not in ("", *known):
            raise InvalidInput(
                "There is no such choice.", fields={name: Message("One of {known}.", known=", ".join(known))}
            )

    def read(connection: Any) -> list[Kept]:
        return alerts.history(
            connection,
            text=query.get("q", ""),
            severity=query.get("severity") or None,
            state=query.get("state") or None,
            offset=(page - 1) * PAGE_ROWS,
            limit=PAGE_ROWS + 1,
        )

    found = await context_of(request).db.read(read)
    return {"alerts": [shown(one) for one in found[:PAGE_ROWS]], "page": page, "has_more": len(found) > PAGE_ROWS}


def shown(one: Kept) -> dict[str, Any]:
    """An alert as pages and JSON have it."""
    return {
        "id": one.id,
        "state": one.alert.state.value,
        "severity": one.severity,
        "rule": one.labels.get("alertname", ""),
        "host": one.labels.get("instance", ""),
        "labels": one.labels,
        "annotations": one.annotations,
        "value": one.alert.value,
        "pending_ms": one.alert.pending_ms,
        "fired_ms": one.alert.fired_ms,
        "resolved_ms": one.alert.resolved_ms,
        "acknowledged_ms": one.acknowledged_ms,
        "acknowledged_by": one.acknowledged_by,
    }


async def show(request: web.Request) -> Page:
    """One alert: what it says, what to do, what happened, and who was told."""
    alert_id = _id(request)

    def read(connection: Any) -> dict[str, Any]:
        found = alerts.get(connection, alert_id)
        if found is None:
            raise NotFound("There is no such alert.", hint="The history lists every alert that fired.")
        messages = deliveries.shown(connection, outbox.messages(connection, alert_id=alert_id))
        events = alerts.events(connection, alert_id)
        return {"alert": shown(found), "about": _about(connection, found), "events": events, "messages": messages}

    return Page("alert.html", await context_of(request).db.read(read))


def _about(connection: Any, one: Kept) -> dict[str, Any]:
    """The check that an alert is about, if any, and the services that rest on it."""
    check_id = one.subject_id if one.subject == "check" else None
    if check_id is None and (called := one.labels.get("check")):
        record = registers.find(connection, "check", called)
        check_id = record.id if record is not None and record.host == one.host_id else None
    if check_id is None:
        return {"check": None, "services": []}
    lines = board.check_lines(connection, ids=[check_id])
    services = [line for line in board.service_lines(connection) if check_id in line.members]
    return {"check": lines[0] if lines else None, "services": services}


def _id(request: web.Request) -> int:
    return int(request.match_info["id"])


async def acknowledge(request: web.Request) -> web.StreamResponse:
    """Say that somebody takes care of it."""
    context, alert_id, who = context_of(request), _id(request), viewer_of(request).name
    await on_call.take(context.db, alert_id, who=who, now_ms=context.clock())
    if context.live is not None:
        context.live.publish()
    raise web.HTTPSeeOther(f"/alerts/{alert_id}")


async def try_again(request: web.Request) -> web.StreamResponse:
    """Send a message again that was given up."""
    await deliveries.revive(context_of(request), await _message(request))
    raise web.HTTPSeeOther(f"/alerts/{_id(request)}?done=again")


async def let_be(request: web.Request) -> web.StreamResponse:
    """Let a message be that was given up."""
    await deliveries.dismiss(request, await _message(request))
    raise web.HTTPSeeOther(f"/alerts/{_id(request)}")


async def _message(request: web.Request) -> int:
    """The id of the message in the address, which is the alert's."""
    alert_id, message_id = _id(request), int(request.match_info["message"])
    known = await context_of(request).db.read(lambda connection: outbox.messages(connection, alert_id=alert_id))
    if message_id not in {one.id for one in known}:
        raise NotFound("This alert has no such message.", hint="Load its page again.")
    return message_id


ROUTES = (
    Route("GET", "/alerts", show_active, Permission.VIEW, "Alerts that fire now."),
    Route("GET", "/alerts/history", show_history, Permission.VIEW, "Alerts that fired, the newest first."),
    Route("GET", r"/alerts/{id:\d{1,18}}", show, Permission.VIEW, "One alert with its events and deliveries."),
    Route("POST", r"/alerts/{id:\d{1,18}}/acknowledge", acknowledge, Permission.OPERATE, "Take care of an alert."),
    Route(
        "POST",
        r"/alerts/{id:\d{1,18}}/messages/{message:\d{1,18}}/again",
        try_again,
        Permission.OPERATE,
        "Send a given-up message again.",
    ),
    Route(
        "POST",
        r"/alerts/{id:\d{1,18}}/messages/{message:\d{1,18}}/dismiss",
        let_be,
        Permission.OPERATE,
        "Let a given-up message be.",
    ),
)
