"""Alerts: what fires now, what fired before, and one alert with its events and deliveries."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from collector.domain.errors import Conflict, NotFound
from collector.edges.http.context import Context, context_of, viewer_of
from collector.edges.http.form import is_count
from collector.edges.http.routing import Page, Permission, Route
from collector.flows import on_call
from collector.store import alerts, outbox, registers
from collector.store.alerts import Kept

PAGE_ROWS = 50


async def show_active(request: web.Request) -> Page:
    """Alerts that fire now, and those that may soon."""

    def read(connection: Any) -> dict[str, Any]:
        firing = alerts.active(connection)
        pending = [one for one in alerts.load_open(connection) if one.alert.state == "pending"]
        backlog = outbox.backlog(connection)
        return {
            "alerts": [shown(one) for one in firing],
            "pending": [shown(one) for one in pending],
            "undelivered": backlog.dead,
            "channels": len(registers.all_of(connection, "channel")),
        }

    return Page("alerts.html", {"view": "active", **await context_of(request).db.read(read)})


async def show_history(request: web.Request) -> Page:
    """Alerts that fired, the newest first."""
    text = request.query.get("page", "1")
    page = max(1, int(text)) if is_count(text) else 1

    def read(connection: Any) -> list[Kept]:
        return alerts.history(connection, offset=(page - 1) * PAGE_ROWS, limit=PAGE_ROWS + 1)

    found = await context_of(request).db.read(read)
    return Page(
        "alerts.html",
        {
            "view": "history",
            "alerts": [shown(one) for one in found[:PAGE_ROWS]],
            "page": page,
            "has_more": len(found) > PAGE_ROWS,
            "pending": [],
            "undelivered": 0,
            "channels": 1,
        },
    )


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
        names = dict(
            registers.keys_of(connection, "channel", {one.id for one in registers.all_of(connection, "channel")})
        )
        messages = [
            {
                "id": one.id,
                "channel": names.get(one.channel_id, ""),
                "event": one.event,
                "state": one.state,
                "created_ms": one.created_ms,
                "delivered_ms": one.delivered_ms,
                "due_ms": one.due_ms,
                "last_error": one.last_error,
                "attempts": outbox.attempts(connection, one.id),
            }
            for one in outbox.messages(connection, alert_id=alert_id)
        ]
        return {"alert": shown(found), "events": alerts.events(connection, alert_id), "messages": messages}

    return Page("alert.html", await context_of(request).db.read(read))


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
    context, alert_id, message_id = context_of(request), _id(request), int(request.match_info["message"])
    known = await context.db.read(lambda connection: outbox.messages(connection, alert_id=alert_id))
    if message_id not in {one.id for one in known}:
        raise NotFound("This alert has no such message.", hint="Load its page again.")
    await revive(context, message_id)
    raise web.HTTPSeeOther(f"/alerts/{alert_id}?done=again")


async def revive(context: Context, message_id: int) -> None:
    """Put a given-up message back in the queue.

    Raises:
        NotFound: There is no such message.
        Conflict: It is on its way or was delivered, or this collector delivers nothing.
    """
    if await context.db.read(lambda connection: outbox.get(connection, message_id)) is None:
        raise NotFound("There is no such message.")
    if context.deliverer is None:
        raise Conflict("Nothing is delivered at present.", hint="Start the collector with its deliverer.")
    if not await context.deliverer.revive(message_id):
        raise Conflict("This message was not given up.", hint="Load the alert's page again.")


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
)
