"""The headers every answer carries, and the proof that an unsafe request came from one of our own pages.

Does not know who is signed in: that is the injected `authenticate`.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import secrets
import socket
from collections.abc import Mapping
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.http import HttpProcessingError

from collector.domain.errors import Forbidden
from collector.domain.message import mark
from collector.edges.http.context import context_of

SESSION_COOKIES = ("__Host-sigap", "sigap")
"""The session's cookie: the first over TLS (bound to the host by its prefix), the second on plain loopback."""
CSRF_FIELD = "csrf"
CSRF_HEADER = "X-CSRF-Token"
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
NONCE: web.RequestKey[str] = web.RequestKey("nonce", str)
_RETRY = mark("Reload the page and try again.")

HEADERS: Mapping[str, str] = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


def over_tls(request: web.Request) -> bool:
    """Whether the browser came by HTTPS: to us, or to the proxy in front of us whose address is `web.public_url`."""
    public = urlsplit(context_of(request).public_url)
    return request.secure or (public.scheme == "https" and public.netloc == request.host)


def session_cookie(request: web.Request) -> str:
    """The session's secret as the browser sent it, or an empty string."""
    return next((request.cookies[name] for name in SESSION_COOKIES if name in request.cookies), "")


def give_session(request: web.Request, response: web.StreamResponse, secret: str) -> None:
    """Put the secret of a new session into the browser, out of reach of scripts and other sites."""
    secure = over_tls(request)
    name = SESSION_COOKIES[0] if secure else SESSION_COOKIES[1]
    response.set_cookie(name, secret, path="/", httponly=True, secure=secure, samesite="Lax")


def site_of(request: web.Request) -> str:
    """How people reach these pages, without a slash at the end: as set, or else as this request did.

    Over the control socket nobody said how, so it is as the collector's own settings have it.
    """
    context = context_of(request)
    listening = request.transport.get_extra_info("socket") if request.transport else None
    if context.public_url or (listening is not None and listening.family == socket.AF_UNIX and context.settings):
        return str(context.public_url or context.settings.url)
    return f"{request.scheme}://{request.host}"


def csrf_token(request: web.Request) -> str:
    """The token that forms of this session carry.

    Derived one way from the session's own secret, which no other site can read, so that nothing has to be stored and a
    restart breaks no open form. Without a session it is a constant, and the check of the origin stands alone.
    """
    return hmac.new(session_cookie(request).encode(), b"sigap csrf", hashlib.sha256).hexdigest()


async def check_same_origin(request: web.Request) -> None:
    """Refuse an unsafe request that another site may have caused.

    Raises:
        Forbidden: Foreign or missing origin, or a missing or wrong token.
    """
    if request.method in SAFE_METHODS:
        return
    if request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
        raise Forbidden("This request came from another site.", hint=_RETRY)
    origin = request.headers.get("Origin") or request.headers.get("Referer", "")
    if not origin or urlsplit(origin).netloc != request.host:
        raise Forbidden("This request does not say that it came from this site.", hint=_RETRY)
    given = request.headers.get(CSRF_HEADER, "")
    if not given and request.content_type in ("application/x-www-form-urlencoded", "multipart/form-data"):
        given = str((await request.post()).get(CSRF_FIELD, ""))
    if not hmac.compare_digest(given.encode(), csrf_token(request).encode()):
        raise Forbidden("This page is too old to be sent.", hint=_RETRY)


def is_worth_a_line(record: logging.LogRecord) -> bool:
    """Whether the server's own log takes a record: not for a client that speaks no HTTP, which anybody can be for ever.

    It is answered 400, and that is all there is to do about it.
    """
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


def nonce_of(request: web.Request) -> str:
    """The one-time word that allows the scripts of this answer, and no others."""
    if NONCE not in request:
        request[NONCE] = secrets.token_urlsafe(16)
    return request[NONCE]


def content_security_policy(nonce: str) -> str:
    """Everything is forbidden except our own scripts, styles, pictures and requests."""
    return (
        f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
        "connect-src 'self'; form-action 'self'; manifest-src 'self'; base-uri 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types sigap"
    )


def protect(request: web.Request, response: web.StreamResponse) -> None:
    """Put the headers on an answer that is about to start."""
    response.headers["Server"] = "Sigap"  # in place of which library in which version
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers.setdefault("Content-Security-Policy", content_security_policy(nonce_of(request)))
    response.headers.setdefault("Cache-Control", "no-store")
    if over_tls(request):
        response.headers.setdefault("Strict-Transport-Security", "max-age=31536000")
