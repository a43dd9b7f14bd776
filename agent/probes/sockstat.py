"""Sockets of the whole host by protocol, from /proc/net/sockstat and sockstat6: in use, waiting, their memory."""

from __future__ import annotations

import os
from pathlib import Path

from agent.probes.reading import KernelFile, gauge
from agent.sample import Moment, Observation, Sample, Series

PAGES = "mem"  # the one field that is counted in pages


class SockStat:
    """node_sockstat_<protocol>_<field>, and _mem_bytes where the kernel counts pages."""

    name = "sockstat"

    def __init__(self, root: Path = Path("/")) -> None:
        self._files = [KernelFile(root / "proc/net/sockstat"), KernelFile(root / "proc/net/sockstat6")]
        self._series: dict[bytes, tuple[tuple[int, int, Series], ...]] = {}  # place, factor, column by protocol

    def observe(self, moment: Moment) -> Observation:
        samples: list[Sample] = []
        for file, needed in zip(self._files, (True, False), strict=True):
            try:
                lines = file.read().split(b"\n")
            except FileNotFoundError:
                if needed:
                    raise
                continue  # a kernel without IPv6
            for line in lines:
                fields = line.split()
                if fields:
                    columns = self._series.get(fields[0]) or self._columns(fields)
                    samples.extend([Sample(series, int(fields[at]) * factor) for at, factor, series in columns])
        return Observation(samples)

    def _columns(self, fields: list[bytes]) -> tuple[tuple[int, int, Series], ...]:
        protocol = fields[0].decode().rstrip(":")
        columns = []
        for at in range(1, len(fields) - 1, 2):
            field = fields[at].decode()
            name, text = f"node_sockstat_{protocol}_{field}", f"{protocol} sockets, {field} of /proc/net/sockstat"
            columns.append((at + 1, 1, gauge(name, f"{text}.")))
            if field == PAGES:
                size = os.sysconf("SC_PAGE_SIZE")
                columns.append((at + 1, size, gauge(f"{name}_bytes", f"{text}, in bytes.", unit="bytes")))
        self._series[fields[0]] = tuple(columns)
        return self._series[fields[0]]
