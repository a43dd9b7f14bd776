"""Time spent by each CPU, by mode, from /proc/stat.

Says nothing of load or of processes.
"""

from __future__ import annotations

import os
from pathlib import Path

from agent.probes.reading import KernelFile, counter
from agent.sample import Moment, Observation, Sample, Series

MODES = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
GUEST_MODES = ("user", "nice")
IDLE = MODES.index("idle")
RESTART_SECONDS = (
    3.0  # idle time falling by more means that the CPU was unplugged and counts anew, as node_exporter holds
)

TIME_HELP = "Seconds each CPU spent in each mode."
GUEST_HELP = "Seconds each CPU spent running guests, by mode; already part of user and nice."


class CPU:
    """node_cpu_seconds_total and node_cpu_guest_seconds_total."""

    name = "cpu"

    def __init__(self, root: Path = Path("/")) -> None:
        self._file = KernelFile(root / "proc/stat")
        self._ticks_per_second = os.sysconf("SC_CLK_TCK")
        self._series: dict[bytes, tuple[Series, ...]] = {}
        self._before: dict[bytes, list[float]] = {}

    def observe(self, moment: Moment) -> Observation:
        samples: list[Sample] = []
        for line in self._file.read().split(b"\n"):
            if not line.startswith(b"cpu"):
                break
            name, *ticks = line.split()
            if name != b"cpu":
                seconds = [int(value) / self._ticks_per_second for value in ticks]
                samples.extend(map(Sample, self._columns(name), self._forward(name, seconds)))
        return Observation(samples)

    def _columns(self, name: bytes) -> tuple[Series, ...]:
        if name not in self._series:
            cpu = name[3:].decode()
            times = [counter("node_cpu_seconds_total", TIME_HELP, unit="seconds", cpu=cpu, mode=m) for m in MODES]
            guest = [
                counter("node_cpu_guest_seconds_total", GUEST_HELP, unit="seconds", cpu=cpu, mode=mode)
                for mode in GUEST_MODES
            ]
            self._series[name] = (*times, *guest)
        return self._series[name]

    def _forward(self, name: bytes, seconds: list[float]) -> list[float]:
        """The kernel lets iowait and idle slip back a little; a counter that does so looks like a restart."""
        before = self._before.get(name)
        if before is not None and seconds[IDLE] > before[IDLE] - RESTART_SECONDS:
            seconds = list(map(max, seconds, before))
        self._before[name] = seconds
        return seconds
