"""Reaching a target within one deadline: strict addresses, name resolution that cannot hang, connections.

Everything here answers in time or raises `Failed` (the target's fault) or `CannotProbe` (ours). Speaks no protocol
above TCP and TLS; proxies, whether of the environment or not, are never used.
"""

from __future__ import annotations

import errno
import re
import socket
import threading
import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from agent.probes.attempts import CannotProbe, Failed
from agent.reason import Reason

if TYPE_CHECKING:
    import ssl

ADDRESSES_TRIED = 4
"""A name with more addresses than this is judged by its first ones."""

LOOKUPS_AT_ONCE = 16
"""Name look-ups that may hang in the system's resolver before further ones are refused."""

_HOST = re.compile(r"(?!-)[A-Za-z0-9_.-]{1,253}(?<!-)|[0-9A-Fa-f:.]{2,45}(%[A-Za-z0-9_.-]{1,15})?")
_PORT_MAXIMUM = 65_535
_FAMILIES = {"any": socket.AF_UNSPEC, "ipv4": socket.AF_INET, "ipv6": socket.AF_INET6}

# Failures of this host or of its last metre, which say nothing of the target.
_OURS = frozenset(
    {
        errno.ENETUNREACH, errno.ENETDOWN, errno.EADDRNOTAVAIL, errno.EACCES, errno.EPERM, errno.EMFILE,
        errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EAFNOSUPPORT,
    }
)  # fmt: skip


