"""What is known of a check beside its record: its state, the reason, the past as a strip, and how long answers took.

The record itself, its form and its history are `registers`'.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from typing import Any

from aiohttp import web

from collector.domain.interval import Span
from collector.domain.registers.check import CENTRAL
from collector.domain.series import LOOKBACK_MS, Matcher
from collector.domain.status import timeline
from collector.edges.http.charts import LINES_MOST, rounded
from collector.edges.http.context import Context, context_of
from collector.edges.http.grid import Beats, grid
from collector.edges.http.hosts import POINTS, RANGES, span_of
from collector.edges.http.render import json_bytes
from collector.edges.http.routing import Permission, Route
from collector.edges.http.services import strip_of
from collector.store import board, registers, status
from collector.store.database import Connection

DURATION = "probe_duration_seconds"
DEFAULT_RANGE = "24h"
LOCAL = frozenset({"process", "systemd", "file"})
"""Kinds that look into the host, where how long a look took says nothing."""
TRANSITIONS_SHOWN = 20


def states(connection: Connection, ids: Collection[int]) -> Mapping[str, str]:
    """Key → state of some checks; the retired ones have none."""
    return {line.key: line.state for line in board.check_lines(connection, ids=ids)}


def asked_span(request: web.Request) -> tuple[str, Span]:
    """The span that a check's page is about: a day unless the address says otherwise."""
    now_ms = context_of(request).clock()
    if not request.query.keys() & {"range", "since"}:
        return DEFAULT_RANGE, Span(now_ms - RANGES[DEFAULT_RANGE], now_ms)
    return span_of(request, now_ms)


def watched(connection: Connection, record: Any, asked: tuple[str, Span]) -> dict[str, Any] | None:
    """What a check found over a span and finds now; None for one that is retired, which nobody looks at."""
    lines = board.check_lines(connection, ids=[record.id])
    if not lines:
        return None
    name, span = asked
    runs = status.runs(connection, [record.id], span)
    changes = status.transitions(connection, subject="check", subject_id=record.id, limit=TRANSITIONS_SHOWN)
    return {
        "state": lines[0].state,
        "since_ms": lines[0].since_ms,
        "reason": lines[0].reason,
        "range": name,
        "ranges": RANGES,
        "span": {"since_ms": span.since_ms, "until_ms": span.until_ms},
        "strip": strip_of(timeline(runs[record.id], span), record.created_ms),
        "transitions": [
            {"at_ms": one.at_ms, "before": one.before.word, "after": one.after.word, "reason": one.reason}
            for one in changes
        ],
    }


async def latency(request: web.Request) -> web.Response:
    """How long the attempts of a check took, over a span of time."""
    context, key = context_of(request), request.match_info["key"]
    _, span = asked_span(request)
    check = await context.db.read(lambda connection: registers.by_key(connection, "check", key))
    body = await asyncio.to_thread(_drawn, context, check, span)
    return web.Response(body=body, content_type="application/json")


def _drawn(context: Context, check: Any, span: Span) -> bytes:
    times = grid(span.since_ms, span.until_ms, POINTS)
    # An agent calls a check by its name in its own file; those from here it knows by key.
    called = check.key if check.origin == CENTRAL else check.name
    matchers = (Matcher("check", "=", called), Matcher("kind", "=", check.kind))
    since_ms = int(times[0]) - LOOKBACK_MS
    found = context.series.select(matchers, since_ms, span.until_ms + 1, names=(DURATION,), host_ids=[check.host])
    # More than one where what it looks at was changed.
    lines = [
        {"label": one.labels.get("target", check.name), "values": rounded(Beats(one.times, times).levels(one.values))}
        for one in found[:LINES_MOST]
    ]
    return json_bytes({"times": times, "series": lines, "since_ms": span.since_ms, "until_ms": span.until_ms})


ROUTES = (Route("GET", "/checks/{key}/latency", latency, Permission.VIEW, "How long the attempts of a check took."),)
