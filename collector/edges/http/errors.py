"""Domain error → status, title: one table, for pages and for JSON alike.

Nothing here decides what an error means; it only says it in HTTP.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from aiohttp import web

from collector.domain import errors
from collector.edges.http.i18n import mark
from collector.edges.http.routing import Page

STATUS: Mapping[type[errors.CollectorError], tuple[int, str]] = {
    errors.CollectorError: (500, mark("Something went wrong")),
    errors.InvalidInput: (422, mark("That cannot be used")),
    errors.NotFound: (404, mark("Not found")),
    errors.Conflict: (409, mark("Somebody was faster")),
    errors.Forbidden: (403, mark("Not allowed")),
    errors.Unauthenticated: (401, mark("Please sign in")),
    errors.TooMuch: (429, mark("Too much at once")),
    errors.DisorderError: (500, mark("Something went wrong")),
    errors.NotProvable: (409, mark("Not provable")),
    errors.DeliveryError: (502, mark("Not delivered")),
    errors.StoreError: (503, mark("The database failed")),
    errors.StoreFull: (507, mark("The database's disk is full")),
    errors.StoreBroken: (503, mark("The database failed")),
}


def page_for(error: errors.CollectorError) -> Page:
    """The page, and its JSON twin, that tells a person about `error`."""
    status, title = next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)
    data: dict[str, Any] = {"error": {"status": status, "title": title, "message": error.message, "hint": error.hint}}
    headers = {}
    if isinstance(error, errors.InvalidInput) and error.fields:
        data["error"]["fields"] = error.fields
    if isinstance(error, errors.TooMuch):
        headers["Retry-After"] = str(math.ceil(error.retry_after_seconds))
    return Page("error.html", data, status=status, headers=headers)


def from_http(error: web.HTTPException) -> errors.CollectorError | None:
    """Ours for what aiohttp raises by itself; None for redirects and the like, which pass unchanged."""
    if error.status == HTTPStatus.NOT_FOUND:
        return errors.NotFound("There is no such page.", hint="Check the address, or start from the overview.")
    if error.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return errors.InvalidInput("The request is larger than this server takes.", hint="Send less at once.")
    if error.status == HTTPStatus.METHOD_NOT_ALLOWED:
        return errors.NotFound("This address does not take that kind of request.", hint="See /api for the interface.")
    return None
