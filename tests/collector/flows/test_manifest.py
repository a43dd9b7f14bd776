"""YAML documents: read, applied and exported; applying is all or nothing, and twice is the same as once."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from collector.domain.errors import Conflict, Forbidden, InvalidInput
from collector.domain.registers import REGISTERS
from collector.domain.registers.base import Actor
from collector.flows import manifest
from collector.flows.register import Registrar
from collector.store import audit, schema
from collector.store import registers as store
from collector.store.database import Database
from collector.store.seal import KEY_BYTES, Seal

ADMIN = Actor("ana", "admin")

SHOP = """
register: service
key: shop
name: Web shop
name_id: Toko web
owner: Sari
members: [shop.http]
availability_objective: 99.9
state: live
why: In operation since 2019
---
register: host
key: web-1
name: Web 1
labels: {tier: front}
---
register: check
key: shop.http
name: Shop answers
host: web-1
kind: http
options: {url: "https://shop.example/", status: [200]}
---
register: host
key: old-1
name: Old
state: retired
---
register: channel
key: on-call
name: On call
url: https://hooks.example/x
secret: hush-hush
"""


def registrar_of(database: Database) -> Registrar:
    return Registrar(database, clock=lambda: 1_760_000_000_000, sealing=Seal(b"k" * KEY_BYTES))


@pytest.fixture
def registrar(database: Database) -> Registrar:
    return registrar_of(database)


async def test_documents_are_applied_whatever_their_order(registrar: Registrar) -> None:
    plan = await registrar.apply(ADMIN, manifest.read(SHOP))
    assert [(step.register, step.key, step.action, step.transitions) for step in plan.steps] == [
        ("host", "web-1", "create", ()),
        ("host", "old-1", "create", ("retire",)),
        ("check", "shop.http", "create", ()),
        ("service", "shop", "create", ("adopt",)),
        ("channel", "on-call", "create", ()),
    ]
    shop = await registrar.db.read(lambda c: store.by_key(c, "service", "shop"))
    assert (shop.state, str(shop.availability_objective)) == ("live", "99.9")
    history = await registrar.db.read(lambda c: audit.history(c, "service"))
    assert [(each.action, each.why) for each in history] == [
        ("adopt", "In operation since 2019"),
        ("create", "In operation since 2019"),
    ]


async def test_applying_twice_changes_nothing_the_second_time(registrar: Registrar) -> None:
    await registrar.apply(ADMIN, manifest.read(SHOP))
    before = await registrar.db.read(lambda c: len(audit.history(c)))
    plan = await registrar.apply(ADMIN, manifest.read(SHOP))
    assert plan.changes == ()
    assert await registrar.db.read(lambda c: len(audit.history(c))) == before


async def test_a_dry_run_tells_the_difference_and_changes_nothing(registrar: Registrar) -> None:
    await registrar.apply(ADMIN, manifest.read(SHOP))
    told: list[str] = []
    registrar.on_change(lambda register, record, before: told.append(register))
    changed = SHOP.replace("name: Web 1", "name: Web one").replace("99.9", "99.95")
    plan = await registrar.apply(ADMIN, manifest.read(changed), dry_run=True)
    assert [(step.key, step.before, step.after) for step in plan.changes] == [
        ("web-1", {"name": "Web 1"}, {"name": "Web one"}),
        ("shop", {"availability_objective": "99.9"}, {"availability_objective": "99.95"}),
    ]
    assert told == []
    assert (await registrar.db.read(lambda c: store.by_key(c, "host", "web-1"))).name == "Web 1"


async def test_one_wrong_document_stops_all_and_everything_wrong_is_told(registrar: Registrar) -> None:
    text = (
        SHOP.replace("name: Web 1", "colour: red").replace("kind: http", "kind: smoke")
        + "---\nregister: ship\nkey: x\n"
    )
    with pytest.raises(InvalidInput, match="Nothing was applied") as refused:
        await registrar.apply(ADMIN, manifest.read(text))
    fields = refused.value.fields
    assert {"host/web-1.colour", "host/web-1.name", "document 6.register", "check/shop.http.kind"} <= set(fields)
    assert await registrar.db.read(lambda c: store.search(c, "host", store.Query()).total) == 0


async def test_what_is_exported_builds_the_same_records_elsewhere(registrar: Registrar, tmp_path: Any) -> None:
    await registrar.apply(ADMIN, manifest.read(SHOP))
    exported = manifest.write(await registrar.export())
    assert "hush" not in exported
    assert "version" not in exported
    other = Database(f"sqlite:///{tmp_path}/other.db")
    try:
        schema.METADATA.create_all(other.engine)
        there = registrar_of(other)
        await there.apply(ADMIN, manifest.read(exported))
        assert manifest.write(await there.export()) == exported
        assert (await there.apply(ADMIN, manifest.read(exported))).changes == ()
    finally:
        other.close()


async def test_a_retired_record_is_reopened_by_its_document(registrar: Registrar) -> None:
    await registrar.apply(ADMIN, manifest.read(SHOP))
    text = "register: host\nkey: old-1\nname: Not so old\nstate: active\n"
    plan = await registrar.apply(ADMIN, manifest.read(text))
    assert (plan.steps[0].action, plan.steps[0].transitions) == ("edit", ("reactivate",))
    retired = "register: host\nkey: x\nname: X\nstate: retired\n"
    await registrar.apply(ADMIN, manifest.read(retired))
    with pytest.raises(Conflict, match=r"line 1 \(document 1, host x\): .*kept as it is"):
        await registrar.apply(ADMIN, manifest.read(retired.replace("name: X", "name: Y")))


async def test_a_state_that_cannot_follow_is_refused(registrar: Registrar) -> None:
    await registrar.apply(ADMIN, manifest.read(SHOP))
    with pytest.raises(InvalidInput) as refused:
        await registrar.apply(ADMIN, manifest.read("register: service\nkey: shop\nstate: idea\n"))
    assert refused.value.fields == {"service/shop.state": "cannot follow live"}


async def test_applying_needs_the_permission_of_every_change(registrar: Registrar) -> None:
    with pytest.raises(Forbidden, match="document 5, channel on-call"):
        await registrar.apply(Actor("oki", "operator"), manifest.read(SHOP))
    assert await registrar.db.read(lambda c: store.search(c, "host", store.Query()).total) == 0


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a: [1", "cannot be read"),
        ("just text", r"line 1 \(document 1\) is not a mapping"),
        ("a: &x 1\nb: *x", "aliases"),
        ("a: 1\na: 2", "given twice"),
        ("a: !!python/object/apply:os.system [ls]", "cannot be read"),
        ("? [a]\n: 1", "must be plain text"),
        ("[" * 3000, "cannot be read"),
    ],
)
def test_text_that_is_no_manifest_is_refused_with_its_reason(text: str, reason: str) -> None:
    with pytest.raises(InvalidInput, match=reason):
        manifest.read(text)


def test_a_list_of_documents_and_json_are_documents_too() -> None:
    assert manifest.read('[{"register": "host", "key": "a"}]\n---\n---\nregister: host\n') == [
        {"register": "host", "key": "a"},
        {"register": "host"},
    ]


WORDS = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=40)
RULES = st.fixed_dictionaries(
    {
        "name": WORDS.filter(lambda text: text.strip()),
        "measure": st.sampled_from(["load_per_cpu", "cpu_busy_ratio"]),
        "level": st.floats(0, 0.999),
        "for_seconds": st.integers(0, 86_400),
        "selector": st.dictionaries(st.from_regex(r"[a-z]{1,8}", fullmatch=True), st.sampled_from(["web-.*", "a|b"])),
        "summary": WORDS,
        "advice": WORDS.map(lambda text: f"{text}\n- {text}: #1"),
        "enabled": st.booleans(),
    }
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(fields=RULES)
async def test_whatever_people_write_survives_export_and_apply(sqlite: Database, fields: dict[str, Any]) -> None:
    here = registrar_of(sqlite)
    await here.apply(ADMIN, [{"register": "rule", "key": "r", **fields}])
    before = await sqlite.read(lambda c: store.by_key(c, "rule", "r"))
    text = manifest.write(await here.export(["rule"]))
    assert (await here.apply(ADMIN, manifest.read(text))).changes == ()
    await here.delete(ADMIN, "rule", "r")
    await here.apply(ADMIN, manifest.read(text))
    after = await sqlite.read(lambda c: store.by_key(c, "rule", "r"))
    assert REGISTERS["rule"].values(after) == REGISTERS["rule"].values(before)
