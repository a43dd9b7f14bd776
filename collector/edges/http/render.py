"""A page's data as HTML in the reader's language, or unchanged as JSON.

Knows no page: which template and which data is the handler's choice.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import jinja2
import msgspec
import numpy as np
from aiohttp import web
from markupsafe import Markup
from yarl import URL

import web as assets
from collector.domain.measure import MEASURES
from collector.domain.registers import REGISTERS
from collector.edges.http import cells, errors, static, svg
from collector.edges.http import format as formats
from collector.edges.http.context import context_of, viewer_of
from collector.edges.http.i18n import LANGUAGES, choose
from collector.edges.http.menu import MENU
from collector.edges.http.routing import Page, Permission
from collector.edges.http.security import csrf_token, nonce_of
from collector.languages import catalogue, in_language

THEMES = ("auto", "light", "dark")
THEME_COOKIE = "theme"
ZONE_COOKIE = "zone"


@cache
def environment(language: str) -> jinja2.Environment:
    """The templates in one language; made once."""
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(assets.TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        extensions=["jinja2.ext.i18n", "jinja2.ext.do"],
        auto_reload=False,
    )
    messages = catalogue(language)
    # The i18n extension adds this method when it is loaded; the stubs cannot know.
    made.install_gettext_translations(messages, newstyle=True)  # type: ignore[attr-defined]
    made.filters.update(
        number=partial(_swapped, formats.number, language),
        percent=partial(_swapped, formats.percent, language),
        bytes=partial(_swapped, formats.amount, language),
        duration=partial(_swapped, formats.duration, language),
        seconds=partial(_swapped, formats.seconds, language),
        span=partial(_swapped, formats.span, language),
        exact=partial(_swapped, formats.exact, language),
        month=partial(_swapped, formats.month, language),
        level=lambda value, measure: formats.level(value, MEASURES[measure].unit, language),
        iso=formats.iso,
        json=lambda value: json_bytes(value).decode(),
        safe_json=_safe_json,
        trusted_html=Markup,  # only for HTML that we rendered ourselves, with raw HTML off
        # For words that are not written in the template: `_` would take them for markup and for a format.
        tr=lambda text: in_language(text, language),
    )
    made.globals.update(asset=static.address, spark_path=svg.spark, strip_bars=svg.strip, LANGUAGES=LANGUAGES)
    made.globals.update(with_query=with_query, zip=zip, labelled=cells.labelled)
    return made


def _safe_json(text: str) -> Markup:
    """JSON for the inside of a script element: no text in it can end the element."""
    return Markup(text.replace("<", "\\u003c").replace("&", "\\u0026"))  # noqa: S704


def with_query(path: str, query: Mapping[str, str], changes: Mapping[str, Any]) -> str:
    """The address with some of its query changed; an empty value removes its name, and no secret is said again."""
    merged = {**query, **{name: str(value) for name, value in changes.items()}}
    return str(
        URL(path).with_query({name: value for name, value in merged.items() if value and name not in _secrets()})
    )


@cache
def _secrets() -> frozenset[str]:
    """Names of fields that are written and never shown."""
    return frozenset(one.name for register in REGISTERS.values() for one in register.writable if one.secret)


def _swapped(function: Callable[..., str], language: str, value: Any, *rest: Any) -> str:
    """A formatter as a filter: the value comes first there, the language is that of the environment."""
    return function(value, language, *rest)


@dataclass(frozen=True, slots=True)
class Look:
    """How this reader wants to see pages."""

    language: str
    theme: str
    time_zone: str


def look_of(request: web.Request) -> Look:
    """Language, theme and time zone from cookies, account and browser."""
    viewer = viewer_of(request)
    theme = request.cookies.get(THEME_COOKIE, "") or viewer.theme
    zone = request.cookies.get(ZONE_COOKIE, "") or viewer.time_zone
    return Look(choose(request, viewer), theme if theme in THEMES else "auto", zone[:64])


def html(request: web.Request, page: Page) -> web.Response:
    """The page as HTML."""
    text = environment(look_of(request).language).get_template(page.template).render(_variables(request, page))
    response = web.Response(text=text, content_type="text/html", status=page.status, headers=page.headers)
    # The same address answers as JSON and in other languages.
    response.headers["Vary"] = "Accept, Accept-Language, Cookie"
    return response


def json(page: Page) -> web.Response:
    """The page's data, unchanged; of an error page a problem."""
    data, content_type = page.data, "application/json"
    if page.template == errors.TEMPLATE:
        data, content_type = errors.problem(page.data["error"]), "application/problem+json"
    return web.Response(body=json_bytes(data), content_type=content_type, status=page.status, headers=page.headers)


def _variables(request: web.Request, page: Page) -> Mapping[str, Any]:
    look, viewer, context = look_of(request), viewer_of(request), context_of(request)
    return {
        **page.data,
        "viewer": viewer,
        "may": lambda permission: viewer.may(Permission(permission)),
        "look": look,
        "language": look.language,
        "path": request.path,
        "query": request.query,
        "csrf": csrf_token(request),
        "nonce": nonce_of(request),
        "now_ms": context.clock(),
        "simulated": context.simulated,
        "menu": MENU,
        "moment": partial(formats.moment, language=look.language, time_zone=look.time_zone),
        "day": partial(formats.day, language=look.language, time_zone=look.time_zone),
        "clock": partial(formats.clock, language=look.language, time_zone=look.time_zone),
    }


def json_bytes(data: Any) -> bytes:
    """JSON of dataclasses, tuples, decimals and arrays; a number that is none becomes null."""
    return msgspec.json.encode(data, enc_hook=_encode)


def _encode(value: Any) -> Any:
    if isinstance(value, str):
        return str(value)  # Markup, as translated text is in templates
    if isinstance(value, np.ndarray):
        return [None if isinstance(item, float) and not math.isfinite(item) else item for item in value.tolist()]
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return dict(value)
    raise NotImplementedError(f"{type(value).__name__} has no form in JSON")
