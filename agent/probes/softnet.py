"""Packets each CPU took from the network, dropped because its queue was full, or left for later."""

from __future__ import annotations

from pathlib import Path

from agent.probes.reading import KernelFile, counter
from agent.sample import Moment, Observation, Sample, Series

FIELDS = (
    ("processed", "Packets processed."),
    ("dropped", "Packets dropped because the queue of this CPU was full."),
    ("times_squeezed", "Times the work was cut short with packets left over."),
)
CPU_COLUMN = 12  # from Linux 5.10 on; before, the number of the line


class SoftNet:
    """node_softnet_{processed,dropped,times_squeezed}_total by cpu, from /proc/net/softnet_stat."""

    name = "softnet"

    def __init__(self, root: Path = Path("/")) -> None:
        self._file = KernelFile(root / "proc/net/softnet_stat")
        self._series: dict[int, tuple[Series, ...]] = {}

    def observe(self, moment: Moment) -> Observation:
        samples: list[Sample] = []
        for number, line in enumerate(self._file.read().splitlines()):
            fields = line.split()
            cpu = int(fields[CPU_COLUMN], 16) if len(fields) > CPU_COLUMN else number
            columns = self._series.get(cpu)
            if columns is None:
                columns = self._series[cpu] = tuple(
                    counter(f"node_softnet_{field}_total", text, cpu=str(cpu)) for field, text in FIELDS
                )
            samples.extend([Sample(series, int(value, 16)) for series, value in zip(columns, fields, strict=False)])
        return Observation(samples)
