"""The file check: the newest file of a pattern is there, fresh enough and of a sensible size. Made for backups.

Reads names and sizes, never contents.
"""

from __future__ import annotations

import glob
import itertools
import os
from pathlib import Path
from typing import Annotated, ClassVar

import msgspec

from agent.probes.attempts import CannotProbe, Failed, Finding, duration
from agent.probes.check import Line, Measure, Settings
from agent.probes.endpoint import Deadline
from agent.sample import State

AGE = Measure("probe_file_age_seconds", "Seconds since the newest matching file was changed", "seconds")
SIZE = Measure("probe_file_size_bytes", "Size of the newest matching file", "bytes")
COUNT = Measure("probe_file_matches", "Files that match the pattern")

MATCHES_LIMIT = 100_000
Bytes = Annotated[int, msgspec.Meta(ge=0)]
Age = Annotated[float, msgspec.Meta(gt=0, le=366 * 86_400)]
_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"))


class FileCheck(Settings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of a file check."""

    path: Line
    maximum_age_seconds: Age | None = None
    degraded_age_seconds: Age | None = None
    minimum_size_bytes: Bytes | None = None
    maximum_size_bytes: Bytes | None = None
    interval_seconds: Annotated[float, msgspec.Meta(ge=1, le=86_400)] = 60.0

    KIND: ClassVar[str] = "file"
    MEASURES: ClassVar[tuple[Measure, ...]] = (AGE, SIZE, COUNT)

    def __post_init__(self) -> None:
        if not self.path.startswith("/"):
            raise ValueError(f"path {self.path!r} is not absolute")
        super().__post_init__()

    @property
    def target(self) -> str:
        """The path or pattern."""
        return self.path

    def look(self, deadline: Deadline) -> Finding:
        """Find the newest match and compare age and size."""
        newest, status, count = self._newest(deadline)
        age_seconds = deadline.wall_ms / 1000 - status.st_mtime
        values = {AGE.key: age_seconds, SIZE.key: float(status.st_size), COUNT.key: float(count)}
        state, reason = self._judge(newest, age_seconds, status.st_size)
        return Finding(state, reason, deadline.spent(), values)

    def _judge(self, newest: str, age_seconds: float, size_bytes: int) -> tuple[State, str]:
        aged = f"{newest} is {_age(age_seconds)} old"
        if self.maximum_age_seconds is not None and age_seconds > self.maximum_age_seconds:
            return State.DOWN, f"{aged}, more than {_age(self.maximum_age_seconds)}"
        if self.minimum_size_bytes is not None and size_bytes < self.minimum_size_bytes:
            return State.DOWN, f"{newest} has {size_bytes} bytes, fewer than {self.minimum_size_bytes}"
        if self.maximum_size_bytes is not None and size_bytes > self.maximum_size_bytes:
            return State.DOWN, f"{newest} has {size_bytes} bytes, more than {self.maximum_size_bytes}"
        if self.degraded_age_seconds is not None and age_seconds > self.degraded_age_seconds:
            return State.DEGRADED, f"{aged}, more than {_age(self.degraded_age_seconds)}"
        return State.UP, f"{aged} and has {size_bytes} bytes"

    def _newest(self, deadline: Deadline) -> tuple[str, os.stat_result, int]:
        newest: tuple[str, os.stat_result] | None = None
        count = 0
        matches = glob.iglob(self.path, recursive=True)  # noqa: PTH207 (Path.glob takes no absolute pattern)
        for path in itertools.islice(matches, MATCHES_LIMIT):
            deadline.left()
            try:
                status = Path(path).stat()
            except FileNotFoundError:
                continue  # A rotated file may go between the listing and the look.
            except PermissionError:
                raise CannotProbe(f"The agent may not look at {path}") from None
            count += 1
            if newest is None or status.st_mtime > newest[1].st_mtime:
                newest = (path, status)
        if newest is None:
            self._explain_absence()
            raise Failed(f"No file matches {self.path}" if glob.has_magic(self.path) else f"{self.path} does not exist")
        return *newest, count

    def _explain_absence(self) -> None:
        """An unreadable folder looks like an empty one to glob(); it is no evidence of absence."""
        folder = Path(self.path).parent
        while glob.has_magic(str(folder)):
            folder = folder.parent
        try:
            with os.scandir(folder):
                return
        except PermissionError:
            raise CannotProbe(f"The agent may not look into {folder}; let its user read that folder") from None
        except OSError:
            return


def _age(seconds: float) -> str:
    for size, unit in _UNITS:
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return duration(max(seconds, 0.0))
