"""What a spool that is too large or too old gives up: the oldest first, evidence last.

Runs inside the caller's transaction. How large the spool may be is `room`'s to say, and dropping is the spool's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from agent.batch import GapReason
from agent.lanes import Lanes
from agent.sample import Moment
from agent.shelf import SEQ_BITS, SEQ_MASK, Row, Shelf

DROP_BATCHES, DROP_ROUNDS = 16, 8
"""Batches dropped at a time, and how often one beat may do it: below any limit in a few beats, bounded in time."""


class Bound:
    """Keeps one spool within its limits; `drop` declares rows lost and deletes them."""

    def __init__(
        self, shelf: Shelf, lanes: Lanes, *, keep_ms: int, drop: Callable[[Iterable[Row], GapReason], None]
    ) -> None:
        self._shelf, self._lanes, self._keep_ms, self._drop = shelf, lanes, keep_ms, drop
        self._dropped_to = {False: 0, True: 0}  # by class: no batch of it is left below this key, but lent ones

    def keep(self, moment: Moment, limit_pages: int, pages: Callable[[], int]) -> None:
        """Drop what is older than may be kept, then what does not fit: `pages` tells what is in use."""
        oldest = self._shelf.oldest()
        if oldest and oldest < moment.wall_ms - self._keep_ms:
            limit_ms = moment.wall_ms - self._keep_ms
            rows = [r for r in self._losable(evidence=False) + self._losable(evidence=True) if r.wall_ms < limit_ms]
            self._drop(rows, GapReason.TOO_OLD)
        for _ in range(DROP_ROUNDS):
            if pages() <= limit_pages:
                return
            self._drop(self._losable(evidence=False) or self._losable(evidence=True), GapReason.SPOOL_FULL)

    def _losable(self, *, evidence: bool) -> list[Row]:
        """The oldest batches of a class that are not on their way."""
        rows = self._shelf.candidates(self._dropped_to[evidence], evidence=evidence, limit=8 * DROP_BATCHES)
        if rows:
            self._dropped_to[evidence] = rows[0].key - 1
        lent = {lane.number: self._lanes.lent.get(epoch, 0) for epoch, lane in self._lanes.items()}
        return [row for row in rows if (row.key & SEQ_MASK) > lent.get(row.key >> SEQ_BITS, 0)][:DROP_BATCHES]
