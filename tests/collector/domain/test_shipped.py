from __future__ import annotations

import re

from collector.domain.measure import MEASURES
from collector.domain.shipped import RULES
from collector.flows.catalogue import load
from collector.flows.register import Registrar
from collector.store.database import Database

WORDS = {"host", "value", "level", "instance", "job", "mountpoint", "device", "fstype", "check", "kind", "reason"}


async def test_the_register_takes_every_shipped_rule(sqlite: Database) -> None:
    registrar = Registrar(sqlite, clock=lambda: 1)
    await registrar.apply("sigap", RULES)
    rules = sqlite.read_now(load).rules
    assert {rule.key for rule in rules} == {str(rule["key"]) for rule in RULES}
    assert all(rule.clear_level is not None for rule in rules)


def test_every_measure_has_a_shipped_rule() -> None:
    assert {rule["measure"] for rule in RULES} == set(MEASURES)


def test_texts_are_given_in_both_languages_and_name_only_what_is_known() -> None:
    for rule in RULES:
        for field in ("summary", "summary_id", "advice", "advice_id"):
            assert rule[field]
            assert set(re.findall(r"\{(\w+)\}", str(rule[field]))) <= WORDS