class Endpoint(NamedTuple):
    """A host name or address with a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Address(NamedTuple):
    """One resolved socket address."""

    family: socket.AddressFamily
    sockaddr: tuple[str, int] | tuple[str, int, int, int]


class Deadline:
    """The moment by which a whole attempt must be over; every wait asks it how long it may still take.

    `wall_ms` is the wall clock when the attempt began, for ages and days left.
    """

    def __init__(self, seconds: float, *, wall_ms: int = 0, clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds = seconds
        self.wall_ms = wall_ms
        self._clock = clock
        self._began = clock()

    def spent(self) -> float:
        """Seconds since the attempt began."""
        return self._clock() - self._began

    def left(self) -> float:
        """Seconds that remain, always positive.

        Raises:
            TimeoutError: None remain.
        """
        left = self.seconds - self.spent()
        if left <= 0:
            raise TimeoutError
        return left


def parse_endpoint(text: str, *, default_port: int | None = None) -> Endpoint:
    """Read `host:port`, `[v6]:port` or, where a port is known anyway, `host`; ValueError says what is wrong."""
    host, separator, port = text.rpartition(":")
    if text.startswith("["):
        host, separator, port = text[1:].partition("]")
        if not separator or (port and not port.startswith(":")):
            raise ValueError(f"{text!r} is no address: write [2001:db8::1]:443")
        port = port[1:]
    elif text.count(":") > 1 or not separator:
        host, port = text, ""
    check_host(host)
    if not port:
        if default_port is None:
            raise ValueError(f"{text!r} has no port: write host:port")
        return Endpoint(host, default_port)
    if not (port.isascii() and port.isdigit() and 1 <= int(port) <= _PORT_MAXIMUM):
        raise ValueError(f"{text!r} has no port between 1 and {_PORT_MAXIMUM}: {port!r}")
    return Endpoint(host, int(port))


def check_host(host: str) -> None:
    """Raise ValueError unless the text is a plain host name, IPv4 or IPv6 address."""
    if not _HOST.fullmatch(host) or (":" in host and not _is_ipv6(host)):
        raise ValueError(f"{host!r} is no host name or IP address")


def _is_ipv6(host: str) -> bool:
    try:
        socket.inet_pton(socket.AF_INET6, host.partition("%")[0])
    except OSError:
        return False
    return True


def resolve(endpoint: Endpoint, deadline: Deadline, *, family: str = "any") -> list[Address]:
    """The addresses of a name, by this host's own resolver, waiting no longer than the deadline.

    Raises:
        Failed: The name does not exist.
        CannotProbe: The resolver did not answer or is not set up; that is no evidence about the target.
    """
    try:
        # An address needs no resolver, so this cannot hang; a name raises at once.
        return _addresses(endpoint, family, flags=socket.AI_NUMERICHOST)
    except OSError:
        return _resolve_name(endpoint, deadline, family=family)


def _addresses(endpoint: Endpoint, family: str, *, flags: int = 0) -> list[Address]:
    found = socket.getaddrinfo(endpoint.host, endpoint.port, _FAMILIES[family], socket.SOCK_STREAM, 0, flags)
    return [Address(entry[0], entry[4]) for entry in found]  # type: ignore[arg-type]


def _resolve_name(endpoint: Endpoint, deadline: Deadline, *, family: str) -> list[Address]:
    answer: list[list[Address] | OSError] = []
    done = threading.Event()

    def look_up() -> None:
        try:
            answer.append(_addresses(endpoint, family))
        except OSError as error:
            answer.append(error)
        finally:
            _lookups.release()
            done.set()

    if not _lookups.acquire(blocking=False):
        raise CannotProbe(
            Reason("{count} name look-ups of this host hang already; check its /etc/resolv.conf", count=LOOKUPS_AT_ONCE)
        )
    # getaddrinfo() cannot be given a timeout; the thread is left behind when the resolver is a black hole.
    try:
        threading.Thread(target=look_up, name="resolve", daemon=True).start()
    except RuntimeError:
        _lookups.release()
        raise CannotProbe(Reason("This host allows the agent no further thread to resolve a name in")) from None
    if not done.wait(deadline.left()):
        raise CannotProbe(
            Reason(
                "This host's resolver did not answer for {host} within {seconds} s",
                host=endpoint.host,
                seconds=deadline.seconds,
            )
        )
    result = answer[0]
    if isinstance(result, OSError):
        raise _resolution_error(endpoint.host, result)
    return list(dict.fromkeys(result))[:ADDRESSES_TRIED]


_lookups = threading.BoundedSemaphore(LOOKUPS_AT_ONCE)


def _resolution_error(host: str, error: OSError) -> Failed | CannotProbe:
    if isinstance(error, socket.gaierror) and error.errno in (socket.EAI_NONAME, socket.EAI_NODATA):
        return Failed(Reason("The name {host} does not exist or has no address", host=host))
    return CannotProbe(Reason("This host could not resolve {host}: {error}", host=host, error=_words(error)))


def connect(addresses: list[Address], endpoint: Endpoint, deadline: Deadline) -> socket.socket:
    """Open a TCP connection to the first address that answers.

    Raises:
        Failed: None accepted, and at least one could be asked.
        CannotProbe: This host could ask none (no route, no permission, no descriptors).
    """
    failures: list[Failed] = []
    obstacles: list[CannotProbe] = []
    for position, address in enumerate(addresses):
        share = deadline.left() / (len(addresses) - position)
        try:
            return _open(address, share)
        except TimeoutError:
            late = Reason("No answer from {address} within {seconds} s", address=str(endpoint), seconds=share)
            failures.append(Failed(late))
        except OSError as error:
            explained = explain(error, endpoint)
            (obstacles if isinstance(explained, CannotProbe) else failures).append(explained)  # type: ignore[arg-type]
    raise (failures or obstacles)[0]


def _open(address: Address, timeout_seconds: float) -> socket.socket:
    connection = socket.socket(address.family, socket.SOCK_STREAM)
    try:
        connection.settimeout(timeout_seconds)
        connection.connect(address.sockaddr)
    except BaseException:
        connection.close()
        raise
    return connection


def explain(error: OSError, endpoint: Endpoint | str) -> Failed | CannotProbe:
    """Whose fault a socket error is, in words."""
    address = str(endpoint)
    if error.errno in _OURS:
        return CannotProbe(Reason("This host cannot reach {address}: {error}", address=address, error=_words(error)))
    if error.errno == errno.ECONNREFUSED:
        return Failed(Reason("Connection to {address} refused: nothing listens there", address=address))
    if error.errno in (errno.ECONNRESET, errno.EPIPE, errno.ECONNABORTED):
        return Failed(Reason("{address} closed the connection early", address=address))
    return Failed(Reason("Connection to {address} failed: {error}", address=address, error=_words(error)))


def _words(error: OSError) -> str:
    """The system's own words."""
    return str(error.strerror or error)


