"""Every page over a small organisation, over nothing at all, in both languages, and as JSON."""

from __future__ import annotations

import html
import re
from collections.abc import AsyncIterator

import pytest
import yaml
from aiohttp.test_utils import TestClient, TestServer

from agent.probes.definition import read_check
from collector.domain.access import Lifetime
from collector.edges.http import ROUTES
from collector.edges.http.context import Context
from collector.edges.http.frame import build
from collector.flows.access import Access
from collector.flows.accounts import Accounts
from collector.flows.live import Live
from collector.flows.register import Registrar
from collector.store import alerts, registers
from collector.store.database import Database
from collector.store.series import SeriesStore
from tests.collector.edges.http import world
from tests.collector.edges.http.conftest import Browser, csrf_of, signed_in
from tests.collector.edges.http.world import World

PAGES = (
    "/", "/hosts", "/services", "/alerts", "/alerts/history", "/agents", "/settings", "/docs", "/docs/glossary",
    "/settings/profile", "/settings/accounts", "/settings/accounts/1", "/reset",
)  # fmt: skip
FILLED = (
    *PAGES, "/hosts/web-1", "/hosts/app-2", "/hosts/web-1?range=7d", "/services/shop", "/services/shop?window=30d",
    "/services/intranet", "/services/mail?month=2026-10", "/alerts/1", "/alerts/3",
    "/agents/00000000-0000-4000-8000-000000000001", "/docs?q=agent", "/hosts?q=web&sort=-cpu&state=up",
)  # fmt: skip


async def _open(context: Context, role: str = "admin") -> Browser:
    context.authenticate = signed_in(role, account_id=1)
    access = Access(context.db, clock=context.clock, lifetime=Lifetime(3_600_000, 3_600_000))
    await access.ensure_local_account("siti")
    context.access = access
    context.accounts = Accounts(context.db, clock=context.clock, passwords=access.passwords)
    client: Browser = TestClient(TestServer(build(context, ROUTES)))
    await client.start_server()
    return client


@pytest.fixture
async def filled(sqlite: Database) -> AsyncIterator[tuple[Browser, World]]:
    made = await world.make(sqlite, history_ms=20 * world.MINUTE_MS)
    client = await _open(made.context)
    yield client, made
    await client.close()


@pytest.fixture
async def empty(sqlite: Database) -> AsyncIterator[Browser]:
    series = SeriesStore(sqlite, clock=lambda: world.NOW_MS)
    registrar = Registrar(sqlite, clock=lambda: world.NOW_MS)
    context = Context(
        sqlite, clock=lambda: world.NOW_MS, series=series, registrar=registrar, live=Live(series.layouts.get)
    )
    client = await _open(context)
    yield client
    await client.close()


async def test_every_page_answers_in_both_languages_and_as_json(filled: tuple[Browser, World]) -> None:
    client, _ = filled
    for path in FILLED:
        for language in ("en", "id"):
            answer = await client.get(path, headers={"Cookie": f"language={language}"})
            text = await answer.text()
            assert answer.status == 200, (path, text)
            assert f'<html lang="{language}"' in text
            assert "<h1" in text, path
        twin = await client.get(path, headers={"Accept": "application/json"})
        assert isinstance(await twin.json(), dict), path


async def test_pages_without_anything_say_what_to_do_next(empty: Browser) -> None:
    for path in PAGES:
        answer = await empty.get(path)
        text = await answer.text()
        assert answer.status == 200, (path, text)
        if path in ("/", "/hosts", "/services", "/agents"):
            assert 'class="empty"' in text, path


async def test_no_page_has_what_the_policy_forbids(filled: tuple[Browser, World]) -> None:
    client, _ = filled
    for path in (*FILLED, "/styleguide"):
        text = await (await client.get(path)).text()
        assert not re.search(r"<[a-z]+[^>]*\s(style|on[a-z]+)=", text), path
        assert not re.findall(r"<script(?![^>]*(?:nonce=|application/json))", text), path
        assert not re.search(r'(?:src|href|action)="(?:https?:)?//', text), path


async def test_the_overview_shows_what_is_wrong_first(filled: tuple[Browser, World]) -> None:
    client, _ = filled
    data = await (await client.get("/index.json")).json()
    assert [one["severity"] for one in data["alerts"]] == ["critical", "warning"]
    assert [one["key"] for one in data["bad_checks"]] == ["shop.http", "payment.http"]
    assert [one["key"] for one in data["silent_hosts"]] == ["app-2"]
    text = await (await client.get("/")).text()
    assert text.index("Wrong now") < text.index("Payment")


