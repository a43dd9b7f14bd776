"""What the texts of a rule may name."""

from __future__ import annotations

from typing import Any

import pytest

from collector.domain.errors import InvalidInput
from collector.domain.shipped import RULES
from collector.flows import alert
from collector.flows.register import Registrar
from collector.store.database import Database
from tests.collector.clock import Clock

RULE = {"key": "disk", "name": "Disk", "measure": "filesystem_used_ratio", "level": 0.9}


@pytest.fixture
def registrar(database: Database) -> Registrar:
    made = Registrar(database, clock=Clock(1_790_000_000_000))
    made.on_review("rule", alert.review)
    return made


async def refused(registrar: Registrar, **texts: Any) -> dict[str, str]:
    with pytest.raises(InvalidInput) as caught:
        await registrar.judge("test", "rule", RULE | texts)
    return dict(caught.value.fields)


async def test_a_name_that_no_alert_of_the_rule_has_is_refused(registrar: Registrar) -> None:
    found = await refused(registrar, summary="{mountpoint} on {foo}", advice_id="lihat {reason}")
    assert set(found) == {"summary", "advice_id"}
    assert found["summary"].startswith("names {foo}, which no alert of this rule has; known are: host, value, level")
    assert "mountpoint" in found["summary"]
    assert "{reason}" in found["advice_id"]


async def test_labels_of_hosts_and_of_the_selector_may_be_named(registrar: Registrar) -> None:
    await refused(registrar, summary="{team}")
    await registrar.create("test", "host", {"key": "web-1", "name": "web-1", "labels": {"team": "shop"}})
    await registrar.judge("test", "rule", RULE | {"summary": "{team} on {site}: {value} of {level}"})
    await registrar.judge("test", "rule", RULE | {"summary": "{tier}", "selector": {"tier": "front"}})


async def test_the_shipped_rules_are_accepted_and_their_texts_not_judged_anew(registrar: Registrar) -> None:
    await registrar.apply("sigap", RULES)
    registrar.recorder.reviews.clear()
    await registrar.create("test", "rule", RULE | {"summary": "{foo}"})
    registrar.on_review("rule", alert.review)
    await registrar.edit("test", "rule", "disk", {"enabled": False})
    with pytest.raises(InvalidInput):
        await registrar.edit("test", "rule", "disk", {"summary": "{bar}"})
