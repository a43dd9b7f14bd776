"""Telling systemd how the agent fares (sd_notify(3)): one datagram each, nothing at all elsewhere."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping

MICROSECONDS = 1_000_000


class ServiceManager:
    """The other end of $NOTIFY_SOCKET; every method does nothing when there is none."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        address = environment.get("NOTIFY_SOCKET", "")
        # A leading @ stands for the null byte of an abstract socket.
        self._address = "\0" + address[1:] if address.startswith("@") else address
        pid = environment.get("WATCHDOG_PID", str(os.getpid()))
        watched = environment.get("WATCHDOG_USEC", "0") if pid == str(os.getpid()) else "0"
        self.watchdog_seconds = int(watched) / MICROSECONDS if watched.isdigit() else 0.0

    def tell(self, *lines: str) -> None:
        """Send state lines such as READY=1."""
        if not self._address:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as link:
            try:
                link.sendto("\n".join(lines).encode(), self._address)
            except OSError:
                return  # A manager that does not listen has nothing to be told.

    def ready(self, status: str) -> None:
        """The agent samples."""
        self.tell("READY=1", f"STATUS={status}")

    def reloading(self) -> None:
        """The file is read again; `ready` ends it."""
        self.tell("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def alive(self, status: str) -> None:
        """The agent makes progress."""
        self.tell("WATCHDOG=1", f"STATUS={status}")

    def stopping(self) -> None:
        """The agent ends on purpose."""
        self.tell("STOPPING=1", "STATUS=delivering what is left")
