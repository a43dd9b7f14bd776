"""How full the firewall's table of tracked connections is."""

from __future__ import annotations

from pathlib import Path

from agent.probes.reading import KernelFile, NoData, gauge
from agent.sample import Moment, Observation, Sample

ENTRIES = gauge("node_nf_conntrack_entries", "Connections in the tracking table.")
LIMIT = gauge("node_nf_conntrack_entries_limit", "Size of the tracking table; new connections are dropped beyond it.")


class Conntrack:
    """node_nf_conntrack_entries and its limit."""

    name = "conntrack"

    def __init__(self, root: Path = Path("/")) -> None:
        folder = root / "proc/sys/net/netfilter"
        self._entries = KernelFile(folder / "nf_conntrack_count")
        self._limit = KernelFile(folder / "nf_conntrack_max")

    def observe(self, moment: Moment) -> Observation:
        try:
            return Observation(
                (Sample(ENTRIES, int(self._entries.read())), Sample(LIMIT, int(self._limit.read()))),
            )
        except FileNotFoundError as error:
            raise NoData("the kernel tracks no connections (module nf_conntrack is not loaded)") from error
