"""How often something may be done: token buckets as values.

Decides nothing about who is slowed down, and waits for nobody.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Bucket(NamedTuple):
    """A token bucket at one moment: how much may follow at once."""

    level: float
    at_ms: int


@dataclass(frozen=True, slots=True)
class Pace:
    """How often something may be done: `rate` a second in the long run, `burst` at once."""

    rate: float
    burst: int

    def take(self, bucket: Bucket | None, now_ms: int, *, amount: int = 1) -> tuple[Bucket, float]:
        """Take `amount`, all or nothing; a clock that goes back gains nothing.

        Returns:
            The bucket afterwards and how many seconds to wait; 0 means that it was taken.
        """
        if bucket is None:
            bucket = Bucket(self.burst, now_ms)
        gained = max(0, now_ms - bucket.at_ms) / 1000 * self.rate
        level = min(self.burst, bucket.level + gained)
        if level >= amount:
            return Bucket(level - amount, now_ms), 0.0
        return Bucket(level, now_ms), (amount - level) / self.rate
