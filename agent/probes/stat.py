"""Interrupts, context switches, forks, boot time and the run queue, from /proc/stat."""

from __future__ import annotations

import re
from pathlib import Path

from agent.probes.reading import KernelFile, counter, gauge
from agent.sample import Moment, Observation, Sample

SERIES = {
    b"intr": counter("node_intr_total", "Interrupts served since boot."),
    b"ctxt": counter("node_context_switches_total", "Context switches since boot."),
    b"btime": gauge("node_boot_time_seconds", "When the host booted, in Unix time.", unit="seconds"),
    b"processes": counter("node_forks_total", "Processes and threads created since boot."),
    b"procs_running": gauge("node_procs_running", "Tasks that could run right now."),
    b"procs_blocked": gauge("node_procs_blocked", "Tasks waiting for input or output."),
}
# The first number only: the line of interrupts goes on with one number for each of them, thousands on a large host.
LINE = re.compile(rb"^(" + b"|".join(SERIES) + rb") (\d+)", re.MULTILINE)


class Stat:
    """What /proc/stat says of the host as a whole."""

    name = "stat"

    def __init__(self, root: Path = Path("/")) -> None:
        self._file = KernelFile(root / "proc/stat")

    def observe(self, moment: Moment) -> Observation:
        return Observation([Sample(SERIES[key], int(value)) for key, value in LINE.findall(self._file.read())])