async def test_hosts_are_narrowed_and_ordered_as_the_address_says(filled: tuple[Browser, World]) -> None:
    client, _ = filled
    data = await (await client.get("/hosts.json?q=web&sort=-name")).json()
    assert [row["host"]["key"] for row in data["hosts"]] == ["web-3", "web-2", "web-1"]
    data = await (await client.get("/hosts.json?state=unknown")).json()
    assert [row["host"]["key"] for row in data["hosts"]] == ["app-2"]
    by_cpu = (await (await client.get("/hosts.json?sort=-cpu")).json())["hosts"]
    shares = [row["vitals"][1] for row in by_cpu]
    assert shares == sorted(shares, reverse=True)
    assert (await client.get("/hosts?sort=nonsense")).status == 422


async def test_charts_show_what_was_measured(filled: tuple[Browser, World]) -> None:
    client, made = filled
    since, until = made.now_ms - 10 * world.MINUTE_MS, made.now_ms
    answer = await (await client.get(f"/hosts/web-1/charts?since={since}&until={until}&points=60")).json()
    cpu = answer["charts"]["cpu"]
    at = cpu["times"].index(next(time for time in cpu["times"] if time > since + 5 * world.MINUTE_MS))
    total = sum(line["values"][at] for line in cpu["series"])
    assert total == pytest.approx(world.busy(cpu["times"][at], 0), abs=0.02)
    memory = {line["label"]: line["values"][at] for line in answer["charts"]["memory"]["series"]}
    assert memory["used"] + memory["cache"] + memory["free"] == pytest.approx(8 * world.GIB)
    assert [line["label"] for line in answer["charts"]["network"]["series"]] == ["eth0 in", "eth0 out"]


@pytest.mark.parametrize(
    "query", ["range=1y", "since=1&until=1", "since=9&until=1", "since=x", "points=1", "points=99999"]
)
async def test_a_span_that_makes_no_sense_is_refused(filled: tuple[Browser, World], query: str) -> None:
    client, _ = filled
    assert (await client.get(f"/hosts/web-1/charts?{query}")).status == 422


async def test_series_are_given_as_columns(filled: tuple[Browser, World]) -> None:
    client, _ = filled
    answer = await client.get("/api/v1/series", params={"match": 'node_load1{instance="web-1"}', "points": "50"})
    (one,) = (await answer.json())["series"]
    assert one["labels"]["instance"] == "web-1"
    assert len(one["times"]) == len(one["values"]) <= 50
    assert (await client.get("/api/v1/series", params={"match": "{"})).status == 422
    assert (await client.get("/api/v1/series", params={"match": "node_load1", "host": "nobody"})).status == 404


async def test_the_outages_of_a_month_sum_up_to_its_downtime(filled: tuple[Browser, World]) -> None:
    client, _ = filled
    month = (await (await client.get("/services/shop.json")).json())["month"]
    assert month["outages"]
    assert sum(one["counted_ms"] for one in month["outages"]) == month["down_ms"]
    assert month["up_ms"] + month["down_ms"] + month["unknown_ms"] == month["agreed_ms"]


@pytest.mark.parametrize("query", ["month=2026-13", "month=x", "window=1y"])
async def test_a_month_that_is_none_is_refused(filled: tuple[Browser, World], query: str) -> None:
    client, _ = filled
    assert (await client.get(f"/services/shop?{query}")).status == 422


async def test_a_proposal_becomes_a_check_by_one_click(filled: tuple[Browser, World]) -> None:
    client, made = filled
    answer = await client.post(
        "/hosts/web-1/proposals", data={"name": "postgresql-5432"}, headers=await csrf_of(client), allow_redirects=False
    )
    assert answer.headers["Location"] == "/hosts/web-1#checks"
    check = await made.db.read(lambda connection: registers.by_key(connection, "check", "web-1.postgresql-5432"))
    assert (check.kind, check.options) == ("tcp", {"address": "127.0.0.1:5432"})
    text = await (await client.get("/hosts/web-1")).text()
    assert "Add check" not in text
    again = await client.post("/hosts/web-1/proposals", data={"name": "other"}, headers=await csrf_of(client))
    assert again.status == 404


