"""When who is killed: at random moments from one seed, starting phases included, agents and collector overlapping."""

from __future__ import annotations

import random
import time
from dataclasses import replace

from tests.system.killing.stand import Life, Stand, until

COLLECTOR_LIFE_SECONDS = (0.05, 2.2)
"""From a kill in the middle of opening the database to some seconds of commits."""
AGENT_LIFE_SECONDS = (0.1, 8.0)
FLUSH_SECONDS = 0.3
SLOW_COMMIT_SECONDS = 0.02
DRAIN_SECONDS = 100.0


class Storm:
    """Kills until everybody has been killed often enough."""

    def __init__(self, stand: Stand, rng: random.Random, *, haste: float = 1.0) -> None:
        """`haste` divides every life."""
        self._stand, self._rng, self._haste = stand, rng, haste

    def run(self, *, collector_kills: int, agent_kills: int) -> None:
        """Kill the collector and (all together) the agents so many times."""
        stand = self._stand
        due: dict[Life, float] = {life: self._end_of(life) for life in (stand.collector, *stand.agents)}
        while stand.collector.kills < collector_kills or sum(one.kills for one in stand.agents) < agent_kills:
            life = min(due, key=lambda one: due[one])
            time.sleep(max(0.0, due[life] - time.monotonic()))
            life.kill()
            if life is stand.collector:
                # Half of the lives keep everything in the journal, half turn it into blocks all the time; every other
                # one has a slow disk, so that many kills meet a commit that is under way.
                life.plan = replace(
                    life.plan,
                    flush_seconds=FLUSH_SECONDS if life.kills > collector_kills // 2 else 0.0,
                    commit_seconds=SLOW_COMMIT_SECONDS if life.kills % 2 else 0.0,
                )
            life.start()
            due[life] = self._end_of(life)

    def _end_of(self, life: Life) -> float:
        span = COLLECTOR_LIFE_SECONDS if life is self._stand.collector else AGENT_LIFE_SECONDS
        return time.monotonic() + self._rng.uniform(*span) / self._haste


def drain(stand: Stand) -> None:
    """Start everybody a last time, let the agents deliver what they hold, and stop all of them in order."""
    for life in (stand.collector, *stand.agents):
        life.start()
    until(lambda: all(life.is_alive for life in stand.agents), "the agents run")
    time.sleep(0.5)
    for life in stand.agents:
        life.stop()
    stand.collector.stop()
