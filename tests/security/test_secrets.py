"""Words that nobody may read again are planted everywhere; then everything is read, provoked and logged."""

from __future__ import annotations

import base64
import contextlib
import json
import logging
import stat
from collections.abc import Mapping
from pathlib import Path

import pytest

from collector.config import load, table
from collector.domain.access import Account, Role, Scope
from collector.domain.errors import CollectorError
from collector.domain.registers import NAMES
from collector.edges.http import ROUTES
from collector.flows.access import NewToken, SignedIn
from collector.flows.enrol import IssuedToken
from collector.store.database import Database
from collector.store.migrations import migrate
from collector.store.seal import Seal
from tests.security.fortress import ADMINISTRATOR, KEYS, Fortress, filled, pretty

SIGNING = "whsec_Y2FuYXJ5LXNpZ25pbmctM2ZXcTktY2FuYXJ5"
PASSWORD = "canary password 7hT2m"
NEW_PASSWORD = "canary password changed 8Zp"
DATABASE_PASSWORD = "canary-database-5Kx"
STREAM = "/live/"
READERS = ("viewer", ADMINISTRATOR, "token admin")


async def _plant(made: Fortress) -> dict[str, str]:
    """Everything secret that a collector holds, by what it is."""
    access, collector = made.collector.access, made.collector
    admin = await made.own_page(ADMINISTRATOR)
    channel = {"key": "pager", "name": "Pager", "url": "https://hooks.example/pager", "secret": SIGNING}
    assert (await made.ask(ADMINISTRATOR, "POST", "/api/v1/channel", headers=admin, json=channel)).status == 201
    person = {"name": "sari", "role": "operator", "password": PASSWORD}
    assert (await made.ask(ADMINISTRATOR, "POST", "/api/v1/accounts", headers=admin, json=person)).status == 201
    token = await access.new_token(made.accounts[ADMINISTRATOR], "canary", Scope.WRITE)
    enrolment = await collector.enroller.issue("siti", "web-9")
    keys = {
        f"key {path.name}": _middle(path)
        for folder in ("keys", "trust")
        for path in (made.folder / folder).iterdir()
        if b"CERTIFICATE" not in path.read_bytes() or b"PRIVATE" in path.read_bytes()
    }
    assert len(keys) >= 2
    return {
        "signing secret": SIGNING,
        "password": PASSWORD,
        "API token": token.secret.split("_", 2)[2],
        "enrolment token": enrolment.secret[10:],
        "sign-in link": await access.sign_in_link("sari"),
        "session": made.secrets[ADMINISTRATOR],
        **keys,
    }


def _middle(path: Path) -> str:
    """A piece that is in the file and nowhere else by chance."""
    content = path.read_bytes()
    if b"PRIVATE KEY" in content:
        return content.decode().partition("PRIVATE KEY-----\n")[2][:64]
    return base64.b64encode(content).decode()[:32]


def _leaks(canaries: Mapping[str, str], text: str) -> list[str]:
    return [name for name, canary in canaries.items() if canary in text]


async def test_nothing_secret_is_in_anything_that_is_read(made: Fortress) -> None:
    canaries = await _plant(made)
    wrong: dict[str, object] = {}
    asked = 0
    for path in _everything():
        for who in READERS:
            reply = await made.ask(who, "GET", path)
            asked += 1
            if leaked := _leaks(canaries, f"{reply.headers} {reply.text}"):
                wrong[f"{who} {path}"] = leaked
    assert not wrong, pretty(wrong)
    assert asked > 150


def _everything() -> list[str]:
    paths = ["/registers/channel/pager", "/registers/channel/pager/edit", "/registers/channel/pager.json"]
    paths += ["/api/v1/channel/pager", "/api/v1/channel/pager/changes", "/api/v1/export?register=channel"]
    paths += ["/api/v1/channel?q=canary", "/api/v1/channel?sort=secret", f"/api/v1/channel?secret={SIGNING[:12]}"]
    paths += ['/federate?match[]={job="node"}', "/api/v1/series?match=node_load1", "/agents", "/agents.json"]
    for route in ROUTES:
        if route.method != "GET" or route.path.startswith(STREAM):
            continue
        for register in NAMES if "{register" in route.path else ("host",):
            given = {"register": register} | ({"key": KEYS[register]} if "{register" in route.path else {})
            path = filled(route.path, **given)
            paths += [path] if path.endswith((".json", ".csv")) or path == "/" else [path, path + ".json"]
    return paths


