"""What every handler may reach: the parts that the composition root put together, and the clock.

Holds references only. A handler reads `request.app[CONTEXT]` and `request[VIEWER]`.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aiohttp import web

from collector.domain.registers.base import Actor
from collector.edges.http.routing import Viewer

if TYPE_CHECKING:
    from collector.store.database import Database

Authenticate = Callable[[web.Request], Awaitable[Viewer]]
"""Who asks. Returns the empty `Viewer` for nobody; raises Unauthenticated for a credential that is not valid."""


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000


async def nobody(request: web.Request) -> Viewer:
    """Authenticate no one: what an application without accounts starts with."""
    del request
    return Viewer()


@dataclass(slots=True)
class Context:
    """The collector, as its pages see it. A part that is not running is None, and its pages say so."""

    db: Database
    authenticate: Authenticate = nobody
    clock: Callable[[], int] = _wall_ms  # Unix milliseconds, UTC
    series: Any = None  # store.series.SeriesStore
    registrar: Any = None  # flows.register.Registrar
    access: Any = None  # flows.access.Access
    accounts: Any = None  # flows.accounts.Accounts
    enroller: Any = None  # flows.enrol: tokens and certificates
    evaluator: Any = None  # flows.evaluate.Evaluator
    deliverer: Any = None  # flows.deliver.Deliverer
    live: Any = None  # flows.live.Live
    settings: Any = None  # config.Settings
    metrics: Any = None
    public_url: str = ""  # as people reach it, without a trailing slash; empty: take it from the request
    scrape: dict[str, Any] = field(default_factory=dict)  # what /metrics read last, for the next scraper
    words: dict[Any, Any] = field(default_factory=dict)  # the text of series, for the next one who asks /federate
    simulated: bool = False  # the demo: every page says that its numbers are made up


CONTEXT: web.AppKey[Context] = web.AppKey("context", Context)
VIEWER: web.RequestKey[Viewer] = web.RequestKey("viewer", Viewer)


def context_of(request: web.Request) -> Context:
    """The parts behind this request."""
    return request.app[CONTEXT]


def viewer_of(request: web.Request) -> Viewer:
    """Who sent this request."""
    return request.get(VIEWER) or Viewer()


def actor_of(request: web.Request) -> Actor:
    """Who wants the change."""
    viewer = viewer_of(request)
    return Actor(viewer.name, viewer.role)
