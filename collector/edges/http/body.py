"""The body of a REST request: of a type that the address takes, not larger than it may be, of the right shape."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec
from aiohttp import web

from collector.domain.errors import InvalidInput
from collector.domain.message import Message

T = TypeVar("T")
JSON = "application/json"
YAML = ("application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml", "text/plain")
"""The registered name (RFC 9512) and what was used before it was."""


def require_type(request: web.Request, accepted: Sequence[str] = (JSON,)) -> None:
    """Refuse a body that says it is something else; one that says nothing is read as what is expected.

    Raises:
        web.HTTPUnsupportedMediaType: With what is accepted.
    """
    if not request.body_exists or "Content-Type" not in request.headers or request.content_type in accepted:
        return
    raise web.HTTPUnsupportedMediaType(
        text=f"Send it with Content-Type: {accepted[0]}.", headers={"Accept": ", ".join(accepted)}
    )


async def read_json(request: web.Request, shape: type[T]) -> T:
    """The JSON body as `shape`; no body is an empty object.

    Raises:
        InvalidInput: It is no JSON, or not of that shape; says what is wrong.
    """
    require_type(request)
    raw = await request.read()
    try:
        return msgspec.json.decode(raw or b"{}", type=shape)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InvalidInput(Message("The request's body cannot be used: {error}", error=str(error))) from error


async def read_object(request: web.Request) -> dict[str, Any]:
    """The JSON body, an object of fields."""
    return await read_json(request, dict[str, Any])


async def read_at_most(request: web.Request, most_bytes: int) -> bytes:
    """The body where it may be larger than the bodies of other requests.

    Raises:
        web.HTTPRequestEntityTooLarge: It is larger than `most_bytes`.
    """
    parts, size = [], 0
    async for part in request.content.iter_any():
        parts.append(part)
        size += len(part)
        if size > most_bytes:
            raise web.HTTPRequestEntityTooLarge(most_bytes, size)
    return b"".join(parts)
