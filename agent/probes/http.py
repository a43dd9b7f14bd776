"""The http check: a request is answered with the right status and content, in time, behind a good certificate.

Speaks to the server itself: proxies of the environment are never used, redirects are followed a limited number of
times and only to http and https, and the deadline covers everything from the name look-up to the last byte.
"""

from __future__ import annotations

import io
import re
import socket
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, NamedTuple
from urllib.parse import urljoin, urlsplit

import msgspec

from agent.probes import attempts, endpoint
from agent.probes.attempts import CannotProbe, Failed, Finding, Key
from agent.probes.check import EXPIRY, LOOKUP, PROTOCOL, Days, Line, Measure, Settings
from agent.probes.endpoint import Deadline, Endpoint
from agent.reason import Reason, took
from agent.sample import State

if TYPE_CHECKING:
    from http.client import HTTPResponse

BODY_BYTES = 64 * 1024
"""How much of a body is read and searched; the rest is left with the server."""

ADDRESS_TOLD = 80
"""How many characters of an address a reason quotes."""

PHASES = ("resolve", "connect", "tls", "processing", "transfer")
"""blackbox_exporter's names: name look-up, TCP, TLS, waiting for the first byte, reading the rest."""

_PHASE = {
    phase: Measure("probe_http_duration_seconds", "Seconds of each phase, summed over redirects", "seconds",
                   (("phase", phase),))
    for phase in PHASES
}  # fmt: skip
STATUS = Measure("probe_http_status_code", "Status code of the last response")
REDIRECTS = Measure("probe_http_redirects", "Redirects followed")
SSL = Measure("probe_http_ssl", "1 when the last response came over TLS")
VERSION = Measure("probe_http_version", "HTTP version of the last response")
BODY = Measure(
    "probe_http_uncompressed_body_length", f"Bytes of the body that were read, at most {BODY_BYTES}", "bytes"
)
MISMATCH = Measure("probe_failed_due_to_regex", "1 when the body was not what it should be")

_DEFAULT_PORTS = {"http": 80, "https": 443}
_REDIRECTS = (301, 302, 303, 307, 308)
_STATUS_RANGE = re.compile(r"[1-5][0-9]{2}(-[1-5][0-9]{2})?")
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}")
_OWN_HEADERS = frozenset({"host", "content-length", "transfer-encoding", "connection"})
_IP_VERSIONS = {socket.AF_INET: 4.0, socket.AF_INET6: 6.0}


class Target(NamedTuple):
    """A URL, taken apart."""

    encrypted: bool
    endpoint: Endpoint
    path: str
    authority: str


def parse_url(url: str) -> Target:
    """Read an http or https URL strictly; raise ValueError saying what is wrong."""
    if not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError(f"url {url!r} has characters that must be percent-encoded")
    parts = urlsplit(url)
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname:
        raise ValueError(f"url {url!r} does not begin with http:// or https:// and a host")
    if parts.username is not None or parts.password is not None:
        raise ValueError("url carries a user name or password: use headers_from_files with Authorization instead")
    endpoint.check_host(parts.hostname)
    port = parts.port or _DEFAULT_PORTS[parts.scheme]
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(parts.scheme == "https", Endpoint(parts.hostname, port), path, parts.netloc)


