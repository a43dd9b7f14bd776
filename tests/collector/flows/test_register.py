"""The registrar on real databases: who may, what is kept, what is told, and that nothing happens half."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sqlalchemy import Connection, text

from collector.domain.errors import Conflict, Forbidden, InvalidInput, NotFound, StoreError
from collector.domain.registers.base import Actor
from collector.domain.registers.channel import Channel
from collector.domain.registers.service import Service
from collector.flows.register import Registrar
from collector.store import audit
from collector.store import registers as store
from collector.store.database import Database
from collector.store.seal import KEY_BYTES, Seal

ADMIN = Actor("ana", "admin")
OPERATOR = Actor("oki", "operator")
VIEWER = Actor("vina", "viewer")
START_MS = 1_760_000_000_000


class Clock:
    def __init__(self) -> None:
        self.now_ms = START_MS

    def __call__(self) -> int:
        self.now_ms += 1
        return self.now_ms


@pytest.fixture
def registrar(database: Database) -> Registrar:
    return Registrar(database, clock=Clock(), sealing=Seal(b"k" * KEY_BYTES))


async def with_check(registrar: Registrar) -> None:
    await registrar.create(OPERATOR, "host", {"key": "web-1", "name": "Web 1"})
    await registrar.create(
        OPERATOR,
        "check",
        {"key": "shop.http", "name": "Shop", "host": "web-1", "kind": "http", "options": {"url": "https://a.example/"}},
    )


async def with_service(registrar: Registrar) -> Any:
    await with_check(registrar)
    return await registrar.create(
        OPERATOR,
        "service",
        {"key": "shop", "name": "Shop", "members": ["shop.http"], "availability_objective": 99.9, "owner": "Sari"},
    )


async def test_a_created_record_is_there_with_its_history(registrar: Registrar) -> None:
    made = await with_service(registrar)
    assert (made.version, made.state, made.portfolio_part) == (1, "idea", "pipeline")
    read = await registrar.db.read(lambda c: store.by_key(c, Service, "shop"))
    assert read == made
    changes = await registrar.db.read(lambda c: audit.history(c, "service", record_id=made.id))
    assert [(each.action, each.who, each.version) for each in changes] == [("create", "oki", 1)]
    assert changes[0].after["members"] == ["shop.http"]


async def test_every_problem_is_told_at_once_in_both_languages(registrar: Registrar) -> None:
    with pytest.raises(InvalidInput) as refused:
        await registrar.create(
            OPERATOR, "service", {"key": "Bad Key", "members": ["nothing"], "k": 0, "availability_objective": 10}
        )
    assert set(refused.value.fields) == {"key", "name", "members", "k", "availability_objective"}
    name = refused.value.fields["name"]
    assert (name, name.to("id")) == ("is required", "wajib diisi")  # type: ignore[attr-defined]


async def test_a_taken_key_is_a_conflict(registrar: Registrar) -> None:
    await registrar.create(OPERATOR, "host", {"key": "web-1", "name": "Web 1"})
    with pytest.raises(Conflict, match="already a host 'web-1'"):
        await registrar.create(OPERATOR, "host", {"key": "web-1", "name": "Other"})


async def test_roles_decide_who_may(registrar: Registrar) -> None:
    with pytest.raises(Forbidden, match="vina may not create a host"):
        await registrar.create(VIEWER, "host", {"key": "web-1", "name": "Web 1"})
    with pytest.raises(Forbidden):
        await registrar.create(OPERATOR, "channel", {"key": "c", "name": "C", "url": "https://a.example/"})
    with pytest.raises(Forbidden):
        await registrar.create(Actor("eve", "superuser"), "host", {"key": "web-1", "name": "Web 1"})
    assert await registrar.db.read(lambda c: store.search(c, "host", store.Query()).total) == 0
    made = await registrar.create("ingest", "host", {"key": "web-1", "name": "Web 1"})
    assert made.key == "web-1"


async def test_an_edit_bumps_the_version_and_keeps_the_difference(registrar: Registrar) -> None:
    await registrar.create(OPERATOR, "host", {"key": "web-1", "name": "Web 1", "labels": {"env": "prod"}})
    edited = await registrar.edit(OPERATOR, "host", "web-1", {"name": "Web one", "labels": None}, version=1, why="typo")
    assert (edited.version, edited.name, edited.labels) == (2, "Web one", {})
    latest = (await registrar.db.read(lambda c: audit.history(c, "host")))[0]
    assert latest.before == {"name": "Web 1", "labels": {"env": "prod"}}
    assert latest.after == {"name": "Web one", "labels": {}}
    assert latest.why == "typo"


async def test_an_edit_that_changes_nothing_leaves_no_trace(registrar: Registrar) -> None:
    await registrar.create(OPERATOR, "host", {"key": "web-1", "name": "Web 1"})
    told: list[str] = []
    registrar.on_change(lambda register, record, before: told.append(register))
    same = await registrar.edit(OPERATOR, "host", "web-1", {"name": " Web 1 ", "key": "web-1"})
    assert same.version == 1
    assert told == []
    assert len(await registrar.db.read(lambda c: audit.history(c))) == 1


async def test_of_two_edits_of_one_version_the_second_is_a_conflict(registrar: Registrar) -> None:
    await registrar.create(OPERATOR, "host", {"key": "web-1", "name": "Web 1"})
    await registrar.edit(OPERATOR, "host", "web-1", {"site": "Jakarta"}, version=1)
    with pytest.raises(Conflict, match="at version 2, not 1"):
        await registrar.edit(OPERATOR, "host", "web-1", {"site": "Bandung"}, version=1)


async def test_a_key_is_for_life(registrar: Registrar) -> None:
    await registrar.create(OPERATOR, "host", {"key": "web-1", "name": "Web 1"})
    with pytest.raises(InvalidInput) as refused:
        await registrar.edit(OPERATOR, "host", "web-1", {"key": "web-2"})
    assert set(refused.value.fields) == {"key"}


async def test_a_service_is_adopted_with_a_reason_that_history_keeps(registrar: Registrar) -> None:
    await with_service(registrar)
    with pytest.raises(InvalidInput) as refused:
        await registrar.transition(OPERATOR, "service", "shop", "adopt")
    assert set(refused.value.fields) == {"why"}
    live = await registrar.transition(OPERATOR, "service", "shop", "adopt", why="in operation since 2019")
    assert (live.state, live.portfolio_part, live.version) == ("live", "catalogue", 2)
    latest = (await registrar.db.read(lambda c: audit.history(c, "service")))[0]
    assert (latest.action, latest.why, latest.after) == (
        "adopt",
        "in operation since 2019",
        {"state": "live", "portfolio_part": "catalogue"},
    )


async def test_a_transition_asks_for_state_permission_and_fields(registrar: Registrar) -> None:
    await with_service(registrar)
    with pytest.raises(Conflict, match="is idea; 'go_live' is not possible"):
        await registrar.transition(ADMIN, "service", "shop", "go_live")
    with pytest.raises(NotFound, match="no transition 'fly'"):
        await registrar.transition(ADMIN, "service", "shop", "fly")
    with pytest.raises(InvalidInput) as refused:
        await registrar.transition(OPERATOR, "service", "shop", "define")
    assert set(refused.value.fields) == {"description"}
    await registrar.edit(OPERATOR, "service", "shop", {"description": "Sells things."})
    await registrar.transition(OPERATOR, "service", "shop", "define")
    await registrar.transition(OPERATOR, "service", "shop", "analyse")
    with pytest.raises(Forbidden):
        await registrar.transition(OPERATOR, "service", "shop", "approve", why="because")
    approved = await registrar.transition(ADMIN, "service", "shop", "approve", why="worth it")
    assert approved.state == "approved"


async def test_a_closed_record_is_kept_as_it_is(registrar: Registrar) -> None:
    await registrar.create(OPERATOR, "host", {"key": "web-1", "name": "Web 1"})
    await registrar.transition(OPERATOR, "host", "web-1", "retire", why="scrapped")
    with pytest.raises(Conflict, match="kept as it is"):
        await registrar.edit(OPERATOR, "host", "web-1", {"name": "Other"})
    assert (await registrar.transition(OPERATOR, "host", "web-1", "reactivate")).state == "active"


async def test_what_an_agent_keeps_is_not_for_people_to_edit(registrar: Registrar) -> None:
    await with_check(registrar)
    nginx = {"key": "nginx", "name": "nginx", "host": "web-1", "kind": "systemd", "options": {"unit": "nginx.service"}}
    await registrar.create("agent's file", "check", nginx | {"origin": "agent"})
    with pytest.raises(Conflict, match="cannot be changed here"):
        await registrar.edit(ADMIN, "check", "nginx", {"name": "Other"})
    edited = await registrar.edit("agent's file", "check", "nginx", {"name": "Web server"})
    assert (edited.name, edited.origin) == ("Web server", "agent")
    assert [each["key"] for each in await registrar.export(["check"])] == ["shop.http"]


async def test_what_is_referred_to_cannot_be_deleted(registrar: Registrar) -> None:
    await with_service(registrar)
    rule = {"key": "r", "name": "R", "measure": "load_per_cpu", "level": 4}
    await registrar.create(OPERATOR, "rule", rule)
    await registrar.delete(OPERATOR, "rule", "r")
    with pytest.raises(NotFound):
        await registrar.db.read(lambda c: store.by_key(c, "rule", "r"))
    assert (await registrar.db.read(lambda c: audit.history(c, "rule")))[0].action == "delete"
    with pytest.raises(Conflict, match="kept as evidence"):
        await registrar.delete(OPERATOR, "check", "shop.http")
    found = await registrar.db.read(lambda c: store.referrers(c, "check", store.by_key(c, "check", "shop.http").id))
    assert found == [store.Referrer("service", "shop", "members")]


async def test_a_deleted_id_is_never_used_again(registrar: Registrar) -> None:
    rule = {"key": "r", "name": "R", "measure": "load_per_cpu", "level": 4}
    first = await registrar.create(OPERATOR, "rule", rule)
    await registrar.delete(OPERATOR, "rule", "r")
    second = await registrar.create(OPERATOR, "rule", rule)
    assert second.id > first.id


async def test_secrets_are_sealed_and_never_shown(registrar: Registrar) -> None:
    made = await registrar.create(
        ADMIN, "channel", {"key": "c", "name": "C", "url": "https://a.example/", "secret": "hush-hush"}
    )
    assert registrar.unseal(made.secret) == "hush-hush"

    def everything(connection: Connection) -> str:
        tables = ("register_channel", "change")
        rows = [row for table in tables for row in connection.execute(text(f"SELECT * FROM {table}"))]
        return json.dumps([list(map(str, row)) for row in rows])

    assert "hush-hush" not in await registrar.db.read(everything)
    history = await registrar.db.read(lambda c: audit.history(c, "channel"))
    assert history[0].after["secret"] == "set"
    same = await registrar.edit(ADMIN, "channel", "c", {"secret": "hush-hush"})
    assert same.version == 1
    other = await registrar.edit(ADMIN, "channel", "c", {"secret": "other"})
    assert registrar.unseal(other.secret) == "other"
    gone = await registrar.edit(ADMIN, "channel", "c", {"secret": None})
    assert gone.secret == ""


async def test_without_a_key_a_secret_is_refused_and_nothing_is_kept(database: Database) -> None:
    bare = Registrar(database, clock=Clock())
    with pytest.raises(StoreError, match="no key"):
        await bare.create(ADMIN, "channel", {"key": "c", "name": "C", "url": "https://a.example/", "secret": "hush"})
    assert await database.read(lambda c: store.find(c, Channel, "c")) is None


async def test_hooks_run_in_the_transaction_and_can_undo_it(registrar: Registrar) -> None:
    seen: list[tuple[str, str, int]] = []

    def hook(connection: Connection, register: str, record: Any, before: Any, now_ms: int) -> None:
        if record is not None and record.name == "Forbidden name":
            raise Conflict("not this name")
        assert store.by_key(connection, register, record.key) == record
        seen.append((register, record.key, now_ms))

    registrar.on_write(hook)
    await registrar.create(OPERATOR, "host", {"key": "web-1", "name": "Web 1"})
    with pytest.raises(Conflict, match="not this name"):
        await registrar.edit(OPERATOR, "host", "web-1", {"name": "Forbidden name"})
    assert [each[:2] for each in seen] == [("host", "web-1")]
    assert (await registrar.db.read(lambda c: store.by_key(c, "host", "web-1"))).version == 1


async def test_listeners_hear_after_the_commit_and_cannot_break_it(registrar: Registrar) -> None:
    told: list[tuple[str, Any, Any]] = []

    def broken(register: str, record: Any, before: Any) -> None:
        raise RuntimeError("listener")

    registrar.on_change(broken)
    registrar.on_change(lambda register, record, before: told.append((register, record, before)))
    made = await registrar.create(OPERATOR, "host", {"key": "web-1", "name": "Web 1"})
    await registrar.transition(OPERATOR, "host", "web-1", "retire", why="old")
    assert told[0] == ("host", made, None)
    assert (told[1][1].state, told[1][2].state) == ("retired", "active")
