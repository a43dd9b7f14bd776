"""REST for what is known beside the records: states, evidence, numbers and charts of hosts, checks and services.

Each answers what the page of the same name shows, by the same handler.
"""

from __future__ import annotations

from typing import Any

import msgspec
from aiohttp import web

from collector.domain.errors import NotFound
from collector.edges.http import answers, checks, hosts, overview, services
from collector.edges.http.body import read_json
from collector.edges.http.context import context_of
from collector.edges.http.routing import Page, Permission, Route
from collector.store import registers
from collector.store.database import Connection

API = "/api/v1"
STATUS = f"{API}/status"


class NewFromProposal(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str  # of the proposal


async def show_check(request: web.Request) -> Page:
    """What a check finds now, and found over a span."""
    key, asked = request.match_info["key"], checks.asked_span(request)

    def read(connection: Connection) -> dict[str, Any] | None:
        return checks.watched(connection, registers.by_key(connection, "check", key), asked)

    found = await context_of(request).db.read(read)
    if found is None:
        raise NotFound("This check is retired: nothing looks any more.", hint="Its record and history are kept.")
    return Page("", found)


async def adopt(request: web.Request) -> Page:
    """Make a check of what an agent proposes."""
    made = await hosts.adopt(request, (await read_json(request, NewFromProposal)).name)
    return Page("", {"key": made}, status=201)


ROUTES = (
    Route("GET", STATUS, overview.show, Permission.VIEW, "What is wrong now", answer=answers.Overview),
    Route("GET", f"{STATUS}/hosts", hosts.show_all, Permission.VIEW, "Hosts, their numbers", answer=answers.Hosts),
    Route("GET", f"{STATUS}/hosts/{{key}}", hosts.show, Permission.VIEW, "One host", answer=answers.HostStatus),
    Route(
        "GET",
        f"{STATUS}/hosts/{{key}}/charts",
        hosts.chart_data,
        Permission.VIEW,
        "Every chart of one host",
        answer=answers.Charts,
    ),
    Route(
        "GET",
        f"{STATUS}/services",
        services.show_all,
        Permission.VIEW,
        "Services with their month so far",
        answer=answers.Services,
    ),
    Route(
        "GET",
        f"{STATUS}/services/{{key}}",
        services.show,
        Permission.VIEW,
        "One service: timeline, verdict and evidence",
        answer=answers.ServiceStatus,
    ),
    Route("GET", f"{STATUS}/checks/{{key}}", show_check, Permission.VIEW, "One check", answer=answers.CheckStatus),
    Route(
        "GET",
        f"{STATUS}/checks/{{key}}/latency",
        checks.latency,
        Permission.VIEW,
        "How long the attempts of a check took",
        answer=answers.ChartDrawn,
    ),
    Route(
        "POST",
        f"{API}/host/{{key}}/proposals",
        adopt,
        Permission.OPERATE,
        "Make a check of a proposal",
        NewFromProposal,
        201,
        answers.Key,
    ),
)
