"""Everything the agent can look at: two registries, one line each.

`HOST_PROBES` look at the host itself; their names are those of node_exporter's collectors. `CHECKS` look at a target
somebody named. Neither knows when it runs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from agent.probes.arp import ARP
from agent.probes.check import Settings
from agent.probes.clock import Clock
from agent.probes.conntrack import Conntrack
from agent.probes.cpu import CPU
from agent.probes.diskstats import DiskStats
from agent.probes.dns import DNSCheck
from agent.probes.entropy import Entropy
from agent.probes.file import FileCheck
from agent.probes.filefd import FileDescriptors
from agent.probes.filesystem import Filesystem
from agent.probes.http import HTTPCheck
from agent.probes.loadavg import LoadAverage
from agent.probes.meminfo import Meminfo
from agent.probes.netclass import NetClass
from agent.probes.netdev import NetDev
from agent.probes.netstat import NetStat
from agent.probes.os_release import OSRelease
from agent.probes.ping import PingCheck
from agent.probes.portable import Portable
from agent.probes.pressure import Pressure
from agent.probes.process_check import ProcessCheck
from agent.probes.processes import Processes
from agent.probes.self_metrics import SelfMetrics, Source
from agent.probes.sockstat import SockStat
from agent.probes.softnet import SoftNet
from agent.probes.stat import Stat
from agent.probes.systemd import SystemdCheck
from agent.probes.tcp import TCPCheck
from agent.probes.textfile import Textfile
from agent.probes.timex import Timex
from agent.probes.tls import TLSCheck
from agent.probes.udp_queues import UDPQueues
from agent.probes.uname import Uname
from agent.probes.vmstat import VMStat
from agent.sample import Probe

BEAT_SECONDS = 10.0
SLOW_BEAT_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Host:
    """What host probes are made from."""

    root: Path = Path("/")
    version: str = ""
    sources: Sequence[Source] = ()  # who else has numbers about the agent itself; may still grow
    textfile_folder: Path | None = None


class HostProbe(NamedTuple):
    """How to make a probe, and how often it looks unless configured otherwise."""

    make: Callable[[Host], Probe]
    interval_seconds: float = BEAT_SECONDS


HOST_PROBES: dict[str, HostProbe] = {
    "arp": HostProbe(lambda host: ARP(host.root)),
    "conntrack": HostProbe(lambda host: Conntrack(host.root)),
    "cpu": HostProbe(lambda host: CPU(host.root)),
    "diskstats": HostProbe(lambda host: DiskStats(host.root)),
    "entropy": HostProbe(lambda host: Entropy(host.root)),
    "filefd": HostProbe(lambda host: FileDescriptors(host.root)),
    "filesystem": HostProbe(lambda host: Filesystem(host.root)),
    "loadavg": HostProbe(lambda host: LoadAverage(host.root)),
    "meminfo": HostProbe(lambda host: Meminfo(host.root)),
    "netclass": HostProbe(lambda host: NetClass(host.root)),
    "netdev": HostProbe(lambda host: NetDev(host.root)),
    "netstat": HostProbe(lambda host: NetStat(host.root)),
    "os": HostProbe(lambda host: OSRelease(host.root)),
    "portable": HostProbe(lambda host: Portable(host.root)),
    "pressure": HostProbe(lambda host: Pressure(host.root)),
    "processes": HostProbe(lambda host: Processes(host.root), SLOW_BEAT_SECONDS),
    "self": HostProbe(lambda host: SelfMetrics(host.sources, version=host.version)),
    "sockstat": HostProbe(lambda host: SockStat(host.root)),
    "softnet": HostProbe(lambda host: SoftNet(host.root)),
    "stat": HostProbe(lambda host: Stat(host.root)),
    "textfile": HostProbe(lambda host: Textfile(host.textfile_folder)),
    "time": HostProbe(lambda _: Clock()),
    "timex": HostProbe(lambda _: Timex()),
    "udp_queues": HostProbe(lambda host: UDPQueues(host.root)),
    "uname": HostProbe(lambda host: Uname(host.root)),
    "vmstat": HostProbe(lambda host: VMStat(host.root)),
}

CHECKS: dict[str, type[Settings]] = {
    "dns": DNSCheck,
    "file": FileCheck,
    "http": HTTPCheck,
    "ping": PingCheck,
    "process": ProcessCheck,
    "systemd": SystemdCheck,
    "tcp": TCPCheck,
    "tls": TLSCheck,
}
