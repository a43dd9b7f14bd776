"""Which language a request wants. The languages themselves are in `collector.languages`, formats in `format.py`."""

from __future__ import annotations

from aiohttp import web

from collector.domain.message import mark
from collector.edges.http.routing import Viewer
from collector.languages import DEFAULT, LANGUAGES

__all__ = ["COOKIE", "DEFAULT", "LANGUAGES", "choose", "mark"]

COOKIE = "language"


def choose(request: web.Request, viewer: Viewer) -> str:
    """The language of the answer: as chosen in this browser, as set in the account, as the browser asks, English.

    A program with a token is not a person: it has the language that it asks for.
    """
    chosen = request.cookies.get(COOKIE, "")
    if chosen in LANGUAGES:
        return chosen
    if viewer.name and viewer.language in LANGUAGES and not viewer.by_token:
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
