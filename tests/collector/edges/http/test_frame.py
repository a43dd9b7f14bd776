"""Who may, what comes back, and what a failure looks like."""

from __future__ import annotations

import io

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from collector.domain import errors as domain_errors
from collector.edges.http import ROUTES
from collector.edges.http.context import Context
from collector.edges.http.errors import STATUS
from collector.edges.http.frame import build
from collector.edges.http.routing import Page, Permission, Route
from collector.store.database import Database
from tests.collector.edges.http.conftest import Open, csrf_of, signed_in

HOSTILE = "<img src=x onerror=alert(1)>"


async def _page(request: web.Request) -> Page:
    name = request.match_info.get("key", "")
    return Page("error.html", {"error": {"status": 200, "title": "T", "message": name + HOSTILE, "hint": "100 %"}})


async def _post(request: web.Request) -> web.Response:
    return web.json_response({"done": True})


async def _broken(request: web.Request) -> Page:
    raise RuntimeError("secret detail")


async def _full(request: web.Request) -> Page:
    raise domain_errors.TooMuch("Slowly.", retry_after_seconds=2.2)


SOME = (
    *ROUTES,
    Route("GET", "/t/things/{key}", _page, Permission.VIEW),
    Route("POST", "/t/things", _post, Permission.OPERATE),
    Route("GET", "/t/broken", _broken, Permission.PUBLIC),
    Route("GET", "/t/full", _full, Permission.PUBLIC),
)


async def test_a_page_and_its_json_twin_come_from_one_call(open_browser: Open) -> None:
    client = await open_browser(SOME)
    page = await client.get("/t/things/web-1.example")
    twin = await client.get("/t/things/web-1.example.json")
    asked = await client.get("/t/things/web-1.example", headers={"Accept": "application/json"})
    assert page.content_type == "text/html"
    assert (await twin.json())["detail"] == "web-1.example" + HOSTILE
    assert await asked.json() == await twin.json()


async def test_text_from_outside_is_never_markup(open_browser: Open) -> None:
    client = await open_browser(SOME)
    text = await (await client.get("/t/things/x")).text()
    assert HOSTILE not in text
    assert "&lt;img src=x" in text


async def test_nobody_gets_in_without_signing_in(open_browser: Open) -> None:
    client = await open_browser(SOME, role="")
    page = await client.get("/t/things/x", allow_redirects=False)
    assert (page.status, page.headers["Location"]) == (303, "/sign-in?next=/t/things/x")
    assert (await client.get("/t/things/x.json")).status == 401


async def test_a_viewer_may_look_but_not_change(open_browser: Open) -> None:
    client = await open_browser(SOME, role="viewer")
    assert (await client.get("/t/things/x")).status == 200
    answer = await client.post("/t/things", headers=await csrf_of(client))
    assert answer.status == 403
    assert "viewer" in await answer.text()


async def test_a_handler_that_is_no_route_answers_nobody(sqlite: Database) -> None:
    application = build(Context(sqlite, signed_in("admin")), SOME)
    application.router.add_get("/t/hidden", _post)
    async with TestClient(TestServer(application)) as client:
        assert (await client.get("/t/hidden")).status == 403


async def test_a_change_from_our_own_page_is_taken(open_browser: Open) -> None:
    client = await open_browser(SOME, role="operator")
    assert (await client.post("/t/things", headers=await csrf_of(client))).status == 200


@pytest.mark.parametrize(
    "change",
    [
        {"Origin": "https://evil.example"},
        {"Origin": ""},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"X-CSRF-Token": "wrong"},
        {"X-CSRF-Token": ""},
    ],
)
async def test_a_change_that_another_site_caused_is_refused(open_browser: Open, change: dict[str, str]) -> None:
    client = await open_browser(SOME, role="operator")
    answer = await client.post("/t/things", headers={**await csrf_of(client), **change})
    assert answer.status == 403


