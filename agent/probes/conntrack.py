"""The firewall's table of tracked connections: how full it is, and what could not be tracked."""

from __future__ import annotations

from pathlib import Path

from agent.probes.reading import KernelFile, NoData, gauge
from agent.sample import Moment, Observation, Sample

ENTRIES = gauge("node_nf_conntrack_entries", "Connections in the tracking table.")
LIMIT = gauge("node_nf_conntrack_entries_limit", "Size of the tracking table; new connections are dropped beyond it.")
STATISTICS = {
    "found": "Connections looked up and found, over all CPUs.",
    "invalid": "Packets that could not be tracked, over all CPUs.",
    "ignore": "Packets of connections that were already known, over all CPUs.",
    "insert": "Entries put into the table, over all CPUs.",
    "insert_failed": "Entries that should have been put into the table and were not, over all CPUs.",
    "drop": "Packets dropped because tracking failed, over all CPUs.",
    "early_drop": "Entries dropped to make room for new ones, over all CPUs.",
    "search_restart": "Look-ups begun again because the table was resized meanwhile, over all CPUs.",
}
"""What node_exporter takes of /proc/net/stat/nf_conntrack, as gauges like it does."""
SERIES = {name.encode(): gauge(f"node_nf_conntrack_stat_{name}", text) for name, text in STATISTICS.items()}


class Conntrack:
    """node_nf_conntrack_entries and its limit, node_nf_conntrack_stat_<name> where the kernel keeps them."""

    name = "conntrack"

    def __init__(self, root: Path = Path("/")) -> None:
        folder = root / "proc/sys/net/netfilter"
        self._entries = KernelFile(folder / "nf_conntrack_count")
        self._limit = KernelFile(folder / "nf_conntrack_max")
        self._statistics = KernelFile(root / "proc/net/stat/nf_conntrack")

    def observe(self, moment: Moment) -> Observation:
        try:
            samples = [Sample(ENTRIES, int(self._entries.read())), Sample(LIMIT, int(self._limit.read()))]
        except FileNotFoundError as error:
            raise NoData("the kernel tracks no connections (module nf_conntrack is not loaded)") from error
        try:
            header, *cpus = self._statistics.read().splitlines()
        except FileNotFoundError:
            return Observation(samples)
        rows = [line.split() for line in cpus]
        for at, name in enumerate(header.split()):
            series = SERIES.get(name)
            if series is not None:
                samples.append(Sample(series, sum(int(row[at], 16) for row in rows)))
        return Observation(samples)
