"""Event streams: new points of a host's charts as they arrive, and the word that something changed.

Server-sent events over one long answer; the browser reconnects by itself. Who may is asked again from time to time.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from aiohttp import web

from collector.domain.errors import Conflict
from collector.edges.http import charts
from collector.edges.http.context import Context, context_of
from collector.edges.http.render import json_bytes
from collector.edges.http.routing import Permission, Route
from collector.flows.live import Beat, Live, Subscription
from collector.store import registers

log = logging.getLogger(__name__)

ASK_SECONDS = 5.0
"""How soon a stream ends after its session or its account did."""
QUIET_SECONDS = 15.0
"""Without anything to say, a comment goes out this often: proxies keep the connection, and a dead one is noticed."""
REFRESH_SECONDS = 10.0
"""Pages that show numbers of many hosts are told this often to look again."""
RETRY_MS = 3000


async def host(request: web.Request) -> web.StreamResponse:
    """The newest point of every chart of one host, at every beat."""
    context, key = context_of(request), request.match_info["key"]
    live = _live(context)
    record = await context.db.read(lambda connection: registers.by_key(connection, "host", key))
    with live.beats(record.id) as subscription:
        return await _stream(request, subscription, QUIET_SECONDS, on_beat=_tick)


async def changes(request: web.Request) -> web.StreamResponse:
    """The event `changed` when states, alerts, agents or records changed; with `every=beat` every few seconds."""
    live = _live(context_of(request))
    refresh = request.query.get("every") == "beat"
    with live.changes() as subscription:
        return await _stream(request, subscription, REFRESH_SECONDS if refresh else QUIET_SECONDS, refresh=refresh)


def _live(context: Context) -> Live:
    if context.live is None:
        raise Conflict("Nothing arrives here at present.", hint="Reload the page later.")
    live: Live = context.live
    return live


async def _stream(
    request: web.Request,
    subscription: Subscription,
    quiet_seconds: float,
    *,
    refresh: bool = False,
    on_beat: Any = None,
) -> web.StreamResponse:
    context = context_of(request)
    headers = {"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    response = web.StreamResponse(headers=headers)
    await response.prepare(request)
    now = asyncio.get_running_loop().time
    said = asked = now()
    try:
        await response.write(f"retry: {RETRY_MS}\n\n".encode())
        while not subscription.ended and request.transport is not None and not request.transport.is_closing():
            try:
                beat = await subscription.next(ASK_SECONDS)
                if subscription.ended:
                    break
                text = on_beat(context, beat) if on_beat and beat else CHANGED
            except TimeoutError:
                quiet = CHANGED if refresh else COMMENT
                text = quiet if now() - said >= quiet_seconds else b""
            # Whoever is shut out hears nothing more, on a busy stream too.
            if now() - asked >= ASK_SECONDS:
                if not (await context.authenticate(request)).may(Permission.VIEW):
                    break
                asked = now()
            if text:
                await response.write(text)
                said = now()
    except ConnectionResetError:
        log.debug("stream closed path=%s", request.path)
    return response


CHANGED = b"event: changed\ndata: {}\n\n"
COMMENT = b": quiet\n\n"


def _tick(context: Context, beat: Beat) -> bytes:
    layout = context.series.layouts.get(beat.layout_id)
    if layout is None or not beat.before_ms:
        return b""
    frame = charts.beat(layout, (beat.before_ms, beat.wall_ms), beat.before, beat.values)
    body = json_bytes({"time": beat.wall_ms, "charts": charts.newest(frame)})
    return b"event: tick\ndata: " + body + b"\n\n"


ROUTES = (
    Route("GET", "/live/hosts/{key}", host, Permission.VIEW, "Stream of new chart points of one host."),
    Route("GET", "/live/changes", changes, Permission.VIEW, "Stream that says when pages should look again."),
)
