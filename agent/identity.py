"""Who this agent is: its key, its certificate and where it delivers, in one file that only it can read.

One file, so that a crash never parts a key from its certificate. Knows nothing of how an identity is got.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
from dataclasses import asdict, dataclass, field
from pathlib import Path

DIRECTORY_MODE = 0o700
FILE_MODE = 0o600
OTHERS = 0o077
IDENTITY_FILE = "identity.json"
FILE_BYTES_MAX = 1 << 18


class IdentityError(Exception):
    """What is wrong with the state directory or what is in it, and in `hint` what to do next. Carries no secret."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(f"{message} {hint}".strip())
        self.message = message
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Identity:
    """Everything needed to open the one connection to the collector."""

    agent_id: str
    certificate_pem: bytes
    key_pem: bytes = field(repr=False)
    authority_pem: bytes  # the only root
    address: str  # host:port to deliver to
    not_before_ms: int  # Unix milliseconds, UTC
    not_after_ms: int

    def renewal_due(self, now_ms: int) -> bool:
        """Whether two thirds of the certificate's life are over."""
        return now_ms >= self.not_before_ms + (self.not_after_ms - self.not_before_ms) * 2 // 3


def load(state: Path) -> Identity | None:
    """The identity in the state directory; None when this host has not enrolled.

    Raises:
        IdentityError: The directory or file could have been touched by others, or is damaged.
    """
    content = _read(state) if os.path.lexists(state) else None
    if content is None:
        return None
    try:
        values = json.loads(content)
        for name in ("certificate_pem", "key_pem", "authority_pem"):
            values[name] = values[name].encode()
        return Identity(**values)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        path = state / IDENTITY_FILE
        raise IdentityError(f"{path} is damaged.", hint="Remove it and enrol again.") from error


def trace(state: Path) -> tuple[int, ...]:
    """What changes when somebody touches the identity or who can reach it; much cheaper than `load`."""
    try:
        seen = (os.lstat(state), os.lstat(state / IDENTITY_FILE))
    except OSError as error:
        return (error.errno or 0,)
    return tuple(number for one in seen for number in (one.st_ino, one.st_mode, one.st_uid, one.st_ctime_ns))


def save(state: Path, identity: Identity) -> None:
    """Replace the identity: after a power cut there is the old one or the new one, never a part."""
    values = {name: value.decode() if isinstance(value, bytes) else value for name, value in asdict(identity).items()}
    prepare(state)
    folder = _open(state)
    scratch = f".{IDENTITY_FILE}.new"  # Always the same name: the next attempt sweeps away what a crash left.
    try:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(scratch, dir_fd=folder)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(scratch, flags, FILE_MODE, dir_fd=folder), "wb") as file:
            file.write(json.dumps(values, indent=1).encode())
            file.flush()
            os.fsync(file.fileno())
        os.rename(scratch, IDENTITY_FILE, src_dir_fd=folder, dst_dir_fd=folder)
        os.fsync(folder)
    except OSError as error:
        raise IdentityError(f"{state / IDENTITY_FILE} cannot be written: {error.strerror}.") from error
    finally:
        os.close(folder)


def prepare(state: Path) -> None:
    """Make the state directory when it is missing, and refuse one that others can reach."""
    try:
        state.mkdir(parents=True, exist_ok=True, mode=DIRECTORY_MODE)
    except OSError as error:
        raise IdentityError(
            f"{state} cannot be made: {error.strerror}.", hint="Choose another state directory."
        ) from error
    os.close(_open(state))


def _read(state: Path) -> bytes | None:
    folder = _open(state)
    path = state / IDENTITY_FILE
    try:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(IDENTITY_FILE, flags, dir_fd=folder)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _refused(path, error.strerror) from error
    finally:
        os.close(folder)
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
            raise _refused(path, "it is not a plain file of one name")
        if found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & OTHERS:
            raise _refused(
                path, "others can reach it", "Whoever read it may have the key: revoke this agent, enrol again."
            )
        return file.read(FILE_BYTES_MAX)


def _open(state: Path) -> int:
    try:
        folder = os.open(state, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise _refused(state, error.strerror) from error
    found = os.fstat(folder)
    if found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & OTHERS:
        os.close(folder)
        raise _refused(state, "others can reach it", f"Make it this account's own and run chmod 700 {state}")
    return folder


def _refused(path: Path, why: str | None, hint: str = "") -> IdentityError:
    return IdentityError(f"{path} is not trusted: {why}.", hint=hint or "It must be no link and this account's own.")
