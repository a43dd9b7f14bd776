"""Notifications to channels: what became of each, sending again what was given up, or letting it be.

A channel's log holds test messages too. Sending is the flow's work.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aiohttp import web

from collector.domain.errors import Conflict, NotFound
from collector.edges.http.context import Context, context_of, viewer_of
from collector.edges.http.listing import page_of
from collector.edges.http.routing import Page, Permission, Route
from collector.flows import on_call
from collector.store import outbox, registers
from collector.store.database import Connection
from collector.store.outbox import Message

API = "/api/v1"
PAGE_ROWS = 50


def shown(connection: Connection, messages: Sequence[Message]) -> list[dict[str, Any]]:
    """Messages as pages and JSON have them, each with every attempt."""
    keys = registers.keys_of(connection, "channel", {one.channel_id for one in messages})
    return [
        {
            "id": one.id,
            "channel": keys.get(one.channel_id, ""),
            "alert_id": one.alert_id,
            "event": one.event,
            "summary": one.notification.annotations.get("summary", ""),
            "summary_id": one.notification.annotations.get("summary_id", ""),
            "state": one.state,
            "created_ms": one.created_ms,
            "delivered_ms": one.delivered_ms,
            "due_ms": one.due_ms,
            "last_error": one.last_error,
            "attempts": outbox.attempts(connection, one.id),
        }
        for one in messages
    ]


def log_of(connection: Connection, channel_id: int, *, page: int = 1, state: str | None = None) -> dict[str, Any]:
    """One page of what was sent to a channel, or is to be, newest first."""
    start = (page - 1) * PAGE_ROWS
    found = outbox.messages(connection, channel_id=channel_id, state=state, offset=start, limit=PAGE_ROWS + 1)
    return {"messages": shown(connection, found[:PAGE_ROWS]), "page": page, "has_more": len(found) > PAGE_ROWS}


async def show_log(request: web.Request) -> Page:
    """What was sent to a channel."""
    key, page, state = request.match_info["key"], page_of(request.query), request.query.get("state") or None

    def read(connection: Connection) -> dict[str, Any]:
        channel = registers.by_key(connection, "channel", key)
        return log_of(connection, channel.id, page=page, state=state)

    return Page("", await context_of(request).db.read(read))


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


async def dismiss(request: web.Request, message_id: int) -> None:
    """Let a given-up message be."""
    context = context_of(request)
    await on_call.dismiss(context.db, message_id, who=viewer_of(request).name, now_ms=context.clock())
    if context.live is not None:
        context.live.publish()


async def _of_channel(request: web.Request) -> int:
    """The id of the message in the address, which is the channel's."""
    key, message_id = request.match_info["key"], int(request.match_info["message"])

    def read(connection: Connection) -> bool:
        channel, message = registers.by_key(connection, "channel", key), outbox.get(connection, message_id)
        return message is not None and message.channel_id == channel.id

    if not await context_of(request).db.read(read):
        raise NotFound("This channel has no such message.", hint="Load its page again.")
    return message_id


async def send_again(request: web.Request) -> web.StreamResponse:
    """Send a message of a channel again that was given up."""
    await revive(context_of(request), await _of_channel(request))
    raise web.HTTPSeeOther(f"/registers/channel/{request.match_info['key']}?done=again#deliveries")


async def let_be(request: web.Request) -> web.StreamResponse:
    """Let a message of a channel be that was given up."""
    await dismiss(request, await _of_channel(request))
    raise web.HTTPSeeOther(f"/registers/channel/{request.match_info['key']}#deliveries")


async def send_again_by_api(request: web.Request) -> Page:
    """Send a message again that was given up."""
    await revive(context_of(request), int(request.match_info["id"]))
    return Page("", {})


async def let_be_by_api(request: web.Request) -> Page:
    """Let a message be that was given up."""
    await dismiss(request, int(request.match_info["id"]))
    return Page("", {})


_ONE = r"/channels/{key}/messages/{message:\d{1,18}}"
ROUTES = (
    Route("POST", f"{_ONE}/again", send_again, Permission.OPERATE, "Send a given-up message again."),
    Route("POST", f"{_ONE}/dismiss", let_be, Permission.OPERATE, "Let a given-up message be."),
    Route(
        "POST", rf"{API}/messages/{{id:\d{{1,18}}}}/again", send_again_by_api, Permission.OPERATE, "Send it once more"
    ),
    Route("POST", rf"{API}/messages/{{id:\d{{1,18}}}}/dismiss", let_be_by_api, Permission.OPERATE, "Let a message be"),
)
