"""Paging, swapping, page faults and out-of-memory kills, from /proc/vmstat."""

from __future__ import annotations

import re
from pathlib import Path

from agent.probes.reading import KernelFile, counter
from agent.sample import Moment, Observation, Sample, Series

WANTED = re.compile(rb"oom_kill|pgpg|pswp|pg.*fault")  # node_exporter's default choice, at the start of a key


class VMStat:
    """node_vmstat_<key>."""

    name = "vmstat"

    def __init__(self, root: Path = Path("/")) -> None:
        self._file = KernelFile(root / "proc/vmstat")
        self._lines = 0
        self._wanted: list[tuple[int, bytes, Series]] = []  # number of the line, what it starts with

    def observe(self, moment: Moment) -> Observation:
        # A running kernel keeps its lines, so their numbers are looked up once instead of matching 200 keys a beat.
        lines = self._file.read().split(b"\n")
        if len(lines) != self._lines:
            self._wanted = [column for number, line in enumerate(lines) for column in _column(number, line)]
            self._lines = len(lines)
        return Observation(
            [Sample(series, int(lines[number].removeprefix(start))) for number, start, series in self._wanted]
        )


def _column(number: int, line: bytes) -> list[tuple[int, bytes, Series]]:
    key, _, value = line.partition(b" ")
    if not value or not WANTED.match(key):
        return []
    name = key.decode()
    return [(number, key + b" ", counter(f"node_vmstat_{name}", f"{name} of /proc/vmstat, counted since boot."))]
