"""A real receiver on loopback that records what it got and answers as it is told."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web


@dataclass
class Received:
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]


@dataclass
class Receiver:
    url: str = ""
    answers: list[web.Response | Callable[[], web.Response]] = field(default_factory=list)
    received: list[Received] = field(default_factory=list)
    delay_seconds: float = 0.0

    async def take(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.received.append(Received({name.lower(): value for name, value in request.headers.items()}, body))
        await asyncio.sleep(self.delay_seconds)
        answer = self.answers.pop(0) if self.answers else web.Response()
        return answer if isinstance(answer, web.Response) else answer()


@asynccontextmanager
async def receiver() -> AsyncIterator[Receiver]:
    taken = Receiver()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", taken.take)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    taken.url = f"http://127.0.0.1:{port}/hook"
    try:
        yield taken
    finally:
        await runner.cleanup()


def is_signed(secret: str, received: Received) -> bool:
    """A receiver's check, written from the specification and not from our code."""
    key = base64.b64decode(secret[len("whsec_") :])
    content = b".".join(
        [received.headers["webhook-id"].encode(), received.headers["webhook-timestamp"].encode(), received.body]
    )
    expected = base64.b64encode(hmac.new(key, content, hashlib.sha256).digest())
    given = [part.split(",", 1) for part in received.headers["webhook-signature"].split(" ")]
    return any(version == "v1" and hmac.compare_digest(code.encode(), expected) for version, code in given)
