"""Bytes that wait in the queues of all UDP sockets: what programs are too slow to read, or the network to take."""

from __future__ import annotations

from pathlib import Path

from agent.probes.reading import KernelFile, gauge
from agent.sample import Moment, Observation, Sample

TEXT = "Bytes waiting in queues of UDP sockets."
QUEUES_COLUMN = 4  # tx_queue:rx_queue, hexadecimal


class UDPQueues:
    """node_udp_queues by ip version and queue, from /proc/net/udp and udp6."""

    name = "udp_queues"

    def __init__(self, root: Path = Path("/")) -> None:
        self._columns = [
            (
                KernelFile(root / "proc/net" / file),
                gauge("node_udp_queues", TEXT, ip=version, queue="tx"),
                gauge("node_udp_queues", TEXT, ip=version, queue="rx"),
            )
            for file, version in (("udp", "v4"), ("udp6", "v6"))
        ]

    def observe(self, moment: Moment) -> Observation:
        samples: list[Sample] = []
        for file, sending, receiving in self._columns:
            try:
                lines = file.read().split(b"\n")[1:]
            except FileNotFoundError:
                if samples:
                    continue  # a kernel without IPv6
                raise
            queues = [line.split()[QUEUES_COLUMN].split(b":") for line in lines if line]
            samples.append(Sample(sending, sum(int(sent, 16) for sent, _ in queues)))
            samples.append(Sample(receiving, sum(int(received, 16) for _, received in queues)))
        return Observation(samples)
