"""Which check in the register an agent means by a result, and results that wait for their check to be registered.

Resolves inside a transaction and takes over into memory after it. What waits is on disk, as it is acknowledged; memory
only knows that there is something to look for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from collector.domain.sample import Accepted
from collector.domain.status import reach_ms
from collector.flows import losses
from collector.flows.catalogue import Catalogue
from collector.flows.observe import Seen
from collector.protocol import Gap
from collector.store import status, unbound
from collector.store.database import Connection
from collector.store.unbound import Pair, Unbound

WAITING_MOST = 5_000
"""Results that are kept for one agent's unknown checks; the oldest go first."""
WAITING_MS = 7 * 86_400_000
"""A check that is not in the register a week after its result is not going to be."""


class Bound(NamedTuple):
    """What one transaction found out."""

    catalogue: Catalogue
    known: Mapping[Pair, int]
    seen: list[Seen]  # of what arrived now
    late: list[Unbound]  # what waited until now
    left: Mapping[Pair, int]  # what waits from now on → host
    looked: frozenset[Pair]  # what waited before and was looked for
    lost: list[Gap]

    def seen_late(self, now_ms: int) -> list[Seen]:
        """What waited, as seen. Where its time is over it comes like a backlog: it corrects history and is no news."""
        return [
            Seen(self.known[one.pair], one.result, one.live, one.received_ms)
            if one.received_ms + reach_ms(one.result.interval_ms, one.result.timeout_ms) > now_ms
            else Seen(self.known[one.pair], one.result, live=False, received_ms=now_ms)
            for one in self.late
        ]


class Bindings:
    """Agents' names for checks, and what waits."""

    def __init__(self) -> None:
        self._known: dict[Pair, int] = {}
        self._waiting: Mapping[Pair, int] = {}  # replaced, never changed: the writer reads it
        self._looked_in: Catalogue | None = None  # in which nothing that waits was found

    @property
    def waits(self) -> bool:
        """Whether any result waits for its check."""
        return bool(self._waiting)

    def recall(self, waiting: Mapping[Pair, int]) -> None:
        """What is on record, at the start."""
        self._waiting = waiting

    def bind(self, connection: Connection, accepted: Sequence[Accepted], catalogue: Catalogue) -> Bound:
        """The results by their checks, and what waited for them; keeps the others. Changes nothing in memory."""
        fresh = [
            Unbound(batch.agent_id, batch.host_id, result, batch.live, batch.received_ms)
            for batch in accepted
            for result in batch.results
        ]
        look = self._worth_a_look(accepted, catalogue)
        known = self._resolve(connection, {**look, **{one.pair: one.host_id for one in fresh}}, catalogue)
        found = look.keys() & known.keys()
        late = unbound.take(connection, found) if found else []
        left = [one for one in fresh if one.pair not in known]
        lost = unbound.keep(connection, left, most=WAITING_MOST) if left else []
        return Bound(
            catalogue,
            known,
            [Seen(known[one.pair], one.result, one.live, one.received_ms) for one in fresh if one.pair in known],
            late,
            {one.pair: one.host_id for one in left},
            frozenset(look),
            losses.given_up(connection, lost, max(one.received_ms for one in left)) if lost else [],
        )

    def _worth_a_look(self, accepted: Sequence[Accepted], catalogue: Catalogue) -> Mapping[Pair, int]:
        """What waits and may be known by now: the register changed, or its agent tells of its checks."""
        waiting = self._waiting
        if not waiting or catalogue is not self._looked_in:
            return waiting
        telling = {batch.agent_id for batch in accepted if batch.documents or batch.results}
        return {pair: host_id for pair, host_id in waiting.items() if pair[0] in telling}

    def adopt(self, bound: Bound) -> None:
        """Take over what is committed."""
        self._known.update(bound.known)
        if not (self._waiting or bound.left):
            return
        before = {pair: host_id for pair, host_id in self._waiting.items() if pair not in bound.known}
        self._waiting = {**before, **bound.left}
        if before.keys() <= bound.looked:
            self._looked_in = bound.catalogue
        elif bound.catalogue is not self._looked_in:
            # Something began to wait while this looked elsewhere: whoever comes next looks for everything.
            self._looked_in = None

    def expire(self, connection: Connection, *, now_ms: int) -> tuple[frozenset[Pair], list[Gap]]:
        """Give up what has waited for too long; returns what is not waited for any more, and the loss."""
        gone = unbound.expire(connection, before_ms=now_ms - WAITING_MS)
        if not gone:
            return frozenset(), []
        over = frozenset(one.pair for one in gone) - unbound.pairs(connection).keys()
        return over, losses.given_up(connection, gone, now_ms)

    def forget(self, over: frozenset[Pair]) -> None:
        """Take over what `expire` committed."""
        self._waiting = {pair: host_id for pair, host_id in self._waiting.items() if pair not in over}

    def _resolve(self, connection: Connection, wanted: Mapping[Pair, int], catalogue: Catalogue) -> dict[Pair, int]:
        known = {pair: self._known[pair] for pair in wanted if pair in self._known}
        missing = wanted.keys() - known.keys()
        stored = status.bindings(connection, {agent_id for agent_id, _ in missing}) if missing else {}
        for pair in missing:
            check_id = stored.get(pair) or _central(pair[1], wanted[pair], catalogue)
            if check_id is None:
                continue
            known[pair] = check_id
            if pair not in stored:
                status.bind(connection, *pair, check_id=check_id)
        return known


def _central(wire_id: str, host_id: int, catalogue: Catalogue) -> int | None:
    """The centrally defined check that is meant. An agent speaks only for those of its own host."""
    kind, _, key = wire_id.partition(":")
    check_id = catalogue.central.get(key) if kind == "central" else None
    return check_id if check_id is not None and catalogue.checks[check_id].host == host_id else None
