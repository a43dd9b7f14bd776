"""Lanes that the collector acknowledged to their end: gone from the spool, and still named in every greeting.

A collector that was restored from an older copy cannot know of them otherwise, and their time would look as if nothing
had been measured. Runs inside the caller's transaction.
"""

from __future__ import annotations

import json
import sqlite3
from typing import NamedTuple

KEY = "drained"
NAMED = 64
KEEP_MS = 14 * 24 * 3600 * 1000
"""Well below the time for which the collector remembers lanes that ended, so that it never misses one it forgot."""


class Drained(NamedTuple):
    """A lane that is over."""

    epoch: bytes
    last_seq: int
    last_digest: bytes
    newest_wall_ms: int


def load(connection: sqlite3.Connection) -> list[Drained]:
    """Every lane on the list, the newest last."""
    row = connection.execute("SELECT value FROM meta WHERE key = ?", (KEY,)).fetchone()
    entries = json.loads(row[0]) if row else []
    return [Drained(bytes.fromhex(epoch), seq, bytes.fromhex(seal), wall) for epoch, seq, seal, wall in entries]


def add(connection: sqlite3.Connection, lane: Drained) -> None:
    """Put a lane on the list; those much older than it leave it."""
    known = [one for one in load(connection) if one.newest_wall_ms > lane.newest_wall_ms - KEEP_MS]
    entries = [(one.epoch.hex(), one.last_seq, one.last_digest.hex(), one.newest_wall_ms) for one in (*known, lane)]
    connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (KEY, json.dumps(entries[-NAMED:])))


def recent(connection: sqlite3.Connection, now_ms: int) -> list[Drained]:
    """The lanes worth naming."""
    return [one for one in load(connection) if one.newest_wall_ms > now_ms - KEEP_MS]
