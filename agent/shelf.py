"""The spool's rows: batches, holes, layouts and boots, put and taken by number.

A row's key is `lane number << 40 | seq`, so one B-tree holds everything in the order in which it was measured. Runs
inside the caller's transaction; knows nothing of limits, losses or the collector.
"""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Iterator
from typing import NamedTuple

from agent import compact
from agent.batch import Batch, Entry, GapReason, Hole, digest
from agent.sample import Moment

SEQ_BITS = 40
SEQ_MASK = (1 << SEQ_BITS) - 1
BASE_USES = 32
"""Payloads packed against the same earlier one, before a newer one takes its place."""
BASES = 8
_TAKE = (
    "SELECT b.id, b.wall_ms, b.boottime_ns, o.boot_id, b.layouts, b.base, b.form, b.length, b.payload, b.digest "
    "FROM batch b JOIN boot o ON o.id = b.boot WHERE b.id BETWEEN ? AND ? ORDER BY b.id LIMIT ?"
)


class Row(NamedTuple):
    """What deciding about a loss needs to know of a batch."""

    key: int
    samples: int
    wall_ms: int
    digest: bytes


class _Base:
    __slots__ = ("key", "last_key", "payload", "uses")

    def __init__(self, key: int, payload: bytes) -> None:
        self.key, self.payload, self.uses, self.last_key = key, payload, 0, key


