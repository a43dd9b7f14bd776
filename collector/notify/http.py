"""One HTTP request to a receiver, under the guard: no redirects, no proxies, ten seconds, and the answer is not read.

Shared by the notifiers that speak HTTP; knows nothing of what is told.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from multidict import CIMultiDictProxy
from yarl import URL

from collector.domain.errors import DeliveryError
from collector.domain.message import Message
from collector.notify.base import Answer, Request
from collector.notify.egress import Egress, Place

TIMEOUT_SECONDS = 10.0
BODY_LIMIT_BYTES = 64 * 1024
USER_AGENT = "Sigap/1"


class Pinned(AbstractResolver):
    """Answers with the addresses that were checked, whatever the name says by now."""

    def __init__(self, place: Place) -> None:
        self._place = place

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_UNSPEC,  # noqa: ARG002 — the checked ones are all there are
    ) -> list[ResolveResult]:
        """The checked addresses."""
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST,
            )
            for address in self._place.addresses
        ]

    async def close(self) -> None:
        """Nothing to release."""


async def post(request: Request, egress: Egress, *, timeout_seconds: float = TIMEOUT_SECONDS) -> Answer:
    """Send `request` and say how it was answered.

    Raises:
        DeliveryError: It may not be sent there, or no answer came.
    """
    place = await egress.admit(request.url)
    connector = aiohttp.TCPConnector(resolver=Pinned(place), use_dns_cache=False, force_close=True)
    session = aiohttp.ClientSession(
        connector=connector,
        timeout=aiohttp.ClientTimeout(total=timeout_seconds),
        trust_env=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        max_field_size=8190,
    )
    headers = {"user-agent": USER_AGENT, **request.headers}
    async with session:
        try:
            async with session.post(
                URL(request.url, encoded=True), data=request.body, headers=headers, allow_redirects=False
            ) as response:
                # Read a little, so that a receiver that answers at length is not cut off; then let go.
                await response.content.read(BODY_LIMIT_BYTES)
                return Answer(response.status, _retry_after(response.headers))
        except TimeoutError as error:
            raise DeliveryError(
                Message("No answer within {seconds} s.", seconds=float(timeout_seconds)), recoverable=True
            ) from error
        except (aiohttp.ClientError, ssl.SSLError, OSError, asyncio.IncompleteReadError) as error:
            raise DeliveryError(
                Message("The connection failed: {error}.", error=_cause(error)), recoverable=True
            ) from error


def _cause(error: BaseException) -> str:
    """The kind of failure in the system's words; nothing that a receiver wrote."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return Message("its certificate is not valid")
    inner = getattr(error, "os_error", None) or error
    return str(getattr(inner, "strerror", None) or type(error).__name__)


def _retry_after(headers: CIMultiDictProxy[str]) -> float | None:
    text = headers.get("retry-after", "").strip()
    if text.isdecimal():
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError):
        return None
    return (moment - datetime.now(UTC)).total_seconds() if moment.tzinfo else None
