"""Checks that agents declare, and checks that agents are handed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from collector.domain.sample import Accepted, Document
from collector.flows.checks import DeclaredChecks, handed, refused_of
from collector.flows.register import Registrar
from collector.languages import in_language
from collector.store import agents, registers, status
from collector.store.database import Database
from collector.store.documents import Documents

NOW_MS = 1_790_000_000_000
AGENT = "5f0c6d3e-0000-4000-8000-000000000001"


def declared(*names: str, **options: Any) -> Document:
    checks = [
        {"id": f"local:{name}", "name": name, "kind": "http", "interval_seconds": 30.0, "timeout_seconds": 5.0}
        | {"retries": 1, "retry_interval_seconds": 1.0, "degraded_seconds": None, "options": options}
        for name in names
    ]
    return Document("checks", NOW_MS, json.dumps({"checks": checks}).encode())


class Fixture:
    def __init__(self, database: Database) -> None:
        self.database = database
        self.registrar = Registrar(database, clock=lambda: NOW_MS)
        self.told: list[str] = []
        self.registrar.on_change(
            lambda register, record, before: self.told.append(f"{register} {(record or before).key}")
        )
        self.sink = DeclaredChecks(self.registrar)
        self.host_id = 0

    async def start(self) -> Fixture:
        host = await self.registrar.create("test", "host", {"key": "web-1", "name": "web-1"})
        self.host_id = host.id
        self.database.write_now(
            lambda c: agents.create(c, AGENT, host_id=host.id, host_name="web-1", version="0.1.0", enrolled_ms=NOW_MS)
        )
        self.told.clear()
        return self

    def send(self, *documents: Document) -> None:
        batch = Accepted(AGENT, self.host_id, NOW_MS, True, documents=documents)
        self.database.write_now(lambda c: self.sink.absorb(c, [batch]))()

    def states(self) -> dict[str, str]:
        return {one.key: one.state for one in self.database.read_now(lambda c: registers.all_of(c, "check"))}


@pytest.fixture
async def agent(database: Database) -> Fixture:
    return await Fixture(database).start()


async def test_declared_checks_become_records_bound_to_the_agent(agent: Fixture) -> None:
    agent.send(declared("Shop", url="https://shop.example/"))
    [record] = agent.database.read_now(lambda c: registers.all_of(c, "check"))
    assert (record.key, record.name, record.kind, record.origin) == ("web-1.shop", "Shop", "http", "agent")
    assert dict(record.options) == {"url": "https://shop.example/"}
    bound = agent.database.read_now(lambda c: status.bindings(c, [AGENT]))
    assert bound == {(AGENT, "local:Shop"): record.id}
    assert agent.told == ["check web-1.shop"]


async def test_the_same_declaration_again_changes_nothing(agent: Fixture) -> None:
    agent.send(declared("shop"))
    agent.told.clear()
    agent.send(declared("shop"))
    assert agent.told == []


async def test_a_check_that_left_the_file_is_retired_and_comes_back(agent: Fixture) -> None:
    agent.send(declared("shop", "mail"))
    agent.send(declared("mail"))
    assert agent.states() == {"web-1.shop": "retired", "web-1.mail": "active"}
    agent.send(declared("shop", "mail"))
    assert agent.states() == {"web-1.shop": "active", "web-1.mail": "active"}


async def test_a_changed_option_is_an_edit_with_history(agent: Fixture) -> None:
    agent.send(declared("shop", url="https://old.example/"))
    agent.send(declared("shop", url="https://new.example/"))
    [record] = agent.database.read_now(lambda c: registers.all_of(c, "check"))
    assert (dict(record.options), record.version) == ({"url": "https://new.example/"}, 2)


async def test_a_key_that_is_taken_is_avoided(agent: Fixture) -> None:
    data = {"key": "web-1.shop", "name": "Central", "host": "web-1", "kind": "http", "options": {"url": "http://a/"}}
    await agent.registrar.create("test", "check", data)
    agent.send(declared("shop"))
    assert set(agent.states()) == {"web-1.shop", "web-1.shop-2"}


async def test_a_document_that_cannot_be_read_changes_nothing(agent: Fixture) -> None:
    agent.send(declared("shop"), Document("checks", NOW_MS, b'{"checks": 7}'))
    assert agent.states() == {"web-1.shop": "active"}


async def test_one_check_that_cannot_be_taken_is_nothing_to_the_others_and_is_told(agent: Fixture) -> None:
    agent.send(declared("shop"))
    body = json.loads(declared("shop", "mail", "many").body)
    body["checks"][2]["retries"] = 11
    body["checks"].append({"id": 7, "name": "broken"})
    agent.send(Document("checks", NOW_MS + 1, json.dumps(body).encode()))
    assert agent.states() == {"web-1.shop": "active", "web-1.mail": "active"}
    refused = agent.database.read_now(lambda c: refused_of(c, agent.host_id))
    assert [name for name, _ in refused] == ["broken", "many"]
    assert "retries must be between 0 and 10" in refused[1][1]
    assert "retries harus antara 0 dan 10" in in_language(refused[1][1], "id")
    agent.send(Document("checks", NOW_MS + 2, declared("shop", "mail").body))
    assert agent.database.read_now(lambda c: refused_of(c, agent.host_id)) == []


async def test_a_check_with_more_text_than_a_record_holds_is_shown_shortened(agent: Fixture) -> None:
    agent.send(declared("shop", contains="x" * 900, send="a\x00b", expect=["y" * 300, "z" * 300]))
    [record] = agent.database.read_now(lambda c: registers.all_of(c, "check"))
    assert len(record.options["contains"]) == 500
    assert record.options["contains"].endswith("…")
    assert record.options["send"] == "a b"


async def test_an_agent_cannot_say_itself_what_was_refused(agent: Fixture) -> None:
    forged = Document("refused_checks", NOW_MS, b"[")
    batch = Accepted(AGENT, agent.host_id, NOW_MS, True, documents=(forged,))
    agent.database.write_now(lambda c: Documents().absorb(c, [batch]))
    assert agent.database.read_now(lambda c: refused_of(c, agent.host_id)) == []


async def test_only_active_central_checks_are_handed_to_their_host(agent: Fixture) -> None:
    agent.send(declared("local"))
    for key in ("a", "b"):
        data = {"key": key, "name": key.upper(), "host": "web-1", "kind": "tcp", "options": {"address": "db:5432"}}
        await agent.registrar.create("test", "check", data)
    await agent.registrar.transition("test", "check", "b", "pause", why="planned")
    found = agent.database.read_now(lambda c: list(handed(c, agent.host_id)))
    assert [(one.id, one.kind, one.name) for one in found] == [("central:a", "tcp", "A")]
    assert json.loads(found[0].options) == {
        "address": "db:5432",
        "interval_seconds": 30.0,
        "timeout_seconds": 5.0,
        "retries": 1,
    }
