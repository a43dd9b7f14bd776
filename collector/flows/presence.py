"""When each host was last heard, and what its silence may be taken for after a start of the collector.

Memory only, told the time; what silence means for states and alerts is the evaluator's.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from collector.domain.message import Message
from collector.store.status import Heard

GRACE_MS = 90_000
"""After a start nobody is called silent for this long, as agents need a moment to find their way back."""
SETTLE_MS = 5_000
"""How long an agent that came back is given to bring what it kept, before time alone decides about its host."""

SILENT = Message("the agent is silent")
SAID = {
    "stop": Message("the agent left: stop"),
    "reboot": Message("the agent left: reboot"),
    "upgrade": Message("the agent left: upgrade"),
}
"""Why a host is not heard any more, by its agent's goodbye."""


class Presence:
    """Signs of life by host; times are Unix milliseconds by our clock."""

    def __init__(self, *, started_ms: int, grace_ms: int = GRACE_MS) -> None:
        self.started_ms, self.grace_ms = started_ms, grace_ms
        self.heard_ms: dict[int, int] = {}
        self._goodbyes: dict[int, str] = {}
        self._back_ms: dict[int, int] = {}  # the first sign of life since the start

    def note(self, host_id: int, at_ms: int, *, goodbye: str = "") -> None:
        """A sign of life; `goodbye` says why when it is the last one."""
        self.heard_ms[host_id] = max(at_ms, self.heard_ms.get(host_id, 0))
        self._back_ms.setdefault(host_id, at_ms)
        self._goodbyes[host_id] = goodbye

    def recall(self, known: Iterable[Heard]) -> None:
        """What is on record, for hosts that were not heard since the start."""
        for one in known:
            self.heard_ms.setdefault(one.host_id, one.last_seen_ms)
            self._goodbyes.setdefault(one.host_id, one.goodbye)

    def goodbye(self, host_id: int) -> str:
        """Why the host's agent left; empty when it did not say."""
        return self._goodbyes.get(host_id, "")

    def in_grace(self, now_ms: int) -> bool:
        """Whether the collector has only just come back, and was deaf itself until then."""
        return now_ms - self.started_ms < self.grace_ms

    def watched(self, now_ms: int) -> Collection[int]:
        """The hosts whose silence is their own: in the grace only those that were heard since the start."""
        return self._back_ms.keys() if self.in_grace(now_ms) else self.heard_ms.keys()

    def has_settled(self, host_id: int, now_ms: int) -> bool:
        """Whether what was not heard of a host by now is not on its way either."""
        back_ms = self._back_ms.get(host_id)
        if back_ms is None:
            return not self.in_grace(now_ms)
        return back_ms <= self.started_ms or now_ms - back_ms >= SETTLE_MS
