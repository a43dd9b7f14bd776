"""How many neighbours each network device knows by their hardware address, from /proc/net/arp."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from agent.probes.reading import KernelFile, gauge
from agent.sample import Moment, Observation, Sample, Series


class ARP:
    """node_arp_entries by device."""

    name = "arp"

    def __init__(self, root: Path = Path("/")) -> None:
        self._file = KernelFile(root / "proc/net/arp")
        self._series: dict[bytes, Series] = {}

    def observe(self, moment: Moment) -> Observation:
        entries = Counter(fields[-1] for line in self._file.read().split(b"\n")[1:] if (fields := line.split()))
        return Observation([Sample(self._of(device), count) for device, count in entries.items()])

    def _of(self, device: bytes) -> Series:
        series = self._series.get(device)
        if series is None:
            series = self._series[device] = gauge(
                "node_arp_entries", "Neighbours in the ARP table.", device=device.decode()
            )
        return series
