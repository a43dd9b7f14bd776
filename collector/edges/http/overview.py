"""The first page: what is wrong now, then services, hosts and what changed lately."""

from __future__ import annotations

from collections import Counter
from typing import Any

from aiohttp import web

from collector.domain.interval import Span
from collector.edges.http import alerts as alert_page
from collector.edges.http.audience import audience
from collector.edges.http.context import context_of
from collector.edges.http.routing import Page, Permission, Route
from collector.edges.http.services import strip_of
from collector.store import agents, alerts, board, sla, status

DAY_MS = 86_400_000
RECENT = 8
NAMELESS = ("", "", "")
HOSTS_SHOWN = 60
"""More are counted, and shown on their own page."""


async def show(request: web.Request) -> Page:
    """The overview."""
    now_ms = context_of(request).clock()
    return Page("overview.html", await context_of(request).db.read(lambda connection: _read(connection, now_ms)))


def _read(connection: Any, now_ms: int) -> dict[str, Any]:
    day = Span(now_ms - DAY_MS, now_ms)
    counts = board.check_counts(connection)
    bad = [one.id for one in board.trouble(connection) if one.state in ("down", "degraded")]
    hosts = board.host_lines(connection)
    services = board.service_lines(connection)
    versions = sla.versions(connection, [line.id for line in services])
    material = sla.gather(connection, versions.values(), day)
    recent = status.transitions(connection, limit=RECENT, first_contacts=False)
    names = board.subject_names(connection, recent)
    firing = alerts.active(connection)
    # What an alert speaks of already is not listed a second time.
    told = {(one.subject, one.subject_id) for one in firing}
    return {
        "alerts": [alert_page.shown(one) for one in firing],
        **audience(connection),
        "bad_checks": board.check_lines(connection, ids=[one for one in bad if ("check", one) not in told]),
        "silent_hosts": [
            line
            for line in hosts
            if line.state == "unknown" and line.agent is not None and ("host", line.id) not in told
        ],
        "check_counts": sum(counts.values(), Counter()),
        "host_counts": Counter(line.state for line in hosts),
        "hosts": hosts[:HOSTS_SHOWN],
        "host_total": len(hosts),
        "has_agents": agents.any_known(connection),
        "services": [
            {
                "service": line,
                "strip": strip_of(sla.segments(connection, versions.get(line.id, []), day, material=material)),
            }
            for line in services
            if line.members
        ],
        "since_ms": day.since_ms,
        "until_ms": day.until_ms,
        "recent": [
            {
                "subject": one.subject,
                **dict(
                    zip(("key", "name", "name_id"), names.get((one.subject, one.subject_id), NAMELESS), strict=True)
                ),
                "at_ms": one.at_ms,
                "before": one.before.word,
                "after": one.after.word,
                "reason": one.reason,
            }
            for one in recent
        ],
    }


ROUTES = (Route("GET", "/", show, Permission.VIEW, "What is wrong now, services, hosts and recent changes."),)
