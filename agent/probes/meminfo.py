"""Every line of /proc/meminfo.

Derives nothing: what counts as used is the reader's decision.
"""

from __future__ import annotations

import re
from pathlib import Path

from agent.probes.reading import KernelFile, gauge
from agent.sample import Moment, Observation, Sample, Series

BYTES_PER_KB = 1024  # the kernel writes kB and means KiB
PARENTHESES = re.compile(r"\((.*)\)")


class Meminfo:
    """node_memory_<Key>_bytes, and node_memory_<Key> for what is counted in pages."""

    name = "meminfo"

    def __init__(self, root: Path = Path("/")) -> None:
        self._file = KernelFile(root / "proc/meminfo")
        self._series: dict[bytes, tuple[Series, int]] = {}

    def observe(self, moment: Moment) -> Observation:
        samples = []
        for line in self._file.read().split(b"\n"):
            fields = line.split()
            if len(fields) > 1:
                series, scale = self._series.get(fields[0]) or self._column(fields)
                samples.append(Sample(series, int(fields[1]) * scale))
        return Observation(samples)

    def _column(self, fields: list[bytes]) -> tuple[Series, int]:
        key = fields[0].decode().rstrip(":")
        name = "node_memory_" + PARENTHESES.sub(r"_\1", key)
        text = f"{key} of /proc/meminfo"
        if len(fields) > 2:
            column = gauge(f"{name}_bytes", f"{text}, in bytes.", unit="bytes"), BYTES_PER_KB
        else:
            column = gauge(name, f"{text}, a number of pages."), 1
        self._series[fields[0]] = column
        return column
