"""A gRPC call on a TLS socket of its own: dial, send, receive, in the caller's thread.

No proxy from the environment is ever used. Who is trusted is the caller's decision; `mutual` makes the only usual one.
"""

from __future__ import annotations

import os
import socket
import ssl
import time
from contextlib import suppress

from agent.call import Call, Status

READ_BYTES = 1 << 14  # one TLS record
ALPN = "h2"


class ConnectionLost(Exception):
    """Why there is no connection (any more). `distrusted`: one side did not take the other's certificate."""

    def __init__(self, why: str, *, distrusted: bool = False) -> None:
        super().__init__(why)
        self.why = why
        self.distrusted = distrusted


def mutual(authority_pem: bytes, key_pem: bytes | None = None, certificate_pem: bytes | None = None) -> ssl.SSLContext:
    """Trust in one authority only, and our own certificate where there is one already."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols([ALPN])
    context.load_verify_locations(cadata=authority_pem.decode("ascii"))
    if key_pem is not None and certificate_pem is not None:
        # Python loads a key only by the name of a file: this one is in memory and has no name anywhere else.
        descriptor = os.memfd_create("identity")
        try:
            with open(descriptor, "wb", closefd=False) as file:
                file.write(key_pem + b"\n" + certificate_pem)
            context.load_cert_chain(f"/proc/self/fd/{descriptor}")
        finally:
            os.close(descriptor)
    return context


def place(address: str) -> tuple[str, int]:
    """Host and port. Raises ValueError."""
    host, _, port = address.rpartition(":")
    if not host:
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
        self._unsent = b""
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
        self._call = Call(method, authority=address, message_bytes_max=message_bytes_max)

    @property
    def status(self) -> Status | None:
        """How the call ended, once it has."""
        return self._call.status

    @property
    def has_unsent(self) -> bool:
        """Whether `flush` waits for room in the socket."""
        return bool(self._unsent)

    def fileno(self) -> int:
        """What to wait for."""
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
                self._unsent = self._unsent[self._socket.send(self._unsent) :]
        except (ssl.SSLWantWriteError, ssl.SSLWantReadError):
            return
        except OSError as error:
            raise _lost(error, heard=self._heard) from error

    def receive(self) -> list[bytes]:
        """The messages that have come since."""
        messages: list[bytes] = []
        try:
            more = True
            while more and self._call.status is None:
                if not (data := self._socket.recv(READ_BYTES)):
                    raise ConnectionLost("the other side hung up", distrusted=not self._heard)
                self._heard = True
                messages += self._call.hear(data)
                more = self._socket.pending() > 0  # what the kernel still has will wake us again
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass
        except OSError as error:
            raise _lost(error, heard=self._heard) from error
        self.flush()
        return messages

    def ask(self, message: bytes, *, timeout_seconds: float) -> tuple[Status, bytes]:
        """Say one message and wait for the answer; it is empty unless the status is OK."""
        deadline = time.monotonic() + timeout_seconds
        answer = b""
        self._call.say(message, last=True)
        while self._call.status is None:
            self._socket.settimeout(max(0.001, deadline - time.monotonic()))
            self.flush()
            try:
                data = self._socket.recv(READ_BYTES)
            except OSError as error:
                raise _lost(error, heard=self._heard) from error
            if not data:
                raise ConnectionLost("it hung up", distrusted=not self._heard)
            self._heard = True
            answer = b"".join((answer, *self._call.hear(data)))
        return self._call.status, answer

    def finish(self, timeout_seconds: float) -> None:
        """Say that nothing follows, and wait for the other side to end the call, but not longer than that."""
        deadline = time.monotonic() + timeout_seconds
        with suppress(ConnectionLost, OSError):
            self._call.finish()
            while self._call.status is None and (left := deadline - time.monotonic()) > 0:
                self._socket.settimeout(left)
                self.flush()
                if not (data := self._socket.recv(READ_BYTES)):
                    return
                self._call.hear(data)

    def close(self) -> None:
        """End the call if it goes on, and the connection."""
        with suppress(ConnectionLost, OSError, ValueError):
            self._socket.setblocking(False)
            self._call.cancel()
            self.flush()
        self._socket.close()


def _lost(error: OSError, *, heard: bool) -> ConnectionLost:
    if isinstance(error, ssl.SSLCertVerificationError):
        return ConnectionLost(f"certificate not trusted: {error.verify_message}", distrusted=True)
    if isinstance(error, ssl.SSLError):
        alert = "ALERT" in (error.reason or "")
        return ConnectionLost(f"TLS failed: {error.reason or error}", distrusted=alert or not heard)
    # Whoever does not take our certificate hangs up before the first word.
    return ConnectionLost(str(error.strerror or error), distrusted=not heard)
