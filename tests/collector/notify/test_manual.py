"""What the manual tells receivers to do works, in both languages."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from collector.domain.measure import MEASURES
from collector.domain.notification import Channel, Notification
from collector.domain.shipped import RULES
from collector.notify.base import Told
from collector.notify.egress import Egress
from collector.notify.webhook import Webhook, new_secret

MANUAL = Path(__file__).parents[3] / "web" / "docs"
LANGUAGES = ("en", "id")


def page(language: str, name: str) -> str:
    return (MANUAL / language / f"{name}.md").read_text()


def blocks(text: str, kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", text, re.DOTALL)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_verifier_of_the_manual_accepts_ours_and_refuses_the_rest(language: str) -> None:
    found: dict[str, Any] = {}
    exec(blocks(page(language, "webhooks"), "python")[0], found)
    verify = found["verify"]
    old, new = new_secret(), new_secret()
    notification = Notification("firing", 1, "f" * 16, {"alertname": "x"}, {}, 1)
    channel = Channel(1, "c", "webhook", "https://x.example/", f"{old} {new}")
    request = Webhook(Egress()).build(Told(notification, channel, "msg_1", 1_700_000_000_000, "https://s.example"))
    headers = dict(request.headers)
    assert verify(old, headers, request.body, 1_700_000_010)
    assert verify(new, headers, request.body, 1_700_000_010)
    assert not verify(new_secret(), headers, request.body, 1_700_000_010)
    assert not verify(old, headers, request.body + b" ", 1_700_000_010)
    assert not verify(old, headers, request.body, 1_700_000_301)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_shipped_rule_and_measure_is_in_the_manual(language: str) -> None:
    text = page(language, "alerts")
    assert re.findall(r"^\| `([a-z-]+)` \|", text, re.MULTILINE) == [rule["key"] for rule in RULES]
    assert set(re.findall(r"^\| `([a-z_]+)` \|", text, re.MULTILINE)) == set(MEASURES)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", ["alerts", "webhooks"])
def test_the_examples_of_the_manual_are_yaml(language: str, name: str) -> None:
    for block in blocks(page(language, name), "yaml"):
        assert "register" in yaml.safe_load(block)
