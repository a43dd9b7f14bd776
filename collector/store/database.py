"""Engines and the two ways to use them: `write` (one writer, group commit) and `read` (a small pool).

On SQLite exactly one connection writes and checkpoints; readers open the file read-only. Every release before 3.51.3
(back-ported to 3.50.7 and 3.44.6) can lose a committed transaction when two connections write or checkpoint at once
(sqlite.org/wal.html#walresetbug), and Debian 12 links 3.40.1, so the precondition is designed away. PostgreSQL runs the
same code through the same single writer thread.

Knows nothing of tables.
"""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, QueuePool, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, NoSuchModuleError

from collector.domain.errors import CollectorError, StoreBroken, StoreError, StoreFull
from collector.domain.message import Message, mark

__all__ = ["Connection", "Database", "Work", "is_passing", "translate"]

T = TypeVar("T")
Work = Callable[[Connection], T]

GROUP_LIMIT = 500
"""Pieces of work that share one commit at most: bounds how long the first of them waits."""
BUSY_MS = 5000
BACKENDS = ("sqlite", "postgresql")
PASSING_STATES = ("08", "40", "53", "57")
"""PostgreSQL's classes of errors: connection lost, rolled back for another, out of resources, shut down."""
LOST = "no such savepoint"
"""What SQLite says after it has ended a transaction by itself, as when the disk is full; why was said before."""
PASSING_WORDS = ("database is locked", "out of memory", LOST)


class Database:
    """One database file or server.

    `write` and `read` are for the event loop, `write_now` and `read_now` for everybody else. Work is a function of a
    connection; it must not keep the connection. A `write` returns only after its transaction is on disk.
    """

    def __init__(self, url: str, *, readers: int = 4) -> None:
        self.url = url
        self.dialect = _address(url).get_backend_name()
        self.broken: StoreBroken | None = None
        self._writer, self._reader = _engines(url, readers)
        self._work: queue.SimpleQueue[tuple[Work[Any], Future[Any]] | None] = queue.SimpleQueue()
        self._pool = ThreadPoolExecutor(max_workers=readers, thread_name_prefix="store-read")
        self._thread = threading.Thread(target=self._write_loop, name="store-write", daemon=True)
        self._thread.start()

    @property
    def engine(self) -> Engine:
        """The writing engine, for migrations before anything else runs."""
        return self._writer

    async def write(self, work: Work[T]) -> T:
        """Run `work` on the writer and return its result once its transaction is durable."""
        return await asyncio.wrap_future(self.submit(work))

    async def read(self, work: Work[T]) -> T:
        """Run `work` on a read-only connection."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, self.read_now, work)

    def write_now(self, work: Work[T]) -> T:
        """`write`, blocking."""
        return self.submit(work).result()

    def read_now(self, work: Work[T]) -> T:
        """`read`, on the calling thread."""
        with self._reader.connect() as connection:
            return work(connection)

    def submit(self, work: Work[T]) -> Future[T]:
        """Queue `work` for the writer; the future resolves after the commit."""
        if self.broken is not None:
            raise self.broken
        future: Future[T] = Future()
        self._work.put((work, future))
        return future

    def close(self) -> None:
        """Finish what is queued, then close every connection."""
        if self._thread.is_alive():
            self._work.put(None)
            self._thread.join()
        self._pool.shutdown()
        self._reader.dispose()
        self._writer.dispose()

    def _write_loop(self) -> None:
        while (first := self._work.get()) is not None:
            group, stop = [first], False
            while len(group) < GROUP_LIMIT:
                try:
                    item = self._work.get_nowait()
                except queue.Empty:
                    break
                if item is None:
                    stop = True
                    break
                group.append(item)
            # Work whose caller has gone is left out; from here on it cannot be withdrawn, only its result be ignored.
            group = [item for item in group if item[1].set_running_or_notify_cancel()]
            if group:
                self._commit(group)
            if stop:
                return

    def _commit(self, group: list[tuple[Work[Any], Future[Any]]]) -> None:
        done: list[tuple[Future[Any], Any]] = []
        try:
            with self._writer.begin() as connection:
                for work, future in group:
                    try:
                        with connection.begin_nested():
                            result = work(connection)
                        done.append((future, result))
                    except CollectorError as error:
                        future.set_exception(error)
                    except DBAPIError as error:
                        translated = translate(error)
                        if isinstance(translated, StoreBroken | StoreFull) or LOST in str(error.orig):
                            # There is no transaction any more, for those before and after it in the group neither.
                            raise
                        future.set_exception(translated)
                    except Exception as error:
                        # The caller gets it; the writer goes on with the next piece of work.
                        future.set_exception(error)
        except Exception as error:
            failure = translate(error)
            if isinstance(failure, StoreBroken):
                self.broken = failure
            for _, future in group:
                if not future.done():
                    future.set_exception(failure)
            return
        for future, result in done:
            future.set_result(result)


def translate(error: Exception) -> CollectorError:
    """Our error for one of the driver's: whether there is no room, the disk failed, or a statement was refused."""
    cause = getattr(error, "orig", None) or error
    if isinstance(error.__context__, Exception) and LOST in str(cause):
        return translate(error.__context__)
    text = str(cause).lower()
    if "disk is full" in text or "no space left" in text or "disk full" in text:
        return StoreFull(
            "The database's disk is full; nothing was acknowledged.",
            hint="Free space; agents keep and resend.",
        )
    if "disk i/o error" in text or "malformed" in text or "could not fsync" in text:
        return StoreBroken(
            Message("The database failed while writing: {error}", error=str(cause)),
            hint="Check the disk; restart continues safely.",
        )
    return StoreError(Message("The database refused: {error}", error=str(cause)))


