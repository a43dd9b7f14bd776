"""Open files of the whole host, and how many it allows."""

from __future__ import annotations

from pathlib import Path

from agent.probes.reading import KernelFile, gauge
from agent.sample import Moment, Observation, Sample

ALLOCATED = gauge("node_filefd_allocated", "File handles in use on the whole host.")
MAXIMUM = gauge("node_filefd_maximum", "File handles the kernel will give out at most.")


class FileDescriptors:
    """node_filefd_allocated and node_filefd_maximum."""

    name = "filefd"

    def __init__(self, root: Path = Path("/")) -> None:
        self._file = KernelFile(root / "proc/sys/fs/file-nr")

    def observe(self, moment: Moment) -> Observation:
        allocated, _, maximum = self._file.read().split()
        return Observation((Sample(ALLOCATED, int(allocated)), Sample(MAXIMUM, int(maximum))))
