"""Every register over HTTP: pages without scripts, REST, CSV, YAML, and the OpenAPI document that describes them."""

from __future__ import annotations

import csv
import html
import io
import json
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from openapi_spec_validator import validate

from collector.domain.registers import NAMES, REGISTERS
from collector.edges.http import ROUTES
from collector.edges.http.openapi import document
from collector.edges.http.render import json_bytes
from collector.flows.register import Registrar
from collector.store.database import Database
from collector.store.seal import KEY_BYTES, Seal
from tests.collector.edges.http.conftest import Browser, Open, csrf_of

Start = Callable[..., Awaitable[Browser]]
FORM_STYLE = Path(__file__).resolve().parents[4] / "web" / "source" / "form.css"
JSON = {"Content-Type": "application/json"}
HOST = {"key": "web-1", "name": "Web 1", "site": "Jakarta"}
CHECK = {"key": "shop.http", "name": "Shop", "host": "web-1", "kind": "http", "options": {"url": "https://a.example/"}}
SERVICE = {"key": "shop", "name": "Shop", "members": ["shop.http"], "availability_objective": "99.9"}


@pytest.fixture
def start(sqlite: Database, open_browser: Open) -> Start:
    registrar = Registrar(sqlite, clock=lambda: 1_760_000_000_000, sealing=Seal(b"k" * KEY_BYTES))

    async def opened(role: str = "admin", **more: Any) -> Browser:
        return await open_browser(ROUTES, role, registrar=registrar, **more)

    return opened


async def filled(start: Start) -> Browser:
    client = await start(by_token=True)
    for name, body in (("host", HOST), ("check", CHECK), ("service", SERVICE)):
        answer = await client.post(f"/api/v1/{name}", json=body)
        assert answer.status == 201, await answer.text()
    return client


# ── pages ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("language", ["en", "id"])
async def test_every_register_has_its_pages_in_both_languages(start: Start, name: str, language: str) -> None:
    client = await start()
    headers = {"Cookie": f"language={language}"}
    empty = await (await client.get(f"/registers/{name}", headers=headers)).text()
    assert REGISTERS[name].titles.to(language) in empty
    assert f"/registers/{name}/-/new" in empty
    form = await (await client.get(f"/registers/{name}/-/new", headers=headers)).text()
    assert all(f'name="{each.name}' in form for each in REGISTERS[name].writable)
    assert all(f'name="{each.name}"' not in form for each in REGISTERS[name].fields if not each.writable)
    about = await (await client.get(f"/registers/{name}/-/about", headers=headers)).text()
    assert all(each.label.to(language) in html.unescape(about) for each in REGISTERS[name].fields)


async def test_a_record_is_made_edited_and_seen_without_scripts(start: Start) -> None:
    client = await start()
    headers = await csrf_of(client)
    made = await client.post("/registers/host", data=HOST | {"labels": "tier=front"}, headers=headers)
    text = await made.text()
    assert (made.status, made.url.path) == (200, "/registers/host/web-1")
    assert "tier=front" in text
    saved = await client.post(
        "/registers/host/web-1",
        data={"name": "Web one", "site": "Bandung", "version": "1", "why": "moved"},
        headers=headers,
    )
    text = await saved.text()
    assert all(word in text for word in ("Web one", "Jakarta", "Bandung", "moved", "Version 2"))
    listed = await (await client.get("/registers/host?q=one&site=Bandung&sort=-name")).text()
    assert '<a href="/registers/host/web-1">web-1</a>' in listed
    nothing = await (await client.get("/registers/host?q=other")).text()
    assert "Nothing matches" in nothing
    twin = await (await client.get("/registers/host.json")).json()
    assert (twin["total"], twin["records"][0]["name"]) == (1, "Web one")


async def test_a_failed_save_tells_what_is_wrong_and_loses_nothing_typed(start: Start) -> None:
    client = await start()
    typed = {"key": "Bad Key", "name": "", "owner": "Budi <b>", "labels": "not a pair", "description": "Long\ntext"}
    answer = await client.post("/registers/host", data=typed, headers=await csrf_of(client) | {"Cookie": "language=id"})
    text = await answer.text()
    assert answer.status == 422
    assert all(kept in text for kept in ("Bad Key", "Budi &lt;b&gt;", "not a pair", "Long\ntext"))
    assert "wajib diisi" in text
    assert text.count('aria-invalid="true"') == 3


