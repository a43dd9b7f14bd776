"""`/api/v1/series`: raw or thinned samples of any series, as columns of times and values."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from aiohttp import web

from collector.domain import selector, series
from collector.domain.errors import InvalidInput, TooMuch
from collector.domain.interval import Span
from collector.domain.message import Message, mark
from collector.domain.series import LOOKBACK_MS, Matcher, SeriesData
from collector.edges.http.context import Context, context_of
from collector.edges.http.form import is_count
from collector.edges.http.hosts import POINTS, POINTS_MOST, span_of
from collector.edges.http.render import json_bytes
from collector.edges.http.routing import Permission, Route
from collector.store import registers

SERIES_MOST = 500


async def select(request: web.Request) -> web.Response:
    """Series that match a selector such as `node_load1{instance="web-1"}`, thinned to a number of points."""
    context, query = context_of(request), request.query
    matchers = selector.parse(query.get("match", ""))
    _, span = span_of(request, context.clock())
    points = query.get("points", str(POINTS))
    if not is_count(points) or not 2 <= int(points) <= POINTS_MOST:
        raise InvalidInput(
            "That many points cannot be given.", fields={"points": Message("From 2 to {count}.", count=POINTS_MOST)}
        )
    hosts = None
    if key := query.get("host"):
        hosts = [(await context.db.read(lambda connection: registers.by_key(connection, "host", key))).id]
    found = await asyncio.to_thread(
        _select, context, matchers, span, hosts=hosts, points=int(points), rate=query.get("rate") in ("1", "true")
    )
    return web.Response(body=json_bytes({"series": found}), content_type="application/json")


def _select(
    context: Context, matchers: Sequence[Matcher], span: Span, *, hosts: list[int] | None, points: int, rate: bool
) -> list[dict[str, Any]]:
    since = span.since_ms - LOOKBACK_MS if rate else span.since_ms
    found: list[SeriesData] = context.series.select(matchers, since, span.until_ms, host_ids=hosts)
    if len(found) > SERIES_MOST:
        hint = mark("Narrow the selector, for example by instance.")
        raise TooMuch(
            Message(
                "The selector matches {count} series; {most} are given at most.", count=len(found), most=SERIES_MOST
            ),
            hint=hint,
        )
    answer = []
    for one in found:
        times, values = series.rate(one.times, one.values) if rate else (one.times, one.values)
        inside = times >= span.since_ms
        times, values = series.downsample(times[inside], values[inside], points=points)
        answer.append({"labels": one.labels, "times": times, "values": values})
    return answer


ROUTES = (Route("GET", "/api/v1/series", select, Permission.VIEW, "Samples of series as columns of times and values."),)
