"""Kinds of field: what they take, what they refuse, and that storing and showing lose nothing."""

from __future__ import annotations

import datetime
import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.domain.registers import compound, kinds
from collector.domain.registers.kinds import Kind, Refused
from collector.domain.registers.words import choices

REFUSED: tuple[tuple[Kind, Any], ...] = (
    (kinds.Text(5), "longer"),
    (kinds.Text(), "two\nlines"),
    (kinds.Text(), "a\x00b"),
    (kinds.Text(), True),
    (kinds.Text(), ["list"]),
    (kinds.Slug(), "Upper"),
    (kinds.Slug(), "-start"),
    (kinds.Slug(), ""),
    (kinds.Slug(), "a" * 129),
    (kinds.Integer(1, 10), 11),
    (kinds.Integer(1, 10), 1.5),
    (kinds.Integer(1, 10), True),
    (kinds.Integer(1, 10), "ten"),
    (kinds.Number(), "nan"),
    (kinds.Number(), float("inf")),
    (kinds.Number(0, 1), 2),
    (kinds.Exact(Decimal(50), Decimal(100)), "101"),
    (kinds.Exact(Decimal(50), Decimal(100)), "99.99999"),
    (kinds.Exact(Decimal(50), Decimal(100)), "NaN"),
    (kinds.Boolean(), "perhaps"),
    (kinds.Enum(choices(up=("Up", "Hidup"))), "down"),
    (kinds.Date(), "2026-02-30"),
    (kinds.TimeZone(), "Mars/Olympus"),
    (kinds.TimeZone(), "../../etc/passwd"),
    (kinds.URL(), "javascript:alert(1)"),
    (kinds.URL(), "https://"),
    (kinds.URL(), "https://exa mple.org/"),
    (compound.Map(), {"bad name": "x"}),
    (compound.Map(), {"name": ["x"]}),
    (compound.Map(), "no equals sign"),
    (compound.Map(), "a=1\na=2"),
    (compound.Map(regex=True), {"mount": "("}),
    (compound.Options(), {"big": ["x" * 600]}),
    (compound.Secret(5), "longer"),
)


@pytest.mark.parametrize(("kind", "value"), REFUSED, ids=lambda each: repr(each)[:40])
def test_what_does_not_fit_is_refused_in_both_languages(kind: Kind, value: Any) -> None:
    with pytest.raises(Refused) as refused:
        kind.parse(value)
    assert str(refused.value.words)
    assert refused.value.words.to("id") != str(refused.value.words)


KEPT: tuple[tuple[Kind, Any, Any], ...] = (
    (kinds.Text(), "  Toko Daring ", "Toko Daring"),
    (kinds.Multiline(), "one\r\ntwo", "one\ntwo"),
    (kinds.Slug(), "web-1.example", "web-1.example"),
    (kinds.Integer(), "12", 12),
    (kinds.Number(), "0.5", 0.5),
    (kinds.Exact(Decimal(50), Decimal(100)), 99.95, Decimal("99.95")),
    (kinds.Exact(Decimal(50), Decimal(100)), "100.0000", Decimal(100)),
    (kinds.Boolean(), "on", True),
    (kinds.Date(), "2026-01-31", datetime.date(2026, 1, 31)),
    (kinds.TimeZone(), "Asia/Makassar", "Asia/Makassar"),
    (kinds.URL(), "https://example.org:8443/x?y=1", "https://example.org:8443/x?y=1"),
    (compound.Map(), "env = prod\ntier=front", {"env": "prod", "tier": "front"}),
    (
        compound.Options(),
        "url=https://a.example/?b=c\nstatus=[200, 204]\nfollow=true",
        {"url": "https://a.example/?b=c", "status": [200, 204], "follow": True},
    ),
)


@pytest.mark.parametrize(("kind", "given_value", "value"), KEPT, ids=lambda each: repr(each)[:40])
def test_a_value_survives_storing_showing_and_the_form(kind: Kind, given_value: Any, value: Any) -> None:
    assert kind.parse(given_value) == value
    assert kind.load(kind.store(value)) == value
    assert kind.parse(json.loads(json.dumps(kind.dump(value)))) == value
    assert kind.parse(kind.form(value)) == value


@given(st.decimals(min_value=50, max_value=100, places=4))
def test_exact_numbers_are_stored_exactly_and_sort_as_numbers(number: Decimal) -> None:
    kind = kinds.Exact(Decimal(50), Decimal(100))
    stored = kind.store(kind.parse(number))
    assert kind.load(stored) == number
    assert stored is not None
    assert stored == number * 10_000


def test_a_secret_shows_only_whether_it_is_set() -> None:
    kind = compound.Secret()
    assert kind.dump("v1:abc") == "set"
    assert kind.dump("") == "not set"
    assert kind.form("v1:abc") == ""


@given(st.text(max_size=200))
def test_any_text_makes_a_valid_key(text: str) -> None:
    key = kinds.slugify(text)
    assert kinds.Slug().parse(key) == key
