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

from agent.probes.attempts import CannotProbe, Failed, Finding
from agent.probes.check import Line, Measure, Settings
from agent.probes.endpoint import Deadline
from agent.reason import Reason
from agent.sample import State

AGE = Measure("probe_file_age_seconds", "Seconds since the newest matching file was changed", "seconds")
SIZE = Measure("probe_file_size_bytes", "Size of the newest matching file", "bytes")
COUNT = Measure("probe_file_matches", "Files that match the pattern")

MATCHES_LIMIT = 100_000
Bytes = Annotated[int, msgspec.Meta(ge=0)]
Age = Annotated[float, msgspec.Meta(gt=0, le=366 * 86_400)]
_DAY, _HOUR, _MINUTE = 86_400, 3_600, 60


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

    def _judge(self, newest: str, age_seconds: float, size_bytes: int) -> tuple[State, Reason]:
        age, least, most = _age(age_seconds), self.minimum_size_bytes, self.maximum_size_bytes
        if self.maximum_age_seconds is not None and age_seconds > self.maximum_age_seconds:
            return State.DOWN, _too_old(newest, age, self.maximum_age_seconds)
        if least is not None and size_bytes < least:
            small = Reason("{path} has {size} bytes, fewer than {limit}", path=newest, size=size_bytes, limit=least)
            return State.DOWN, small
        if most is not None and size_bytes > most:
            large = Reason("{path} has {size} bytes, more than {limit}", path=newest, size=size_bytes, limit=most)
            return State.DOWN, large
        if self.degraded_age_seconds is not None and age_seconds > self.degraded_age_seconds:
            return State.DEGRADED, _too_old(newest, age, self.degraded_age_seconds)
        return State.UP, Reason("{path} is {age} old and has {size} bytes", path=newest, age=age, size=size_bytes)

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
                raise CannotProbe(Reason("The agent may not look at {path}", path=path)) from None
            count += 1
            if newest is None or status.st_mtime > newest[1].st_mtime:
                newest = (path, status)
        if newest is None:
            self._explain_absence()
            if glob.has_magic(self.path):
                raise Failed(Reason("No file matches {path}", path=self.path))
            raise Failed(Reason("{path} does not exist", path=self.path))
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
            raise CannotProbe(
                Reason("The agent may not look into {path}; let its user read that folder", path=str(folder))
            ) from None
        except OSError:
            return


def _too_old(path: str, age: Reason, most_seconds: float) -> Reason:
    return Reason("{path} is {age} old, more than {limit}", path=path, age=age, limit=_age(most_seconds))


def _age(seconds: float) -> Reason:
    if seconds >= 2 * _DAY:
        return Reason("{count} d", count=round(seconds / _DAY))
    if seconds >= 2 * _HOUR:
        return Reason("{count} h", count=round(seconds / _HOUR))
    if seconds >= 2 * _MINUTE:
        return Reason("{count} min", count=round(seconds / _MINUTE))
    return Reason("{seconds} s", seconds=max(seconds, 0.0))