def no_answer(address: Endpoint | str, deadline: Deadline) -> Reason:
    """What is said of a target that let the deadline pass."""
    return Reason("{address} did not answer within {seconds} s", address=str(address), seconds=deadline.seconds)


def trust(ca_file: str) -> ssl.SSLContext:
    """How certificates are judged: chain and name always, TLS 1.2 or newer, by the system's authorities or a file.

    Raises:
        CannotProbe: There are no authorities to judge by.
    """
    try:
        changed_ns = Path(ca_file).stat().st_mtime_ns if ca_file else 0
    except OSError as error:
        raise CannotProbe(
            Reason("Cannot read the certificate authorities in {path}: {error}", path=ca_file, error=_words(error))
        ) from None
    return _context(ca_file, changed_ns)


@lru_cache(maxsize=16)
def _context(ca_file: str, changed_ns: int) -> ssl.SSLContext:  # noqa: ARG001 (a changed file is read anew)
    import ssl

    try:
        context = ssl.create_default_context(cafile=ca_file or None)
    except OSError as error:
        raise CannotProbe(
            Reason("No certificate authorities to be read in {path}: {error}", path=ca_file, error=str(error))
        ) from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    folder = ssl.get_default_verify_paths().capath
    if not ca_file and not context.cert_store_stats()["x509_ca"] and not (folder and any(Path(folder).glob("*"))):
        raise CannotProbe(Reason("This host has no certificate authorities; install ca-certificates or set ca_file"))
    return context


def encrypt(connection: socket.socket, server_name: str, deadline: Deadline, *, ca_file: str) -> ssl.SSLSocket:
    """Do the TLS handshake, verifying chain and name. Closes the connection when that fails.

    Raises:
        Failed: The certificate or the handshake is not good, or took too long.
        CannotProbe: There are no authorities to judge by.
    """
    import ssl

    peer: ssl.SSLSocket | socket.socket = connection
    try:
        # One timeout covers the whole handshake: do_handshake() counts all of OpenSSL's reads and writes together.
        connection.settimeout(deadline.left())
        secured = trust(ca_file).wrap_socket(connection, server_hostname=server_name, do_handshake_on_connect=False)
        peer = secured
        secured.do_handshake()
    except CannotProbe:
        peer.close()
        raise
    except ssl.SSLCertVerificationError as error:
        reason = Reason("Certificate of {name} is not valid: {error}", name=server_name, error=error.verify_message)
    except TimeoutError:
        reason = Reason(
            "TLS handshake with {name} not finished within {seconds} s", name=server_name, seconds=deadline.seconds
        )
    except OSError as error:
        words = str(error.reason or error) if isinstance(error, ssl.SSLError) else _words(error)
        reason = Reason("TLS handshake with {name} failed: {error}", name=server_name, error=words)
    else:
        return secured
    peer.close()
    raise Failed(reason)


def expires_unix(secured: ssl.SSLSocket) -> float:
    """When the first certificate of the verified chain expires: then the server's own is worth nothing either."""
    import ssl

    # Python has it in public only since 3.13, and there only as bytes that need another library to be read.
    chain = secured._sslobj.get_verified_chain()  # type: ignore[attr-defined]
    return float(min(ssl.cert_time_to_seconds(each.get_info()["notAfter"]) for each in chain))


def receive(connection: socket.socket, size: int, deadline: Deadline) -> bytes:
    """The next bytes, at most `size`; empty at the end.

    Raises:
        TimeoutError: The deadline passed first.
    """
    connection.settimeout(deadline.left())
    return connection.recv(size)
