"""A small disk of its own, to be filled and freed."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

CHUNK_BYTES = 1 << 16
BALLAST = "ballast"


class SmallDisk:
    """A tmpfs; what fills it is one file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def fill(self) -> None:
        """Take every free byte."""
        handle = os.open(self.folder / BALLAST, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            size = CHUNK_BYTES
            while size:
                try:
                    os.write(handle, bytes(size))
                except OSError:
                    size //= 2
        finally:
            os.close(handle)

    def free(self) -> None:
        """Give it back."""
        (self.folder / BALLAST).unlink(missing_ok=True)


@contextmanager
def small_disk(folder: Path, *, mebibytes: int) -> Iterator[SmallDisk]:
    """Mount one, or skip the test by name where that is not allowed."""
    folder.mkdir(parents=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m,mode=0700", "sigap-test", str(folder)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"needs to mount a tmpfs: {mounted.stderr.strip()}")
    try:
        yield SmallDisk(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
