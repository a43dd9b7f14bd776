"""A whole collector that answers on its control socket, and `sigap …` on its host."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import web
from click.testing import CliRunner, Result

from collector.__main__ import cli
from collector.config import CONTROL_SOCKET
from collector.edges.http import ROUTES
from collector.edges.http.frame import build
from tests.security.fortress import Fortress, fortress

Run = Callable[..., Awaitable[Result]]


@pytest.fixture
async def there(tmp_path: Path) -> AsyncIterator[Fortress]:
    folder = tmp_path / "data"
    folder.mkdir(mode=0o700)
    async with fortress(folder) as made:
        runner = web.AppRunner(build(made.collector.context, ROUTES))
        await runner.setup()
        await web.UnixSite(runner, folder / CONTROL_SOCKET).start()
        yield made
        await runner.cleanup()


@pytest.fixture
def sigap(there: Fortress) -> Run:
    """`sigap …` on the collector's host."""

    async def run(*arguments: str, text: str = "") -> Result:
        given = [*arguments, "--data", str(there.folder)]
        return await asyncio.to_thread(CliRunner().invoke, cli, given, input=text)

    return run
