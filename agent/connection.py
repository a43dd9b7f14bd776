"""A gRPC call on a TLS socket of its own: dial, send, receive, in the caller's thread.

No proxy from the environment is ever used. Who is trusted is the caller's decision; `mutual` makes the only usual one.
"""

from __future__ import annotations

import os
import select
import socket
import ssl
import time
from contextlib import suppress

from agent.call import Call, Status

READ_BYTES = 1 << 14  # one TLS record
UNSENT_BYTES_MAX = 1 << 20
"""Whoever takes nothing of what it is sent is not listened to either: it could make us owe it answers without end."""
ALPN = "h2"
PORT_MAX = 65_535
MFD_NOEXEC_SEAL = 0x8
"""Not in Python's `os` yet. Since Linux 6.3; a host can refuse files in memory that could be run (vm.memfd_noexec)."""


class ConnectionLost(Exception):
    """Why there is no connection (any more). `distrusted`: one side did not take the other's certificate."""

    def __init__(self, why: str, *, distrusted: bool = False) -> None:
        super().__init__(why)
        self.why = why
        self.distrusted = distrusted


def mutual(authority_pem: bytes, key_pem: bytes | None = None, certificate_pem: bytes | None = None) -> ssl.SSLContext:
    """Trust in one authority only, and our own certificate where there is one already.

    Raises:
        ValueError: One of them is damaged.
        OSError: There is no room for a file in memory.
    """
    context = _modern()
    context.hostname_checks_common_name = False  # a server's names are where they belong, or it has none
    context.verify_flags |= ssl.VERIFY_X509_STRICT  # the authority is ours and makes sound ones
    try:
        context.load_verify_locations(cadata=authority_pem.decode("ascii"))
        if key_pem is not None and certificate_pem is not None:
            _show(context, key_pem + b"\n" + certificate_pem)
    except (ssl.SSLError, UnicodeDecodeError) as error:
        raise ValueError("key or certificate is damaged; enrol this host again") from error
    return context


def _show(context: ssl.SSLContext, pem: bytes) -> None:
    """Python loads a key only by the name of a file: this one is in memory and has no name anywhere else."""
    descriptor = _memory_file()
    try:
        with open(descriptor, "wb", closefd=False) as file:
            file.write(pem)
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)


def stranger() -> ssl.SSLContext:
    """Trust in nobody, for a question whose answer proves itself."""
    context = _modern()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _modern() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3  # both ends are ours
    context.set_alpn_protocols([ALPN])
    return context


def _memory_file() -> int:
    try:
        return os.memfd_create("identity", os.MFD_CLOEXEC | MFD_NOEXEC_SEAL)
    except OSError:  # An older kernel does not know the flag.
        return os.memfd_create("identity", os.MFD_CLOEXEC)


def place(address: str) -> tuple[str, int]:
    """Host and port. Raises ValueError."""
    host, _, port = address.rpartition(":")
    if not host or not 0 < int(port) <= PORT_MAX:
        raise ValueError(f"{address} is not host:port.")
    return host.strip("[]"), int(port)


