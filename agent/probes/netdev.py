"""Traffic, errors and drops of each network device, from /proc/net/dev.

Whether a device is up is netclass' business.
"""

from __future__ import annotations

from pathlib import Path

from agent.probes.reading import KernelFile, counter
from agent.sample import Moment, Observation, Sample, Series

EXCLUDED = (b"lo",)  # node_exporter as Debian ships it leaves the loopback out
HEADER_LINES = 2

RECEIVE = ("bytes", "packets", "errs", "drop", "fifo", "frame", "compressed", "multicast")
TRANSMIT = ("bytes", "packets", "errs", "drop", "fifo", "colls", "carrier", "compressed")
WHAT = {
    "bytes": "Bytes",
    "packets": "Packets",
    "errs": "Packets with errors",
    "drop": "Packets dropped",
    "fifo": "Overruns of the device's queue",
    "frame": "Frames with alignment errors",
    "compressed": "Compressed packets",
    "multicast": "Multicast packets",
    "colls": "Collisions",
    "carrier": "Losses of carrier",
}


class NetDev:
    """node_network_{receive,transmit}_<field>_total."""

    name = "netdev"

    def __init__(self, root: Path = Path("/")) -> None:
        self._file = KernelFile(root / "proc/net/dev")
        self._series: dict[bytes, tuple[Series, ...]] = {}

    def observe(self, moment: Moment) -> Observation:
        samples: list[Sample] = []
        for line in self._file.read().split(b"\n")[HEADER_LINES:]:
            # The last colon: an alias such as eth0:1 has one in its name.
            name, colon, values = line.rpartition(b":")
            if not colon:
                continue
            columns = self._series.get(name)
            if columns is None:
                columns = self._columns(name)
            samples.extend(map(Sample, columns, map(int, values.split())))
        return Observation(samples)

    def _columns(self, name: bytes) -> tuple[Series, ...]:
        columns: tuple[Series, ...] = ()
        if name.strip() not in EXCLUDED:
            device = name.strip().decode()
            columns = (*_columns("receive", RECEIVE, device), *_columns("transmit", TRANSMIT, device))
        self._series[name] = columns
        return columns


def _columns(direction: str, fields: tuple[str, ...], device: str) -> list[Series]:
    return [
        counter(
            f"node_network_{direction}_{field}_total",
            f"{WHAT[field]}, {direction} side.",
            unit="bytes" if field == "bytes" else "",
            device=device,
        )
        for field in fields
    ]
