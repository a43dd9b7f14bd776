"""A measured figure and how it is printed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Figure:
    """One line: what, how much, and against what."""

    what: str
    value: float
    unit: str
    against: str = ""

    def __str__(self) -> str:
        return f"{self.what:<58} {self.value:>14,.2f} {self.unit:<16} {self.against}".rstrip()


@dataclass(slots=True)
class Spent:
    """CPU and wall time of a piece of work, filled in when it is over."""

    cpu_seconds: float = 0.0
    wall_seconds: float = 0.0


@contextmanager
def spending() -> Iterator[Spent]:
    """Measure this process: every thread, kernel time included."""
    spent = Spent()
    cpu, wall = time.process_time(), time.perf_counter()
    yield spent
    spent.cpu_seconds, spent.wall_seconds = time.process_time() - cpu, time.perf_counter() - wall


def cpu_of(pid: int) -> float:
    """CPU seconds that another process has used, kernel time included."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100.0  # USER_HZ is 100 on every Linux that Python runs on


def resident_mib(pid: int) -> float:
    """Resident memory of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * 4096 / 2**20
