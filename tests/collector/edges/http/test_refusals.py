"""Whatever /api/v1 refuses, it refuses with the right status, as a problem, and as its OpenAPI document says."""

from __future__ import annotations

import io
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from collector.edges.http import ROUTES
from collector.edges.http.openapi import document
from collector.edges.http.routing import Permission, Route
from tests.security.fortress import HOST, Fortress, Reply, filled, fortress

ADMIN = "token admin"
API = [route for route in ROUTES if route.path.startswith("/api/v1/")]
NAMED = [route for route in API if re.search(r"\{(key|id)", route.path)]
ASKED = ("/api/v1/agents?host=nobody", "/api/v1/series?match=node_load1&host=nobody", "/api/v1/export?register=ship")
DESCRIBED: Any = document(ROUTES)["paths"]
SENDING = [
    (path, method)
    for path, operations in DESCRIBED.items()
    for method, operation in operations.items()
    if "requestBody" in operation and "/{" not in path
]
JSON = {"Content-Type": "application/json"}


@pytest.fixture
async def there(tmp_path: Path) -> AsyncIterator[Fortress]:
    async with fortress(tmp_path) as made:
        yield made


def declared(path: str, method: str) -> set[str]:
    """The statuses that the document has for one operation."""
    return set(DESCRIBED[path][method.lower()]["responses"])


def problem(reply: Reply, status: int) -> Any:
    """The problem that an answer is."""
    assert (reply.status, reply.headers["Content-Type"]) == (status, "application/problem+json"), reply
    told = json.loads(reply.text)
    assert (told["type"], told["status"]) == ("about:blank", status)
    assert told["title"]
    assert told["detail"]
    return told


def described(route: Route) -> str:
    """The route's path in the document, of the register of hosts."""
    return re.sub(r"\{(\w+)(?::(?:[^{}]|\{[^{}]*\})*)?\}", r"{\1}", route.path).replace("{register}", "host")


@pytest.mark.parametrize("route", NAMED, ids=lambda route: f"{route.method} {route.path}")
async def test_what_does_not_exist_is_not_found(there: Fortress, route: Route) -> None:
    path = filled(route.path, key="nobody", id="999999")
    given = {"name": "ssh"} if route.path.endswith("/proposals") else {"why": "because"}
    body = {"json": given} if route.method in ("POST", "PATCH") else {}
    problem(await there.ask(ADMIN, route.method, path, **body), 404)
    assert "404" in declared(described(route), route.method)


async def test_hosts_and_registers_that_do_not_exist_are_not_found_wherever_they_are_named(there: Fortress) -> None:
    for path in ASKED:
        problem(await there.ask(ADMIN, "GET", path), 404)
        assert "404" in declared(path.partition("?")[0], "get")
    for path in ("/federate/hosts/nobody", "/hosts/nobody.json", "/services/nobody.json", "/live/hosts/nobody"):
        told = problem(await there.ask(ADMIN, "GET", path, headers={"Accept": "application/json"}), 404)
        assert "nobody" in told["detail"]
    problem(await there.ask(ADMIN, "GET", "/api/v1/nothing"), 404)


async def test_a_host_that_is_silent_is_no_error(there: Fortress) -> None:
    assert (await there.ask(ADMIN, "GET", f"/federate/hosts/{HOST}")).status == 200


@pytest.mark.parametrize("path", sorted(DESCRIBED))
async def test_an_address_says_which_methods_it_takes(there: Fortress, path: str) -> None:
    reply = await there.ask(ADMIN, "PUT", re.sub(r"\{\w+\}", "1", path))
    problem(reply, 405)
    assert {method.upper() for method in DESCRIBED[path]} <= set(reply.headers["Allow"].split(","))


@pytest.mark.parametrize(("path", "method"), SENDING)
async def test_a_body_of_the_wrong_type_size_or_shape_is_refused_by_its_own_status(
    there: Fortress, path: str, method: str
) -> None:
    assert {"413", "415", "422"} <= declared(path, method)
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    told = problem(await there.ask(ADMIN, method, path, headers=form, data=b"a=b"), 415)
    assert "Content-Type: application/" in told["hint"]
    problem(await there.ask(ADMIN, method, path, headers=JSON, data=io.BytesIO(b"[" * 9_000_000)), 413)
    for wrong in (b"[1", b'"x"', b'{"colour": "red"}', b"\xff"):
        problem(await there.ask(ADMIN, method, path, headers=JSON, data=wrong), 422)


async def test_a_change_based_on_an_older_version_fails_its_precondition(there: Fortress) -> None:
    path, stale = f"/api/v1/host/{HOST}", {"If-Match": '"99"'}
    problem(await there.ask(ADMIN, "PATCH", path, headers=stale, json={"site": "Solo"}), 412)
    problem(await there.ask(ADMIN, "DELETE", path, headers=stale), 412)
    problem(await there.ask(ADMIN, "POST", f"{path}/transitions/retire", headers=stale, json={"why": "x"}), 412)
    problem(await there.ask(ADMIN, "PATCH", path, json={"site": "Solo", "version": 99}), 409)
    problem(await there.ask(ADMIN, "POST", "/api/v1/host", json={"key": HOST, "name": "Again"}), 409)
    for name, method in (("", "patch"), ("", "delete"), ("/transitions/{transition}", "post")):
        assert {"409", "412"} <= declared(f"/api/v1/host/{{key}}{name}", method)


@pytest.mark.parametrize(
    ("method", "path", "body", "title"),
    [
        ("PATCH", f"/api/v1/host/{HOST}", {"site": "Solo", "version": 99}, "Sudah didahului perubahan lain"),
        ("POST", "/api/v1/host", {"key": HOST, "name": "Again"}, "Sudah ada"),
        ("POST", f"/api/v1/host/{HOST}/transitions/reactivate", {"why": "x"}, "Tidak mungkin dalam keadaan sekarang"),
        ("PATCH", "/api/v1/accounts/administrator", {"role": "viewer"}, "Tidak mungkin dalam keadaan sekarang"),
    ],
)
async def test_a_conflict_is_called_what_it_is(
    there: Fortress, method: str, path: str, body: object, title: str
) -> None:
    for name in ("idler", "leaver"):
        await there.ask(ADMIN, "PATCH", f"/api/v1/accounts/{name}", json={"active": False})
    headers = {"Accept-Language": "id"}
    assert problem(await there.ask(ADMIN, method, path, headers=headers, json=body), 409)["title"] == title


async def test_who_may_not_is_told_so_as_a_problem(there: Fortress) -> None:
    problem(await there.ask("anonymous", "GET", "/api/v1/host"), 401)
    problem(await there.ask("token read", "POST", "/api/v1/host", json={}), 403)
    for route in API:
        if route.permission is not Permission.PUBLIC:
            assert {"401", "403"} <= declared(described(route), route.method)


async def test_what_is_made_is_answered_with_the_declared_status(there: Fortress) -> None:
    asked = {
        "/api/v1/enrolment-tokens": {},
        "/api/v1/sign-in-links": {"name": "viewer"},
        "/api/v1/tokens": {"name": "grafana"},
        "/api/v1/host": {"key": "new", "name": "New"},
    }
    for path, body in asked.items():
        reply = await there.ask(ADMIN, "POST", path, json=body)
        assert (reply.status, "201" in declared(path, "post")) == (201, True), reply
