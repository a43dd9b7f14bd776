"""Secret files: a directory of 0700, files of 0600, written whole or not at all, refused when others could touch them.

Knows nothing of what is in them.
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

from collector.domain.errors import StoreError
from collector.domain.message import Message, mark

DIRECTORY_MODE = 0o700
FILE_MODE = 0o600
OTHERS = 0o077
FILE_BYTES_MAX = 1 << 20


class Vault:
    """One directory of secrets. Made when missing; refused when it is a link, somebody else's, or open to others."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True, mode=DIRECTORY_MODE)
        os.close(self._open())

    def read(self, name: str) -> bytes | None:
        """The file's content, or None when there is none."""
        folder = self._open()
        try:
            descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, dir_fd=folder)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _refused(self.folder / name, str(error.strerror)) from error
        finally:
            os.close(folder)
        with os.fdopen(descriptor, "rb") as file:
            _inspect(self.folder / name, os.fstat(descriptor))
            return file.read(FILE_BYTES_MAX)

    def write(self, name: str, content: bytes) -> None:
        """Replace the file: after a power cut there is the old content or the new, never a part."""
        folder = self._open()
        scratch = f".{name}.new"  # Always the same name: what a crash left behind is swept away by the next write.
        try:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(scratch, dir_fd=folder)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            with os.fdopen(os.open(scratch, flags, FILE_MODE, dir_fd=folder), "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.rename(scratch, name, src_dir_fd=folder, dst_dir_fd=folder)
            os.fsync(folder)
        except OSError as error:
            raise StoreError(
                Message("{path} cannot be written: {error}.", path=str(self.folder / name), error=str(error.strerror))
            ) from error
        finally:
            os.close(folder)

    def _open(self) -> int:
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            descriptor = os.open(self.folder, flags)
        except OSError as error:
            raise _refused(self.folder, str(error.strerror)) from error
        found = os.fstat(descriptor)
        if found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & OTHERS:
            os.close(descriptor)
            path = str(self.folder)
            hint = Message("chown it to this account and chmod 700 {path}", path=path)
            raise _refused(self.folder, Message("others can reach it"), hint)
        return descriptor


def _inspect(path: Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
        raise _refused(path, Message("it is not a plain file of one name"))
    if found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & OTHERS:
        hint = Message("Whoever read it may have it; then chmod 600 {path}", path=str(path))
        raise _refused(path, Message("others can reach it"), hint)


def _refused(path: Path, why: str, hint: str = "") -> StoreError:
    return StoreError(
        Message("{path} is not trusted: {why}.", path=str(path), why=why),
        hint=hint or mark("No links, owned by this account, closed to others."),
    )
