"""Languages: which one a request wants, and the catalogues.

English is the message id, so a missing translation is English. Formats of numbers and times are in `format.py`.
"""

from __future__ import annotations

import gettext
from collections.abc import Mapping
from functools import cache

from aiohttp import web

import web as assets
from collector.edges.http.routing import Viewer

LANGUAGES: Mapping[str, str] = {"en": "English", "id": "Bahasa Indonesia"}
DEFAULT = "en"
COOKIE = "language"


def mark(message: str) -> str:
    """Mark a message for translation where it is written; it is translated where it is shown."""
    return message


@cache
def catalogue(language: str) -> gettext.NullTranslations:
    """The compiled messages of one language."""
    return gettext.translation("messages", assets.LOCALES, languages=[language], fallback=True)


def choose(request: web.Request, viewer: Viewer) -> str:
    """The language of the answer: as chosen in this browser, as set in the account, as the browser asks, English."""
    chosen = request.cookies.get(COOKIE, "")
    if chosen in LANGUAGES:
        return chosen
    if viewer.name and viewer.language in LANGUAGES:
        return viewer.language
    return _accepted(request.headers.get("Accept-Language", ""))


def _accepted(header: str) -> str:
    ranked = []
    for position, part in enumerate(header.split(",")[:20]):
        tag, _, weight = part.strip().partition(";q=")
        language = tag.lower().split("-")[0]
        # "in" is the code that Indonesian had before 1989; some clients still send it.
        language = "id" if language == "in" else language
        if language in LANGUAGES:
            try:
                ranked.append((-float(weight or 1), position, language))
            except ValueError:
                continue
    return min(ranked)[2] if ranked else DEFAULT
