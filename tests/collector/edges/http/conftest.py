"""A web application with a viewer of our choice, and a browser-like client for it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from collector.edges.http import ROUTES
from collector.edges.http.context import Context
from collector.edges.http.frame import build
from collector.edges.http.routing import Route, Viewer
from collector.edges.http.security import CSRF_HEADER
from collector.store.database import Database
from tests.collector.edges.http.world import World

Browser = TestClient[web.Request, web.Application]
Open = Callable[..., Awaitable[Browser]]


def signed_in(role: str, **more: object) -> Callable[[web.Request], Awaitable[Viewer]]:
    """An `authenticate` for which everybody is the same person."""

    async def authenticate(request: web.Request) -> Viewer:
        del request
        return Viewer(name="siti" if role else "", role=role, **more)  # type: ignore[arg-type]

    return authenticate


@pytest.fixture
async def open_browser(sqlite: Database) -> AsyncIterator[Open]:
    """Start an application over given routes for a given role; closed at the end of the test."""
    opened: list[Browser] = []

    async def start(routes: Sequence[Route], role: str = "admin", **parts: object) -> Browser:
        context = Context(sqlite, signed_in(role, by_token=bool(parts.pop("by_token", False))), **parts)  # type: ignore[arg-type]
        client: Browser = TestClient(TestServer(build(context, routes)))
        await client.start_server()
        opened.append(client)
        return client

    yield start
    for client in opened:
        await client.close()


@pytest.fixture
async def browser(made: World) -> AsyncIterator[Browser]:
    """An administrator's, at all pages of the world that the test's own module made."""
    made.context.authenticate = signed_in("admin")
    async with TestClient(TestServer(build(made.context, ROUTES))) as client:
        yield client


async def csrf_of(client: Browser, path: str = "/styleguide") -> dict[str, str]:
    """Headers of a request that one of our own pages sends."""
    text = await (await client.get(path)).text()
    token = text.split('name="csrf" content="', 1)[1].split('"', 1)[0]
    origin = f"http://{client.host}:{client.port}"
    return {CSRF_HEADER: token, "Origin": origin, "Sec-Fetch-Site": "same-origin"}
