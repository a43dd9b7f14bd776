"""What was measured and not yet committed by the collector: durable, bounded, oldest first out, every loss declared.

A number is assigned in the transaction that stores the batch; that transaction is on disk before `append` returns.
Acknowledged batches are deleted in the transaction of the next beat, so a beat costs one sync. What comes while nothing
waits will be gone by then: it is not packed, and handed out without reading it back. Nothing here knows the network;
`protocol` decides what is sent, `uplink` carries it.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from agent import drained, spool_file, spool_meter
from agent.batch import GENESIS, Batch, Cursor, Entry, GapReason, Hole, Item, Lane
from agent.bound import Bound
from agent.lane import OpenLane, walk
from agent.lanes import Lanes
from agent.room import Room, spare_bytes
from agent.sample import Moment, Sample
from agent.shelf import SEQ_BITS, SEQ_MASK, Row, Shelf

LOG = logging.getLogger(__name__)

LIMIT_BYTES = 64 * 1024 * 1024
KEEP_MS = 7 * 24 * 3600 * 1000
ENTRY_BYTES_MAX = 960 * 1024
"""What fits into a frame that the collector takes."""
PENDING_ACKS = 64
"""Acknowledged batches that may wait for the next beat's transaction; while draining this many share one of theirs."""


class Spool:
    """The lanes of one agent on one SQLite connection; every method may be called from any thread."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        *,
        new_epoch: Callable[[], bytes],
        boot_id: str,
        limit_bytes: int = LIMIT_BYTES,
        keep_ms: int = KEEP_MS,
    ) -> None:
        self.limit_bytes, self._room = limit_bytes, Room(limit_bytes)
        self.clean_start = spool_file.was_clean(connection)
        self._db, self._shelf = connection, Shelf(connection)
        self._log_pages = min(spool_file.WAL_PAGES, limit_bytes // spool_file.PAGE_BYTES // 4)
        connection.execute(f"PRAGMA wal_autocheckpoint={self._log_pages}")
        self._new_epoch, self._boot_id, self._keep_ms = new_epoch, boot_id, keep_ms
        self._path: Path | None = None
        self._lock = threading.RLock()
        self._lanes = Lanes(connection, self._shelf, new_epoch=new_epoch, boot_id=boot_id)
        self._fresh: list[Batch] = []  # of the newest beat, as they are on disk
        self._unsaved: list[tuple[int, int]] = []  # (samples, wall_ms) of entries that found no room on the disk
        self._bound = Bound(self._shelf, self._lanes, keep_ms=keep_ms, drop=self._drop)
        self._lanes.load()
        with self._transaction():
            self._shelf.tidy()
            spool_file.mark(self._db, clean=False)
            if not any(lane.live for lane in self._lanes.values()):
                self._lanes.open()
        self._limit_pages, self._used_pages = limit_bytes // spool_file.PAGE_BYTES, self._pages()

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        moment: Moment,
        boot_id: str,
        new_epoch: Callable[[], bytes],
        limit_bytes: int = LIMIT_BYTES,
        keep_ms: int = KEEP_MS,
        spare_bytes: Callable[[Path], int] = spare_bytes,
    ) -> Spool:
        """Open the spool at `path`. A damaged one is moved aside and what it held is declared lost."""
        lost: list[tuple[bytes, int, bytes, int, bytes]] | None = None

        def begin() -> Spool:
            connection = spool_file.connect(path)
            try:
                return cls(connection, new_epoch=new_epoch, boot_id=boot_id, limit_bytes=limit_bytes, keep_ms=keep_ms)
            except sqlite3.DatabaseError as error:
                connection.close()
                raise spool_file.refused(path, error) from error

        try:
            spool = begin()
        except spool_file.Damaged:
            lost = spool_file.salvage(path)
            spool_file.move_aside(path)
            spool = begin()
        spool._path, spool._room = path, Room(limit_bytes, lambda: spare_bytes(path))
        if lost is not None:
            spool.clean_start = False
            spool._declare_damage(lost, moment)
        return spool

    def close(self) -> None:
        """Write what is pending and note that this process ends on purpose, if there is room for it."""
        with self._lock:
            with self._change():
                self._lanes.flush()
                if self._unsaved:
                    lane, wall_ms = self._lanes.live(), self._unsaved[-1][1]
                    self._declare_unsaved(lane, Moment(wall_ms, 0))
                    self._lanes.save(lane)
                spool_file.mark(self._db, clean=True)
            self._db.close()

    @property
    def dropped_batches(self) -> int:
        """Numbers that were declared lost since the start."""
        return self._lanes.dropped[0]

    @property
    def dropped_samples(self) -> int:
        """Samples that were declared lost since the start."""
        return self._lanes.dropped[1]

    # ── in ──────────────────────────────────────────────────────────────────────────────────────────────────────────

    def append(
        self, entries: Sequence[Entry], moment: Moment, *, layouts: Mapping[int, bytes] | None = None
    ) -> list[tuple[bytes, int]]:
        """Assign the next numbers and put the entries on disk; returns (epoch, seq) of each.

        When the disk has no room the entries are lost; the loss is counted and declared once there is room again.

        Raises:
            SpoolBroken: a write or sync failed.
        """
        with self._lock:
            try:
                return self._append(entries, moment, layouts or {})
            except sqlite3.DatabaseError as error:
                if spool_file.is_full(error):
                    if not self._unsaved:
                        LOG.error("spool disk full path=%s", self._path)
                    self._unsaved += [(entry.samples, moment.wall_ms) for entry in entries]
                    return []
                if self._path is None or not spool_file.is_damaged(error):
                    raise spool_file.SpoolBroken(f"The spool {self._path} failed: {error}. Check the disk.") from error
                self._replace(moment)
                return self._append(entries, moment, layouts or {})

    def _append(
        self, entries: Sequence[Entry], moment: Moment, layouts: Mapping[int, bytes]
    ) -> list[tuple[bytes, int]]:
        fresh: list[Batch] = []
        self._limit_pages, dropped = self._room.pages(self._db, self._log_pages), self._lanes.dropped
        with self._transaction():
            self._lanes.flush()
            lane = self._lanes.live()
            will_stay = self.waiting() > 0
            if self._unsaved:
                self._declare_unsaved(lane, moment)
            for entry in entries:
                if len(entry.payload) > ENTRY_BYTES_MAX:
                    LOG.error("beat too large bytes=%d limit=%d", len(entry.payload), ENTRY_BYTES_MAX)
                    wall = moment.wall_ms
                    self._lanes.lose(lane, 1, GapReason.REFUSED, entry.samples, (wall, wall), moment)
                    continue
                for layout_id in entry.layouts:
                    if layout_id in layouts:
                        self._shelf.learn(layout_id, layouts[layout_id])
                fresh.append(self._lanes.put(lane, entry, moment, will_stay=will_stay))
            self._lanes.save(lane)
            self._bound.keep(moment, self._limit_pages, self._pages)
        self._fresh = fresh if self._lanes.dropped == dropped else []
        if self._unsaved:
            LOG.warning("spool disk has room again lost_batches=%d", len(self._unsaved))
            self._unsaved.clear()
        return [(one.epoch, one.seq) for one in fresh]

    def open_lane(self) -> None:
        """Give what comes from now on a new epoch; what there is drains beside it."""
        with self._change():
            self._lanes.flush()
            self._lanes.open()

    def move(self, epoch: bytes, acked_seq: int) -> None:
        """Give what a lane still holds new numbers in a new epoch; its own remaining numbers become a declared hole.

        `acked_seq`: up to here the numbers are the collector's, whoever used them.
        """
        with self._change():
            self._lanes.flush()
            self._fresh = []  # what had those numbers has others now
            if (old := self._lanes.get(epoch)) is None:
                return
            old_live, old.live = old.live, False
            self._lanes.save(old)
            fresh = self._lanes.open(live=old_live)
            for item in self._items(old, old.base_seq + 1, limit=SEQ_MASK):
                self._lanes.transfer(fresh, item, old)
            self._lanes.save(fresh)
            self._shelf.clear(old.number)
            self._lanes.acked.pop(epoch, None)
            self._lanes.tail.pop(epoch, None)
            if old.last_seq <= acked_seq:
                self._lanes.drop(old)
                return
            old.base_seq, old.base_digest = max(acked_seq, 0), GENESIS
            self._lanes.save(old)
            rest = Hole(epoch, acked_seq + 1, old.last_seq, GapReason.RESYNC, 0, 0, 0, old.last_digest)
            self._shelf.dig(old.number, rest, lent=0)

    # ── out ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    def lanes(self) -> list[Lane]:
        """Every lane, oldest first; the live one is the last that is `live`."""
        with self._lock:
            return [self._lanes.describe(lane) for lane in self._lanes.values()]

    def drained(self, now_ms: int) -> list[drained.Drained]:
        """Lanes that are gone because all of them was acknowledged."""
        with self._lock:
            return drained.recent(self._db, now_ms)

    def fetch(self, epoch: bytes, from_seq: int, *, limit: int) -> list[Item]:
        """What is next in a lane, in order and without a hole that is not a `Hole`; at most `limit` items."""
        with self._lock:
            lane = self._lanes.get(epoch)
            if lane is None or from_seq > lane.last_seq:
                return []
            items = self._just_stored(lane, from_seq, limit) or self._items(lane, from_seq, limit=limit)
            if items:
                self._lanes.tail[epoch] = (items[-1].last_seq, items[-1].digest)
                self._lanes.lent[epoch] = max(self._lanes.lent.get(epoch, 0), items[-1].last_seq)
            return items

    def layout(self, layout_id: int) -> bytes:
        """A serialised Layout that a batch refers to."""
        with self._lock:
            return self._shelf.layout(layout_id)

    def acknowledge(self, epoch: bytes, seq: int) -> None:
        """The collector has everything of this lane up to `seq` on disk; the next transaction deletes it."""
        with self._lock:
            lane = self._lanes.get(epoch)
            if lane is None or seq <= self._lanes.acked.get(epoch, lane.base_seq):
                return
            self._lanes.acked[epoch] = min(seq, lane.last_seq)
            ended = not lane.live and self._lanes.acked[epoch] == lane.last_seq
            if ended or sum(self._lanes.acked[e] - self._lanes[e].base_seq for e in self._lanes.acked) >= PENDING_ACKS:
                with self._change():
                    self._lanes.flush()

    def reconcile(self, cursors: Iterable[Cursor]) -> list[Lane]:
        """Believe the collector's cursors where the digest proves that they mean our batches; returns the lanes."""
        with self._lock:
            known = {cursor.epoch: cursor for cursor in cursors}
            result = []
            for lane in list(self._lanes.values()):
                cursor = known.get(lane.epoch)
                if cursor and self._lanes.proves(lane, cursor):
                    self.acknowledge(lane.epoch, cursor.acked_seq)
                if lane.epoch in self._lanes:
                    ahead = cursor is not None and cursor.acked_seq > lane.last_seq
                    result.append(self._lanes.describe(lane)._replace(overtaken=ahead))
            return result

    def newest(self) -> tuple[bytes, int]:
        """The live lane and the last number in it."""
        with self._lock:
            lane = self._lanes.live()
            return lane.epoch, lane.last_seq

    def waiting(self) -> int:
        """Numbers that the collector has not acknowledged."""
        with self._lock:
            return sum(lane.last_seq - self._lanes.acked.get(e, lane.base_seq) for e, lane in self._lanes.items())

    def used_bytes(self) -> int:
        """What the spool takes on disk, its log included."""
        with self._lock:
            return self._pages() * spool_file.PAGE_BYTES

    def samples(self, moment: Moment) -> list[Sample]:
        """The spool about itself; its size and limit as of the newest beat."""
        with self._lock:
            oldest = self._shelf.oldest() if self.waiting() else 0
            return spool_meter.samples(
                batches=self.waiting(),
                used_bytes=self._used_pages * spool_file.PAGE_BYTES,
                limit_bytes=self._limit_pages * spool_file.PAGE_BYTES,
                oldest_seconds=max(0.0, (moment.wall_ms - oldest) / 1000) if oldest else 0.0,
                dropped=self._lanes.dropped,
            )

    # ── inside a transaction ────────────────────────────────────────────────────────────────────────────────────────

    @contextlib.contextmanager
    def _change(self) -> Iterator[None]:
        """A transaction besides the beat's. Without room on the disk it does not happen, which loses nothing."""
        with self._lock:
            try:
                with self._transaction():
                    yield
            except sqlite3.DatabaseError as error:
                if not spool_file.is_full(error):
                    raise spool_file.SpoolBroken(f"The spool {self._path} failed: {error}. Check the disk.") from error

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        dropped = self._lanes.dropped
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._commit()
        except BaseException:
            self._lanes.dropped = dropped
            with contextlib.suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
            with contextlib.suppress(sqlite3.Error):
                self._lanes.load()
            raise

    def _commit(self) -> None:
        self._db.execute("COMMIT")

    def _drop(self, rows: Iterable[Row], reason: GapReason) -> None:
        lanes = {lane.number: lane for lane in self._lanes.values()}
        for row in rows:
            lane, seq = lanes[row.key >> SEQ_BITS], row.key & SEQ_MASK
            self._shelf.remove(row.key, row.key)
            hole = Hole(lane.epoch, seq, seq, reason, row.samples, row.wall_ms, row.wall_ms, row.digest)
            self._lanes.dig(lane, hole)

    def _declare_unsaved(self, lane: OpenLane, moment: Moment) -> None:
        samples, walls = sum(s for s, _ in self._unsaved), [w for _, w in self._unsaved]
        self._lanes.lose(lane, len(walls), GapReason.SPOOL_FULL, samples, (min(walls), max(walls)), moment)

    def _pages(self) -> int:
        self._used_pages = spool_file.pages(self._db)[1] + self._log_pages
        return self._used_pages

    def _just_stored(self, lane: OpenLane, from_seq: int, limit: int) -> list[Item]:
        """The newest beat from memory, where it is all that is asked for."""
        fresh = self._fresh
        if not fresh or fresh[0].seq != from_seq or fresh[-1].digest != lane.last_digest or len(fresh) > limit:
            return []
        return list(fresh)

    # ── reading a lane ──────────────────────────────────────────────────────────────────────────────────────────────

    def _items(self, lane: OpenLane, from_seq: int, *, limit: int) -> list[Item]:
        """What is in a lane from a number on; what turns out damaged becomes a hole first."""
        items, damaged = walk(self._shelf, lane, from_seq, limit=limit, tail=self._lanes.tail.get(lane.epoch))
        while damaged:
            with contextlib.nullcontext() if self._db.in_transaction else self._transaction():
                for first, last in damaged:
                    self._lanes.bury(lane, first, last)
            items, damaged = walk(self._shelf, lane, from_seq, limit=limit, tail=self._lanes.tail.get(lane.epoch))
        return items

    # ── a damaged file ──────────────────────────────────────────────────────────────────────────────────────────────

    def _replace(self, moment: Moment) -> None:
        """Go on with a new file; what the damaged one held is declared lost."""
        assert self._path is not None
        known, before = self._lanes.values(), self._lanes.dropped
        lost = [(lane.epoch, lane.base_seq, lane.base_digest, lane.last_seq, lane.last_digest) for lane in known]
        self._db.close()
        spool_file.move_aside(self._path)
        self._db = spool_file.connect(self._path)
        self._shelf = Shelf(self._db)
        self._lanes = Lanes(self._db, self._shelf, new_epoch=self._new_epoch, boot_id=self._boot_id)
        self._lanes.dropped = before
        self._bound = Bound(self._shelf, self._lanes, keep_ms=self._keep_ms, drop=self._drop)
        with self._transaction():
            spool_file.mark(self._db, clean=False)
            self._lanes.open()
        self._declare_damage(lost, moment)

    def _declare_damage(self, lost: Sequence[tuple[bytes, int, bytes, int, bytes]], moment: Moment) -> None:
        with self._transaction():
            live = self._lanes.live()
            for epoch, base_seq, base_digest, last_seq, last_digest in lost:
                if base_seq < last_seq:
                    lane = self._lanes.add((epoch, False, base_seq, base_digest, last_seq, last_digest))
                    wall = moment.wall_ms
                    hole = Hole(epoch, base_seq + 1, last_seq, GapReason.CORRUPT, 0, wall, wall, last_digest)
                    self._lanes.dig(lane, hole)
            if not lost:
                # Nothing could be read, so what is missing has no number: the new lane begins with one that is lost.
                self._lanes.lose(live, 1, GapReason.CORRUPT, 0, (moment.wall_ms, moment.wall_ms), moment)
                self._lanes.save(live)
