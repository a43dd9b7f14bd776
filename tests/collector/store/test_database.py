"""The writer and the readers of a database."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import nullcontext, suppress

import pytest
from sqlalchemy import Connection, select
from sqlalchemy.exc import DBAPIError

from collector.domain.errors import InvalidInput, StoreError, StoreFull
from collector.store import schema
from collector.store.database import Database


def put(key: str, value: str) -> Callable[[Connection], int]:
    def work(connection: Connection) -> int:
        connection.execute(schema.meta.insert().values(key=key, value=value))
        return 1

    return work


def value(connection: Connection, key: str) -> str | None:
    return connection.execute(select(schema.meta.c.value).where(schema.meta.c.key == key)).scalar()


def test_what_was_written_can_be_read(database: Database) -> None:
    assert database.write_now(put("a", "1")) == 1
    assert database.read_now(lambda connection: value(connection, "a")) == "1"


def test_failing_work_leaves_the_work_beside_it_committed(database: Database) -> None:
    def fail(connection: Connection) -> None:
        put("bad", "1")(connection)
        raise InvalidInput("no")

    futures = [database.submit(put("before", "1")), database.submit(fail), database.submit(put("after", "1"))]
    assert futures[0].result() == futures[2].result() == 1
    with pytest.raises(InvalidInput):
        futures[1].result()
    assert database.read_now(lambda connection: value(connection, "bad")) is None
    assert database.read_now(lambda connection: value(connection, "after")) == "1"


def fill(connection: Connection) -> None:
    """Write more than there is room for; SQLite ends the transaction with it, savepoints and all."""
    connection.exec_driver_sql("PRAGMA max_page_count=1")
    put("large", "x" * (1 << 22))(connection)


@pytest.mark.parametrize("swallows", [False, True])
def test_a_full_disk_fails_the_whole_group_and_the_writer_lives_on(sqlite: Database, swallows: bool) -> None:
    entered, release = threading.Event(), threading.Event()

    def hold(_connection: Connection) -> None:
        entered.set()
        release.wait(10)

    def full(connection: Connection) -> None:
        with suppress(DBAPIError) if swallows else nullcontext():
            fill(connection)

    first = sqlite.submit(hold)
    entered.wait(10)
    futures = [sqlite.submit(put("before", "1")), sqlite.submit(full), sqlite.submit(put("after", "1"))]
    release.set()
    assert first.result() is None
    for future in futures:
        with pytest.raises(StoreError if swallows else StoreFull):
            future.result(10)
    sqlite.write_now(lambda c: c.exec_driver_sql("PRAGMA max_page_count=100000"))
    for key in ("before", "after"):
        assert sqlite.read_now(lambda c, key=key: value(c, key)) is None  # type: ignore[misc]
    assert sqlite.write_now(put("later", "1")) == 1


def test_a_refused_statement_is_our_error_and_hits_nobody_else(database: Database) -> None:
    database.write_now(put("a", "1"))
    refused, fine = database.submit(put("a", "2")), database.submit(put("b", "2"))
    with pytest.raises(StoreError):
        refused.result()
    assert fine.result() == 1


def test_readers_cannot_write_on_sqlite(sqlite: Database) -> None:
    with pytest.raises(Exception, match=r"readonly|read-only"):
        sqlite.read_now(put("a", "1"))


async def test_write_and_read_from_the_event_loop(database: Database) -> None:
    await database.write(put("a", "1"))
    assert await database.read(lambda connection: value(connection, "a")) == "1"


async def test_a_caller_that_is_cancelled_takes_nobody_with_it(database: Database) -> None:
    entered, release = threading.Event(), threading.Event()

    def slow(connection: Connection) -> None:
        entered.set()
        release.wait(10)
        put("slow", "1")(connection)

    running = asyncio.create_task(database.write(slow))
    await asyncio.to_thread(entered.wait, 10)
    waiting = asyncio.create_task(database.write(put("withdrawn", "1")))
    await asyncio.sleep(0)
    for task in (running, waiting):
        task.cancel()
    await asyncio.gather(running, waiting, return_exceptions=True)
    release.set()
    assert await database.write(put("after", "1")) == 1
    assert await database.read(lambda connection: value(connection, "slow")) == "1"
    assert await database.read(lambda connection: value(connection, "withdrawn")) is None
