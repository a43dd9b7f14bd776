"""Language and theme of this browser, kept in cookies, so that they work before anybody has signed in."""

from __future__ import annotations

from aiohttp import web

from collector.domain.errors import InvalidInput
from collector.domain.message import Message
from collector.edges.http.i18n import COOKIE, LANGUAGES
from collector.edges.http.render import THEME_COOKIE, THEMES
from collector.edges.http.routing import Permission, Route
from collector.edges.http.security import over_tls

YEAR_SECONDS = 365 * 86_400
_CHOICES = {"theme": (THEME_COOKIE, THEMES), "language": (COOKIE, tuple(LANGUAGES))}


def local_path(given: str) -> str:
    """A path of our own to go back to: another site's address, or something that browsers read as one, becomes "/"."""
    safe = given.startswith("/") and not given.startswith(("//", "/\\")) and given.isprintable()
    return given if safe else "/"


async def change(request: web.Request) -> web.Response:
    """Set what the form names, and go back to the page it was on."""
    form = await request.post()
    response = web.HTTPSeeOther(local_path(str(form.get("back", "/"))))
    for name, (cookie, allowed) in _CHOICES.items():
        if name not in form:
            continue
        if form[name] not in allowed:
            raise InvalidInput(
                Message("There is no such {name}.", name=name),
                fields={name: Message("One of {known}.", known=", ".join(allowed))},
            )
        response.set_cookie(
            cookie, str(form[name]), max_age=YEAR_SECONDS, path="/", samesite="Lax", secure=over_tls(request)
        )
    raise response


ROUTES = (Route("POST", "/preferences", change, Permission.PUBLIC, "Set language and theme of this browser."),)
