"""The lanes of one spool: opened, saved, moved and given up, and the holes that declare what they lost.

Runs inside the caller's transaction. What is remembered besides the rows (acknowledged, lent, last read) outlives a
transaction that failed. Decides neither what is lost nor what is sent.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable

from agent import drained
from agent.batch import GENESIS, Batch, Cursor, Entry, GapReason, Hole, Item, Lane, digest
from agent.drained import Drained
from agent.lane import OpenLane
from agent.sample import Moment
from agent.shelf import Shelf

LOG = logging.getLogger(__name__)

Row = tuple[bytes, bool, int, bytes, int, bytes]
"""What the table has of a lane besides its number: epoch, live, base and last number with their digests."""

_SELECT = "SELECT number, epoch, live, base_seq, base_digest, last_seq, last_digest FROM lane ORDER BY number"
_INSERT = "INSERT INTO lane (epoch, live, base_seq, base_digest, last_seq, last_digest) VALUES (?,?,?,?,?,?)"


class Lanes(dict[bytes, OpenLane]):
    """Every lane by its epoch, oldest first."""

    def __init__(
        self, connection: sqlite3.Connection, shelf: Shelf, *, new_epoch: Callable[[], bytes], boot_id: str
    ) -> None:
        super().__init__()
        self.acked: dict[bytes, int] = {}  # what the collector has for sure; the next transaction deletes it
        self.lent: dict[bytes, int] = {}  # highest number handed out: the collector may have it, so it is not dropped
        self.tail: dict[bytes, tuple[int, bytes]] = {}  # the last item handed out: the next one's previous digest
        self.dropped = (0, 0)  # batches and samples in the holes that were dug
        self._db, self._shelf = connection, shelf
        self._new_epoch, self._boot_id = new_epoch, boot_id

    # ── rows ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def load(self) -> None:
        """Read every lane anew."""
        self._shelf.forget()
        rows = self._db.execute(_SELECT).fetchall()  # Where that fails, what is known stays known.
        self.clear()
        self.update({row[1]: OpenLane(*row) for row in rows})

    def live(self) -> OpenLane:
        """The one that new entries go to."""
        return next(lane for lane in reversed(self.values()) if lane.live)

    def save(self, lane: OpenLane) -> None:
        """Write what changed in a lane."""
        self._db.execute(
            "UPDATE lane SET live = ?, base_seq = ?, base_digest = ?, last_seq = ?, last_digest = ? WHERE number = ?",
            (lane.live, lane.base_seq, lane.base_digest, lane.last_seq, lane.last_digest, lane.number),
        )

    def open(self, *, live: bool = True) -> OpenLane:
        """A new lane. A live one takes over from the others; of those the empty ones go."""
        for old in list(self.values()) if live else ():
            old.live = False
            self.save(old)
            if old.base_seq == old.last_seq:
                self.drop(old)
        return self.add((self._new_epoch(), live, 0, GENESIS, 0, GENESIS))

    def add(self, row: Row) -> OpenLane:
        """A lane as it was elsewhere."""
        number = self._db.execute(_INSERT, row).lastrowid
        lane = self[row[0]] = OpenLane(int(number or 0), *row)
        return lane

    def drop(self, lane: OpenLane) -> None:
        """Nothing is left in this lane."""
        self._db.execute("DELETE FROM lane WHERE number = ?", (lane.number,))
        self.pop(lane.epoch, None)
        for known in (self.acked, self.lent, self.tail):
            known.pop(lane.epoch, None)

    def flush(self) -> None:
        """Delete what was acknowledged. `acked` is emptied by what it says, not by what this transaction did."""
        for epoch, seq in list(self.acked.items()):
            lane = self.get(epoch)
            if lane is None or seq <= lane.base_seq:
                del self.acked[epoch]
                continue
            is_all = seq == lane.last_seq
            lane.base_digest = lane.last_digest if is_all else self._shelf.digest_at(lane.key(seq)) or GENESIS
            is_over = not lane.live and is_all
            if is_over and (wall_ms := self._shelf.oldest(lane.key(seq), lane.key(seq))):
                drained.add(self._db, Drained(epoch, seq, lane.base_digest, wall_ms))
            self._shelf.remove(lane.key(0), lane.key(seq))
            self._shelf.fill(lane.number, seq)
            lane.base_seq = seq
            self.save(lane)
            if is_over:
                self.drop(lane)

    def put(self, lane: OpenLane, entry: Entry, moment: Moment, *, will_stay: bool) -> Batch:
        """Store an entry under the next number of a lane; the batch that it is from now on."""
        seq, before, boot_id = lane.last_seq + 1, lane.last_digest, self._boot_id
        seal = digest(lane.epoch, seq, before, times=moment, boot_id=boot_id, payload=entry.payload)
        self._shelf.put(lane.key(seq), entry, moment=moment, boot_id=boot_id, digest=seal, will_stay=will_stay)
        lane.last_seq, lane.last_digest = seq, seal
        return Batch(lane.epoch, seq, *moment, boot_id, entry.payload, seal, before, entry.layouts)

    def transfer(self, fresh: OpenLane, item: Item, old: OpenLane) -> None:
        """Give one item of an old lane the next number of a fresh one."""
        if isinstance(item, Hole):
            if item.reason is GapReason.RESYNC:
                return  # Nothing was lost there: what had these numbers was moved before.
            last = fresh.last_seq + item.last_seq - item.seq + 1
            moved = item._replace(epoch=fresh.epoch, seq=fresh.last_seq + 1, last_seq=last)
            self._shelf.dig(fresh.number, moved, lent=0)
            fresh.last_seq, fresh.last_digest = last, item.digest
            return
        seq = fresh.last_seq + 1
        fresh.last_digest = self._shelf.put_again(
            fresh.key(seq), item, like=old.key(item.seq), epoch=fresh.epoch, previous=fresh.last_digest
        )
        fresh.last_seq = seq

    # ── against the collector ───────────────────────────────────────────────────────────────────────────────────────

    def describe(self, lane: OpenLane) -> Lane:
        """A lane for those who send it."""
        base = self.acked.get(lane.epoch, lane.base_seq)
        oldest = self._shelf.oldest(lane.key(base + 1), lane.key(lane.last_seq))
        return Lane(lane.epoch, base, lane.last_seq, lane.last_digest, lane.live, oldest)

    def proves(self, lane: OpenLane, cursor: Cursor) -> bool:
        """Whether a cursor means our own batches: its digest is that of the number it names."""
        inside = lane.base_seq < cursor.acked_seq <= lane.last_seq
        return inside and self._shelf.digest_at(lane.key(cursor.acked_seq)) == cursor.digest

    # ── losses ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def dig(self, lane: OpenLane, hole: Hole) -> None:
        """Declare numbers that will never be sent."""
        self._shelf.dig(lane.number, hole, lent=self.lent.get(lane.epoch, 0))
        batches, samples = self.dropped
        self.dropped = batches + hole.last_seq - hole.seq + 1, samples + hole.samples

    def lose(
        self,
        lane: OpenLane,
        count: int,
        reason: GapReason,
        samples: int,
        walls: tuple[int, int],
        moment: Moment,
    ) -> None:
        """Number what never became a batch, so that its absence is declared."""
        last = lane.last_seq + count
        seal = digest(lane.epoch, last, lane.last_digest, times=moment, boot_id=self._boot_id, payload=b"")
        self.dig(lane, Hole(lane.epoch, lane.last_seq + 1, last, reason, samples, *walls, seal))
        lane.last_seq, lane.last_digest = last, seal

    def bury(self, lane: OpenLane, first: int, last: int) -> None:
        """Give up batches that the disk returned damaged."""
        samples, wall_ms, seal = 0, 0, self._shelf.digest_at(lane.key(last)) or GENESIS
        rows = self._shelf.candidates(lane.key(first) - 1, evidence=False, limit=1)
        if rows and rows[0].key <= lane.key(last):
            samples, wall_ms = rows[0].samples, rows[0].wall_ms
        self._shelf.remove(lane.key(first), lane.key(last))
        self.dig(lane, Hole(lane.epoch, first, last, GapReason.CORRUPT, samples, wall_ms, wall_ms, seal))
        LOG.error("spool batches damaged first=%d last=%d", first, last)