async def test_a_unit_is_watched_by_one_click_and_what_is_for_the_agents_file_can_be_copied(
    filled: tuple[Browser, World],
) -> None:
    client, made = filled
    text = html.unescape(await (await client.get("/hosts/web-1")).text())
    snippet = "checks:\n- name: cron\n  kind: systemd\n  unit: cron.service"
    assert f'data-copy="{snippet}"' in text
    (check,) = yaml.safe_load(snippet)["checks"]
    assert read_check(check, path="checks[0]").target == "cron.service"
    await client.post("/hosts/web-1/proposals", data={"name": "cron"}, headers=await csrf_of(client))
    added = await made.db.read(lambda connection: registers.by_key(connection, "check", "web-1.cron"))
    assert (added.kind, added.options, added.origin) == ("systemd", {"unit": "cron.service"}, "central")


async def test_an_alert_is_taken_once(filled: tuple[Browser, World]) -> None:
    client, made = filled
    headers = await csrf_of(client)
    first = await client.post("/alerts/1/acknowledge", headers=headers, allow_redirects=False)
    second = await client.post("/alerts/1/acknowledge", headers=headers, allow_redirects=False)
    assert (first.status, second.status) == (303, 409)
    kept = await made.db.read(lambda connection: alerts.get(connection, 1))
    assert kept is not None
    assert kept.acknowledged_by == "siti"


async def test_a_token_is_shown_once_and_revoked(filled: tuple[Browser, World]) -> None:
    client, _ = filled
    headers = await csrf_of(client)
    form = {"name": "prometheus", "scope": "read", "days": "30"}
    text = await (await client.post("/settings/tokens", data=form, headers=headers)).text()
    assert "sigap_" in text
    page = await (await client.get("/settings.json")).json()
    assert "sigap_" not in str(page)
    token = page["tokens"][0]["id"]
    gone = await client.post(f"/settings/tokens/{token}/revoke", headers=headers, allow_redirects=False)
    assert gone.status == 303
    assert (await (await client.get("/settings.json")).json())["tokens"][0]["revoked_ms"] is not None


@pytest.mark.parametrize(
    ("path", "form", "field"),
    [
        ("/settings/tokens", {"name": "", "scope": "read"}, "name"),
        ("/settings/tokens", {"name": "x", "scope": "all"}, "scope"),
        ("/settings/tokens", {"name": "x", "days": "-1"}, "days"),
        ("/settings/profile/password", {"new": "a long enough one", "repeated": "another"}, "repeated"),
        ("/settings/profile/password", {"new": "short", "repeated": "short"}, "password"),
        ("/settings/profile/password", {"new": "password123456", "repeated": "password123456"}, "password"),
        ("/settings/accounts", {"name": "budi", "role": "king"}, "role"),
        ("/settings/accounts", {"name": "siti", "role": "viewer"}, "name"),
    ],
)
async def test_what_cannot_be_used_is_said_at_its_field(
    filled: tuple[Browser, World], path: str, form: dict[str, str], field: str
) -> None:
    client, _ = filled
    headers = {**await csrf_of(client), "Accept": "application/json"}
    answer = await client.post(path, data=form, headers=headers)
    assert answer.status == 422
    assert field in (await answer.json())["fields"]


async def test_a_viewer_sees_no_buttons_that_change(sqlite: Database) -> None:
    made = await world.make(sqlite, hosts=2, history_ms=world.MINUTE_MS)
    client = await _open(made.context, role="viewer")
    for path in ("/hosts/web-1", "/alerts", "/agents", "/services/shop"):
        text = await (await client.get(path)).text()
        forms = re.findall(r'<form action="([^"]+)" method="post"', text)
        assert set(forms) <= {"/sign-out"}, path
    assert (await client.post("/alerts/1/acknowledge", headers=await csrf_of(client))).status == 403
    await client.close()


async def test_a_service_with_a_past_keeps_it_when_it_is_edited(filled: tuple[Browser, World]) -> None:
    client, made = filled
    before = (await (await client.get("/services/shop.json?month=2026-11")).json())["month"]
    await made.registrar.edit("siti", "service", "shop", {"members": ["mail.http"]}, why="test")
    after = (await (await client.get("/services/shop.json?month=2026-11")).json())["month"]
    assert after["down_ms"] == before["down_ms"]
