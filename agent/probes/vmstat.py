"""Paging, swapping, page faults and out-of-memory kills, from /proc/vmstat."""

from __future__ import annotations

import re
from pathlib import Path

from agent.probes.reading import KernelFile, counter
from agent.sample import Moment, Observation, Sample, Series

LINE = re.compile(rb"^((?:oom_kill|pgpg|pswp|pg.*fault)\S*) (\d+)$", re.MULTILINE)  # node_exporter's default choice


class VMStat:
    """node_vmstat_<key>."""

    name = "vmstat"

    def __init__(self, root: Path = Path("/")) -> None:
        self._file = KernelFile(root / "proc/vmstat")
        self._series: dict[bytes, Series] = {}

    def observe(self, moment: Moment) -> Observation:
        found = LINE.findall(self._file.read())
        return Observation([Sample(self._series.get(key) or self._column(key), int(value)) for key, value in found])

    def _column(self, key: bytes) -> Series:
        name = key.decode()
        self._series[key] = counter(f"node_vmstat_{name}", f"{name} of /proc/vmstat, counted since boot.")
        return self._series[key]