class HTTPCheck(Settings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of an http check."""

    url: Line
    method: Literal["GET", "HEAD", "POST", "PUT", "OPTIONS"] = "GET"
    headers: dict[str, str] = msgspec.field(default_factory=dict)
    headers_from_files: dict[str, str] = msgspec.field(default_factory=dict)
    body: Annotated[str, msgspec.Meta(max_length=BODY_BYTES)] = ""
    status: tuple[int | str, ...] = ("200-299",)
    contains: Line = ""
    lacks: Line = ""
    matches: Line = ""
    redirects: Annotated[int, msgspec.Meta(ge=0, le=10)] = 5
    certificate_degraded_days: Days = 14.0
    certificate_down_days: Days = 0.0
    ca_file: Line = ""
    address_family: Literal["any", "ipv4", "ipv6"] = "any"

    KIND: ClassVar[str] = "http"
    MEASURES: ClassVar[tuple[Measure, ...]] = (
        *_PHASE.values(), STATUS, REDIRECTS, SSL, VERSION, BODY, MISMATCH, EXPIRY, LOOKUP, PROTOCOL,
    )  # fmt: skip
    SECRET: ClassVar[frozenset[str]] = frozenset({"headers", "body"})
    # Files of this host are nobody else's business, and a pattern can keep the processor busy for hours.
    LOCAL_ONLY: ClassVar[frozenset[str]] = frozenset({"headers_from_files", "ca_file", "matches"})

    def __post_init__(self) -> None:
        parse_url(self.url)
        for text in self.status:
            if not _STATUS_RANGE.fullmatch(str(text)):
                raise ValueError(f"status {text!r} is neither a status code nor a range such as 200-299")
        for header in (*self.headers, *self.headers_from_files):
            if not _HEADER_NAME.fullmatch(header) or header.lower() in _OWN_HEADERS:
                raise ValueError(f"header {header!r} cannot be set")
        if not all(value.isprintable() and value.isascii() for value in self.headers.values()):
            raise ValueError("a header's value has characters that headers cannot carry")
        try:
            re.compile(self.matches)
        except re.error as error:
            raise ValueError(f"matches {self.matches!r} is no regular expression: {error}") from None
        super().__post_init__()

    @property
    def target(self) -> str:
        """The URL without its query, which may carry secrets."""
        return self.url.partition("?")[0]

    def look(self, deadline: Deadline) -> Finding:
        """Request, follow redirects, judge the last response."""
        seen = Seen()
        url = self.url
        origin = parse_url(url).endpoint
        headers = {**self.headers, **_from_files(self.headers_from_files)}
        while True:
            target = parse_url(url)
            # Credentials are for the server they were given for, not for wherever it sends us.
            exchange = _Exchange(self, target, headers if target.endpoint == origin else {}, deadline)
            location = exchange.run(seen)
            if location is None:
                return self._judge(seen, target, deadline)
            seen.redirects += 1
            if seen.redirects > self.redirects:
                raise Failed(
                    Reason(
                        "More than {count} redirects, the last to {address}",
                        count=self.redirects,
                        address=location[:ADDRESS_TOLD],
                    )
                )
            url = _followed(url, location)

    def _judge(self, seen: Seen, target: Target, deadline: Deadline) -> Finding:
        spent = deadline.spent()
        values = seen.values()
        status = seen.status
        if not self._accepts(status):
            wanted = ", ".join(str(text).replace("-", "–") for text in self.status)
            other = Reason(
                "HTTP {status} instead of {wanted} after {took}", status=status, wanted=wanted, took=took(spent)
            )
            return Finding(State.DOWN, other, spent, values)
        complaint = self._complaint(seen.body.decode("utf-8", "replace"))
        values[MISMATCH.key] = float(complaint is not None)
        if complaint is not None:
            but = Reason(
                "HTTP {status}, but {complaint} after {took}", status=status, complaint=complaint, took=took(spent)
            )
            return Finding(State.DOWN, but, spent, values)
        fine = Reason("HTTP {status} after {took}", status=status, took=took(spent))
        finding = Finding(State.UP, fine, spent, values)
        if seen.expires_unix is None:
            return finding
        certificate = attempts.expiry(
            target.endpoint.host,
            seen.expires_unix,
            deadline.wall_ms / 1000,
            degraded_days=self.certificate_degraded_days,
            down_days=self.certificate_down_days,
        )
        if certificate.state is State.UP:
            return finding
        both = Reason("{certificate}. {finding}", certificate=certificate.reason, finding=fine)
        return replace(finding, state=certificate.state, reason=both)

    def _accepts(self, status: int) -> bool:
        for text in self.status:
            low, _, high = str(text).partition("-")
            if int(low) <= status <= int(high or low):
                return True
        return False

    def _complaint(self, body: str) -> Reason | None:
        """What is wrong with a body."""
        if self.contains and self.contains not in body:
            return Reason("without the text {text}", text=repr(self.contains))
        if self.lacks and self.lacks in body:
            return Reason("with the text {text}", text=repr(self.lacks))
        if self.matches and not re.search(self.matches, body):
            return Reason("without a match for {pattern}", pattern=repr(self.matches))
        return None


@dataclass(slots=True)
class Seen:
    """What the exchanges of one attempt have shown so far."""

    status: int = 0
    version: float = 0.0
    body: bytes = b""
    redirects: int = 0
    encrypted: bool = False
    expires_unix: float | None = None
    ip_version: float = 0.0
    phases: dict[str, float] = field(default_factory=lambda: dict.fromkeys(PHASES, 0.0))

    def values(self) -> dict[Key, float]:
        """The numbers."""
        values = {measure.key: self.phases[phase] for phase, measure in _PHASE.items()}
        values |= {
            STATUS.key: float(self.status),
            REDIRECTS.key: float(self.redirects),
            SSL.key: float(self.encrypted),
            VERSION.key: self.version,
            BODY.key: float(len(self.body)),
            LOOKUP.key: self.phases["resolve"],
            PROTOCOL.key: self.ip_version,
        }
        if self.expires_unix is not None:
            values[EXPIRY.key] = self.expires_unix
        return values


class _Exchange:
    """One request and its response, on a connection of its own."""

    def __init__(self, check: HTTPCheck, target: Target, headers: dict[str, str], deadline: Deadline) -> None:
        self._check = check
        self._target = target
        self._headers = headers
        self._deadline = deadline
        self._mark = deadline.spent()

    def run(self, seen: Seen) -> str | None:
        """Exchange; the Location of a redirect that is to be followed, else None."""
        from http.client import HTTPException, IncompleteRead

        where = self._target.endpoint
        connection = self._connect(seen)
        try:
            return self._talk(connection, seen)
        except TimeoutError:
            raise Failed(
                Reason(
                    "{address} did not finish its response within {seconds} s",
                    address=str(where),
                    seconds=self._deadline.seconds,
                )
            ) from None
        except IncompleteRead:
            raise Failed(
                Reason("{address} closed the connection in the middle of its response", address=str(where))
            ) from None
        except HTTPException as error:
            words = f"{type(error).__name__} {error}"
            raise Failed(Reason("{address} did not answer in HTTP: {error}", address=str(where), error=words)) from None
        finally:
            connection.close()

    def _connect(self, seen: Seen) -> socket.socket:
        check, target, deadline = self._check, self._target, self._deadline
        addresses = endpoint.resolve(target.endpoint, deadline, family=check.address_family)
        self._finish(seen, "resolve")
        connection: socket.socket = endpoint.connect(addresses, target.endpoint, deadline)
        self._finish(seen, "connect")
        seen.ip_version = _IP_VERSIONS.get(connection.family, 0.0)
        seen.encrypted = target.encrypted
        seen.expires_unix = None
        if target.encrypted:
            secured = endpoint.encrypt(connection, target.endpoint.host, deadline, ca_file=check.ca_file)
            seen.expires_unix = endpoint.expires_unix(secured)
            self._finish(seen, "tls")
            return secured
        return connection

    def _talk(self, connection: socket.socket, seen: Seen) -> str | None:
        from http.client import HTTPConnection

        check = self._check
        client = HTTPConnection(self._target.endpoint.host)
        client.sock = _Paced(connection, self._deadline)
        headers = {
            "Host": self._target.authority,
            "User-Agent": "sigap-agent",
            "Accept": "*/*",
            "Accept-Encoding": "identity",
            "Connection": "close",
        } | self._headers
        body = check.body.encode() if check.body else None
        client.request(check.method, self._target.path, body=body, headers=headers)
        response = client.getresponse()
        self._finish(seen, "processing")
        seen.status, seen.version = response.status, response.version / 10
        location = response.getheader("Location")
        if response.status in _REDIRECTS and location and check.redirects:
            return location
        seen.body = _read(response)
        self._finish(seen, "transfer")
        return None

    def _finish(self, seen: Seen, phase: str) -> None:
        now = self._deadline.spent()
        seen.phases[phase] += now - self._mark
        self._mark = now


def _read(response: HTTPResponse) -> bytes:
    from http.client import IncompleteRead

    body = bytearray()
    while len(body) < BODY_BYTES:
        piece = response.read1(BODY_BYTES - len(body))
        if not piece:
            break
        body += piece
    if response.length and len(body) < BODY_BYTES:  # http.client tells it only of a body that is read at once
        raise IncompleteRead(bytes(body), response.length)
    return bytes(body)


def _followed(url: str, location: str) -> str:
    following = urljoin(url, location)
    try:
        parse_url(following)
    except ValueError as error:
        raise Failed(Reason("Redirected to an address that is not followed: {error}", error=str(error))) from None
    return following


def _from_files(files: dict[str, str]) -> dict[str, str]:
    """Header values that are kept in files: tokens and passwords."""
    values = {}
    for header, path in files.items():
        try:
            value = Path(path).read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError):
            unreadable = Reason("Cannot read the value of header {header} from {path}", header=header, path=path)
            raise CannotProbe(unreadable) from None
        if not value.isprintable():
            raise CannotProbe(
                Reason("The value of header {header} in {path} is more than one line", header=header, path=path)
            )
        values[header] = value
    return values


class _Paced:
    """A socket as http.client wants it, on which every wait ends at the deadline: a server cannot drip-feed us."""

    def __init__(self, connection: socket.socket, deadline: Deadline) -> None:
        self._connection = connection
        self._deadline = deadline

    def sendall(self, data: bytes) -> None:
        self._connection.settimeout(self._deadline.left())
        self._connection.sendall(data)

    def makefile(self, mode: str) -> io.BufferedReader:
        assert mode == "rb"
        return io.BufferedReader(_PacedReader(self._connection, self._deadline))

    def close(self) -> None:
        """Nothing: who opened the connection closes it."""


class _PacedReader(io.RawIOBase):
    def __init__(self, connection: socket.socket, deadline: Deadline) -> None:
        self._connection = connection
        self._deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        self._connection.settimeout(self._deadline.left())
        return self._connection.recv_into(buffer)
