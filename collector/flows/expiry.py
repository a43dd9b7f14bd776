"""When the evidence of each check runs out, by our clock.

Memory only, told the time; what follows from it is the evaluator's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from collector.domain.status import Run, reach_ms
from collector.flows.observe import Seen


class Expiry(NamedTuple):
    """When a check's evidence runs out by our clock, and how new its newest result is by the agent's."""

    at_ms: int
    last_ms: int


class Expiries:
    """Expiries by check."""

    def __init__(self) -> None:
        self._by_check: dict[int, Expiry] = {}

    def recall(self, reaches: Mapping[int, int]) -> None:
        """What is on record, at the start: check → how far its evidence reaches."""
        self._by_check = {check_id: Expiry(until_ms, until_ms) for check_id, until_ms in reaches.items()}

    def extend(self, seen: Sequence[Seen], newest: Mapping[int, Run]) -> None:
        """Results are on record: they count from when they came."""
        for one in seen:
            if not one.live and newest[one.check_id].until_ms <= one.received_ms:
                continue
            until_ms = one.received_ms + reach_ms(one.result.interval_ms, one.result.timeout_ms)
            known = self._by_check.get(one.check_id, Expiry(0, 0))
            last_ms = max(known.last_ms, newest[one.check_id].last_ms)
            self._by_check[one.check_id] = Expiry(max(known.at_ms, until_ms), last_ms)

    def counting(self, now_ms: int) -> dict[int, int]:
        """Checks whose evidence still counts → until when."""
        return {check_id: one.at_ms for check_id, one in list(self._by_check.items()) if one.at_ms > now_ms}

    def lapsed(self, now_ms: int) -> dict[int, int]:
        """Checks whose evidence has run out → their newest result."""
        return {check_id: one.last_ms for check_id, one in self._by_check.items() if one.at_ms <= now_ms}

    def forget(self, lapsed: Mapping[int, int]) -> None:
        """Those of `lapsed` are on record, unless something newer came meanwhile."""
        for check_id, last_ms in lapsed.items():
            if self._by_check[check_id].last_ms == last_ms:
                del self._by_check[check_id]