async def test_no_secret_can_be_found_by_searching_for_it(made: Fortress) -> None:
    await _plant(made)
    none, some = [
        json.loads((await made.ask("viewer", "GET", f"/api/v1/channel?q={text}")).text)["total"]
        for text in (SIGNING, "pager")
    ]
    assert (none, some) == (0, 1)
    for query in (f"secret={SIGNING}", "sort=secret", "sort=-secret"):
        assert (await made.ask("viewer", "GET", f"/api/v1/channel?{query}")).status == 422


async def test_nothing_secret_is_in_answers_to_mistakes_or_in_logs(
    made: Fortress, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    canaries = await _plant(made)
    headers = await made.own_page(ADMINISTRATOR)
    link = canaries["sign-in link"]
    attempts: list[tuple[str, str, dict[str, object]]] = [
        ("POST", "/api/v1/channel", {"json": {"key": "pager", "url": 7, "name": [], "secret": SIGNING}}),
        ("POST", "/api/v1/channel", {"json": {"key": "p2", "name": "x", "url": "no", "secret": SIGNING * 100}}),
        ("POST", "/api/v1/channel", {"json": {"key": "p2", "name": "x", "secret": {"deep": SIGNING}}}),
        ("POST", "/api/v1/channel", {"data": ('{"secret": "' + SIGNING).encode()}),
        ("PATCH", "/api/v1/channel/pager", {"json": {"secret": SIGNING, "version": 99}}),
        ("PATCH", "/api/v1/channel/missing", {"json": {"secret": SIGNING}}),
        ("POST", "/registers/channel", {"data": {"key": "bad key", "secret": SIGNING}}),
        ("POST", "/registers/channel/pager", {"data": {"name": "", "secret": SIGNING, "version": "99"}}),
        ("POST", "/api/v1/apply", {"data": f"register: channel\nkey: [\nsecret: {SIGNING}\n"}),
        ("POST", "/api/v1/apply", {"data": f"register: channel\nkey: p3\nsecret: {SIGNING}\n"}),
        ("POST", "/api/v1/apply?dry_run=1", {"data": f"register: channel\nkey: pager\nsecret: {SIGNING}x\n"}),
        ("POST", "/api/v1/accounts", {"json": {"name": "sari", "role": "none", "password": PASSWORD}}),
        ("POST", "/api/v1/accounts", {"json": {"name": "sari", "role": "viewer", "password": PASSWORD}}),
        ("POST", "/settings/accounts", {"data": {"name": "", "role": "viewer", "password": PASSWORD}}),
        ("POST", "/settings/profile/password", {"data": {"current": PASSWORD, "new": NEW_PASSWORD, "repeated": "x"}}),
        (
            "POST",
            "/settings/profile/password",
            {"data": {"current": PASSWORD, "new": NEW_PASSWORD, "repeated": NEW_PASSWORD}},
        ),
        ("POST", "/sign-in", {"data": {"name": "sari", "password": PASSWORD + "x"}}),
        ("POST", "/sign-in", {"data": {"name": "sari", "link": link + "x"}}),
        ("POST", "/setup", {"data": {"name": "sari", "link": link, "password": PASSWORD, "repeated": PASSWORD}}),
        ("POST", "/preferences", {"data": {"theme": PASSWORD}}),
    ]
    secret_new = {"new password": NEW_PASSWORD}
    wrong: dict[str, object] = {}
    for method, path, more in attempts:
        reply = await made.ask(ADMINISTRATOR, method, path, headers=headers, **more)
        assert reply.status < 500, (path, reply)
        if leaked := _leaks(canaries | secret_new, f"{reply.headers} {reply.text}"):
            wrong[f"{method} {path} {reply.status}"] = leaked
    # The ways in that work are logged too.
    assert (await made.ask("anonymous", "POST", "/sign-in", headers=await made.own_page("anonymous"),
                           data={"name": "sari", "password": PASSWORD})).status == 303  # fmt: skip
    await made.collector.access.open_link(link)
    with contextlib.suppress(CollectorError):
        await made.collector.enroller.redeem(
            "sigap1." + canaries["enrolment token"], b"", host_name="x", version="", caller="x"
        )
    if leaked := _leaks(canaries | secret_new, caplog.text):
        wrong["log"] = leaked
    assert not wrong, pretty(wrong)


async def test_what_failed_inside_is_in_the_log_and_not_in_the_answer(made: Fortress) -> None:
    made.collector.context.series = Broken()
    for path in ("/api/v1/series?match=node_load1", f"/hosts/{KEYS['host']}/charts", "/settings"):
        reply = await made.ask(ADMINISTRATOR, "GET", path)
        assert reply.status == 500
        assert not [word for word in ("canary", "Traceback", "RuntimeError", ".py") if word in reply.text]
    for path in (
        "/api/v1/host?offset=99999999999999999999999999",
        "/api/v1/host?limit=9&site=%00",
        "/alerts/999999999999999999",
    ):
        reply = await made.ask(ADMINISTRATOR, "GET", path)
        assert reply.status < 500, (path, reply)


class Broken:
    """A part that fails whatever it is asked, with everything that it knows."""

    def __getattr__(self, name: str) -> object:
        raise RuntimeError("canary")


async def test_the_database_holds_nothing_that_opens_a_door(made: Fortress) -> None:
    canaries = await _plant(made)
    dumped = "\n".join(made.dump())
    assert not _leaks(canaries, dumped)
    for secret in made.secrets.values():
        assert secret not in dumped
    assert "$argon2id$v=19$m=47104,t=1,p=1$" in dumped


async def test_secrets_on_disk_are_for_this_account_only(made: Fortress) -> None:
    await _plant(made)
    for folder in ("keys", "trust"):
        assert stat.S_IMODE((made.folder / folder).stat().st_mode) == 0o700
        for path in (made.folder / folder).iterdir():
            assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql+psycopg://sigap:{DATABASE_PASSWORD}@127.0.0.1:1/sigap",
        f"postgresql+psycopg://sigap:x@{DATABASE_PASSWORD}@127.0.0.1:1/sigap",
        f"nonsense://sigap:{DATABASE_PASSWORD}@127.0.0.1:1/sigap",
        f"mysql://sigap:{DATABASE_PASSWORD}@127.0.0.1:1/sigap",
        f"postgresql+psycopg://sigap:{DATABASE_PASSWORD}@127.0.0.1:port/sigap",
        DATABASE_PASSWORD,
    ],
)
def test_the_database_password_is_never_told(url: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    settings = load(Path("/dev/null"), {"SIGAP_STORE__URL": url})
    assert DATABASE_PASSWORD not in str(list(table(settings)))
    with pytest.raises(CollectorError) as caught:
        migrate(Database(url).engine)
    assert DATABASE_PASSWORD not in f"{caught.value} {caught.value.message} {caught.value.hint} {caplog.text}"


def test_a_setting_of_the_wrong_kind_is_told_without_its_value() -> None:
    wrong = {"SIGAP_STORE__URL": '{ password = "' + DATABASE_PASSWORD + '" }'}
    with pytest.raises(CollectorError) as refused:
        load(Path("/dev/null"), wrong)
    assert DATABASE_PASSWORD not in f"{refused.value} {refused.value.hint}"


def test_no_domain_value_shows_its_secret_when_printed() -> None:
    account = Account(1, "siti", Role.ADMIN, "en", True, SIGNING)
    printed = (
        NewToken("id", SIGNING),
        SignedIn(SIGNING, account),
        account,
        IssuedToken("id", SIGNING, 0, SIGNING),
        Seal(SIGNING.encode()),
    )
    assert not [one for one in printed if SIGNING in repr(one)]