class Shelf:
    """Everything the spool keeps, below its rules."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection
        self._bases: dict[tuple[int, ...], _Base] = {}
        self._boots: dict[str, int] = {}
        self._layouts: set[int] = set()
        self._may_have_holes = True

    def forget(self) -> None:
        """Read everything anew: what was remembered may belong to a transaction that failed."""
        self._bases.clear()
        self._boots.clear()
        self._layouts.clear()
        self._may_have_holes = True

    # ── batches ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def put(
        self, key: int, entry: Entry, *, moment: Moment, boot_id: str, digest: bytes, will_stay: bool = True
    ) -> None:
        """Store one entry under its number; as it is when it will be gone with the next beat."""
        base = self._base(key, entry) if will_stay else None
        form, stored = compact.Form.PLAIN, entry.payload
        if will_stay:
            form, stored = compact.squeeze(entry.payload, base.payload if base else None)
        used = base.key if base is not None and form is compact.Form.PLANES else None
        layouts = struct.pack(f"<{len(entry.layouts)}Q", *entry.layouts)
        facts = (entry.evidence, entry.samples)
        self._db.execute(
            "INSERT INTO batch VALUES (?,?,?,?,?,?,?,?,?,?,?,?)",
            (key, *moment, self._boot(boot_id), *facts, layouts, used, form, len(entry.payload), stored, digest),
        )

    def put_again(self, key: int, batch: Batch, *, like: int, epoch: bytes, previous: bytes) -> bytes:
        """Copy `batch`, stored under `like`, to a new number; returns its new digest."""
        evidence, samples = self._db.execute("SELECT evidence, samples FROM batch WHERE id = ?", (like,)).fetchone()
        times = (batch.wall_ms, batch.boottime_ns)
        fresh = digest(epoch, key & SEQ_MASK, previous, times=times, boot_id=batch.boot_id, payload=batch.payload)
        entry = Entry(batch.payload, samples, bool(evidence), batch.layouts)
        self.put(key, entry, moment=Moment(*times), boot_id=batch.boot_id, digest=fresh)
        return fresh

    def take(self, epoch: bytes, first: int, last: int, *, limit: int) -> Iterator[tuple[int, Batch | None]]:
        """Batches with `first` ≤ key ≤ `last` in order; None for one whose content is damaged.

        `previous_digest` is left empty: only the caller knows what came before.
        """
        rows = self._db.execute(_TAKE, (first, last, limit)).fetchall()
        for key, wall_ms, boottime_ns, boot_id, layouts, base, form, length, stored, seal in rows:
            try:
                origin = self._base_payload(base) if base is not None else None
                payload = compact.expand(compact.Form(form), stored, base=origin, length=length)
            except ValueError:
                yield key, None
                continue
            ids = struct.unpack(f"<{len(layouts) // 8}Q", layouts)
            yield key, Batch(epoch, key & SEQ_MASK, wall_ms, boottime_ns, boot_id, payload, seal, b"", ids)

    def digest_at(self, key: int) -> bytes | None:
        """The digest of the batch with this number, or of the hole that ends there."""
        row = self._db.execute("SELECT digest FROM batch WHERE id = ?", (key,)).fetchone()
        if row is None:
            row = self._db.execute(
                "SELECT digest FROM hole WHERE id BETWEEN ? AND ? AND last_seq = ?",
                (key & ~SEQ_MASK, key, key & SEQ_MASK),
            ).fetchone()
        return row[0] if row else None

    def oldest(self, first: int = 0, last: int = 1 << 62) -> int:
        """Wall time of the oldest batch, 0 when there is none."""
        row = self._db.execute(
            "SELECT wall_ms FROM batch WHERE id BETWEEN ? AND ? ORDER BY id LIMIT 1", (first, last)
        ).fetchone()
        return int(row[0]) if row else 0

    def candidates(self, after: int, *, evidence: bool, limit: int) -> list[Row]:
        """The oldest batches of one class beyond a key."""
        rows = self._db.execute(
            "SELECT id, samples, wall_ms, digest FROM batch WHERE id > ? AND evidence = ? ORDER BY id LIMIT ?",
            (after, evidence, limit),
        )
        return [Row(*row) for row in rows]

    def describe(self, key: int) -> Row:
        """One batch, as far as a loss is concerned."""
        row = self._db.execute("SELECT id, samples, wall_ms, digest FROM batch WHERE id = ?", (key,)).fetchone()
        return Row(*row)

    def remove(self, first: int, last: int) -> None:
        """Delete the batches with `first` ≤ key ≤ `last`."""
        self._db.execute("DELETE FROM batch WHERE id BETWEEN ? AND ?", (first, last))

    # ── holes ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def dig(self, number: int, hole: Hole, *, lent: int) -> None:
        """Note a loss; joins the hole before it unless that one is already on its way (its end ≤ `lent`)."""
        self._may_have_holes = True
        key = number << SEQ_BITS | hole.seq
        before = self._db.execute(
            "SELECT id, last_seq, reason FROM hole WHERE id BETWEEN ? AND ? ORDER BY id DESC LIMIT 1",
            (number << SEQ_BITS, key),
        ).fetchone()
        if before and before[1] == hole.seq - 1 > lent and before[2] == hole.reason:
            self._db.execute(
                "UPDATE hole SET last_seq = ?, samples = samples + ?, from_wall_ms = min(from_wall_ms, ?), "
                "to_wall_ms = max(to_wall_ms, ?), digest = ? WHERE id = ?",
                (hole.last_seq, hole.samples, hole.from_wall_ms, hole.to_wall_ms, hole.digest, before[0]),
            )
            return
        self._db.execute("INSERT INTO hole VALUES (?,?,?,?,?,?,?)", (key, *hole[2:]))

    def holes(self, epoch: bytes, first: int, last: int) -> list[Hole]:
        """Holes that end at or after `first` and begin at or before `last`, in order; keys of one lane."""
        rows = self._db.execute(
            "SELECT * FROM hole WHERE id BETWEEN ? AND ? AND last_seq >= ? ORDER BY id",
            (first & ~SEQ_MASK, last, first & SEQ_MASK),
        )
        return [Hole(epoch, key & SEQ_MASK, end, GapReason(why), *rest) for key, end, why, *rest in rows]

    def fill(self, number: int, acked_seq: int) -> None:
        """Forget the holes up to `acked_seq`; one that reaches further keeps its share."""
        if not self._may_have_holes:
            return
        start, key = number << SEQ_BITS, number << SEQ_BITS | acked_seq
        self._db.execute("DELETE FROM hole WHERE id BETWEEN ? AND ? AND last_seq <= ?", (start, key, acked_seq))
        self._db.execute(
            "UPDATE hole SET samples = samples * (last_seq - ?) / (last_seq - (id & ?) + 1), id = ? "
            "WHERE id BETWEEN ? AND ?",
            (acked_seq, SEQ_MASK, key + 1, start, key),
        )
        self._may_have_holes = self._db.execute("SELECT 1 FROM hole LIMIT 1").fetchone() is not None

    def clear(self, number: int) -> None:
        """Delete every batch and hole of a lane."""
        span = (number << SEQ_BITS, (number + 1) << SEQ_BITS)
        self._db.execute("DELETE FROM batch WHERE id >= ? AND id < ?", span)
        self._db.execute("DELETE FROM hole WHERE id >= ? AND id < ?", span)

    # ── layouts ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def learn(self, layout_id: int, body: bytes) -> None:
        """Keep a layout beside the batches that need it."""
        if layout_id not in self._layouts:
            self._db.execute("INSERT OR IGNORE INTO layout VALUES (?, ?)", (_signed(layout_id), body))
            self._layouts.add(layout_id)

    def layout(self, layout_id: int) -> bytes:
        """A serialised Layout; empty when it was damaged and is gone."""
        row = self._db.execute("SELECT body FROM layout WHERE id = ?", (_signed(layout_id),)).fetchone()
        return bytes(row[0]) if row else b""

    def tidy(self) -> None:
        """Delete layouts that no batch needs any more, and end what the last process left open."""
        needed: set[int] = set()
        for (packed,) in self._db.execute("SELECT DISTINCT layouts FROM batch"):
            needed.update(struct.unpack(f"<{len(packed) // 8}q", packed))
        for (layout_id,) in self._db.execute("SELECT id FROM layout").fetchall():
            if layout_id not in needed:
                self._db.execute("DELETE FROM layout WHERE id = ?", (layout_id,))
        self._db.execute("UPDATE base SET last_id = (SELECT max(id) FROM batch) WHERE last_id IS NULL")

    # ── the earlier payloads ────────────────────────────────────────────────────────────────────────────────────────

    def _base(self, key: int, entry: Entry) -> _Base | None:
        if not entry.layouts:
            return None
        base = self._bases.get(entry.layouts)
        if base is not None and base.uses < BASE_USES:
            if len(base.payload) != len(entry.payload):
                return None  # Documents travel with this one.
        else:
            self._retire(base)
            base = self._bases[entry.layouts] = _Base(key, entry.payload)
            self._db.execute("INSERT INTO base VALUES (?, ?, NULL)", (key, entry.payload))
            while len(self._bases) > BASES:
                self._retire(self._bases.pop(next(iter(self._bases))))
        base.uses += 1
        base.last_key = key
        return base

    def _retire(self, base: _Base | None) -> None:
        if base is None:
            return
        self._db.execute("UPDATE base SET last_id = ? WHERE id = ?", (base.last_key, base.key))
        # Rows leave oldest first, so a base is free once the oldest packed row is younger than its last use.
        self._db.execute(
            "DELETE FROM base WHERE last_id < coalesce("
            "(SELECT id FROM batch WHERE base IS NOT NULL ORDER BY id LIMIT 1), ?)",
            (1 << 62,),
        )

    def _base_payload(self, key: int) -> bytes | None:
        for base in self._bases.values():
            if base.key == key:
                return base.payload
        row = self._db.execute("SELECT payload FROM base WHERE id = ?", (key,)).fetchone()
        return bytes(row[0]) if row else None

    def _boot(self, boot_id: str) -> int:
        if boot_id not in self._boots:
            self._db.execute("INSERT OR IGNORE INTO boot (boot_id) VALUES (?)", (boot_id,))
            row = self._db.execute("SELECT id FROM boot WHERE boot_id = ?", (boot_id,)).fetchone()
            self._boots[boot_id] = row[0]
        return self._boots[boot_id]


def _signed(layout_id: int) -> int:
    return layout_id - (1 << 64) if layout_id >> 63 else layout_id
