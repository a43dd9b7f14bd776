"""Every route asked by everybody, against a list that somebody has read.

A new route is not in the list, so the first test fails until its permission was thought about.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from collector.domain.registers import NAMES
from collector.edges.http import ROUTES
from collector.edges.http.routing import Permission, Route
from tests.security.fortress import (
    ADMINISTRATOR,
    AGENT,
    BAD_TOKENS,
    EVERYBODY,
    HOST,
    KEYS,
    PEOPLE,
    TOKENS,
    Fortress,
    Reply,
    filled,
    pretty,
)

REGISTER = "{register}"
NUMBERED_MESSAGE = r"{message:\d{1,18}}"
REVIEWED = {
    # Nothing here tells of hosts, people or services: what is needed to sign in, to be probed, and to be read about.
    Permission.PUBLIC: """
        GET /static/{name:.+}  GET /docs  GET /docs/{name}  GET /setup  POST /setup  GET /sign-in  POST /sign-in
        GET /reset  POST /reset  POST /sign-out  GET /-/healthy  GET /-/ready  POST /preferences
        GET /styleguide  GET /styleguide/series
        GET /api/v1/openapi.json
    """,
    Permission.VIEW: """
        GET /  GET /hosts  GET /hosts/{key}  GET /hosts/{key}/charts  GET /services  GET /services/{key}  GET /alerts
        GET /alerts/history  GET /alerts/{id}  GET /checks/{key}/latency  GET /agents
        GET /agents/{id}  GET /settings  GET /live/hosts/{key}
        GET /live/changes  GET /metrics  GET /federate  GET /federate/hosts/{key}  GET /registers
        GET /registers/{register}  GET /registers/{register}/-/about  GET /registers/{register}/{key}
        GET /api/v1/series  GET /api/v1/sd/agents  GET /api/v1/agents  GET /api/v1/alerts  GET /api/v1/registers
        GET /api/v1/changes  GET /api/v1/export  GET /api/v1/{register}.csv  GET /api/v1/{register}
        GET /api/v1/{register}/{key}  GET /api/v1/{register}/{key}/changes  POST /api/v1/tokens
        GET /api/v1/status  GET /api/v1/status/hosts  GET /api/v1/status/hosts/{key}
        GET /api/v1/status/hosts/{key}/charts  GET /api/v1/status/services  GET /api/v1/status/services/{key}
        GET /api/v1/status/checks/{key}  GET /api/v1/status/checks/{key}/latency  GET /api/v1/alerts/history
        GET /api/v1/alerts/{id}  GET /api/v1/channel/{key}/messages  GET /api/v1/enrolment-tokens
    """,
    Permission.SELF: """
        GET /settings/profile  POST /settings/profile  POST /settings/profile/password
        POST /settings/profile/sessions/end  POST /settings/profile/sessions/{session}/end
        POST /settings/tokens  POST /settings/tokens/{id}/revoke
    """,
    Permission.OPERATE: """
        POST /hosts/{key}/proposals  POST /alerts/{id}/acknowledge  POST /alerts/{id}/messages/{message}/again
        POST /agents/tokens  POST /api/v1/messages/{id}/again
        POST /alerts/{id}/messages/{message}/dismiss  POST /api/v1/messages/{id}/dismiss
        POST /channels/{key}/messages/{message}/again  POST /channels/{key}/messages/{message}/dismiss
        POST /api/v1/host/{key}/proposals
        POST /agents/tokens/{id}/withdraw  POST /settings/channels/{key}/test  POST /registers/{register}
        GET /registers/{register}/-/new  POST /registers/{register}/{key}  GET /registers/{register}/{key}/edit
        POST /registers/{register}/{key}/transitions  POST /registers/{register}/{key}/delete
        POST /api/v1/enrolment-tokens  DELETE /api/v1/enrolment-tokens/{id}  POST /api/v1/alerts/{id}/acknowledge
        POST /api/v1/channel/{key}/test  POST /api/v1/apply  POST /api/v1/{register}  PATCH /api/v1/{register}/{key}
        DELETE /api/v1/{register}/{key}  POST /api/v1/{register}/{key}/transitions/{transition}
    """,
    Permission.ADMIN: """
        POST /agents/{id}/revoke  POST /api/v1/agents/{id}/revoke  POST /api/v1/sign-in-links
        GET /api/v1/tokens  DELETE /api/v1/tokens/{id}
        GET /settings/accounts  POST /settings/accounts  GET /settings/accounts/{id}
        POST /settings/accounts/{id}/role  POST /settings/accounts/{id}/disable  POST /settings/accounts/{id}/enable
        POST /settings/accounts/{id}/reset  POST /settings/accounts/{id}/sessions/end
        POST /settings/accounts/{id}/sessions/{session}/end
        GET /api/v1/accounts  POST /api/v1/accounts  GET /api/v1/accounts/{name}  PATCH /api/v1/accounts/{name}
        POST /api/v1/accounts/{name}/reset-links  GET /api/v1/accounts/{name}/sessions
        DELETE /api/v1/accounts/{name}/sessions  DELETE /api/v1/accounts/{name}/sessions/{session}
        GET /api/v1/accounts/{name}/changes
    """,
}
MAY = {
    Permission.PUBLIC: set(EVERYBODY) - set(BAD_TOKENS),
    Permission.VIEW: {*PEOPLE, *TOKENS},
    Permission.SELF: set(PEOPLE),
    Permission.OPERATE: {"operator", ADMINISTRATOR, "token write", "token admin"},
    Permission.ADMIN: {ADMINISTRATOR, "token admin"},
}
NEVER = {"POST /api/v1/tokens": {"token write"}}
"""Beyond the permission: a token makes tokens only where its scope is all there is."""
SAFE = {"GET", "HEAD"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
OWN_ANSWERS = (
    "The name or the password is not right",
    "already set up",
    "link is not valid",
    "link does not work",
    "Too many failed tries",
)
"""What the forms that let people in say to whoever filled them in wrongly."""
ASKED_ELSEWHERE = {"POST /sign-out", "GET /setup"}
"""One ends the session that is asked with, the other leads everybody on to the sign-in form."""
STREAM = "/live/"


def _name(route: Route) -> str:
    path = route.path.replace("{register:" + "|".join(NAMES) + "}", REGISTER).replace(r"{id:\d{1,18}}", "{id}")
    return f"{route.method} {path.replace(NUMBERED_MESSAGE, '{message}')}"


def _expected(route: Route) -> set[str]:
    allowed = MAY[route.permission] - NEVER.get(_name(route), set())
    return allowed - {"token read"} if route.method not in SAFE else allowed


def _paths(route: Route) -> Iterator[str]:
    # Unsafe requests name what does not exist, so that whoever may is told so and changes nothing.
    missing = {"key": "missing", "message": "999999", "id": "999999" if r"\d" in route.path else "missing"}
    yield filled(route.path, **({} if route.method in SAFE else missing)) + _query(route)
    if route.method == "GET" and not route.path.endswith(".json") and ":.+}" not in route.path:
        yield ("/index" if route.path == "/" else filled(route.path)) + ".json" + _query(route)


def _query(route: Route) -> str:
    return {"/federate": '?match[]={job="node"}', "/api/v1/series": "?match=node_load1"}.get(route.path, "")


def _refused(reply: Reply) -> bool:
    if any(words in reply.text for words in OWN_ANSWERS):
        return False
    to_sign_in = reply.status == 303 and reply.headers["Location"].partition("?")[0] == "/sign-in"
    return reply.status in (401, 403) or (to_sign_in and "Set-Cookie" not in reply.headers)


def test_every_route_was_reviewed() -> None:
    listed = {
        permission: {f"{method} {path}" for method, path in zip(*[iter(text.split())] * 2, strict=True)}
        for permission, text in REVIEWED.items()
    }
    found = defaultdict(set)
    for route in ROUTES:
        found[route.permission].add(_name(route))
    assert dict(found) == listed


async def test_everybody_gets_what_they_may_and_nothing_else(made: Fortress) -> None:
    wrong: dict[str, object] = {}
    asked = 0
    for route in ROUTES:
        if _name(route) in ASKED_ELSEWHERE:
            continue
        expected = _expected(route)
        for who in EVERYBODY:
            headers = await made.own_page(who) if route.method not in SAFE else {}
            for path in _paths(route):
                asked += 1
                reply = await _ask(made, who, route, path, headers)
                if _refused(reply) == (who in expected) or reply.status >= 500:
                    wrong[f"{who}: {route.method} {path}"] = (reply.status, reply.headers.get("Location"))
    assert not wrong, pretty(wrong)
    assert asked > len(ROUTES) * len(EVERYBODY)


async def _ask(made: Fortress, who: str, route: Route, path: str, headers: dict[str, str]) -> Reply:
    if route.path.startswith(STREAM):
        async with made.open(who, "GET", path) as response:
            return Reply(response.status, response.headers, "")
    body = {} if route.method in SAFE else {"data": b"" if path.startswith("/api") else b"x=1"}
    kind = FORM if body and not path.startswith("/api") else {}
    return await made.ask(who, route.method, path, headers={**headers, **kind}, **body)


async def test_a_refusal_is_the_same_whether_the_thing_exists_or_not(made: Fortress) -> None:
    for who in ("anonymous", "invented token"):
        there, missing = [
            await made.ask(who, "GET", f"/hosts/{key}.json", headers={"Accept": "application/json"})
            for key in (HOST, "missing")
        ]
        assert (there.status, there.text) == (missing.status, missing.text)
    for register in NAMES:
        there, missing = [
            await made.ask("viewer", "DELETE", f"/api/v1/{register}/{key}", headers=await made.own_page("viewer"))
            for key in (KEYS[register], "missing")
        ]
        assert (there.status, there.text) == (missing.status, missing.text) == (403, there.text)


async def test_an_operator_reads_channels_and_changes_none(made: Fortress) -> None:
    headers = await made.own_page("operator")
    body = {"key": "mine", "name": "Mine", "url": "https://hooks.example/mine"}
    assert (await made.ask("operator", "POST", "/api/v1/channel", headers=headers, json=body)).status == 403
    for who in ("operator", "token write"):
        reply = await made.ask(who, "PATCH", "/api/v1/channel/oncall", headers=headers, json={"enabled": False})
        assert reply.status == 403
    text = 'register: channel\nkey: oncall\nurl: "https://evil.example/"\n'
    assert (await made.ask("token write", "POST", "/api/v1/apply", data=text)).status == 403


async def test_nobody_reads_or_ends_the_tokens_of_others(made: Fortress) -> None:
    settings = await made.ask("operator", "GET", "/settings.json")
    assert "token admin" not in settings.text
    assert ADMINISTRATOR not in settings.text
    theirs = made.secrets["token admin"].split("_")[1]
    headers = await made.own_page("operator")
    replies = [
        await made.ask("operator", "POST", f"/settings/tokens/{token}/revoke", headers=headers, data={"x": "1"})
        for token in (theirs, "0000deadbeef")
    ]
    assert [reply.status for reply in replies] == [404, 404]
    assert (await made.ask("token admin", "GET", "/api/v1/tokens")).status == 200


async def test_a_stolen_token_makes_no_more_of_itself(made: Fortress) -> None:
    for who in ("token read", "token write"):
        for body in ({"name": "x", "scope": "admin"}, {"name": "x", "scope": "read"}):
            assert (await made.ask(who, "POST", "/api/v1/tokens", json=body)).status == 403
        for path, form in (
            ("/settings/tokens", {"name": "x", "scope": "admin"}),
            (
                "/settings/profile/password",
                {"current": "", "new": "another long phrase", "repeated": "another long phrase"},
            ),
        ):
            assert (await made.ask(who, "POST", path, data=form)).status == 403
    assert (await made.ask("token admin", "POST", "/settings/profile/password", data={"new": "x"})).status == 403


async def test_an_account_without_a_password_cannot_be_given_one_by_a_token(made: Fortress) -> None:
    access = made.collector.access
    await access.ensure_local_account("local")
    session = await access.open_link(await access.sign_in_link("local"))
    token = await access.new_token(session.account, "scraper", "admin")  # type: ignore[arg-type]
    made.credentials["scraper"] = {"Authorization": f"Bearer {token.secret}"}
    form = {"current": "", "new": "another long phrase", "repeated": "another long phrase"}
    assert (await made.ask("scraper", "POST", "/settings/profile/password", data=form)).status == 403


async def test_a_role_is_never_widened_by_its_token(made: Fortress) -> None:
    headers = await made.own_page("viewer")
    for scope in ("write", "admin"):
        body = {"name": "x", "scope": scope}
        assert (await made.ask("viewer", "POST", "/api/v1/tokens", headers=headers, json=body)).status == 403
        body |= {"scope": "read", "account": ADMINISTRATOR}
        assert (
            await made.ask("operator", "POST", "/api/v1/tokens", headers=await made.own_page("operator"), json=body)
        ).status == 403


async def test_a_token_in_the_address_is_nobody(made: Fortress) -> None:
    for name in ("token", "access_token", "api_key", "authorization", "Authorization"):
        query = {name: made.secrets["token admin"]}
        assert (await made.ask("anonymous", "GET", "/api/v1/agents", params=query)).status == 401


async def test_an_unsafe_request_from_elsewhere_is_refused_on_every_route(made: Fortress) -> None:
    own = await made.own_page(ADMINISTRATOR)
    attempts = {
        "no token": {"X-CSRF-Token": ""},
        "another token": {"X-CSRF-Token": (await made.own_page("operator"))["X-CSRF-Token"]},
        "anonymous token": {"X-CSRF-Token": (await made.own_page("anonymous"))["X-CSRF-Token"]},
        "foreign origin": {"Origin": "https://evil.example"},
        "opaque origin": {"Origin": "null"},
        "prefix": {"Origin": f"{made.url}.evil.example"},
        "user name": {"Origin": f"http://evil@{made.url.removeprefix('http://')}"},
        "other port": {"Origin": "http://127.0.0.1:1"},
        "neighbour": {"Sec-Fetch-Site": "same-site"},
        "stranger": {"Sec-Fetch-Site": "cross-site"},
    }
    before, wrong = made.digest(), {}
    for route in ROUTES:
        if route.method in SAFE:
            continue
        for name, change in attempts.items():
            headers = {**own, **change, **FORM}
            reply = await made.ask(ADMINISTRATOR, route.method, filled(route.path), headers=headers, data=b"x=1")
            if reply.status != 403:
                wrong[f"{name}: {_name(route)}"] = reply.status
        bare = {name: value for name, value in own.items() if name == "X-CSRF-Token"}
        if (await made.ask(ADMINISTRATOR, route.method, filled(route.path), headers=bare)).status != 403:
            wrong[f"no origin: {_name(route)}"] = 0
    assert not wrong, pretty(wrong)
    assert made.digest() == before


async def test_no_get_changes_anything(made: Fortress) -> None:
    await made.ask(ADMINISTRATOR, "GET", "/")
    before = made.digest()
    for route in ROUTES:
        if route.method != "GET":
            continue
        for register in NAMES if "{register" in route.path else ("host",):
            given = {"register": register} | ({"key": KEYS[register]} if "{register" in route.path else {})
            path = filled(route.path, **given)
            for method in ("GET", "HEAD"):
                for method_query in ("", "?delete=1&_method=DELETE&csrf=x&enabled=false"):
                    await _ask(made, ADMINISTRATOR, route, path + method_query, {"X-HTTP-Method-Override": "DELETE"})
                    if route.path.startswith(STREAM):
                        break
                    await made.ask(ADMINISTRATOR, method, path + method_query)
    assert made.digest() == before


async def test_methods_that_nobody_wrote_do_nothing(made: Fortress) -> None:
    own = await made.own_page(ADMINISTRATOR)
    before = made.digest()
    for method in ("PUT", "TRACE", "OPTIONS", "PATCH", "DELETE", "PROPFIND"):
        for path in ("/", f"/hosts/{HOST}", "/settings/tokens", f"/agents/{AGENT}/revoke"):
            reply = await made.ask(ADMINISTRATOR, method, path, headers=own)
            assert reply.status in (403, 404, 405), (method, path, reply.status)
            assert "Access-Control-Allow-Origin" not in reply.headers
    assert made.digest() == before
