"""Domain error → status, title: one table, for pages and for JSON alike; as JSON it is a problem of RFC 9457.

Nothing here decides what an error means; it only says it in HTTP.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from http import HTTPStatus
from typing import Any

from aiohttp import web

from collector.domain import errors
from collector.edges.http.i18n import mark
from collector.edges.http.routing import Page
from collector.languages import in_language

TEMPLATE = "error.html"
STATUS: Mapping[type[errors.CollectorError], tuple[int, str]] = {
    errors.CollectorError: (500, mark("Something went wrong")),
    errors.InvalidInput: (422, mark("That cannot be used")),
    errors.NotFound: (404, mark("Not found")),
    errors.Conflict: (409, mark("Not possible as things are")),
    errors.Stale: (409, mark("Somebody was faster")),
    errors.Taken: (409, mark("There already")),
    errors.InUse: (409, mark("Still in use")),
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
REFUSED: Mapping[int, tuple[str, str, str]] = {
    HTTPStatus.NOT_FOUND: (
        mark("Not found"),
        mark("There is no such page."),
        mark("Check the address, or start from the overview."),
    ),
    HTTPStatus.METHOD_NOT_ALLOWED: (
        mark("Not possible here"),
        mark("This address does not take that kind of request."),
        mark("The manual's page REST lists what each address takes."),
    ),
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: (
        mark("Too large"),
        mark("The request is larger than this server takes."),
        mark("Send less at once."),
    ),
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: (mark("Not in this form"), mark("The request's body is of a wrong type."), ""),
}
"""What aiohttp refuses by itself: title, message and hint."""


def page_for(error: errors.CollectorError, *, conditional: bool = False) -> Page:
    """The page, and its JSON twin, that tells a person about `error`; `conditional`: the request had an `If-Match`."""
    status, title = next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)
    if conditional and isinstance(error, errors.Stale):
        status = HTTPStatus.PRECONDITION_FAILED
    told: dict[str, Any] = {"status": int(status), "title": title, "message": error.message, "hint": error.hint}
    headers = {}
    if isinstance(error, errors.InvalidInput) and error.fields:
        told["fields"] = error.fields
        if error.places:
            told["places"] = error.places
    if isinstance(error, errors.TooMuch):
        headers["Retry-After"] = str(math.ceil(error.retry_after_seconds))
    return Page(TEMPLATE, {"error": told}, status=told["status"], headers=headers)


def told_in(language: str, page: Page) -> Page:
    """The page with its texts in a language, for programs; pages of HTML translate them where they show them."""
    told = page.data["error"]
    texts: dict[str, Any] = {name: in_language(told[name], language) for name in ("title", "message", "hint")}
    for name in ("fields", "places"):
        if name in told:
            texts[name] = {field: in_language(text, language) for field, text in told[name].items()}
    return replace(page, data={"error": told | texts})


def from_http(error: web.HTTPException) -> Page | None:
    """The page for what aiohttp raises by itself; None for redirects and the like, which pass unchanged."""
    if error.status < HTTPStatus.BAD_REQUEST:
        return None
    title, message, hint = REFUSED.get(error.status, (mark("That cannot be used"), error.reason, ""))
    if error.status == HTTPStatus.UNSUPPORTED_MEDIA_TYPE:
        hint = error.text or hint
    headers = {name: error.headers[name] for name in ("Allow", "Accept") if name in error.headers}
    told = {"status": error.status, "title": title, "message": message, "hint": hint}
    return Page(TEMPLATE, {"error": told}, status=error.status, headers=headers)


def problem(told: Mapping[str, Any]) -> dict[str, Any]:
    """The data of an error page as a problem (RFC 9457): `detail` is the message; `hint` and `fields` are ours."""
    rest = {name: value for name, value in told.items() if name != "message" and value != ""}
    return {"type": "about:blank", **rest, "detail": told["message"]}
