"""Records on both databases: search, filters, order and pages, references, and what the tables look like."""

from __future__ import annotations

from typing import Any

import pytest

from collector.domain.errors import Conflict, InvalidInput, NotFound, StoreError
from collector.domain.registers import validate
from collector.domain.registers.host import REGISTER as HOSTS
from collector.domain.registers.host import Host
from collector.domain.registers.service import Service
from collector.flows.record import Recorder
from collector.store import registers as store
from collector.store.database import Database
from collector.store.registers import Query
from collector.store.seal import KEY_BYTES, Seal
from collector.store.vault import Vault


@pytest.fixture
def filled(database: Database) -> Database:
    recorder = Recorder(lambda: 1_760_000_000_000)

    def work(connection: Any) -> None:
        for number in range(12):
            site = "Jakarta" if number % 2 else "Bandung"
            data = {
                "key": f"web-{number:02}",
                "name": f"Web {number}",
                "site": site,
                "owner": "100%_sure" if number == 3 else "",
            }
            recorder.create(connection, "test", "host", data)
        for key, host in (("a.http", "web-01"), ("b.http", "web-02"), ("c.http", "web-02")):
            data = {"key": key, "name": key, "host": host, "kind": "http", "options": {"url": "https://a.example/"}}
            recorder.create(connection, "test", "check", data)
        for key, members, objective in (
            ("shop", ["b.http", "a.http"], "99.9"),
            ("bank", ["b.http"], "99.99"),
            ("blog", [], "100"),
        ):
            data = {"key": key, "name": key.title(), "members": members, "availability_objective": objective}
            recorder.create(connection, "test", "service", data)

    database.write_now(work)
    return database


def keys(database: Database, register: str, **query: Any) -> list[str]:
    return [each.key for each in database.read_now(lambda c: store.search(c, register, Query(**query))).records]


def test_search_finds_text_in_any_case_and_takes_wildcards_literally(filled: Database) -> None:
    assert keys(filled, "host", text="wEb 11") == ["web-11"]
    assert keys(filled, "host", text="%") == ["web-03"]
    assert keys(filled, "host", text="0%_S") == ["web-03"]
    assert keys(filled, "host", text="nothing") == []
    assert len(keys(filled, "host", text="  ")) == 12


def test_filters_narrow_by_text_state_and_references(filled: Database) -> None:
    assert len(keys(filled, "host", filters={"site": "Jakarta", "state": "active"})) == 6
    assert keys(filled, "check", filters={"host": "web-02"}) == ["b.http", "c.http"]
    assert keys(filled, "service", filters={"members": "b.http"}) == ["bank", "shop"]
    assert keys(filled, "service", filters={"members": "unheard-of"}) == []
    assert keys(filled, "rule", filters={"enabled": "true"}) == []


def test_only_described_fields_can_be_filtered_or_sorted_by(filled: Database) -> None:
    for query in ({"filters": {"description": "x"}}, {"filters": {"id": "1"}}, {"sort": "id"}, {"sort": "name;drop"}):
        with pytest.raises(InvalidInput):
            keys(filled, "host", **query)
    with pytest.raises(InvalidInput):
        keys(filled, "channel", sort="secret")


def test_numbers_sort_as_numbers_and_pages_do_not_overlap(filled: Database) -> None:
    assert keys(filled, "service", sort="-availability_objective") == ["blog", "bank", "shop"]
    pages = [keys(filled, "host", sort="site", offset=offset, limit=5) for offset in (0, 5, 10)]
    assert [len(page) for page in pages] == [5, 5, 2]
    assert len({key for page in pages for key in page}) == 12
    assert filled.read_now(lambda c: store.search(c, "host", Query(limit=1))).total == 12


def test_lists_of_references_keep_their_order(filled: Database) -> None:
    shop = filled.read_now(lambda c: store.by_key(c, Service, "shop"))
    names = filled.read_now(lambda c: store.keys_of(c, "check", shop.members))
    assert [names[each] for each in shop.members] == ["b.http", "a.http"]


def test_records_are_found_by_id_key_and_class(filled: Database) -> None:
    host = filled.read_now(lambda c: store.by_key(c, Host, "web-01"))
    assert filled.read_now(lambda c: store.get(c, Host, host.id)) == host
    assert filled.read_now(lambda c: store.facets(c, "host", "site")) == ["Bandung", "Jakarta"]
    assert len(filled.read_now(lambda c: store.all_of(c, Host, "active"))) == 12
    for missing in (lambda c: store.get(c, "host", 10_000), lambda c: store.by_key(c, "host", "nope")):
        with pytest.raises(NotFound):
            filled.read_now(missing)
    with pytest.raises(NotFound, match=r"no register .ship."):
        filled.read_now(lambda c: store.by_key(c, "ship", "x"))


def test_a_stale_version_is_not_written_over(filled: Database) -> None:
    host = filled.read_now(lambda c: store.by_key(c, Host, "web-01"))
    values = validate.complete(HOSTS, HOSTS.values(host), host.state)
    whole = values | {"state": host.state, "created_ms": 0, "changed_ms": 1}
    filled.write_now(lambda c: store.change(c, "host", host, whole))
    with pytest.raises(Conflict, match="changed meanwhile"):
        filled.write_now(lambda c: store.change(c, "host", host, whole))


def test_a_sealed_text_opens_only_under_its_own_key() -> None:
    seal = Seal(b"a" * KEY_BYTES)
    sealed = seal.seal("hush")
    assert "hush" not in sealed
    assert seal.seal("hush") != sealed
    assert seal.unseal(sealed) == "hush"
    assert (seal.seal(""), seal.unseal("")) == ("", "")
    for other, text in ((Seal(b"b" * KEY_BYTES), sealed), (seal, sealed[:-8] + "AAAAAAA="), (seal, "v1:%%%")):
        with pytest.raises(StoreError, match="another key"):
            other.unseal(text)
    assert "aaaa" not in repr(seal)


def test_the_key_is_made_once_and_kept(tmp_path: Any) -> None:
    first = Seal.kept_in(Vault(tmp_path / "secrets"))
    again = Seal.kept_in(Vault(tmp_path / "secrets"))
    assert again.unseal(first.seal("hush")) == "hush"
