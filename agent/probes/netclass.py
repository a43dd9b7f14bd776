"""State, carrier, speed and MTU of each network device, from /sys/class/net.

Traffic is netdev's business.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from agent.probes.reading import KernelFile, gauge, read_value
from agent.sample import Moment, Observation, Sample, Series

BYTES_PER_MEGABIT = 125_000
DEVICES_KEPT_OPEN = 8
"""Reading costs a third as much with files that stay open; a host with a device per container has too many of them."""

Read = Callable[[], bytes]


class Attribute(NamedTuple):
    """One file of a device, and what it means as a number."""

    file: str
    metric: str
    help: str
    number: Callable[[bytes], float]


# Speed is -1 where a device does not know it; node_exporter passes that on, and dashboards filter it.
ATTRIBUTES = (
    Attribute("operstate", "node_network_up", "1 when the device is up.", lambda text: float(text == b"up")),
    Attribute("carrier", "node_network_carrier", "1 when the device sees a link.", int),
    Attribute("mtu", "node_network_mtu_bytes", "Largest packet the device sends, in bytes.", int),
    Attribute(
        "speed",
        "node_network_speed_bytes",
        "Speed of the link in bytes a second; negative when unknown.",
        lambda text: int(text) * BYTES_PER_MEGABIT,
    ),
)


class NetClass:
    """node_network_up, _carrier, _mtu_bytes and _speed_bytes."""

    name = "netclass"

    def __init__(self, root: Path = Path("/")) -> None:
        self._folder = os.fspath(root / "sys/class/net")
        self._columns: dict[str, list[tuple[Read, Series, Callable[[bytes], float]]]] = {}

    def observe(self, moment: Moment) -> Observation:
        samples = []
        with os.scandir(self._folder) as entries:
            devices = sorted(entry.name for entry in entries)
        for device in devices:
            for read, series, number in self._columns.get(device) or self._learn(device):
                try:
                    samples.append(Sample(series, number(read().strip())))
                except OSError:
                    # A device that is down has no carrier and no speed, and one that has just gone has nothing.
                    continue
        return Observation(samples)

    def _learn(self, device: str) -> list[tuple[Read, Series, Callable[[bytes], float]]]:
        def reader(path: str) -> Read:
            return KernelFile(path).read if len(self._columns) < DEVICES_KEPT_OPEN else partial(read_value, path)

        self._columns[device] = [
            (
                reader(f"{self._folder}/{device}/{each.file}"),
                gauge(each.metric, each.help, unit=_unit(each), device=device),
                each.number,
            )
            for each in ATTRIBUTES
        ]
        return self._columns[device]


def _unit(attribute: Attribute) -> str:
    return "bytes" if attribute.metric.endswith("_bytes") else ""
