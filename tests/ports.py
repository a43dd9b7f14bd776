"""Ports for servers that a test starts."""

from __future__ import annotations

import random
import socket

PORTS = range(20_000, 32_000)
"""Below those that the kernel gives to whoever connects, so that none is taken between here and its use."""


def free_ports(count: int) -> list[int]:
    """Ports of this host that nobody listens on, drawn at random because tests run side by side."""
    found: list[int] = []
    for port in random.SystemRandom().sample(PORTS, 100):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        found.append(port)
        if len(found) == count:
            return found
    raise AssertionError("no free ports")
