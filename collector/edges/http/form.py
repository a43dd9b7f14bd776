"""What a request carries: the fields of a form, or the same as a JSON object."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from aiohttp import web

from collector.domain.errors import InvalidInput


async def fields_of(request: web.Request) -> Mapping[str, str]:
    """Names and values as text, whichever way they came.

    Raises:
        InvalidInput: A JSON body that is no object.
    """
    if request.content_type == "application/json":
        body: Any = msgspec.json.decode(await request.read() or b"{}")
        if not isinstance(body, dict):
            raise InvalidInput("The request's body must be a JSON object.")
        return {str(name): value if isinstance(value, str) else str(value) for name, value in body.items()}
    return {name: value for name, value in (await request.post()).items() if isinstance(value, str)}
