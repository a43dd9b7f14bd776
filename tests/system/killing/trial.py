"""The whole trial of R1b: real processes under load are killed, compared, started again, drained, compared again."""

from __future__ import annotations

import random
import time
from dataclasses import replace
from pathlib import Path

from tests.system.killing.audit import audit
from tests.system.killing.stand import Stand
from tests.system.killing.storm import Storm, drain

SEED = 20261124
AGENTS = 4
IMPATIENT_MS = 700
HUGE_ONE_IN = 40
FLUSH_SECONDS = 0.1


def kill_all(folder: Path, *, kills: int, seed: int = SEED) -> str:
    """Kill the collector and the agents so many times each; returns what there is to tell.

    Raises:
        AssertionError: Something was lost, doubled or altered.
    """
    began = time.monotonic()
    with Stand(folder, agents=AGENTS, seed=seed) as stand:
        # Two agents have ways of their own to lose something, which they must declare; the others may lose nothing.
        stand.agents[1].plan = replace(stand.agents[1].plan, keep_ms=IMPATIENT_MS, may_lose=frozenset({"too_old"}))
        stand.agents[2].plan = replace(stand.agents[2].plan, huge_one_in=HUGE_ONE_IN, may_lose=frozenset({"refused"}))
        stand.enrol()
        plans = [life.plan for life in stand.agents]
        rng = random.Random(seed)
        # First everything stays in the journal, where a row that was committed twice would be seen twice; then blocks
        # are made of it all the time.
        for part, flush_seconds in enumerate((0.0, FLUSH_SECONDS), start=1):
            Storm(stand, rng, flush_seconds=flush_seconds).run(kills=kills * part // 2)
            for life in (stand.collector, *stand.agents):
                life.kill()
            audit(stand.collector.plan.database, plans)
            if part == 1:
                for life in (stand.collector, *stand.agents):
                    life.start()
        drain(stand)
        found = audit(stand.collector.plan.database, plans)
        done = stand.collector.kills, sum(life.kills for life in stand.agents)
    assert found.spooled == 0, found
    assert found.declared > 0, found
    assert found.acked > sum(done), f"hardly anything was delivered between the kills: {found}"
    assert min(done) >= kills, done
    took = time.monotonic() - began
    return f"R1b PASS kills={sum(done)} collector={done[0]} agents={done[1]} {found} seconds={took:.0f} seed={seed}"
