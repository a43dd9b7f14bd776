"""Kernel, architecture and names of the host."""

from __future__ import annotations

import os
from pathlib import Path

from agent.probes.reading import KernelFile, gauge
from agent.sample import Moment, Observation, Sample

HELP = "Kernel, architecture and names of the host; always 1."
FILES = {
    "sysname": "ostype",
    "nodename": "hostname",
    "release": "osrelease",
    "version": "version",
    "domainname": "domainname",
}


class Uname:
    """node_uname_info."""

    name = "uname"

    def __init__(self, root: Path = Path("/")) -> None:
        self._files = {label: KernelFile(root / "proc/sys/kernel" / file) for label, file in FILES.items()}
        self._machine = os.uname().machine
        self._seen: list[bytes] = []
        self._sample = Sample(gauge("node_uname_info", HELP), 1.0)

    def observe(self, moment: Moment) -> Observation:
        seen = [file.read() for file in self._files.values()]
        if seen != self._seen:
            labels = {label: text.decode().strip() for label, text in zip(self._files, seen, strict=True)}
            self._sample = Sample(gauge("node_uname_info", HELP, machine=self._machine, **labels), 1.0)
            self._seen = seen
        return Observation((self._sample,))
