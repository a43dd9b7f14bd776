"""What a request carries: the fields of a form, or the same as a JSON object, and numbers in its address."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from aiohttp import web

from collector.domain.errors import InvalidInput

DIGITS_MOST = 15
"""Enough for Unix milliseconds, and less than what databases call an integer."""


def is_count(text: str) -> bool:
    """Whether `text` is a whole number that can be worked with: ASCII digits, and not too many."""
    return text.isascii() and text.isdigit() and len(text) <= DIGITS_MOST


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
