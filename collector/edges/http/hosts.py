"""Hosts: the list with its vital numbers, and one host with charts, processes, checks and facts."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

from aiohttp import web

from collector.domain.errors import InvalidInput, NotFound
from collector.domain.interval import Span, subtract, union
from collector.domain.message import Message, mark
from collector.domain.registers import REGISTERS
from collector.domain.registers.kinds import slugify
from collector.domain.sample import State
from collector.domain.series import LOOKBACK_MS
from collector.domain.status import timeline
from collector.edges.http import charts, observed
from collector.edges.http.context import Context, actor_of, context_of
from collector.edges.http.form import fields_of, is_count
from collector.edges.http.grid import STEP_LEAST_MS, grid
from collector.edges.http.listing import PAGE_ROWS, order_of, page_of, put_in_order, rows_of
from collector.edges.http.render import json_bytes
from collector.edges.http.routing import Page, Permission, Route
from collector.edges.http.services import strip_of
from collector.flows.checks import snippet
from collector.store import board, documents, registers, status
from collector.store.board import HostLine

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
RANGES = {"15m": 15 * MINUTE_MS, "1h": HOUR_MS, "6h": 6 * HOUR_MS, "24h": DAY_MS, "7d": 7 * DAY_MS, "30d": 30 * DAY_MS}
DEFAULT_RANGE = "1h"
NEW_RANGE = "15m"
POINTS = 360
POINTS_MOST = 2000
SPAN_MOST_MS = 3 * 366 * DAY_MS
LIVE_RANGES = ("15m", "1h", "6h")
MARKED = (State.DOWN, State.DEGRADED)
MARKS_MOST = 100
PROCESSES_SHOWN = 15
EQUAL = ("state", "site", "environment")
FILTERS = (*EQUAL, "checks")

_SORTS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "state": lambda row: row["host"].gravity,
    "name": lambda row: row["host"].name.lower(),
    "site": lambda row: (row["host"].site, row["host"].key),
    "cpu": lambda row: _vital(row, 1),
    "memory": lambda row: _vital(row, 2),
    "filesystem": lambda row: _vital(row, 4),
    "load": lambda row: _vital(row, 5),
    "seen": lambda row: (row["host"].agent.last_seen_ms or 0) if row["host"].agent else 0,
}


def _vital(row: dict[str, Any], position: int) -> float:
    value = row["vitals"][position] if row["vitals"] else None
    return -1.0 if value is None else value


async def show_all(request: web.Request) -> Page:
    """The list, narrowed and ordered as the address says."""
    context, query = context_of(request), request.query
    sort = order_of(query, _SORTS, usual="state", rows=REGISTERS["host"].titles)
    page = page_of(query)
    everything = await context.db.read(board.host_lines)
    found = [line for line in everything if _matches(line, query)]
    vitals = context.live.vitals_of([line.id for line in found]) if context.live else {}
    rows: list[dict[str, Any]] = [{"host": line, "vitals": vitals.get(line.id)} for line in found]
    put_in_order(rows, sort, _SORTS)
    shown = rows_of(rows, page)
    for row in shown:
        row["cpu"] = context.live.last_hour.busy(row["host"].id) if context.live else []
    return Page(
        "hosts.html",
        {
            "hosts": shown,
            "total": len(found),
            "all": len(everything),
            "counts": Counter(line.state for line in everything),
            "check_states": board.WORST_FIRST,
            "page": page,
            "size": PAGE_ROWS,
            "sort": sort,
            "search": query.get("q", ""),
            "sites": sorted({line.site for line in everything if line.site}),
            "environments": sorted({line.environment for line in everything if line.environment}),
            "chosen": {name: query.get(name, "") for name in FILTERS},
        },
    )


def _matches(line: HostLine, query: Any) -> bool:
    text = f"{line.key} {line.name} {line.owner} {line.description} {' '.join(line.labels.values())}".lower()
    words = all(word in text for word in query.get("q", "").lower().split())
    checks = not query.get("checks") or line.checks.get(query["checks"], 0) > 0
    return words and checks and all(not query.get(one) or getattr(line, one) == query[one] for one in EQUAL)


async def show(request: web.Request) -> Page:
    """One host."""
    context, key = context_of(request), request.match_info["key"]
    now_ms = context.clock()
    name, span = span_of(request, now_ms)
    data = await context.db.read(lambda connection: _read(connection, key, span, now_ms))
    host_id, agent = data["host"].id, data["host"].agent
    if (
        not request.query.keys() & {"range", "since"}
        and agent
        and now_ms - agent.enrolled_ms < RANGES[DEFAULT_RANGE] / 2
    ):
        # An hour of a host that is minutes old would be an empty picture with a sliver at its edge.
        name, span = NEW_RANGE, Span(now_ms - RANGES[NEW_RANGE], now_ms)
    return Page(
        "host.html",
        {
            **data,
            "range": name,
            "ranges": RANGES,
            "span": {"since_ms": span.since_ms, "until_ms": span.until_ms},
            "is_live": name in LIVE_RANGES and context.live is not None,
            "vitals": context.live.vitals(host_id) if context.live else None,
            "fullest": _fullest(context, host_id),
            "charts": [
                {
                    "key": one.key,
                    "title": one.title,
                    "unit": one.unit,
                    "kind": one.kind,
                    "high": one.high,
                    "words": one.words,
                }
                for one in charts.CHARTS
            ],
        },
    )


def _fullest(context: Context, host_id: int) -> dict[str, Any] | None:
    found = context.live.fullest(host_id) if context.live else None
    return None if found is None else found._asdict()


def _read(connection: Any, key: str, span: Span, now_ms: int) -> dict[str, Any]:
    record = registers.by_key(connection, "host", key)
    checks = board.check_lines(connection, host_id=record.id)
    day = Span(now_ms - DAY_MS, now_ms)
    runs = status.runs(connection, [one.id for one in checks], day)
    line = board.host_line(connection, record, checks)
    processes = _document(connection, record.id, "processes")
    return {
        "host": line,
        "phase": record.state,
        "version": record.version,
        "checks": [{"check": one, "strip": strip_of(timeline(runs[one.id], day), one.created_ms)} for one in checks],
        "last_day": day,
        "marks": _marks(connection, [one.id for one in checks], span),
        "processes": processes,
        "process_rows": _process_rows(processes["body"]) if processes else [],
        "facts": _document(connection, record.id, "host"),
        "proposals": _proposals(connection, record, [one.key for one in checks]),
        "accepts_checks": line.agent is not None and line.agent.accepts_checks,
    }


def _process_rows(body: dict[str, Any]) -> list[dict[str, Any]]:
    """The busiest and the largest as one list, each process once."""
    once = {one["pid"]: one for one in [*body.get("by_cpu", []), *body.get("by_memory", [])]}
    return sorted(once.values(), key=lambda one: (-one["cpu_ratio"], -one["resident_bytes"]))[:PROCESSES_SHOWN]


def _proposals(connection: Any, record: Any, keys: list[str]) -> list[dict[str, Any]]:
    """What the agent found that could be checked; `known` where a check of that name exists."""
    found = _document(connection, record.id, "proposals")
    proposals = found["body"].get("proposals", []) if found else []
    return [
        {
            **one,
            "known": check_key(record.key, one["name"]) in keys,
            "snippet": snippet(one["name"], one["kind"], one["options"]),
        }
        for one in proposals
    ]


def check_key(host_key: str, name: str) -> str:
    """The key that a proposal of a host has as a check."""
    return slugify(f"{host_key}.{name}")


def _marks(connection: Any, checks: list[int], span: Span) -> list[dict[str, Any]]:
    """When at least one check of the host was down, and when one was degraded and none down, for the charts to show."""
    found = [run for runs in status.runs(connection, checks, span).values() for run in runs]
    down, degraded = (union(run.span for run in found if run.state is state) for state in MARKED)
    marks = [(down, State.DOWN), (subtract(degraded, down), State.DEGRADED)]
    return [
        {"since": one.since_ms, "until": one.until_ms, "state": state.word}
        for spans, state in marks
        for one in spans[-MARKS_MOST:]
    ]


def _document(connection: Any, host_id: int, kind: str) -> dict[str, Any] | None:
    found = documents.latest(connection, host_id, kind)
    if found is None:
        return None
    body = observed.read(kind, found.body)
    return None if body is None else {"wall_ms": found.wall_ms, "body": body}


def span_of(request: web.Request, now_ms: int) -> tuple[str, Span]:
    """The time that a page or a chart is about: a named range up to now, or `since` and `until` in milliseconds.

    Raises:
        InvalidInput: Neither, or backwards, or longer than anything is kept.
    """
    query = request.query
    if "since" not in query:
        name = query.get("range", DEFAULT_RANGE)
        if name not in RANGES:
            raise InvalidInput(
                "There is no such range.", fields={"range": Message("One of {known}.", known=", ".join(RANGES))}
            )
        return name, Span(now_ms - RANGES[name], now_ms)
    since, until = query.get("since", ""), query.get("until", str(now_ms))
    if not (is_count(since) and is_count(until) and 0 < int(until) - int(since) <= SPAN_MOST_MS):
        message = mark("Unix milliseconds, since before until, at most three years apart.")
        raise InvalidInput("That is no span of time.", fields={"since": message})
    return "", Span(int(since), int(until))


async def chart_data(request: web.Request) -> web.Response:
    """Every chart of one host over a span."""
    context, key = context_of(request), request.match_info["key"]
    _, span = span_of(request, context.clock())
    points = request.query.get("points", str(POINTS))
    if not is_count(points) or not 2 <= int(points) <= POINTS_MOST:
        raise InvalidInput(
            "That many points cannot be drawn.", fields={"points": Message("From 2 to {count}.", count=POINTS_MOST)}
        )
    host = await context.db.read(lambda connection: registers.by_key(connection, "host", key))
    drawn = await asyncio.to_thread(_draw, context, host.id, span, int(points))
    return web.Response(body=drawn, content_type="application/json")


def _draw(context: Context, host_id: int, span: Span, points: int) -> bytes:
    times = grid(span.since_ms, span.until_ms, points)
    step = int(times[1] - times[0]) if times.size > 1 else STEP_LEAST_MS
    since_ms = int(times[0]) - max(step, LOOKBACK_MS)
    # One question for all of them: the blocks of a month are opened for each question anew.
    found = context.series.select((), since_ms, span.until_ms + 1, names=charts.NAMES, host_ids=[host_id])
    drawn = charts.draw(charts.history(found, times), since_ms=span.since_ms, until_ms=span.until_ms)
    return json_bytes({"charts": drawn})


async def accept(request: web.Request) -> web.StreamResponse:
    """Make a check of one of the host's proposals."""
    await adopt(request, (await fields_of(request)).get("name", ""))
    raise web.HTTPSeeOther(f"/hosts/{request.match_info['key']}#checks")


