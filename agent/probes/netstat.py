"""The kernel's own counts of IP, TCP, UDP and ICMP: retransmissions, refused connections, full accept queues.

From /proc/net/netstat, /proc/net/snmp and /proc/net/snmp6. Whose connections they were is nobody's business here.
"""

from __future__ import annotations

import re
from pathlib import Path

from agent.probes.reading import KernelFile, counter, gauge
from agent.sample import Moment, Observation, Sample, Series

WANTED = re.compile(
    r".*_(InErrors|InErrs)|Ip_Forwarding|Ip(6|Ext)_(InOctets|OutOctets)|Icmp6?_(InMsgs|OutMsgs)"
    r"|TcpExt_(Listen.*|Syncookies.*|TCPSynRetrans|TCPTimeouts)"
    r"|Tcp_(ActiveOpens|InSegs|OutSegs|OutRsts|PassiveOpens|RetransSegs|CurrEstab)"
    r"|Udp6?_(InDatagrams|OutDatagrams|NoPorts|RcvbufErrors|SndbufErrors)"
)
"""node_exporter's default choice among some four hundred."""
GAUGES = ("Ip_Forwarding", "Tcp_CurrEstab")
SIX = re.compile(rb"([^6]+6)([^ \t]+)")

Picked = tuple[tuple[int, Series], ...]


class NetStat:
    """node_netstat_<protocol>_<name>."""

    name = "netstat"

    def __init__(self, root: Path = Path("/")) -> None:
        folder = root / "proc/net"
        self._tables = [KernelFile(folder / "netstat"), KernelFile(folder / "snmp")]
        self._list = KernelFile(folder / "snmp6")
        self._picked: dict[bytes, Picked] = {}  # by a header line, which a running kernel does not change
        self._listed: Picked = ()
        self._lines = 0

    def observe(self, moment: Moment) -> Observation:
        samples: list[Sample] = []
        for table in self._tables:
            # Two lines a protocol: names, then values, each behind "Tcp:".
            lines = iter(table.read().split(b"\n"))
            for header, line in zip(lines, lines, strict=False):
                picked = self._picked.get(header)
                if picked is None:
                    picked = self._picked[header] = _table_columns(header)
                if picked:
                    values = line.split()
                    samples.extend([Sample(series, int(values[at])) for at, series in picked])
        samples.extend(self._ipv6())
        return Observation(samples)

    def _ipv6(self) -> list[Sample]:
        try:
            lines = self._list.read().split(b"\n")
        except FileNotFoundError:
            return []  # a kernel without IPv6
        if len(lines) != self._lines:
            self._listed = tuple(column for at, line in enumerate(lines) for column in _list_column(at, line))
            self._lines = len(lines)
        return [Sample(series, int(lines[at].split()[1])) for at, series in self._listed]


def _table_columns(header: bytes) -> Picked:
    protocol, *names = header.decode().split() or [""]
    pairs = enumerate(names, start=1)
    return tuple((at, one) for at, name in pairs if (one := _series(protocol.rstrip(":"), name)) is not None)


def _list_column(at: int, line: bytes) -> Picked:
    match = SIX.match(line)
    found = _series(match[1].decode(), match[2].decode()) if match else None
    return () if found is None else ((at, found),)


def _series(protocol: str, name: str) -> Series | None:
    key = f"{protocol}_{name}"
    if not WANTED.fullmatch(key):
        return None
    make, text = (gauge, "") if key in GAUGES else (counter, ", counted since boot")
    return make(f"node_netstat_{key}", f"{name} of {protocol} in /proc/net{text}.")
