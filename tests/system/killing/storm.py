"""When who is killed: at random moments from one seed, starting phases included, agents and collector overlapping."""

from __future__ import annotations

import random
import time
from dataclasses import replace

from tests.system.killing.stand import Life, Stand, start_and_watch

COLLECTOR_LIFE_SECONDS = (0.05, 2.2)
"""From a kill in the middle of opening the database to some seconds of commits."""
AGENT_LIFE_SECONDS = (0.1, 8.0)
SLOW_COMMIT_SECONDS = 0.02


class Storm:
    """Kills until everybody has been killed often enough."""

    def __init__(self, stand: Stand, rng: random.Random, *, flush_seconds: float = 0.0) -> None:
        self._stand, self._rng, self._flush_seconds = stand, rng, flush_seconds

    def run(self, *, kills: int) -> None:
        """Until the collector and (all together) the agents have been killed so many times since the beginning."""
        stand = self._stand
        due: dict[Life, float] = {life: self._end_of(life) for life in (stand.collector, *stand.agents)}
        while min(stand.collector.kills, sum(one.kills for one in stand.agents)) < kills:
            life = min(due, key=lambda one: due[one])
            time.sleep(max(0.0, due[life] - time.monotonic()))
            life.kill()
            if life is stand.collector:
                # Every other life has a slow disk, so that many kills meet a commit that is under way.
                slow = SLOW_COMMIT_SECONDS if life.kills % 2 else 0.0
                life.plan = replace(life.plan, flush_seconds=self._flush_seconds, commit_seconds=slow)
            life.start()
            due[life] = self._end_of(life)

    def _end_of(self, life: Life) -> float:
        span = COLLECTOR_LIFE_SECONDS if life is self._stand.collector else AGENT_LIFE_SECONDS
        return time.monotonic() + self._rng.uniform(*span)


def drain(stand: Stand) -> None:
    """Start everybody a last time, let the agents deliver what they hold, and stop all of them in order."""
    stand.collector.start()
    start_and_watch(stand.agents)
    for life in stand.agents:
        life.stop()
    stand.collector.stop()