async def test_an_edit_over_somebody_elses_asks_before_it_overwrites(start: Start) -> None:
    await filled(start)
    client = await start()
    headers = await csrf_of(client)
    await client.post("/registers/host/web-1", data={"name": "Theirs", "version": "1"}, headers=headers)
    mine = await client.post("/registers/host/web-1", data={"name": "Mine", "version": "1"}, headers=headers)
    text = await mine.text()
    assert mine.status == 409
    assert 'value="Mine"' in text
    assert 'name="version" value="2"' in text
    again = await client.post("/registers/host/web-1", data={"name": "Mine", "version": "2"}, headers=headers)
    assert again.status == 200


async def test_a_form_is_checked_while_it_is_filled_and_nothing_is_kept(start: Start) -> None:
    client = await start()
    headers = await csrf_of(client) | {"Cookie": "language=id"}
    wrong = await client.post("/registers/host", data={"key": "UPPER", "name": "x", "check": "1"}, headers=headers)
    assert set((await wrong.json())["fields"]) == {"key"}
    fine = await client.post("/registers/host", data={"key": "lower", "name": "x", "check": "1"}, headers=headers)
    assert await fine.json() == {"fields": {}}
    assert (await client.get("/registers/host/lower")).status == 404


TYPED = {
    "key": "shop.page", "name": "Page", "host": "web-1", "kind": "http", "interval_seconds": "30",
    "options.http.url": " https://shop.example/ ", "options.http.status": "200, 301-302", "options.http.redirects": "0",
    "options.http.certificate_degraded_days": "7", "options.http.headers": "X-From=sigap", "options.http.lacks": "",
    "options.tcp.address": "was typed before:another:kind:was:chosen",
}  # fmt: skip


async def test_the_options_of_a_check_are_fields_of_their_own(start: Start) -> None:
    await filled(start)
    client = await start()
    made = await client.post("/registers/check", data=TYPED, headers=await csrf_of(client))
    assert made.url.path == "/registers/check/shop.page", await made.text()
    options = (await (await client.get("/registers/check/shop.page.json")).json())["record"]["options"]
    assert options == {
        "url": "https://shop.example/",
        "status": "200, 301-302",
        "redirects": 0,
        "certificate_degraded_days": 7.0,
        "headers": {"X-From": "sigap"},
    }
    form = html.unescape(await (await client.get("/registers/check/shop.page/edit")).text())
    assert all(text in form for text in ('value="https://shop.example/"', 'value="7"', 'value="0"', "X-From=sigap"))
    typed = {name: text for name, text in TYPED.items() if name != "options.http.status"}
    saved = await client.post(
        "/registers/check/shop.page", data=typed | {"version": "1"}, headers=await csrf_of(client)
    )
    assert saved.status == 200
    after = (await (await client.get("/registers/check/shop.page.json")).json())["record"]["options"]
    assert after == {name: value for name, value in options.items() if name != "status"}


async def test_what_is_wrong_with_an_option_is_told_at_its_field(start: Start) -> None:
    await filled(start)
    client = await start()
    headers = await csrf_of(client) | {"Cookie": "language=id"}
    wrong = TYPED | {"options.http.url": "ftp://x", "options.http.status": "banana", "options.http.redirects": "many"}
    answer = await client.post("/registers/check", data=wrong, headers=headers)
    text = html.unescape(await answer.text())
    assert answer.status == 422
    assert text.count('aria-invalid="true"') == 3
    assert 'id="error-options.http.url">harus diawali http:// atau https:// dan host' in text
    assert '<a href="#field-options.http.status">Status yang diharapkan</a>' in text
    assert 'value="many"' in text
    asked = await client.post("/registers/check", data=wrong | {"check": "1"}, headers=headers)
    fields = (await asked.json())["fields"]
    assert set(fields) == {"options.http.url", "options.http.status", "options.http.redirects"}


