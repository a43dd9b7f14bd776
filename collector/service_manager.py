"""Telling systemd how the collector fares (sd_notify(3)): one datagram each, nothing at all elsewhere.

Decides nothing: what "alive" means is asked of whoever is watched.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Awaitable, Callable, Mapping

MICROSECONDS = 1_000_000
FEEDS = 3
"""How often within the time that systemd waits it is told, so that one late answer is not the end."""


class ServiceManager:
    """The other end of $NOTIFY_SOCKET; does nothing when there is none."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        address = environment.get("NOTIFY_SOCKET", "")
        # A leading @ stands for the null byte of an abstract socket.
        self._address = "\0" + address[1:] if address.startswith("@") else address
        pid = environment.get("WATCHDOG_PID", str(os.getpid()))
        watched = environment.get("WATCHDOG_USEC", "") if pid == str(os.getpid()) else ""
        self.watchdog_seconds = int(watched) / MICROSECONDS if watched.isdigit() else 0.0

    def tell(self, *lines: str) -> None:
        """Send state lines such as READY=1."""
        if not self._address:
            return
        link = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        with link, contextlib.suppress(OSError):  # A manager that does not listen has nothing to be told.
            link.sendto("\n".join(lines).encode(), self._address)

    async def feed_watchdog(self, is_alive: Callable[[], Awaitable[bool]]) -> None:
        """Say so as long as it is true; a question that is not answered says nothing either."""
        while self.watchdog_seconds:
            if await is_alive():
                self.tell("WATCHDOG=1")
            await asyncio.sleep(self.watchdog_seconds / FEEDS)
