"""What the host probes share: reading kernel files cheaply, and naming series.

Knows no probe, no clock and no metric. Files of procfs are opened once and re-read by offset, because opening them
costs more than reading them.
"""

from __future__ import annotations

import os

from agent.sample import Kind, Series

CHUNK_BYTES = 65536
CERTAIN_BYTES = 2048
"""A shorter answer is the whole file: the kernel only stops early where the next record does not fit into its page."""


class NoData(Exception):
    """This host has no such thing (a module that is not loaded, a kernel without it): not worth an alarm."""


class KernelFile:
    """One file under /proc that is read on every beat; whoever reads it owns it."""

    __slots__ = ("_descriptor", "path")

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        self._descriptor = -1

    def read(self) -> bytes:
        """The whole content as of now.

        Raises:
            OSError: It cannot be read; the next call opens it anew.
        """
        if self._descriptor < 0:
            self._descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            content = os.pread(self._descriptor, CHUNK_BYTES, 0)
            # The kernel hands out at most a page or so per call, so only an empty answer means the end of a long one.
            while len(content) >= CERTAIN_BYTES and (more := os.pread(self._descriptor, CHUNK_BYTES, len(content))):
                content += more
        except OSError:
            self.close()
            raise
        return content

    def close(self) -> None:
        """Let go of the descriptor."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __del__(self) -> None:
        self.close()


def read_value(path: str) -> bytes:
    """One small attribute, without its line end.

    Raises:
        OSError: It does not exist or its device has no answer.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.pread(descriptor, CHUNK_BYTES, 0).strip()
    finally:
        os.close(descriptor)


def gauge(name: str, text: str, /, *, unit: str = "", **labels: str) -> Series:
    """A series that goes up and down."""
    return Series(name, tuple(sorted(labels.items())), Kind.GAUGE, unit, text)


def counter(name: str, text: str, /, *, unit: str = "", **labels: str) -> Series:
    """A series that only grows until it starts again at zero."""
    return Series(name, tuple(sorted(labels.items())), Kind.COUNTER, unit, text)
