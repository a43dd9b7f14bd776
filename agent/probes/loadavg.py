"""The load averages of 1, 5 and 15 minutes."""

from __future__ import annotations

from pathlib import Path

from agent.probes.reading import KernelFile, gauge
from agent.sample import Moment, Observation, Sample

SERIES = tuple(
    gauge(f"node_load{minutes}", f"Tasks running or waiting for CPU or disk, averaged over {minutes} min.")
    for minutes in (1, 5, 15)
)


class LoadAverage:
    """node_load1, node_load5 and node_load15."""

    name = "loadavg"

    def __init__(self, root: Path = Path("/")) -> None:
        self._file = KernelFile(root / "proc/loadavg")

    def observe(self, moment: Moment) -> Observation:
        return Observation([Sample(*pair) for pair in zip(SERIES, map(float, self._file.read().split()), strict=False)])
