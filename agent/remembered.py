"""The collector's last check definitions, kept so that a restart without the collector leaves no hole in the evidence.

Only remembers: whether and how they run is decided anew, by the agent's own file, each time.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Sequence
from pathlib import Path

from agent.probes.definition import Central

logger = logging.getLogger(__name__)

FILE_NAME = "central-checks.json"
FILE_MODE = 0o600
FILE_BYTES = 8 * 1024 * 1024


def load(state: Path) -> tuple[Central, ...]:
    """What was kept; nothing when there is none or it cannot be read."""
    path = state / FILE_NAME
    try:
        with path.open("rb") as stream:
            rows = json.loads(stream.read(FILE_BYTES))
        return tuple(Central(str(row[0]), str(row[1]), str(row[2]), str(row[3]).encode()) for row in rows)
    except FileNotFoundError:
        return ()
    except (OSError, ValueError, TypeError, LookupError, RecursionError) as error:
        logger.warning("central_checks_forgotten path=%s reason=%r", path, str(error))
        return ()


def save(state: Path, definitions: Sequence[Central]) -> None:
    """Replace what is kept; after a power cut there is the old or the new, never a part."""
    rows = [[each.id, each.kind, each.name, each.options.decode("utf-8", "replace")] for each in definitions]
    fresh = state / f"{FILE_NAME}.new"
    try:
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE)
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            json.dump(rows, stream)
            stream.flush()
            os.fsync(descriptor)
        fresh.replace(state / FILE_NAME)
    except OSError as error:
        # The checks run all the same; only a restart without the collector would miss them.
        logger.warning("central_checks_not_kept path=%s reason=%r", state, str(error))