async def adopt(request: web.Request, name: str) -> str:
    """Make a check of the proposal of that name; returns the check's key.

    Raises:
        NotFound: No such host, or it proposes no such check.
        Conflict: There is one already.
        InvalidInput: It is of a kind that belongs in the agent's own file.
    """
    context, key = context_of(request), request.match_info["key"]

    def read(connection: Any) -> dict[str, Any] | None:
        record = registers.by_key(connection, "host", key)
        return next((one for one in _proposals(connection, record, []) if one["name"] == name), None)

    proposal = await context.db.read(read)
    if proposal is None:
        raise NotFound("The host does not propose such a check any more.", hint="Load its page again.")
    data = {
        "key": check_key(key, name),
        "name": f"{name} ({key})",
        "host": key,
        "kind": proposal["kind"],
        "options": proposal["options"],
    }
    made = await context.registrar.create(actor_of(request), "check", data, why=f"proposed: {proposal['why']}")
    return str(made.key)


ROUTES = (
    Route("GET", "/hosts", show_all, Permission.VIEW, "Hosts with their state and vital numbers."),
    Route("GET", "/hosts/{key}", show, Permission.VIEW, "One host: charts, processes, checks and facts."),
    Route("POST", "/hosts/{key}/proposals", accept, Permission.OPERATE, "Make a check of a proposal."),
    Route("GET", "/hosts/{key}/charts", chart_data, Permission.VIEW, "Every chart of one host over a span of time."),
)
