"""The command line's way to a running collector: REST over its control socket on this host, or by address and token.

One process writes the database, so commands ask it instead of opening the file a second time.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from collector.app import CONTROL_SOCKET
from collector.domain.errors import CollectorError, InvalidInput, Unauthenticated

TIMEOUT_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Remote:
    """Where the collector is: its data directory on this host, or an address with an API token."""

    data: Path
    url: str = ""
    token: str = ""

    async def call(self, method: str, path: str, body: Any = None, *, text: str | None = None) -> Any:
        """The answer of one request: decoded JSON, or text where the answer is none.

        Args:
            method: HTTP method.
            path: Below `/api/v1`, with its query.
            body: Sent as JSON.
            text: Sent as YAML instead.

        Raises:
            CollectorError: The collector cannot be reached, or what it said is wrong.
        """
        headers = {"Accept": "application/json"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        if text is not None:
            headers["Content-Type"] = "application/yaml"
        data = text.encode() if text is not None else json.dumps(body).encode() if body is not None else None
        socket = self.data / CONTROL_SOCKET
        connector = None if self.url else aiohttp.UnixConnector(str(socket))
        base = self.url.rstrip("/") or "http://sigap"
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
        try:
            async with (
                aiohttp.ClientSession(connector=connector, timeout=timeout) as client,
                client.request(method, f"{base}/api/v1{path}", data=data, headers=headers) as response,
            ):
                raw = await response.text()
                is_json = response.content_type == "application/json"
                answer = json.loads(raw) if is_json and raw else raw
                if response.status >= 400:
                    raise _told(response.status, answer)
                return answer
        except (aiohttp.ClientError, TimeoutError) as error:
            where = self.url or str(socket)
            raise CollectorError(
                f"No collector answers at {where}: {error}",
                hint="Start it, or name its data directory with --data, or its address with --url and SIGAP_TOKEN.",
            ) from error


def _told(status: int, answer: Any) -> CollectorError:
    told = answer.get("error", {}) if isinstance(answer, dict) else {}
    message = str(told.get("message") or f"The collector answered {status}.")
    hint = str(told.get("hint") or "")
    if fields := told.get("fields"):
        return InvalidInput(message, fields={str(name): str(text) for name, text in fields.items()}, hint=hint)
    if status == 401:
        return Unauthenticated(message, hint=hint or "Set SIGAP_TOKEN to an API token.")
    return CollectorError(message, hint=hint)
