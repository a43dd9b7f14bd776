"""The command line's way to a running collector: REST over its control socket on this host, or by address and token.

One process writes the database, so commands ask it instead of opening the file a second time. The standard library's
HTTP client is enough for one request, and is there at once.
"""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

import click

from collector.config import CONTROL_SOCKET, load
from collector.domain.errors import CollectorError, InvalidInput, Unauthenticated

TIMEOUT_SECONDS = 60.0
PROBLEM = "application/problem+json"
DECODED = ("application/json", PROBLEM)
ELSEWHERE = "For one elsewhere give --url https://HOST:PORT and SIGAP_TOKEN."
UNAUTHENTICATED, UNUSABLE = 401, (413, 415, 422)


def options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say where the collector is: `ask` takes them as they come."""
    command = click.option("--token", envvar="SIGAP_TOKEN", default="", help="API token, with --url.")(command)
    command = click.option("--url", envvar="SIGAP_URL", default="", help="A collector elsewhere.")(command)
    return click.option(
        "--data", type=click.Path(path_type=Path), help="Data directory of the collector on this host."
    )(command)


def ask(where: Mapping[str, Any], method: str, path: str, body: Any = None) -> Any:
    """One request to the collector that the options name; as `Remote.call`."""
    data = where["data"] or load(None).data
    return Remote(Path(data), url=where["url"], token=where["token"]).call(method, path, body)


class _Control(HTTPConnection):
    """HTTP over the control socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("sigap", timeout=TIMEOUT_SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


@dataclass(frozen=True, slots=True)
class Remote:
    """Where the collector is: its data directory on this host, or an address with an API token."""

    data: Path
    url: str = ""
    token: str = ""

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """The answer of one request: decoded JSON, or text where the answer is none.

        Args:
            method: HTTP method.
            path: Below `/api/v1`, with its query.
            body: Sent as JSON.

        Raises:
            CollectorError: The collector cannot be reached, or what it said is wrong.
        """
        headers = {"Accept": ", ".join((*DECODED, "application/yaml;q=0.5"))}
        if self.url and self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        if body is not None:
            headers["Content-Type"] = "application/json"
        data = json.dumps(body).encode() if body is not None else None
        connection, base = self._connection()
        try:
            connection.request(method, f"{base}/api/v1{path}", data, headers)
            response = connection.getresponse()
            raw, kind = response.read(), response.headers.get_content_type()
        except ssl.SSLError as error:
            raise CollectorError(
                f"{self.url} does not speak TLS as we trust it: {error.reason or error}.",
                hint="Is it http:// instead? A private CA is named by SSL_CERT_FILE.",
            ) from error
        except (OSError, HTTPException) as error:
            raise self._unreachable(error) from error
        finally:
            connection.close()
        return _answer(response.status, kind, raw, self.url)

    def _connection(self) -> tuple[HTTPConnection, str]:
        """A connection that is not made yet, and what comes before `/api/v1` in its paths."""
        if not self.url:
            return _Control(self.data / CONTROL_SOCKET), ""
        parts, port = _parsed(self.url)
        host = parts.hostname or ""
        if parts.scheme == "https":
            context = ssl.create_default_context()
            return HTTPSConnection(host, port, timeout=TIMEOUT_SECONDS, context=context), parts.path.rstrip("/")
        return HTTPConnection(host, port, timeout=TIMEOUT_SECONDS), parts.path.rstrip("/")

    def _unreachable(self, error: OSError | HTTPException) -> CollectorError:
        why = getattr(error, "strerror", None) or str(error) or type(error).__name__
        if self.url:
            return CollectorError(
                f"No collector answers at {self.url}: {why}.", hint="Start it, or name another --url."
            )
        path = self.data / CONTROL_SOCKET
        if isinstance(error, PermissionError):
            hint = f"It belongs to another account: run this as the one that runs the collector. {ELSEWHERE}"
            return CollectorError(f"The collector's socket {path} cannot be opened: {why}.", hint=hint)
        hint = f"Start it, or name its data directory with --data. {ELSEWHERE}"
        return CollectorError(f"No collector answers at {path}: {why}.", hint=hint)


def _parsed(url: str) -> tuple[SplitResult, int | None]:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise InvalidInput(f"--url {url} is no address: {error}.", hint="Write https://HOST:PORT.") from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InvalidInput(f"--url {url} is no address of a collector.", hint="Write https://HOST:PORT.")
    if parts.username is not None:
        raise InvalidInput("--url takes no user name.", hint="Put an API token into SIGAP_TOKEN.")
    return parts, port


def _answer(status: int, kind: str, raw: bytes, url: str) -> Any:
    text = raw.decode("utf-8", "replace")
    answer = json.loads(text) if kind in DECODED and text else text
    if status >= 400 and kind == PROBLEM:
        raise _told(status, answer)
    if not 200 <= status < 300 or (kind == "text/html"):
        raise CollectorError(f"What answers at {url} is no collector: HTTP {status}.", hint="Is the address right?")
    return answer


def _told(status: int, told: Any) -> CollectorError:
    message = str(told.get("detail") or f"The collector answered {status}.")
    hint = str(told.get("hint") or "")
    if fields := told.get("fields"):
        places = {str(name): str(text) for name, text in told.get("places", {}).items()}
        named = {str(name): str(text) for name, text in fields.items()}
        return InvalidInput(message, fields=named, places=places, hint=hint)
    if status in UNUSABLE:
        return InvalidInput(message, hint=hint)
    if status == UNAUTHENTICATED:
        return Unauthenticated(message, hint="Set SIGAP_TOKEN to an API token that is valid.")
    return CollectorError(message, hint=hint)
