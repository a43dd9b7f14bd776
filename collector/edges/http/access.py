"""Set-up, signing in and out, choosing a password by a one-time link, and who a request comes from.

The rules are `flows.access`; this file only reads forms and cookies.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Mapping
from urllib.parse import urlsplit

from aiohttp import web

from collector.domain.access import Role
from collector.domain.errors import CollectorError, InvalidInput, TooMuch, Unauthenticated
from collector.edges.http.context import Authenticate, Context, context_of
from collector.edges.http.errors import page_for
from collector.edges.http.routing import Page, Permission, Route, Viewer
from collector.edges.http.security import SESSION_COOKIES, give_session, session_cookie
from collector.flows.access import Access, Browser, SignedIn

SCRAPE_PATHS = ("/metrics", "/federate", "/api/v1/sd/")
BEARER = "Bearer "
HOST_HEADER = re.compile(r"(?:\[([0-9a-fA-F:.]+)\]|([^\[\]:]+))(?::\d+)?")
"""An IPv6 address in brackets, or a name or IPv4 address; with a port or without."""


def authenticator(access: Access, *, open_on_loopback: bool) -> Authenticate:
    """Who asks: whoever runs the collector, a token, a session, a scraper on this host where allowed, or nobody."""

    async def authenticate(request: web.Request) -> Viewer:
        if _by_control_socket(request):
            return Viewer("control", Role.ADMIN, by_token=True)
        presented = request.headers.get("Authorization", "")
        if presented:
            return await _by_token(access, presented)
        account = await access.whose(secret) if (secret := session_cookie(request)) else None
        if account is not None:
            return Viewer(account.name, account.role, account.id, account.language, theme=account.theme)
        if open_on_loopback and request.path.startswith(SCRAPE_PATHS) and _is_local(request):
            return Viewer("loopback", Role.VIEWER, by_token=True)
        return Viewer()

    return authenticate


async def _by_token(access: Access, presented: str) -> Viewer:
    owner = await access.token_owner(presented.removeprefix(BEARER)) if presented.startswith(BEARER) else None
    if owner is None:
        raise Unauthenticated(
            "The Authorization header carries no valid API token.", hint="Send 'Authorization: Bearer sigap_…'."
        )
    account, role = owner
    return Viewer(account.name, role, account.id, account.language, by_token=True)


def _by_control_socket(request: web.Request) -> bool:
    """Whether the request came over the control socket, which only the collector's own account can open."""
    listening = request.transport.get_extra_info("socket") if request.transport else None
    return listening is not None and listening.family == socket.AF_UNIX


def _is_local(request: web.Request) -> bool:
    """Whether the peer and the name it used are this host's loopback: a rebound DNS name does not count."""
    found = HOST_HEADER.fullmatch(request.host)
    names = (request.remote or "", (found[1] or found[2]) if found else "")
    return all(name == "localhost" or _is_loopback(name) for name in names)


def _is_loopback(text: str) -> bool:
    try:
        return ipaddress.ip_address(text).is_loopback
    except ValueError:
        return False


async def show_setup(request: web.Request) -> Page:
    """The first-run form."""
    if await _access(request).is_set_up():
        raise web.HTTPSeeOther("/sign-in")
    return Page("access/setup.html", {"link": request.query.get("link", ""), "name": "", "fields": {}})


async def set_up(request: web.Request) -> Page | web.StreamResponse:
    """Create the first account."""
    form = await _form(request)
    name, language = form.get("name", ""), form.get("language", "en")
    try:
        if form.get("password") != form.get("repeated"):
            raise InvalidInput("The account was not made.", fields={"repeated": "The two passwords differ."})
        signed_in = await _access(request).set_up(
            form.get("link", ""),
            name=name,
            password=form.get("password", ""),
            language=language,
            browser=browser_of(request),
        )
    except (InvalidInput, Unauthenticated) as error:
        data = {"link": form.get("link", ""), "name": name, "fields": getattr(error, "fields", {})}
        return _again("access/setup.html", data, error)
    return _signed_in(request, signed_in, "/")


