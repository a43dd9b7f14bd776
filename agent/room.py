"""How large the spool may be now: as configured, and no larger than it is once its disk is nearly full.

Decides nothing of what is dropped then; `spool` does.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

from agent import spool_file

LOG = logging.getLogger(__name__)

RESERVE_RATIO, RESERVE_BYTES_MAX = 0.05, 1 << 30
"""What the spool leaves free on its disk: a twentieth, but of a large disk not more than could ever matter to it."""
FLOOR_BYTES = 4 << 20
"""What it may have all the same: a host whose disk is full is the one to hear of. Hours of beats, and no more."""


def spare_bytes(path: Path) -> int:
    """What is free above the reserve on the disk of a file, for who is not root; negative below it."""
    disk = os.statvfs(path.parent)
    reserve = min(RESERVE_RATIO * disk.f_blocks * disk.f_frsize, RESERVE_BYTES_MAX)
    return disk.f_bavail * disk.f_frsize - int(reserve)


class Room:
    """The limit of one spool. `spare` returns the bytes free above the reserve; without it only the limit counts."""

    def __init__(self, limit_bytes: int, spare: Callable[[], int] | None = None) -> None:
        self._limit_bytes, self._spare = limit_bytes, spare
        self._is_cramped = False

    def pages(self, connection: sqlite3.Connection, log_pages: int) -> int:
        """The limit in pages, the log's included."""
        limit_bytes = self._limit_bytes
        if self._spare is not None and (spare := self._spare()) < limit_bytes:
            # What is dropped leaves its pages in the file and gives the disk nothing back: this only ends the growing.
            has = (spool_file.pages(connection)[0] + log_pages) * spool_file.PAGE_BYTES
            limit_bytes = min(limit_bytes, max(has + max(spare, 0), FLOOR_BYTES))
        if (limit_bytes < self._limit_bytes) != self._is_cramped:
            self._is_cramped = not self._is_cramped
            what = "disk nearly full" if self._is_cramped else "disk has room"
            LOG.warning("spool %s limit_bytes=%d", what, limit_bytes)
        return limit_bytes // spool_file.PAGE_BYTES