async def test_every_choice_that_brings_something_has_a_slot_in_the_style_sheet(start: Start) -> None:
    client = await start()
    style = FORM_STYLE.read_text()
    for name in NAMES:
        text = await (await client.get(f"/registers/{name}/-/new")).text()
        opened, shown = (set(re.findall(rf'{kind}="(\d+)"', text)) for kind in ("data-slot", "data-when"))
        assert opened == shown
        assert all(f'data-slot="{slot}"' in style for slot in opened)


async def test_a_step_that_is_not_possible_says_what_is_missing(start: Start) -> None:
    await filled(start)
    client = await start()
    headers = await csrf_of(client)
    steps = "/registers/service/shop/transitions"
    define = {"transition": "define", "version": "1", "why": "typed already"}
    refused = await client.post(steps, data=define, headers=headers)
    text = await refused.text()
    assert refused.status == 422
    assert "/registers/service/shop/edit#field-description" in text
    assert 'value="typed already"' in text
    done = await client.post(
        steps, data={"transition": "adopt", "why": "runs since 2019", "version": "1"}, headers=headers
    )
    text = await done.text()
    assert done.status == 200
    assert all(word in text for word in ("Already in operation", "runs since 2019", "Service catalogue"))


async def test_what_a_rule_waits_for_is_told_in_its_unit(start: Start) -> None:
    client = await start(by_token=True)
    for body in (
        {"key": "cpu", "name": "CPU", "measure": "cpu_busy_ratio", "level": 0.95, "for_seconds": 900},
        {"key": "check", "name": "Check", "measure": "check_state", "comparison": ">=", "level": 3},
    ):
        assert (await client.post("/api/v1/rule", json=body)).status == 201
    listed = await (await client.get("/registers/rule", headers={"Accept": "text/html"})).text()
    assert all(f'<span class="num">{text}</span>' in listed for text in ("95%", "15 min", "Down"))


async def test_a_record_that_lives_on_a_page_of_its_own_leads_there(start: Start) -> None:
    await filled(start)
    client = await start()
    assert 'href="/hosts/web-1"' in await (await client.get("/registers/host/web-1")).text()
    service = await (await client.get("/registers/service/shop")).text()
    assert 'href="/services/shop"' in service
    assert "<dt>k</dt>" not in service, "it counts only where k of n are asked for"


async def test_what_is_waited_for_comes_first_and_what_is_settled_last(start: Start) -> None:
    await filled(start)
    client = await start()
    idea = await (await client.get("/registers/service/shop")).text()
    assert idea.index("Next step") < idea.index("Details")
    settled = await (await client.get("/registers/check/shop.http")).text()
    assert settled.index("Details") < settled.index("Next step")


async def test_a_secret_is_never_in_a_page_and_stays_when_left_empty(start: Start, sqlite: Database) -> None:
    client = await start()
    headers = await csrf_of(client)
    channel = {"key": "c", "name": "C", "kind": "webhook", "url": "https://a.example/", "minimum_severity": "info"}
    await client.post("/registers/channel", data=channel | {"secret": "hush-hush"}, headers=headers)
    edited = channel | {"name": "Renamed", "version": "1", "secret": ""}
    await client.post("/registers/channel/c", data=edited, headers=headers)
    for path in ("", "/edit", ".json"):
        text = await (await client.get(f"/registers/channel/c{path}")).text()
        assert "hush" not in text
        assert "v1:" not in text
    record = (await (await client.get("/registers/channel/c.json")).json())["record"]
    assert (record["name"], record["secret"], record["version"]) == ("Renamed", "set", 2)
    cleared = edited | {"version": "2", "clear.secret": "true"}
    await client.post("/registers/channel/c", data=cleared, headers=headers)
    assert (await (await client.get("/api/v1/channel/c")).json())["secret"] == "not set"


async def test_a_new_channels_form_suggests_a_fresh_secret(start: Start) -> None:
    client = await start()
    pages = [await (await client.get("/registers/channel/-/new")).text() for _ in range(2)]
    secrets = [re.search(r'value="(whsec_[^"]+)"', page) for page in pages]
    assert all(secrets)
    assert secrets[0][1] != secrets[1][1]


