"""What goes wrong in a simulated run, and what must hold all the same."""

from __future__ import annotations

import random
from dataclasses import dataclass

START_WALL_MS = 1_790_000_000_000
BEAT_MS = 10_000
Key = tuple[bytes, int]


class Violation(AssertionError):
    """An invariant that does not hold."""


class Killed(Exception):
    """The process died here."""


@dataclass
class Faults:
    """How often what goes wrong; drawn from the seed, so that some runs are calm and some are not (swarm testing)."""

    drop_connection: float
    kill_agent: float
    kill_collector: float
    roll_back_agent: float
    disk_full: float
    store_full: float
    clone: float
    restore_collector: float
    flip: float
    delay_ms: int
    spool_bytes: int

    @classmethod
    def drawn(cls, rng: random.Random) -> Faults:
        def sometimes(most: float) -> float:
            return rng.choice((0.0, 0.0, most / 10, most))

        return cls(
            drop_connection=rng.choice((0.0, 0.02, 0.1, 0.3)),
            kill_agent=sometimes(0.08),
            kill_collector=sometimes(0.08),
            roll_back_agent=rng.choice((0.0, 0.0, 0.0, 0.02)),
            disk_full=sometimes(0.05),
            store_full=sometimes(0.2),
            clone=rng.choice((0.0, 0.0, 0.0, 0.01)),
            restore_collector=rng.choice((0.0, 0.0, 0.0, 0.01)),
            flip=rng.choice((0.0, 0.0, 0.0, 0.02)),
            delay_ms=rng.choice((5, 100, 3000)),
            spool_bytes=rng.choice((1 << 26, 1 << 26, 112 * 1024)),
        )
