"""A check that is looked at every five minutes: its alert keeps to the time that its rule asks for, over a restart."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest

from tests.ports import free_ports
from tests.system.product import HOST, Product, measured, product, wait_for

pytestmark = pytest.mark.system

INTERVAL_SECONDS, FOR_SECONDS = 300, 12
SLACK_SECONDS = 6.0
"""A tick, and what an agent that came back is given to bring what it kept."""
RULE = f"""
---
register: rule
key: slow-down
name: A slow check is down
measure: check_state
comparison: ">="
level: 3
for_seconds: {FOR_SECONDS}
severity: info
"""


def firing(running: Product) -> list[Any]:
    return [one for one in running.json("/alerts.json")["alerts"] if one["rule"] == "slow-down"]


def is_pending(running: Product) -> bool:
    """By its severity: on a busy machine shipped rules have something to say too."""
    said = running.browser.request("GET", "/metrics").text
    return bool(re.search(r'^sigap_alerts\{state="pending",severity="info"\} 1', said, re.M))


def test_an_alert_about_a_slow_check_fires_in_time_although_the_collector_was_restarted() -> None:
    (nowhere,) = free_ports(1)
    text = f"""
[[checks]]
name = "batch"
kind = "tcp"
address = "127.0.0.1:{nowhere}"
interval_seconds = {INTERVAL_SECONDS}
timeout_seconds = 2
retries = 0
"""
    with product(agent_text=text, started=False) as running:
        running.start()
        running.sign_in()
        running.apply(RULE)
        wait_for(lambda: HOST in running.hosts(), 20, "the host is there")
        running.stop()
        running.start()  # The agent looks at its start, and then not for five minutes.
        wait_for(lambda: is_pending(running), 20, "the alert is pending")
        began = time.time()
        running.stop()
        running.start()
        running.sign_in()
        assert firing(running) == []
        (alert,) = wait_for(lambda: firing(running), FOR_SECONDS + 20, "the alert fires")
        assert alert["fired_ms"] / 1000 - began < FOR_SECONDS + SLACK_SECONDS
        late_seconds = time.time() - alert["fired_ms"] / 1000
        measured("told after the duration was over", late_seconds)
        assert -1 < late_seconds < SLACK_SECONDS
