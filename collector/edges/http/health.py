"""The two paths that Prometheus users and orchestrators expect: alive, and ready to work."""

from __future__ import annotations

from aiohttp import web

from collector.domain.errors import StoreError
from collector.edges.http.context import context_of
from collector.edges.http.routing import Permission, Route
from collector.store import accounts


async def healthy(request: web.Request) -> web.Response:
    """The process answers and its database did not fail."""
    broken = context_of(request).db.broken
    return web.Response(text="Sigap is healthy.\n") if broken is None else _unavailable(broken)


async def ready(request: web.Request) -> web.Response:
    """The database can be read: agents, people and programs are served."""
    try:
        await context_of(request).db.read(accounts.count)
    except StoreError as error:
        return _unavailable(error)
    return web.Response(text="Sigap is ready.\n")


def _unavailable(error: StoreError) -> web.Response:
    return web.Response(status=503, text=f"{error.message} {error.hint}\n")


ROUTES = (
    Route("GET", "/-/healthy", healthy, Permission.PUBLIC, "200 while the process works."),
    Route("GET", "/-/ready", ready, Permission.PUBLIC, "200 once requests are served."),
)
