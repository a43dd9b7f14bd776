"""The spool's file: its tables, how it is opened and checked, and what happens to a damaged one.

Knows nothing of lanes' rules; `spool` does.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import stat
from pathlib import Path

LOG = logging.getLogger(__name__)

WAL_PAGES = 256
"""Pages in the write-ahead log before it is folded back: one mebibyte, counted against the spool's limit."""
PAGE_BYTES = 4096
SCHEMA_VERSION = 1

TABLES = """
CREATE TABLE IF NOT EXISTS lane (
  number INTEGER PRIMARY KEY AUTOINCREMENT, epoch BLOB NOT NULL UNIQUE, live INTEGER NOT NULL,
  base_seq INTEGER NOT NULL, base_digest BLOB NOT NULL, last_seq INTEGER NOT NULL, last_digest BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS boot (id INTEGER PRIMARY KEY, boot_id TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS batch (
  id INTEGER PRIMARY KEY, wall_ms INTEGER NOT NULL, boottime_ns INTEGER NOT NULL, boot INTEGER NOT NULL,
  evidence INTEGER NOT NULL, samples INTEGER NOT NULL, layouts BLOB NOT NULL, base INTEGER, form INTEGER NOT NULL,
  length INTEGER NOT NULL, payload BLOB NOT NULL, digest BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS base (id INTEGER PRIMARY KEY, payload BLOB NOT NULL, last_id INTEGER);
CREATE TABLE IF NOT EXISTS hole (
  id INTEGER PRIMARY KEY, last_seq INTEGER NOT NULL, reason INTEGER NOT NULL, samples INTEGER NOT NULL,
  from_wall_ms INTEGER NOT NULL, to_wall_ms INTEGER NOT NULL, digest BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS layout (id INTEGER PRIMARY KEY, body BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""


class SpoolError(Exception):
    """The spool cannot be used; says where and what to do next."""


class SpoolBroken(SpoolError):
    """A write or sync failed, so what is on disk is not known: the process must stop and start again."""


class Damaged(Exception):
    """The file is not a sound database any more."""


def connect(path: Path) -> sqlite3.Connection:
    """The one connection to the spool at `path`, made private to this user.

    Raises:
        SpoolError: another process has it, the folder cannot be written, or the disk is full or fails.
        Damaged: it failed its check.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Made by us before SQLite sees it: never through a symbolic link, never readable for others.
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, stat.S_IRUSR | stat.S_IWUSR)
        os.close(handle)
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=1.0)
    except (OSError, sqlite3.OperationalError) as error:
        raise SpoolError(f"The spool {path} cannot be opened: {error}. Check that its folder is writable.") from error
    try:
        prepare(connection, exclusive=True)
        if not was_clean(connection) and (found := connection.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
            raise Damaged(str(found))
    except sqlite3.DatabaseError as error:
        connection.close()
        raise refused(path, error) from error
    except Damaged:
        connection.close()
        raise
    return connection


def refused(path: Path, error: sqlite3.Error) -> Exception:
    """Only a file whose content makes no sense is damaged: moving a sound one aside would lose what it holds."""
    if is_damaged(error):
        return Damaged(str(error))
    if is_busy(error):
        return SpoolError(f"The spool {path} is in use by another agent. Stop that one first.")
    if is_full(error):
        return SpoolError(f"The disk of the spool {path} is full. Free some space and start the agent again.")
    return SpoolError(f"The spool {path} cannot be used: {error}. Check the disk and start the agent again.")


def prepare(connection: sqlite3.Connection, *, exclusive: bool) -> None:
    """Settings and tables. Every commit is on disk when it returns: synchronous=FULL."""
    connection.isolation_level = None
    if exclusive:
        connection.execute("PRAGMA locking_mode=EXCLUSIVE")
    connection.execute(f"PRAGMA page_size={PAGE_BYTES}")
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute(f"PRAGMA wal_autocheckpoint={WAL_PAGES}")
    connection.execute(f"PRAGMA journal_size_limit={WAL_PAGES * PAGE_BYTES}")
    connection.execute("PRAGMA cache_size=-256")
    connection.execute("PRAGMA trusted_schema=OFF")
    connection.execute("PRAGMA cell_size_check=ON")
    for statement in TABLES.split(";"):
        connection.execute(statement)
    connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")


def was_clean(connection: sqlite3.Connection) -> bool:
    """Whether the last process that used it said goodbye; a new file counts as clean."""
    row = connection.execute("SELECT value FROM meta WHERE key = 'clean'").fetchone()
    return row is None or row[0] == "1"


def mark(connection: sqlite3.Connection, *, clean: bool) -> None:
    """Note that the spool is in use, or that its process ends on purpose."""
    connection.execute("INSERT OR REPLACE INTO meta VALUES ('clean', ?)", ("1" if clean else "0",))


def pages(connection: sqlite3.Connection) -> tuple[int, int]:
    """Pages of the file, and how many of them hold something."""
    total, free = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count"))
    return int(total), int(total - free)


def move_aside(path: Path) -> Path:
    """Rename a damaged spool so that somebody can look at it; only the newest one is kept."""
    target = path.with_name(path.name + ".damaged")
    for suffix in ("", "-wal", "-shm"):
        source = path.with_name(path.name + suffix)
        if source.exists():
            source.replace(target.with_name(target.name + suffix))
    LOG.error("spool damaged file=%s moved_to=%s", path, target)
    return target


def salvage(path: Path) -> list[tuple[bytes, int, bytes, int, bytes]]:
    """What can still be read of the lanes of a damaged file: epoch, base and last number with their digests."""
    with contextlib.suppress(sqlite3.Error), contextlib.closing(sqlite3.connect(path)) as connection:
        return connection.execute(
            "SELECT epoch, base_seq, base_digest, last_seq, last_digest FROM lane ORDER BY number"
        ).fetchall()
    return []


def is_busy(error: sqlite3.Error) -> bool:
    """Somebody else holds the lock."""
    return "locked" in str(error) or "busy" in str(error)


def is_full(error: sqlite3.Error) -> bool:
    """No room on the disk."""
    return "full" in str(error)


def is_damaged(error: sqlite3.Error) -> bool:
    """The file's content makes no sense."""
    return "malformed" in str(error) or "not a database" in str(error)
