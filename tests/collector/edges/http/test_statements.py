"""How much pages ask the database: as many statements for many hosts, checks and services as for few."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from aiohttp.test_utils import TestClient, TestServer
from sqlalchemy import Engine, event

from collector.edges.http import ROUTES, metrics
from collector.edges.http.context import Context
from collector.edges.http.frame import build
from collector.store import registers, schema
from collector.store.database import Database
from tests.collector.edges.http import world
from tests.collector.edges.http.conftest import Browser, signed_in
from tests.collector.edges.http.world import WHO

PAGES = ("/", "/hosts", "/hosts/web-1", "/services", "/services/shop", "/alerts", "/agents", "/registers/check")
FEW, MANY = 8, 24


@contextmanager
def counting() -> Iterator[list[str]]:
    """The statements that any database of this process gets meanwhile."""
    asked: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        asked.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield asked
    finally:
        event.remove(Engine, "before_cursor_execute", note)


async def organisation(folder: Path, size: int) -> Database:
    """A database with `size` hosts and as many services beside the usual ones."""
    database = Database(f"sqlite:///{folder}/{size}.db")
    schema.METADATA.create_all(database.engine)
    made = await world.make(database, hosts=size, history_ms=world.MINUTE_MS)
    checks = [one.key for one in await database.read(lambda connection: registers.all_of(connection, "check"))]
    for number in range(size):
        members = [checks[number % len(checks)], checks[(number + 1) % len(checks)]]
        data = {"key": f"more-{number}", "name": f"More {number}", "members": members}
        await made.registrar.create(WHO, "service", data)
    return database


async def browser(database: Database) -> Browser:
    context = Context(database, signed_in("viewer"), clock=lambda: world.NOW_MS)
    client: Browser = TestClient(TestServer(build(context, ROUTES)))
    await client.start_server()
    return client


@pytest.mark.parametrize("path", PAGES)
async def test_a_page_asks_no_more_of_many_hosts_than_of_few(tmp_path: Path, path: str) -> None:
    counts = {}
    for size in (FEW, MANY):
        database = await organisation(tmp_path, size)
        client = await browser(database)
        with counting() as asked:
            assert (await client.get(path)).status == 200
        await client.close()
        database.close()
        counts[size] = len(asked)
    assert 0 < counts[MANY] <= counts[FEW]


async def test_a_scrape_asks_no_more_of_many_hosts_than_of_few(tmp_path: Path) -> None:
    counts = {}
    for size in (FEW, MANY):
        database = await organisation(tmp_path, size)
        with counting() as asked:
            database.read_now(lambda connection: list(metrics.families(connection, world.NOW_MS)))
        database.close()
        counts[size] = len(asked)
    assert 0 < counts[MANY] <= counts[FEW]
