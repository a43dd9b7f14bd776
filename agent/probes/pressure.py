"""Time lost waiting for CPU, memory, disk and interrupts: the kernel's pressure stall information."""

from __future__ import annotations

import errno
from pathlib import Path

from agent.probes.reading import KernelFile, NoData, counter
from agent.sample import Moment, Observation, Sample, Series

MICROSECONDS = 1_000_000
SWITCHED_OFF = (errno.ENOENT, errno.EOPNOTSUPP)  # built without it; built with it but booted with psi=0


def _waiting(resource: str, what: str) -> Series:
    text = f"Seconds in which at least one task waited for {what}."
    return counter(f"node_pressure_{resource}_waiting_seconds_total", text, unit="seconds")


def _stalled(resource: str, what: str) -> Series:
    text = f"Seconds in which no task could go on because of {what}."
    return counter(f"node_pressure_{resource}_stalled_seconds_total", text, unit="seconds")


# `full` of the CPU is undefined for a whole host, so node_exporter leaves it out and so do we.
LINES: dict[str, dict[bytes, Series]] = {
    "cpu": {b"some": _waiting("cpu", "a CPU")},
    "io": {b"some": _waiting("io", "a disk"), b"full": _stalled("io", "waiting for a disk")},
    "memory": {b"some": _waiting("memory", "memory"), b"full": _stalled("memory", "waiting for memory")},
    "irq": {b"full": _stalled("irq", "interrupts")},
}


class Pressure:
    """node_pressure_*_seconds_total."""

    name = "pressure"

    def __init__(self, root: Path = Path("/")) -> None:
        self._files = {resource: KernelFile(root / "proc/pressure" / resource) for resource in LINES}

    def observe(self, moment: Moment) -> Observation:
        samples: list[Sample] = []
        for resource, file in self._files.items():
            try:
                content = file.read()
            except OSError as error:
                if error.errno not in SWITCHED_OFF:
                    raise
                continue
            samples.extend(_parse(content, LINES[resource]))
        if not samples:
            raise NoData("the kernel keeps no pressure stall information (CONFIG_PSI, psi=1)")
        return Observation(samples)


def _parse(content: bytes, columns: dict[bytes, Series]) -> list[Sample]:
    samples = []
    for line in content.splitlines():
        word, *_, total = line.split()
        if word in columns:
            samples.append(Sample(columns[word], int(total.removeprefix(b"total=")) / MICROSECONDS))
    return samples
