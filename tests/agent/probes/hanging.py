"""A real filesystem that can stop answering, as one of a dead server does: a FUSE server of a hundred lines.

Speaks just enough of the kernel's protocol (linux/fuse.h, 7.31 and later) for stat and statfs of an empty root folder.
What it does not answer keeps the caller waiting in the kernel.
"""

from __future__ import annotations

import ctypes
import errno
import os
import select
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

DEVICE = Path("/dev/fuse")
IN_HEADER = struct.Struct("<IIQQIIIHH")  # length, operation, id, node, uid, gid, pid, extensions, padding
OUT_HEADER = struct.Struct("<IiQ")
INIT_OUT = struct.Struct("<IIIIHHIIHHI28x")
ATTRIBUTES_OUT = struct.Struct("<QII QQQQQQIIIIIIIIII")
STATFS_OUT = struct.Struct("<QQQQQIIII24x")
GETATTR, STATFS, INIT, FORGET, INTERRUPT, DESTROY, BATCH_FORGET = 3, 17, 26, 2, 36, 38, 42
WITHOUT_REPLY = (FORGET, INTERRUPT, BATCH_FORGET)
FOLDER = 0o040755
VERSION = (7, 31)
REQUEST_BYTES = 1 << 17
BLOCK_BYTES, BLOCKS, FREE, FILES = 4096, 1000, 400, 50
MNT_DETACH = 2
MS_REC, MS_PRIVATE, CLONE_FS, CLONE_NEWNS = 0x4000, 0x40000, 0x200, 0x20000
LIBC = ctypes.CDLL(None, use_errno=True)


class Hanging:
    """The server; while `dead` is set it answers nothing."""

    def __init__(self, device: int) -> None:
        self.dead = threading.Event()
        self._device = device
        self._waiting: list[bytes] = []
        self._lock = threading.Lock()
        self._wake_read, self._wake_write = os.pipe()
        self._thread = threading.Thread(target=self._serve, name="fuse", daemon=True)
        self._thread.start()

    @property
    def held(self) -> int:
        """How many callers wait in the kernel."""
        with self._lock:
            return len(self._waiting)

    def die(self) -> None:
        """Answer nothing from now on."""
        self.dead.set()

    def come_back(self) -> None:
        """Answer everything that waits, and go on."""
        with self._lock:
            self.dead.clear()
            waiting, self._waiting = self._waiting, []
        for request in waiting:
            self._answer(request)

    def close(self) -> None:
        """End the server; whoever waits gets an error."""
        os.write(self._wake_write, b"x")
        self._thread.join()
        for descriptor in (self._device, self._wake_read, self._wake_write):
            os.close(descriptor)

    def _serve(self) -> None:
        while True:
            ready, _, _ = select.select([self._device, self._wake_read], [], [])
            if self._wake_read in ready:
                return
            try:
                request = os.read(self._device, REQUEST_BYTES)
            except OSError:
                return  # Unmounted.
            operation = IN_HEADER.unpack_from(request)[1]
            if operation in WITHOUT_REPLY:
                continue
            with self._lock:
                # The first word belongs to mounting, which is over for its caller before it is said.
                if self.dead.is_set() and operation != INIT:
                    self._waiting.append(request)
                    continue
            self._answer(request)

    def _answer(self, request: bytes) -> None:
        _, operation, identity, *_ = IN_HEADER.unpack_from(request)
        body: Callable[[], bytes] | None = {
            INIT: lambda: INIT_OUT.pack(*VERSION, 0, 0, 0, 0, 4096, 0, 0, 0, 0),
            GETATTR: lambda: ATTRIBUTES_OUT.pack(0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, FOLDER, 2, 0, 0, 0, 4096, 0),
            STATFS: lambda: STATFS_OUT.pack(BLOCKS, FREE, FREE, FILES, FILES, BLOCK_BYTES, 255, BLOCK_BYTES, 0),
            DESTROY: lambda: b"",
        }.get(operation)
        packed = body() if body else b""
        error = 0 if body else -errno.ENOSYS
        try:
            os.write(self._device, OUT_HEADER.pack(OUT_HEADER.size + len(packed), error, identity) + packed)
        except OSError:
            return  # The caller was killed meanwhile.


@contextmanager
def hanging(folder: Path) -> Iterator[Hanging]:
    """Mount one on a folder, for this thread and what it starts; skips by name where that cannot be."""
    try:
        device = os.open(DEVICE, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        pytest.skip(f"needs {DEVICE}: {error.strerror}")
    options = f"fd={device},rootmode={FOLDER & 0o170000:o},user_id=0,group_id=0,allow_other".encode()
    with apart():
        if LIBC.mount(b"dead-server:/export", os.fsencode(folder), b"fuse", 0, options):
            os.close(device)
            pytest.skip(f"needs the right to mount: {os.strerror(ctypes.get_errno())}")
        server = Hanging(device)
        try:
            yield server
        finally:
            server.come_back()
            LIBC.umount2(os.fsencode(folder), MNT_DETACH)
            server.close()


@contextmanager
def apart() -> Iterator[None]:
    """A mount namespace of this thread's own: nobody else on this host is to meet a filesystem that hangs."""
    folder, home = Path.cwd(), os.open("/proc/thread-self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    try:
        if LIBC.unshare(CLONE_NEWNS) or LIBC.mount(None, b"/", None, MS_REC | MS_PRIVATE, None):
            pytest.skip(f"needs the right to a mount namespace: {os.strerror(ctypes.get_errno())}")
        try:
            yield
        finally:
            # Threads that were started meanwhile share our root and current folder; one who moves must not.
            moved = LIBC.unshare(CLONE_FS) == 0 and LIBC.setns(home, CLONE_NEWNS) == 0
            assert moved, os.strerror(ctypes.get_errno())
            os.chdir(folder)  # To come back puts one at the root.
    finally:
        os.close(home)
