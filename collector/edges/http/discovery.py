"""HTTP service discovery for Prometheus: every host with an agent, as a target that is read through this collector.

Prometheus' rules apply: the whole list each time, `[]` when there is none, `__meta_…` labels for relabelling. Agents
listen nowhere, so each target is this collector's own address with the path of that host's samples.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from aiohttp import web

from collector.edges.http.context import context_of
from collector.edges.http.routing import Permission, Route
from collector.store import agents, registers
from collector.store.database import Connection

META = "__meta_sigap_"


async def discover(request: web.Request) -> web.Response:
    """One target group for each active agent."""
    address = request.host
    groups = await context_of(request).db.read(lambda connection: target_groups(connection, address))
    body = json.dumps(groups, separators=(",", ":")).encode()
    tag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
    if request.headers.get("If-None-Match") == tag:
        return web.Response(status=304, headers={"ETag": tag})
    return web.Response(body=body, content_type="application/json", headers={"ETag": tag})


def target_groups(connection: Connection, address: str) -> list[dict[str, Any]]:
    """Prometheus' target groups, by host key; `address` is host:port of this collector as the scraper knows it."""
    active = {agent.host_id for agent in agents.list_agents(connection) if agent.status == agents.ACTIVE}
    hosts = [host for host in registers.all_of(connection, "host") if host.id in active]
    return [_group(host, address) for host in sorted(hosts, key=lambda host: str(host.key))]


def _group(host: Any, address: str) -> dict[str, Any]:
    labels = {
        "__metrics_path__": f"/federate/hosts/{host.key}",
        "instance": host.key,
        f"{META}host": host.key,
        f"{META}name": host.name,
        f"{META}site": host.site,
        f"{META}environment": host.environment,
        f"{META}owner": host.owner,
    }
    labels |= {f"{META}label_{_label_name(name)}": value for name, value in host.labels.items()}
    return {"targets": [address], "labels": labels}


def _label_name(text: str) -> str:
    return "".join(character if character.isascii() and character.isalnum() else "_" for character in text)


ROUTES = (
    Route("GET", "/api/v1/sd/agents", discover, Permission.VIEW, "Hosts for Prometheus' HTTP service discovery."),
)
