"""The application around the handlers: routes, who may, CSRF, errors, HTML or JSON, headers.

Deny by default: a handler that is not behind a Route answers nobody. What a page shows is its own module's work.
"""

from __future__ import annotations

import asyncio
import json as stdlib_json
import logging
from collections.abc import Awaitable, Callable, Sequence
from time import perf_counter

import msgspec
from aiohttp import web
from yarl import URL

from collector.domain.errors import CollectorError, Forbidden, InvalidInput, Unauthenticated
from collector.domain.message import Message, mark
from collector.edges.http import errors, render, security
from collector.edges.http.context import CONTEXT, VIEWER, Context
from collector.edges.http.routing import Page, Permission, Route

log = logging.getLogger(__name__)

BODY_LIMIT_BYTES = 1024 * 1024
TWIN = ".json"
STREAMS = "/live/"
"""Paths whose answers last as long as somebody looks: their duration says nothing."""
_AiohttpHandler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_GUARDED: web.AppKey[dict[object, Route]] = web.AppKey("guarded", dict)
"""The route behind each of our handlers; a handler that is not in it answers nobody."""


def build(context: Context, routes: Sequence[Route]) -> web.Application:
    """The web application.

    Args:
        context: The parts behind the pages; `context.authenticate` says who asks.
        routes: Every route, see `edges.http.ROUTES`.
    """
    application = web.Application(middlewares=[_measure, _finish, _admit], client_max_size=BODY_LIMIT_BYTES)
    application[CONTEXT] = context
    application[_GUARDED] = {}
    for route in routes:
        _add(application, route)
    application.on_response_prepare.append(_protect)
    application.on_shutdown.append(_end_streams)
    return application


def _add(application: web.Application, route: Route) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        result = await route.handler(request)
        # A long page is rendered beside the event loop, which has agents to answer meanwhile.
        return await asyncio.to_thread(answer, request, result) if isinstance(result, Page) else result

    application[_GUARDED][handler] = route
    if route.method == "GET" and not route.path.endswith(TWIN) and ":.+}" not in route.path:
        # The twin comes first: "/hosts/{key}" would match "/hosts/web-1.json" too.
        application.router.add_get("/index.json" if route.path == "/" else route.path + TWIN, handler)
    application.router.add_route(route.method, route.path, handler)


async def _end_streams(application: web.Application) -> None:
    # An open page's stream has no end of its own, and stopping would wait for it.
    live = application[CONTEXT].live
    if live is not None:
        live.close()


async def _protect(request: web.Request, response: web.StreamResponse) -> None:
    security.protect(request, response)


@web.middleware
async def _measure(request: web.Request, handler: _AiohttpHandler) -> web.StreamResponse:
    began = perf_counter()
    response = await handler(request)
    metrics, route = request.app[CONTEXT].metrics, request.app[_GUARDED].get(request.match_info.handler)
    if metrics is not None and route is not None and not route.path.startswith(STREAMS):
        metrics.http_seconds.labels(route.path, str(response.status)).observe(perf_counter() - began)
    return response


@web.middleware
async def _finish(request: web.Request, handler: _AiohttpHandler) -> web.StreamResponse:
    try:
        return await handler(request)
    except CollectorError as error:
        return _failed(request, error)
    except web.HTTPException as error:
        translated = errors.from_http(error)
        if translated is None:
            raise
        return answer(request, translated)
    except (msgspec.ValidationError, msgspec.DecodeError, stdlib_json.JSONDecodeError, UnicodeDecodeError) as error:
        return _failed(request, InvalidInput(Message("The request's body cannot be read: {error}", error=str(error))))
    except Exception:
        # The last place to catch it: the person gets a page, the log the trace, the server goes on.
        log.exception("request failed method=%s path=%r", request.method, request.path)
        message = mark("The server made a mistake while answering.")
        return _failed(request, CollectorError(message, hint="Its log says more. Try again, or go back."))


def _failed(request: web.Request, error: CollectorError) -> web.StreamResponse:
    if isinstance(error, Unauthenticated) and not wants_json(request) and request.method == "GET":
        target = request.path_qs if request.path != "/" else ""
        raise web.HTTPSeeOther(web_url("/sign-in", next=target))
    return answer(request, errors.page_for(error, conditional="If-Match" in request.headers))


def web_url(path: str, **query: str) -> str:
    """A path with its query; empty values are left out."""
    return str(URL(path).with_query({name: value for name, value in query.items() if value}))


@web.middleware
async def _admit(request: web.Request, handler: _AiohttpHandler) -> web.StreamResponse:
    route = request.app[_GUARDED].get(request.match_info.handler)
    if request.match_info.http_exception is not None:
        # Strangers learn nothing from the difference between a missing page and a hidden one.
        request[VIEWER] = await request.app[CONTEXT].authenticate(request)
        return await handler(request)
    if route is None:
        raise Forbidden("This address is not open to anybody.")
    request[VIEWER] = viewer = await request.app[CONTEXT].authenticate(request)
    if not viewer.may(route.permission):
        if not viewer.role:
            raise Unauthenticated("This page is for people who are signed in.", hint="Sign in, or send an API token.")
        if viewer.by_token and route.permission is Permission.SELF:
            raise Forbidden("A token may not do this, whatever its scope.", hint="Sign in as a person.")
        raise Forbidden(
            Message("Your role, {role}, may not do this.", role=str(viewer.role)), hint="Ask an administrator."
        )
    if not viewer.by_token:
        await security.check_same_origin(request)
    elif request.method not in security.SAFE_METHODS and not viewer.may(Permission.OPERATE):
        raise Forbidden("This token only reads.", hint="Make one of scope write.")
    return await handler(request)


def wants_json(request: web.Request) -> bool:
    """Whether the answer should be JSON: by the path, or because the client asks for it and not for HTML."""
    accept = request.headers.get("Accept", "")
    by_path = request.path.endswith(TWIN) or request.path.startswith("/api/")
    return by_path or ("application/json" in accept and "text/html" not in accept)


def answer(request: web.Request, result: Page | web.StreamResponse) -> web.StreamResponse:
    """The handler's result as a response."""
    if not isinstance(result, Page):
        return result
    if not wants_json(request):
        return render.html(request, result)
    if result.template != errors.TEMPLATE:
        return render.json(result)
    language = render.look_of(request).language
    response = render.json(errors.told_in(language, result))
    response.headers.update({"Content-Language": language, "Vary": "Accept, Accept-Language, Cookie"})
    return response
