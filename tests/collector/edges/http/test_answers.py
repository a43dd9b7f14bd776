"""What REST answers, held against what its OpenAPI document says of it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from collector.edges.http import ROUTES
from collector.edges.http.openapi import document
from collector.edges.http.routing import Permission, Route
from collector.store.database import Database
from tests.collector.edges.http import world
from tests.collector.edges.http.conftest import Browser, csrf_of
from tests.collector.edges.http.test_agents_page import THERE, enroller
from tests.collector.edges.http.test_checks import measure
from tests.collector.edges.http.world import World

DESCRIBED = [route for route in ROUTES if route.answer is not None]
KEYS = {"hosts": "web-1", "services": "shop", "checks": "shop.http", "channel": "oncall"}
PEOPLES_OWN = ("sign-in", "sign-out", "setup", "reset", "preferences", "/settings/profile", "/settings/tokens")


@pytest.fixture
async def made(sqlite: Database, tmp_path: Path) -> World:
    some = await world.make(sqlite, hosts=7)
    await measure(some, "shop.http")
    some.context.enroller = enroller(some, tmp_path, THERE)
    await some.context.enroller.issue(world.WHO, "web-9")
    return some


def address(route: Route) -> str:
    """A route's path with something that exists in every place."""
    kind = next((name for name in KEYS if f"/{name}/" in route.path), "")
    return re.sub(r"\{id:[^/]*\}", "1", route.path.replace("{key}", KEYS.get(kind, "")))


@pytest.mark.parametrize("route", [one for one in DESCRIBED if one.method == "GET"], ids=lambda one: one.path)
async def test_an_answer_holds_what_the_document_says_and_nothing_else(browser: Browser, route: Route) -> None:
    answer = await browser.get(address(route))
    assert answer.status == 200, await answer.text()
    told = await answer.json()
    # What is not declared is left out by the conversion, and what is missing fails it.
    assert msgspec.json.decode(msgspec.json.encode(msgspec.convert(told, type=route.answer))) == told
    schema: Any = document(ROUTES)["paths"][re.sub(r"\{id:[^/]*\}", "{id}", route.path)]["get"]["responses"]["200"]
    assert schema["content"]["application/json"]["schema"] == {"$ref": f"#/components/schemas/{route.answer.__name__}"}


async def test_every_reference_in_the_document_leads_somewhere() -> None:
    whole = document(ROUTES)
    text = msgspec.json.encode(whole).decode()
    schemas = set(re.findall(r'"#/components/schemas/(\w+)"', text))
    assert schemas <= set(whole["components"]["schemas"])
    assert {"MonthOfService", "HostLine", "Overview"} <= schemas


async def test_rest_says_what_the_page_says(browser: Browser) -> None:
    for page, rest in (
        ("/index.json", "/api/v1/status"),
        ("/hosts.json?q=web", "/api/v1/status/hosts?q=web"),
        ("/hosts/web-1.json", "/api/v1/status/hosts/web-1"),
        ("/hosts/web-1/charts?range=15m", "/api/v1/status/hosts/web-1/charts?range=15m"),
        ("/services/shop.json?month=2026-10", "/api/v1/status/services/shop?month=2026-10"),
        ("/alerts/1.json", "/api/v1/alerts/1"),
        ("/checks/shop.http/latency", "/api/v1/status/checks/shop.http/latency"),
    ):
        assert await (await browser.get(rest)).json() == await (await browser.get(page)).json()


async def test_a_proposal_is_accepted_by_rest(browser: Browser) -> None:
    headers = await csrf_of(browser)
    address = "/api/v1/host/web-1/proposals"
    answer = await browser.post(address, json={"name": "postgresql-5432"}, headers=headers)
    assert (answer.status, await answer.json()) == (201, {"key": "web-1.postgresql-5432"})
    assert (await browser.get("/api/v1/check/web-1.postgresql-5432")).status == 200
    assert (await browser.post(address, json={"name": "postgresql-5432"}, headers=headers)).status == 409
    assert (await browser.post(address, json={"name": "nothing"}, headers=headers)).status == 404


async def test_a_retired_check_has_no_status(made: World, browser: Browser) -> None:
    await made.registrar.transition(world.WHO, "check", "mail.http", "retire", why="over")
    answer = await browser.get("/api/v1/status/checks/mail.http")
    assert (answer.status, (await answer.json())["title"]) == (404, "Not found")


def test_whatever_a_page_reads_or_does_a_program_can_too() -> None:
    rest = {(one.method, part) for one in ROUTES if one.path.startswith("/api/v1/") for part in one.path.split("/")}
    nouns = {"proposals", "acknowledge", "again", "dismiss", "test", "charts", "latency", "history", "revoke"}
    for route in ROUTES:
        last = route.path.split("/")[-1]
        if last in nouns and not route.path.startswith(("/api/", *(f"/{one}" for one in PEOPLES_OWN), "/settings")):
            assert (route.method, last) in rest, route.path
    assert all(route.permission is not Permission.PUBLIC for route in DESCRIBED)
