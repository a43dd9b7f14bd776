"""How many series each host may begin: a host that invents labels must not fill the store of all.

What a host has written before goes on whatever the limits say; only layouts that are new to it are judged. Counts what
was active within a day, in memory: after a restart the hourly allowance is full again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from collector.domain.message import Message
from collector.domain.pace import Bucket, Pace
from collector.domain.series import Layout
from collector.store.series.layouts import Layouts

ACTIVE_MS = 24 * 3600 * 1000
RENEW_MS = 3600 * 1000
"""How often the series that are not active any more are forgotten."""


class Limits(NamedTuple):
    """The most series: active of one host, new ones of one host in an hour, and active of all hosts."""

    of_host: int = 2_000
    new_per_hour: int = 200
    of_all: int = 200_000


class Known(Protocol):
    """What the store has of whom."""

    def has(self, host_id: int, layout_id: int) -> bool:
        """Whether this host ever wrote rows of this layout."""
        ...

    def active(self, since_ms: int) -> Iterable[tuple[int, int]]:
        """Hosts and their layouts with a row since then."""
        ...


class Refusal(NamedTuple):
    """Why a host may not begin these series: the limit by its name, and a sentence."""

    limit: str
    reason: str


@dataclass(frozen=True, slots=True)
class _Claim:
    """What one host would have if its layout were taken."""

    of_host: int
    of_all: int


class Quota:
    """Admits the layouts of hosts."""

    def __init__(self, known: Known, layouts: Layouts, *, limits: Limits = Limits()) -> None:
        self._known, self._layouts, self._limits = known, layouts, limits
        self._pace = Pace(rate=limits.new_per_hour / 3600, burst=limits.of_host)
        self._buckets: dict[int, Bucket] = {}
        self._series: dict[int, set[int]] = {}  # by host, as hashes: only their number matters
        self._total = 0
        self._renewed_ms: int | None = None

    def refusal(self, host_id: int, layout_id: int, layout: Layout, *, now_ms: int) -> Refusal | None:
        """Why this host may not write rows of this layout; None admits it."""
        if self._known.has(host_id, layout_id):
            return None
        self._renew(now_ms)
        own = self._series.setdefault(host_id, set())
        fresh = _hashes(layout) - own
        if refused := self._over(_Claim(len(own) + len(fresh), self._total + len(fresh))) if fresh else None:
            return refused
        bucket, wait_seconds = self._pace.take(self._buckets.get(host_id), now_ms, amount=len(fresh))
        self._buckets[host_id] = bucket
        if wait_seconds:
            per_hour = self._limits.new_per_hour
            return Refusal(
                "new_per_hour",
                Message(
                    "more than {most} new series an hour; wait {seconds} s", most=per_hour, seconds=round(wait_seconds)
                ),
            )
        own |= fresh
        self._total += len(fresh)
        return None

    def _over(self, claim: _Claim) -> Refusal | None:
        limits = self._limits
        if claim.of_host > limits.of_host:
            return Refusal(
                "of_host",
                Message("{count} series of one host; {most} are allowed", count=claim.of_host, most=limits.of_host),
            )
        if claim.of_all > limits.of_all:
            return Refusal(
                "of_all",
                Message("{count} series of all hosts; {most} are allowed", count=claim.of_all, most=limits.of_all),
            )
        return None

    def _renew(self, now_ms: int) -> None:
        if self._renewed_ms is not None and now_ms - self._renewed_ms < RENEW_MS:
            return
        self._renewed_ms = now_ms
        self._series.clear()
        for host_id, layout_id in self._known.active(now_ms - ACTIVE_MS):
            if (layout := self._layouts.get(layout_id)) is not None:
                self._series.setdefault(host_id, set()).update(_hashes(layout))
        self._total = sum(map(len, self._series.values()))


def _hashes(layout: Layout) -> set[int]:
    return {hash((column.name, column.labels)) for column in layout.columns}
