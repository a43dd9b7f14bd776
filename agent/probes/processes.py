"""The processes that use most CPU and most memory, as a document.

Names, never command lines: those carry passwords. Watching one process is the `process` check's business.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from heapq import nlargest
from pathlib import Path
from typing import NamedTuple

from agent.probes.reading import KernelFile, read_value
from agent.sample import Document, Moment, Observation

KIND = "processes"
TOP = 10
NANOSECONDS = 1_000_000_000


class Process(NamedTuple):
    """One line of the process table, as proc_pid_stat(5) has it."""

    pid: int
    name: str
    state: str
    cpu_ticks: int
    threads: int
    started_ticks: int  # after boot
    resident_pages: int


class Processes:
    """A `processes` document: how many there are, and the busiest and the largest of them."""

    name = "processes"

    def __init__(self, root: Path = Path("/"), *, top: int = TOP) -> None:
        self._proc = os.fspath(root / "proc")
        self._users = Users(root)
        self._uptime = KernelFile(root / "proc/uptime")
        self._top = top
        self._ticks_per_second = os.sysconf("SC_CLK_TCK")
        self._page_bytes = os.sysconf("SC_PAGE_SIZE")
        self._before: dict[tuple[int, int], int] = {}
        self._before_ns = 0

    def observe(self, moment: Moment) -> Observation:
        processes = list(self._read())
        elapsed_seconds = (moment.boottime_ns - self._before_ns) / NANOSECONDS
        uptime_seconds = float(self._uptime.read().split()[0])
        shares = {each.pid: self._cpu_share(each, elapsed_seconds, uptime_seconds) for each in processes}
        self._before = {(each.pid, each.started_ticks): each.cpu_ticks for each in processes}
        self._before_ns = moment.boottime_ns
        busiest = nlargest(self._top, processes, key=lambda each: shares[each.pid])
        largest = nlargest(self._top, processes, key=lambda each: each.resident_pages)
        self._users.refresh()
        body = {
            "count": len(processes),
            "threads": sum(each.threads for each in processes),
            "by_cpu": [self._describe(each, shares[each.pid], moment, uptime_seconds) for each in busiest],
            "by_memory": [self._describe(each, shares[each.pid], moment, uptime_seconds) for each in largest],
        }
        return Observation(documents=(Document(KIND, body),))

    def _read(self) -> Iterator[Process]:
        with os.scandir(self._proc) as entries:
            pids = [entry.name for entry in entries if entry.name.isdecimal()]
        for pid in pids:
            try:
                content = read_value(f"{self._proc}/{pid}/stat")
            except OSError:
                # It ended between the listing and now.
                continue
            yield parse(content)

    def _cpu_share(self, process: Process, elapsed_seconds: float, uptime_seconds: float) -> float:
        """CPUs in use since the last look, or since its start for one not seen before; 1.0 is one whole CPU."""
        before = self._before.get((process.pid, process.started_ticks))
        if before is None:
            before = 0
            elapsed_seconds = uptime_seconds - process.started_ticks / self._ticks_per_second
        spent_seconds = (process.cpu_ticks - before) / self._ticks_per_second
        return spent_seconds / elapsed_seconds if elapsed_seconds > 0 else 0.0

    def _describe(
        self, process: Process, cpu_share: float, moment: Moment, uptime_seconds: float
    ) -> dict[str, str | int | float]:
        age_seconds = uptime_seconds - process.started_ticks / self._ticks_per_second
        return {
            "pid": process.pid,
            "name": process.name,
            "user": self._users.owner(f"{self._proc}/{process.pid}"),
            "state": process.state,
            "threads": process.threads,
            "cpu_ratio": round(cpu_share, 4),
            "resident_bytes": process.resident_pages * self._page_bytes,
            "started_ms": int(moment.wall_ms - age_seconds * 1000),
        }


class Users:
    """Names of accounts, from the host's own file: a name service that hangs must not hang us."""

    def __init__(self, root: Path) -> None:
        self._path = root / "etc/passwd"
        self._changed_ns = -1
        self._names: dict[int, str] = {}

    def owner(self, path: str) -> str:
        """Who owns it: a name, a number where there is none, nothing where the path is gone."""
        try:
            number = os.stat(path).st_uid  # noqa: PTH116 (a path object costs more than the call)
        except OSError:
            return ""
        return self._names.get(number, str(number))

    def refresh(self) -> None:
        """Read the file again if it has changed."""
        try:
            changed_ns = self._path.stat().st_mtime_ns
        except OSError:
            return
        if changed_ns != self._changed_ns:
            with self._path.open(encoding="utf-8", errors="replace") as file:
                rows = [line.split(":") for line in file]
            self._names = {int(row[2]): row[0] for row in rows if len(row) > 2 and row[2].isdecimal()}
            self._changed_ns = changed_ns


def parse(content: bytes) -> Process:
    """One /proc/<pid>/stat; a name may itself hold blanks and parentheses."""
    pid, _, rest = content.partition(b" (")
    name, _, tail = rest.rpartition(b") ")
    fields = tail.split()
    return Process(
        pid=int(pid),
        name=name.decode(errors="replace"),
        state=fields[0].decode(),
        cpu_ticks=int(fields[11]) + int(fields[12]),
        threads=int(fields[17]),
        started_ticks=int(fields[19]),
        resident_pages=int(fields[21]),
    )
