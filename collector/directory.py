"""The data directory of a collector: ours to write, private where we make it, and used by one process at a time.

Knows nothing of what is kept in it.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
from pathlib import Path

from collector.domain.errors import InvalidInput, StoreError, StoreFull
from collector.store.vault import OTHERS

log = logging.getLogger(__name__)

LOCK_FILE = "lock"
ELSEWHERE = "Choose another with --data or SIGAP_STORE__DATA."
NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


def take(data: Path) -> int:
    """Make the directory where there is none and hold it; the handle of its lock, which ends with the process.

    Raises:
        InvalidInput: It cannot be made, or this account may not write to it.
        StoreError: Another collector uses it, or its disk is full.
    """
    try:
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise InvalidInput(f"The data directory {data} cannot be made: {error.strerror}.", hint=ELSEWHERE) from error
    if data.stat().st_mode & OTHERS:
        # Not ours to change: whoever made it may share it on purpose. What we put into it is private all the same.
        log.warning("data directory open to others path=%s hint=%r", data, f"chmod 700 {data}")
    return _sole_user(data)


def _sole_user(data: Path) -> int:
    """Hold the directory: two writers on one SQLite file can lose what was acknowledged."""
    try:
        handle = os.open(data / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno in NO_ROOM:
            raise StoreFull(f"The disk of the data directory {data} is full.", hint="Free space.") from error
        raise InvalidInput(
            f"The data directory {data} cannot be written to: {error.strerror}.", hint=ELSEWHERE
        ) from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(handle)
        raise StoreError(
            f"Another collector uses the data directory {data}.", hint="Stop it, or choose another with --data."
        ) from error
    return handle
