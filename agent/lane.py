"""One lane of the spool in memory, and reading it in order.

Reads through the shelf; writes nothing.
"""

from __future__ import annotations

from agent.batch import GENESIS, Batch, GapReason, Hole, Item, digest
from agent.shelf import SEQ_BITS, SEQ_MASK, Shelf


class OpenLane:
    """What the spool's table `lane` has of a lane; the number is its place in every key."""

    __slots__ = ("base_digest", "base_seq", "epoch", "last_digest", "last_seq", "live", "number")

    def __init__(
        self,
        number: int,
        epoch: bytes,
        live: int,
        base_seq: int = 0,
        base_digest: bytes = GENESIS,
        last_seq: int = 0,
        last_digest: bytes = GENESIS,
    ) -> None:
        self.number, self.epoch, self.live = number, epoch, bool(live)
        self.base_seq, self.base_digest = base_seq, base_digest
        self.last_seq, self.last_digest = last_seq, last_digest

    def key(self, seq: int) -> int:
        """The key of a number of this lane."""
        return self.number << SEQ_BITS | seq


def walk(
    shelf: Shelf, lane: OpenLane, from_seq: int, *, limit: int, tail: tuple[int, bytes] | None
) -> tuple[list[Item], list[tuple[int, int]]]:
    """At most `limit` items from a number on, and the spans of numbers (inclusive) that turned out damaged.

    `tail` is the number and digest of the item read before, which spares a look-up.
    """
    items: list[Item] = []
    damaged: list[tuple[int, int]] = []
    at, before = from_seq, _previous(shelf, lane, from_seq, tail=tail)
    if at <= lane.base_seq:
        # Acknowledged once, but the collector that asks does not have it: it was restored from an older copy.
        items.append(Hole(lane.epoch, at, lane.base_seq, GapReason.RESYNC, 0, 0, 0, lane.base_digest))
        at, before = lane.base_seq + 1, lane.base_digest
    rows = list(shelf.take(lane.epoch, lane.key(at), lane.key(lane.last_seq), limit=limit))
    end = rows[-1][0] if len(rows) == limit else lane.key(lane.last_seq)
    found: list[tuple[int, Item | None]] = [(key & SEQ_MASK, batch) for key, batch in rows]
    found += [(max(hole.seq, at), hole) for hole in shelf.holes(lane.epoch, lane.key(at), end)]
    for seq, item in sorted(found, key=lambda pair: pair[0]):
        if seq > at:
            damaged.append((at, seq - 1))
        if isinstance(item, Batch):
            item = item._replace(previous_digest=before)
            item = item if _seal(item) == item.digest else None
        if item is None:
            damaged.append((seq, seq))
            at, before = seq + 1, shelf.digest_at(lane.key(seq)) or GENESIS
            continue
        items.append(item if item.seq >= at else item._replace(seq=at))
        at, before = item.last_seq + 1, item.digest
    if at <= end & SEQ_MASK:
        damaged.append((at, end & SEQ_MASK))
    return items[:limit], damaged


def _previous(shelf: Shelf, lane: OpenLane, seq: int, *, tail: tuple[int, bytes] | None) -> bytes:
    if tail is not None and tail[0] == seq - 1:
        return tail[1]
    if seq - 1 <= lane.base_seq:
        return lane.base_digest
    return shelf.digest_at(lane.key(seq - 1)) or GENESIS


def _seal(batch: Batch) -> bytes:
    times = (batch.wall_ms, batch.boottime_ns)
    return digest(
        batch.epoch, batch.seq, batch.previous_digest, times=times, boot_id=batch.boot_id, payload=batch.payload
    )