async def test_who_may_only_look_sees_no_buttons_and_cannot_write(start: Start) -> None:
    await filled(start)
    client = await start("viewer")
    text = await (await client.get("/registers/host/web-1")).text()
    assert "/edit" not in text
    assert "/transitions" not in text
    assert (await client.get("/registers/host/-/new")).status == 403
    answer = await client.post("/registers/host", data=HOST, headers=await csrf_of(client))
    assert answer.status == 403
    operator = await start("operator", by_token=True)
    channel = await operator.post("/api/v1/channel", json={"key": "c", "name": "C", "url": "https://a.example/"})
    assert channel.status == 403


async def test_what_people_write_is_never_markup(start: Start) -> None:
    client = await start(by_token=True)
    hostile = "<script>alert(1)</script>"
    await client.post("/api/v1/host", json={**HOST, "name": hostile, "labels": {"x": hostile}, "description": hostile})
    await client.patch("/api/v1/host/web-1", json={"owner": hostile, "why": hostile})
    for path in ("/registers/host", "/registers/host/web-1", "/registers/host/web-1/edit"):
        assert hostile not in await (await client.get(path)).text()


# ── REST ────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_rest_creates_reads_changes_and_deletes(start: Start) -> None:
    client = await start(by_token=True)
    rule = {"key": "load", "name": "Load", "measure": "load_per_cpu", "level": 4, "why": "first"}
    made = await client.post("/api/v1/rule", json=rule)
    assert (made.status, made.headers["ETag"], made.headers["Location"]) == (201, '"1"', "/api/v1/rule/load")
    changed = await client.patch("/api/v1/rule/load", json={"level": 8}, headers={"If-Match": '"1"'})
    assert ((await changed.json())["level"], changed.headers["ETag"]) == (8.0, '"2"')
    stale = await client.patch("/api/v1/rule/load", json={"level": 9}, headers={"If-Match": '"1"'})
    assert (stale.status, stale.content_type) == (412, "application/problem+json")
    by_body = await client.patch("/api/v1/rule/load", json={"level": 9, "version": 1})
    assert by_body.status == 409
    changes = (await (await client.get("/api/v1/rule/load/changes")).json())["items"]
    assert [(each["action"], each["who"], each["why"]) for each in changes] == [
        ("edit", "siti", ""),
        ("create", "siti", "first"),
    ]
    assert (await client.delete("/api/v1/rule/load", headers={"If-Match": '"1"'})).status == 412
    assert (await client.delete("/api/v1/rule/load")).status == 204
    assert (await client.get("/api/v1/rule/load")).status == 404


async def test_rest_refuses_with_every_field_that_is_wrong(start: Start) -> None:
    client = await start(by_token=True)
    answer = await client.post("/api/v1/rule", json={"key": "x", "measure": "luck", "level": "high", "colour": 1})
    assert answer.status == 422
    assert set((await answer.json())["fields"]) == {"name", "measure", "level", "colour"}
    for body in (b"[]", b"{", b'"x"', b"\xff"):
        assert (await client.post("/api/v1/rule", data=body, headers=JSON)).status == 422
    assert (await client.patch("/api/v1/rule/x", json={"version": "newest"})).status == 422


async def test_rest_lists_with_search_filters_order_and_pages(start: Start) -> None:
    client = await filled(start)
    found = await (await client.get("/api/v1/check?host=web-1&q=shop&sort=-key&limit=1")).json()
    assert (found["total"], found["items"][0]["host"]) == (1, "web-1")
    assert (await (await client.get("/api/v1/check?host=web-9")).json())["total"] == 0
    for query in ("colour=red", "sort=colour", "limit=many"):
        assert (await client.get(f"/api/v1/check?{query}")).status == 422