async def test_a_token_needs_no_proof_of_origin(open_browser: Open) -> None:
    client = await open_browser(SOME, role="operator", by_token=True)
    assert (await client.post("/t/things", json={})).status == 200


async def test_a_programming_error_tells_strangers_nothing(open_browser: Open) -> None:
    client = await open_browser(SOME)
    answer = await client.get("/t/broken")
    assert answer.status == 500
    assert "secret detail" not in await answer.text()


async def test_a_limit_says_when_to_come_back(open_browser: Open) -> None:
    client = await open_browser(SOME)
    answer = await client.get("/t/full.json")
    assert (answer.status, answer.headers["Retry-After"]) == (429, "3")


async def test_a_missing_page_has_a_way_back(open_browser: Open) -> None:
    client = await open_browser(SOME)
    answer = await client.get("/nowhere")
    assert answer.status == 404
    assert 'href="/"' in await answer.text()


async def test_an_oversized_body_is_refused_in_words(open_browser: Open) -> None:
    client = await open_browser(SOME, role="operator")
    headers = {**await csrf_of(client), "Content-Type": "application/x-www-form-urlencoded"}
    answer = await client.post("/preferences", data=io.BytesIO(b"x" * 2_000_000), headers=headers)
    assert answer.status == 413
    assert "larger than this server takes" in await answer.text()


@pytest.mark.parametrize("path", ["/styleguide", "/nowhere", "/t/broken", "/t/full.json", "/static/app.css"])
async def test_every_answer_carries_the_protecting_headers(open_browser: Open, path: str) -> None:
    client = await open_browser(SOME)
    headers = (await client.get(path)).headers
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"
    assert "Cache-Control" in headers


async def test_a_nonce_is_used_once(open_browser: Open) -> None:
    client = await open_browser(SOME)
    policies = {(await client.get("/styleguide")).headers["Content-Security-Policy"] for _ in range(3)}
    assert len(policies) == 3


def test_every_domain_error_has_its_status() -> None:
    kinds = {
        kind
        for kind in vars(domain_errors).values()
        if isinstance(kind, type) and issubclass(kind, domain_errors.CollectorError)
    }
    assert kinds == set(STATUS)


async def test_theme_and_language_are_kept_in_the_browser(open_browser: Open) -> None:
    client = await open_browser(SOME)
    form = {"theme": "dark", "language": "id", "back": "/styleguide"}
    answer = await client.post("/preferences", data=form, headers=await csrf_of(client), allow_redirects=False)
    assert answer.headers["Location"] == "/styleguide"
    text = await (await client.get("/styleguide", headers={"Cookie": "theme=dark; language=id"})).text()
    assert '<html lang="id" data-theme="dark"' in text


@pytest.mark.parametrize("back", ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)"])
async def test_the_way_back_stays_on_this_site(open_browser: Open, back: str) -> None:
    client = await open_browser(SOME)
    form = {"theme": "dark", "back": back}
    answer = await client.post("/preferences", data=form, headers=await csrf_of(client), allow_redirects=False)
    assert answer.headers["Location"] == "/"


async def test_a_strangers_browser_asks_for_its_language(open_browser: Open) -> None:
    client = await open_browser(SOME, role="")
    for header, language in (("id-ID,id;q=0.9,en;q=0.8", "id"), ("de,en;q=0.5", "en"), ("", "en"), ("in", "id")):
        text = await (await client.get("/styleguide", headers={"Accept-Language": header})).text()
        assert f'<html lang="{language}"' in text


async def test_a_built_asset_is_kept_for_a_year_and_no_path_leads_outside(open_browser: Open) -> None:
    client = await open_browser(SOME)
    text = await (await client.get("/styleguide")).text()
    address = text.split('rel="stylesheet" href="', 1)[1].split('"', 1)[0]
    answer = await client.get(address)
    assert answer.status == 200
    assert "immutable" in answer.headers["Cache-Control"]
    for outside in ("/static/../layout.html", "/static/%2e%2e/package.json", "/static/..%2fpackage.json"):
        assert (await client.get(outside)).status == 404
