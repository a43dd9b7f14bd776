"""Which check in the register an agent means by a result, and results that wait for their check to be registered.

Resolves inside the transaction of ingest and takes over into memory after it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from collector.domain.sample import Accepted, Result
from collector.flows.catalogue import Catalogue
from collector.flows.observe import Seen
from collector.store import status
from collector.store.database import Connection

UNBOUND_LIMIT = 20_000
"""Results kept for checks that the register does not know yet; the oldest go first."""
Pair = tuple[str, str]  # agent, check id on the wire


@dataclass(frozen=True, slots=True)
class Unbound:
    """A result whose check is not in the register yet."""

    agent_id: str
    result: Result
    live: bool
    received_ms: int

    @property
    def pair(self) -> Pair:
        """Who means which check."""
        return self.agent_id, self.result.wire_id


class Bound(NamedTuple):
    """What one transaction found out."""

    known: Mapping[Pair, int]
    seen: list[Seen]
    left: list[Unbound]
    waited: int  # of those that waited before, how many were looked at


class Bindings:
    """Agents' names for checks, and what waits."""

    def __init__(self) -> None:
        self._known: dict[Pair, int] = {}
        self._waiting: list[Unbound] = []

    def bind(self, connection: Connection, accepted: Sequence[Accepted], catalogue: Catalogue) -> Bound:
        """The results by their checks; changes nothing in memory."""
        waiting = list(self._waiting)
        fresh = waiting + [
            Unbound(batch.agent_id, result, batch.live, batch.received_ms)
            for batch in accepted
            for result in batch.results
        ]
        known = self._resolve(connection, {one.pair for one in fresh}, catalogue)
        seen = [Seen(known[one.pair], one.result, one.live, one.received_ms) for one in fresh if one.pair in known]
        return Bound(known, seen, [one for one in fresh if one.pair not in known], len(waiting))

    def adopt(self, bound: Bound) -> None:
        """Take over what is committed."""
        self._known.update(bound.known)
        self._waiting = (bound.left + self._waiting[bound.waited :])[-UNBOUND_LIMIT:]

    def _resolve(self, connection: Connection, wanted: Collection[Pair], catalogue: Catalogue) -> dict[Pair, int]:
        known = {pair: self._known[pair] for pair in wanted if pair in self._known}
        missing = set(wanted) - known.keys()
        stored = status.bindings(connection, {agent_id for agent_id, _ in missing}) if missing else {}
        for pair in missing:
            kind, _, key = pair[1].partition(":")
            if pair in stored:
                known[pair] = stored[pair]
            elif kind == "central" and key in catalogue.central:
                known[pair] = catalogue.central[key]
                status.bind(connection, *pair, check_id=known[pair])
        return known