async def test_rest_takes_the_steps_of_the_life_cycle(start: Start) -> None:
    client = await filled(start)
    no_reason = await client.post("/api/v1/service/shop/transitions/adopt", json={})
    assert set((await no_reason.json())["fields"]) == {"why"}
    done = await client.post("/api/v1/service/shop/transitions/adopt", json={"why": "runs since 2019"})
    assert (await done.json())["state"] == "live"
    assert (await client.post("/api/v1/service/shop/transitions/adopt", json={"why": "again"})).status == 409
    assert (await client.post("/api/v1/service/shop/transitions/fly", json={})).status == 404
    assert (await client.delete("/api/v1/service/shop")).status == 409


async def test_history_of_everything_can_be_paged_through(start: Start) -> None:
    client = await filled(start)
    every = (await (await client.get("/api/v1/changes")).json())["items"]
    assert [each["register"] for each in every] == ["service", "check", "host"]
    older = (await (await client.get(f"/api/v1/changes?before={every[0]['id']}&register=check")).json())["items"]
    assert [each["record_key"] for each in older] == ["shop.http"]
    assert (await client.get("/api/v1/changes?register=ship")).status == 404


async def test_csv_has_every_record_and_no_formula(start: Start) -> None:
    client = await filled(start)
    await client.post("/api/v1/host", json={"key": "evil", "name": '=HYPERLINK("x")', "owner": "@sum", "site": "-1+2"})
    answer = await client.get("/api/v1/host.csv?sort=key")
    rows = list(csv.DictReader(io.StringIO(await answer.text())))
    assert answer.content_type == "text/csv"
    assert "host.csv" in answer.headers["Content-Disposition"]
    assert [row["key"] for row in rows] == ["evil", "web-1"]
    assert (rows[0]["name"], rows[0]["owner"], rows[0]["site"]) == ('\'=HYPERLINK("x")', "'@sum", "'-1+2")
    checks = list(csv.DictReader(io.StringIO(await (await client.get("/api/v1/check.csv")).text())))
    assert (checks[0]["host"], checks[0]["options"]) == ("web-1", "url=https://a.example/")


async def test_documents_are_applied_and_exported_over_http(start: Start) -> None:
    client = await filled(start)
    text = await (await client.get("/api/v1/export")).text()
    assert (await (await client.post("/api/v1/apply", data=text)).json())["changes"] == 0
    changed = text.replace("name: Web 1", "name: Web one")
    dry = await (await client.post("/api/v1/apply?dry_run=true", data=changed)).json()
    assert [step["after"] for step in dry["steps"] if step["changed"]] == [{"name": "Web one"}]
    assert (await (await client.get("/api/v1/host/web-1")).json())["name"] == "Web 1"
    await client.post("/api/v1/apply", data=changed)
    assert (await (await client.get("/api/v1/host/web-1")).json())["name"] == "Web one"
    only = await (await client.get("/api/v1/export?register=host")).text()
    assert "register: check" not in only
    assert (await client.get("/api/v1/export?register=ship")).status == 404
    wrong = await client.post("/api/v1/apply", data="register: host\nkey: web-1\ncolour: red\n")
    assert set((await wrong.json())["fields"]) == {"host/web-1.colour"}


async def test_the_openapi_document_is_valid_and_has_every_route(start: Start) -> None:
    client = await start("")
    described: Any = await (await client.get("/api/v1/openapi.json")).json()
    validate(described)
    assert described["openapi"].startswith("3.1")
    assert described == json.loads(json_bytes(document(ROUTES)))
    for name in NAMES:
        assert {"get", "post"} <= set(described["paths"][f"/api/v1/{name}"])
        assert {"get", "patch", "delete"} <= set(described["paths"][f"/api/v1/{name}/{{key}}"])
    channel = described["components"]["schemas"]["Channel"]["properties"]["secret"]
    assert channel["enum"] == ["set", "not set"]
    ids = [operation["operationId"] for path in described["paths"].values() for operation in path.values()]
    assert len(ids) == len(set(ids))


async def test_clients_can_read_what_the_registers_are(start: Start) -> None:
    client = await start("viewer")
    items = (await (await client.get("/api/v1/registers")).json())["items"]
    assert [each["name"] for each in items] == list(NAMES)
    service = next(each for each in items if each["name"] == "service")
    assert service["states"]["live"]["label"] == "Live"
