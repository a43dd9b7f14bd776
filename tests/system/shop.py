"""A watched web shop, from which several tests start: its check in the agent's file, its service, who is told of it."""

from __future__ import annotations

import base64
from typing import Any

from tests.system.product import HOST, Product, wait_for

CHECK = f"{HOST}.shop"
INTERVAL_SECONDS = 2
SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
SERVICE = f"""
---
register: service
key: web-shop
name: Web shop
name_id: Toko web
owner: Sari
criticality: high
members: ["{CHECK}"]
availability_objective: 99.9
state: live
why: In operation since 2019
"""


def agent_text(port: int) -> str:
    """What the agent's file says to look at the shop on a port of this host."""
    return f"""
[[checks]]
name = "shop"
kind = "http"
url = "http://127.0.0.1:{port}/"
interval_seconds = {INTERVAL_SECONDS}
timeout_seconds = 2
retries = 0
"""


def told(url: str) -> str:
    """The document of a channel that is told of everything at an address."""
    return f"""
---
register: channel
key: on-call
name: On-call webhook
url: {url}
secret: {SECRET}
"""


def is_seen(running: Product, seconds: float) -> None:
    """Wait until the check of the shop was looked at and is up."""
    wait_for(lambda: HOST in running.hosts() and running.check_state(CHECK) == "up", seconds, "the check is up")


def is_up(running: Product, seconds: float) -> None:
    """Wait until the shop is up."""
    wait_for(lambda: shop(running)["service"]["state"] == "up", seconds, "the service is up")


def shop(running: Product) -> dict[str, Any]:
    """The shop's page."""
    found: dict[str, Any] = running.json("/services/web-shop.json")
    return found