def is_passing(error: Exception) -> bool:
    """Whether an error is the database's, not that of what was written: the same work is to be tried again."""
    if not isinstance(error, DBAPIError):
        return isinstance(error, StoreFull | StoreBroken)
    if error.connection_invalidated or isinstance(error, InterfaceError):
        return True
    state, text = str(getattr(error.orig, "sqlstate", None) or ""), str(error.orig).lower()
    is_known = state.startswith(PASSING_STATES) or any(words in text for words in PASSING_WORDS)
    return is_known or isinstance(translate(error), StoreFull | StoreBroken)


def _address(url: str) -> URL:
    """The database's address in its parts. What is wrong with one is told without it: it may hold a password."""
    hint = mark("Such as postgresql+psycopg://sigap:PASSWORD@db/sigap, with %40 for an @ in the password.")
    try:
        address = make_url(url)
        known = address.get_backend_name() in BACKENDS
        address.get_dialect()
    except (ArgumentError, NoSuchModuleError, ModuleNotFoundError, ValueError) as error:
        raise StoreError("store.url is not the address of a database that is known here.", hint=hint) from error
    if not known:
        raise StoreError("store.url names a kind of database that is not known here.", hint=hint)
    if "@" in (address.host or ""):
        # The driver would take the password's end for a host, and say that it cannot find it.
        raise StoreError("store.url has more than one @.", hint=hint)
    return address


def _engines(url: str, readers: int) -> tuple[Engine, Engine]:
    if _address(url).get_backend_name() != "sqlite":
        engine = create_engine(url, pool_size=readers + 2, pool_pre_ping=True, hide_parameters=True)
        return engine, engine
    path = Path(_address(url).database or "")
    if not path.name:
        raise StoreError("An SQLite database needs a file.", hint="For example sqlite:////var/lib/sigap/sigap.db")
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    writer = create_engine(
        url, pool_size=1, max_overflow=0, connect_args={"check_same_thread": False}, hide_parameters=True
    )
    reader = create_engine(
        "sqlite://",
        creator=lambda: sqlite3.connect(f"file:{path}?mode=ro", uri=True, check_same_thread=False),
        poolclass=QueuePool,
        pool_size=readers + 2,
        max_overflow=8,
        hide_parameters=True,
    )
    event.listen(writer, "connect", _writer_pragmas)
    event.listen(writer, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    event.listen(reader, "connect", _reader_pragmas)
    event.listen(reader, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
    return writer, reader


def _writer_pragmas(connection: sqlite3.Connection, _record: object) -> None:
    # Transactions are opened by the "begin" event; the driver must not open its own.
    connection.isolation_level = None
    for pragma in (
        f"busy_timeout={BUSY_MS}",
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        "trusted_schema=OFF",
        "cell_size_check=ON",
        "journal_size_limit=67108864",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _reader_pragmas(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None
    for pragma in (f"busy_timeout={BUSY_MS}", "query_only=ON", "wal_autocheckpoint=0", "trusted_schema=OFF"):
        connection.execute(f"PRAGMA {pragma}")