class Connection:
    """One call. Not for several threads; every method raises ConnectionLost when there is no connection any more."""

    def __init__(
        self, address: str, context: ssl.SSLContext, method: str, *, timeout_seconds: float, message_bytes_max: int
    ) -> None:
        """Dial and begin the call; blocks until TLS stands.

        Raises:
            ValueError: The address is not host:port.
            ConnectionLost: Nobody there, or one that is not trusted.
        """
        name, port = place(address)
        # As bytes, because Python loads the tables of Unicode for any text, plain as it may be.
        host = name.encode("ascii" if name.isascii() else "idna")
        self._heard = False
        self._unsent = bytearray()
        try:
            plain = socket.create_connection((host, port), timeout=timeout_seconds)  # type: ignore[arg-type]
            try:
                plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._socket = context.wrap_socket(plain, server_hostname=host)
            except BaseException:
                plain.close()
                raise
        except OSError as error:
            raise _lost(error, heard=True) from error
        if self._socket.selected_alpn_protocol() != ALPN:
            self._socket.close()
            raise ConnectionLost("it does not speak gRPC")
        self._call = Call(method, authority=address, message_bytes_max=message_bytes_max)

    @property
    def status(self) -> Status | None:
        """How the call ended, once it has."""
        return self._call.status

    @property
    def awaits(self) -> int:
        """What to wait for with `select.poll`: something to `receive`, and room for what is to `flush`."""
        reads = select.POLLIN if len(self._unsent) <= UNSENT_BYTES_MAX else 0
        return reads | select.POLLOUT if self._unsent else reads

    def fileno(self) -> int:
        """Where to wait for it."""
        return self._socket.fileno()

    def stream(self) -> None:
        """From now on nothing blocks; what does not go out at once waits for `flush`."""
        self._socket.setblocking(False)
        self.flush()

    def say(self, message: bytes) -> None:
        """Send one message, as far as it goes now."""
        self._call.say(message)
        self.flush()

    def flush(self) -> None:
        """Send what waits, as far as it goes now."""
        self._unsent += self._call.outgoing()
        try:
            while self._unsent:
                del self._unsent[: self._socket.send(self._unsent)]
        except (ssl.SSLWantWriteError, ssl.SSLWantReadError):
            return
        except OSError as error:
            raise _lost(error, heard=self._heard) from error

    def receive(self) -> list[bytes]:
        """The messages that have come since."""
        messages: list[bytes] = []
        try:
            more = self.awaits & select.POLLIN
            while more and self._call.status is None:
                messages += self._hear()
                more = self._socket.pending() > 0  # what the kernel still has will wake us again
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass
        except OSError as error:
            raise _lost(error, heard=self._heard) from error
        self.flush()
        return messages

    def ask(self, message: bytes, *, timeout_seconds: float) -> tuple[Status, bytes]:
        """Say one message and wait for the one answer; it is empty unless the status is OK."""
        deadline = time.monotonic() + timeout_seconds
        answers: list[bytes] = []
        self._call.say(message, last=True)
        while self._call.status is None:
            answers += self._exchange(deadline)
            if len(answers) > 1:
                raise ConnectionLost("it answered more than once")
        return self._call.status, b"".join(answers)

    def finish(self, timeout_seconds: float) -> None:
        """Say that nothing follows, and wait for the other side to end the call, but not longer than that."""
        deadline = time.monotonic() + timeout_seconds
        with suppress(ConnectionLost):
            self._call.finish()
            while self._call.status is None:
                self._exchange(deadline)

    def close(self) -> None:
        """End the call if it goes on, and the connection."""
        with suppress(ConnectionLost, OSError, ValueError):
            self._socket.setblocking(False)
            self._call.cancel()
            self.flush()
        self._socket.close()

    def _exchange(self, deadline: float) -> list[bytes]:
        """Send everything that waits, then wait for something, together not past the deadline."""
        self._unsent += self._call.outgoing()
        try:
            while self._unsent:
                self._socket.settimeout(_left(deadline))
                del self._unsent[: self._socket.send(self._unsent)]
            self._socket.settimeout(_left(deadline))
            return self._hear()
        except OSError as error:
            raise _lost(error, heard=self._heard) from error

    def _hear(self) -> list[bytes]:
        if not (data := self._socket.recv(READ_BYTES)):
            raise ConnectionLost("the other side hung up", distrusted=not self._heard)
        self._heard = True
        return self._call.hear(data)


def _left(deadline: float) -> float:
    """Seconds until then. However little comes at a time, it does not begin anew."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("no answer in time")
    return left


def _lost(error: OSError, *, heard: bool) -> ConnectionLost:
    if isinstance(error, ssl.SSLCertVerificationError):
        return ConnectionLost(f"certificate not trusted: {error.verify_message}", distrusted=True)
    if isinstance(error, ssl.SSLError):
        alert = "ALERT" in (error.reason or "")
        return ConnectionLost(f"TLS failed: {error.reason or error}", distrusted=alert or not heard)
    if isinstance(error, TimeoutError):
        return ConnectionLost("no answer in time")
    # Whoever does not take our certificate hangs up before the first word.
    return ConnectionLost(str(error.strerror or error), distrusted=not heard)
