"""`kill -9` of collector and agents under load: nothing acknowledged is lost, doubled or altered."""

from __future__ import annotations

import random
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tests.system.killing.audit import audit
from tests.system.killing.stand import Stand
from tests.system.killing.storm import Storm, drain

SEED = 20261124
AGENTS = 4
KILLS = 50


@pytest.mark.system
@pytest.mark.timeout(400)
def test_nothing_acknowledged_is_lost_when_collector_and_agents_are_killed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    began = time.monotonic()
    with Stand(tmp_path, agents=AGENTS, seed=SEED) as stand:
        # Each agent has a way of its own to lose something, which it must declare.
        stand.agents[1].plan = replace(stand.agents[1].plan, keep_ms=700)
        stand.agents[2].plan = replace(stand.agents[2].plan, huge_one_in=40)
        stand.enrol()
        Storm(stand, random.Random(SEED)).run(collector_kills=KILLS, agent_kills=KILLS)
        for life in (stand.collector, *stand.agents):
            life.kill()
        plans = [life.plan for life in stand.agents]
        audit(stand.collector.plan.database, plans)
        drain(stand)
        found = audit(stand.collector.plan.database, plans)
        kills = stand.collector.kills, sum(life.kills for life in stand.agents)
    assert found.spooled == 0, found
    assert found.declared > 0, found
    assert min(kills) >= KILLS, kills
    with capsys.disabled():
        took = time.monotonic() - began
        print(f"\nR1b PASS kills={sum(kills)} collector={kills[0]} agents={kills[1]} {found} seconds={took:.0f}")