async def show_sign_in(request: web.Request) -> Page:
    """The sign-in form."""
    context = context_of(request)
    if not await _access(request).is_set_up():
        raise web.HTTPSeeOther("/setup")
    link = request.query.get("link", "")
    data = {"next": _local_path(request.query.get("next", "")), "link": link, "name": "", "fields": {}}
    return Page("access/sign_in.html", {**data, "simulated": context.simulated})


async def sign_in(request: web.Request) -> Page | web.StreamResponse:
    """Sign in by password, or by the one-time link that the form carries."""
    form = await _form(request)
    name, after = form.get("name", ""), _local_path(form.get("next", ""))
    try:
        if form.get("link"):
            signed_in = await _access(request).open_link(form["link"], browser=browser_of(request))
        else:
            signed_in = await _access(request).sign_in(
                name,
                form.get("password", ""),
                address=request.remote or "",
                agent=request.headers.get("User-Agent", ""),
            )
    except (Unauthenticated, TooMuch) as error:
        return _again("access/sign_in.html", {"next": after, "link": "", "name": name, "fields": {}}, error)
    return _signed_in(request, signed_in, after)


async def show_reset(request: web.Request) -> Page:
    """The form to choose a password, for whoever has a link that works; opening it does not use the link up."""
    link = request.query.get("link", "")
    usable = await _access(request).is_reset_link(link)
    return Page("access/reset.html", {"link": link if usable else "", "fields": {}})


async def reset(request: web.Request) -> Page | web.StreamResponse:
    """Set the password by the one-time link, and sign in."""
    form = await _form(request)
    link = form.get("link", "")
    try:
        if form.get("password") != form.get("repeated"):
            raise InvalidInput("The password was not changed.", fields={"repeated": "The two passwords differ."})
        signed_in = await _access(request).reset_password(
            link, password=form.get("password", ""), browser=browser_of(request)
        )
    except InvalidInput as error:
        return _again("access/reset.html", {"link": link, "fields": error.fields}, error)
    except Unauthenticated as error:
        return _again("access/reset.html", {"link": "", "fields": {}}, error)
    return _signed_in(request, signed_in, "/")


async def sign_out(request: web.Request) -> web.StreamResponse:
    """End this session."""
    if secret := session_cookie(request):
        await _access(request).sign_out(secret)
    response = web.Response(status=303, headers={"Location": "/sign-in"})
    for name in SESSION_COOKIES:
        response.del_cookie(name, path="/")
    return response


def browser_of(request: web.Request) -> Browser:
    """Where a request comes from, for the list of sessions."""
    return Browser(request.remote or "", request.headers.get("User-Agent", ""))


def _access(request: web.Request) -> Access:
    context: Context = context_of(request)
    access: Access = context.access
    return access


async def _form(request: web.Request) -> Mapping[str, str]:
    return {key: value for key, value in (await request.post()).items() if isinstance(value, str)}


def _again(template: str, data: Mapping[str, object], error: CollectorError) -> Page:
    """The same form with what was typed, except passwords, and what is wrong."""
    told = page_for(error)
    return Page(template, {**data, **told.data}, status=told.status, headers=told.headers)


def _signed_in(request: web.Request, signed_in: SignedIn, after: str) -> web.StreamResponse:
    response = web.Response(status=303, headers={"Location": after})
    give_session(request, response, signed_in.token)
    return response


def _local_path(text: str) -> str:
    """Where to go after signing in: a path on this site and nothing else."""
    parts = urlsplit(text)
    safe = text.startswith("/") and not text.startswith(("//", "/\\")) and not parts.scheme and not parts.netloc
    return text if safe and text.isprintable() and "\\" not in text else "/"


ROUTES = (
    Route("GET", "/setup", show_setup, Permission.PUBLIC, "The first-run form."),
    Route("POST", "/setup", set_up, Permission.PUBLIC, "Create the first account."),
    Route("GET", "/sign-in", show_sign_in, Permission.PUBLIC, "The sign-in form."),
    Route("POST", "/sign-in", sign_in, Permission.PUBLIC, "Sign in by password or one-time link."),
    Route("GET", "/reset", show_reset, Permission.PUBLIC, "The form to choose a password by a one-time link."),
    Route("POST", "/reset", reset, Permission.PUBLIC, "Choose a password by a one-time link."),
    Route("POST", "/sign-out", sign_out, Permission.PUBLIC, "End this session."),
)
