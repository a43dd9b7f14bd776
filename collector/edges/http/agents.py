"""Agents: who sends, how they are, the command that brings the next host in, and showing one out."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import asdict
from types import MappingProxyType
from typing import Any

from aiohttp import web

from collector.domain.errors import Conflict, NotFound
from collector.domain.series import Matcher
from collector.edges.http.context import Context, context_of, viewer_of
from collector.edges.http.form import fields_of
from collector.edges.http.listing import PAGE_ROWS, page_of, rows_of
from collector.edges.http.routing import Page, Permission, Route
from collector.flows.checks import refused_of
from collector.store import agents, lanes, registers

EXPIRY_WARNING_MS = 14 * 86_400_000
SILENT_MS = 60_000
GAPS_SHOWN = 50
WAITING = "sigap_agent_spool_batches"
NOTHING_ASKED: Mapping[str, str] = MappingProxyType({})


async def show_all(request: web.Request) -> Page:
    """Agents, narrowed as the address says, and the tokens that were issued lately."""
    return await _page(context_of(request), request.query)


async def _page(context: Context, query: Mapping[str, str] = NOTHING_ASKED, **more: Any) -> Page:
    now_ms, page = context.clock(), page_of(query)

    def read(connection: Any) -> list[dict[str, Any]]:
        found = agents.list_agents(connection)
        keys = registers.keys_of(connection, "host", {one.host_id for one in found})
        return [{"agent": one, "host_key": keys.get(one.host_id, ""), **_health(one, now_ms)} for one in found]

    everything = await context.db.read(read)
    waiting = await asyncio.to_thread(_waiting, context)
    for row in everything:
        row["waiting_batches"] = waiting.get(row["host_key"])
    found = [row for row in everything if _matches(row, query)]
    tokens = await context.enroller.tokens() if context.enroller is not None else []
    return Page(
        "agents.html",
        {
            "agents": rows_of(found, page),
            "total": len(found),
            "all": len(everything),
            "page": page,
            "size": PAGE_ROWS,
            "search": query.get("q", ""),
            "state": query.get("state", ""),
            "tokens": [{**asdict(one), "is_open": one.used_ms is None and one.expires_ms > now_ms} for one in tokens],
            "can_enrol": context.enroller is not None,
            "issued": None,
            "wrong": {},
            **more,
        },
    )


def _waiting(context: Context) -> dict[str, int]:
    """By host, how many batches its agent holds that are not on disk here, as far as it has said so lately."""
    if context.series is None:
        return {}
    points = context.series.latest([Matcher("__name__", "=", WAITING)], max_age_ms=SILENT_MS)
    return {point.labels["instance"]: int(point.value) for point in points}


def _matches(row: dict[str, Any], query: Mapping[str, str]) -> bool:
    one = row["agent"]
    text = f"{row['host_key']} {one.host_name} {one.version} {one.id}".lower()
    if query.get("state") and row["state"] != query["state"]:
        return False
    return all(word in text for word in query.get("q", "").lower().split())


def told(one: agents.AgentRecord, now_ms: int) -> dict[str, Any]:
    """An agent as REST has it: with its state as people see it, and for how long it has been silent."""
    health = _health(one, now_ms)
    return {**asdict(one), "state": health["state"], "silent_ms": health["silent_ms"]}


def _health(one: agents.AgentRecord, now_ms: int) -> dict[str, Any]:
    until = one.certificate_until_ms
    silent_ms = max(0, now_ms - one.last_seen_ms) if one.last_seen_ms is not None else None
    state = "new" if silent_ms is None else "silent" if silent_ms > SILENT_MS else "connected"
    return {
        "state": "revoked" if one.status == agents.REVOKED else state,
        "silent_ms": silent_ms,
        "spool_ratio": one.spool_bytes / one.spool_limit_bytes if one.spool_limit_bytes else None,
        "certificate_ends_soon": until is not None and until - now_ms < EXPIRY_WARNING_MS,
    }


async def issue(request: web.Request) -> Page:
    """Make a token; its secret is in this answer and never again."""
    context = context_of(request)
    if context.enroller is None:
        raise Conflict("This collector takes no new agents.", hint="Start it with an enrolment address.")
    fields = await fields_of(request)
    issued = await context.enroller.issue(viewer_of(request).name, fields.get("host_name", "").strip())
    told = {"id": issued.id, "secret": issued.secret, "command": issued.command, "expires_ms": issued.expires_ms}
    told["hint"] = issued.hint
    return await _page(context, issued=told)


async def withdraw(request: web.Request) -> web.StreamResponse:
    """Let an unused token end now."""
    await context_of(request).enroller.withdraw(viewer_of(request).name, request.match_info["id"])
    raise web.HTTPSeeOther("/agents")


async def show(request: web.Request) -> Page:
    """One agent: what it said of itself and what it lost."""
    context, agent_id = context_of(request), request.match_info["id"]
    now_ms = context.clock()

    def read(connection: Any) -> dict[str, Any]:
        found = agents.find(connection, agent_id)
        if found is None:
            raise NotFound("There is no such agent.", hint="The list shows every agent that ever came in.")
        key = registers.keys_of(connection, "host", [found.host_id]).get(found.host_id, "")
        lost = lanes.gaps_of(connection, agent_id, limit=GAPS_SHOWN)
        refused = [{"name": name, "why": why} for name, why in refused_of(connection, found.host_id)]
        health = _health(found, now_ms)
        return {"agent": found, "host_key": key, **health, "lost": lost, "refused": refused, "wrong": {}}

    return Page("agent.html", await context.db.read(read))


async def revoke(request: web.Request) -> web.StreamResponse:
    """Show an agent out, with a reason."""
    context, agent_id = context_of(request), request.match_info["id"]
    fields = await fields_of(request)
    await context.enroller.revoke(viewer_of(request).name, agent_id, fields.get("why", ""))
    raise web.HTTPSeeOther(f"/agents/{agent_id}")


ROUTES = (
    Route("GET", "/agents", show_all, Permission.VIEW, "Every agent, and the tokens issued lately."),
    Route("POST", "/agents/tokens", issue, Permission.OPERATE, "Issue a one-time enrolment token."),
    Route("POST", "/agents/tokens/{id}/withdraw", withdraw, Permission.OPERATE, "End an unused token."),
    Route("GET", "/agents/{id}", show, Permission.VIEW, "One agent."),
    Route("POST", "/agents/{id}/revoke", revoke, Permission.ADMIN, "Revoke an agent's certificates."),
)
