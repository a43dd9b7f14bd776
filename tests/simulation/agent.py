"""An agent in the simulation: the real core and the real spool, and a disk that survives."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from agent import dialogue as say
from agent import spool_file
from agent.batch import Batch, Entry, GapReason, Hole
from agent.protocol import Core
from agent.sample import Moment
from agent.shelf import SEQ_BITS, SEQ_MASK, Row, Shelf
from agent.spool import Spool
from collector import chain, protocol
from tests.simulation.collector import Session
from tests.simulation.faults import BEAT_MS, START_WALL_MS, Key, Killed, Violation
from tests.simulation.link import Link

if TYPE_CHECKING:
    from tests.simulation.world import World


class SimulatedSpool(Spool):
    """The real spool, which may die just before or just after a commit."""

    def __init__(self, connection: sqlite3.Connection, *, world: World, **options: Any) -> None:
        self.world: World | None = None
        super().__init__(connection, **options)
        self.world = world

    def _drop(self, rows: Iterable[Row], reason: GapReason) -> None:
        rows = list(rows)
        if rows and self.world is not None:
            self.world.note("spool full")
        super()._drop(rows, reason)

    def _commit(self) -> None:
        world = self.world
        if world is not None and world.strikes(world.faults.kill_agent / 4):
            raise Killed
        super()._commit()
        if world is not None and world.strikes(world.faults.kill_agent / 4):
            raise Killed


class AgentProcess:
    """An agent: the real core, the real spool. Everything but the database dies with its process."""

    spool_type: type[SimulatedSpool] = SimulatedSpool
    core_type: type[Core] = Core

    def __init__(self, world: World, image: bytes | None = None) -> None:
        self.world = world
        self.life = 0
        self.db = sqlite3.connect(":memory:", isolation_level=None)
        if image is not None:
            self.db.deserialize(image)
        self.spool: Spool | None = None
        self.core: Core | None = None
        self.link: Link | None = None
        self.snapshot: tuple[bytes, set[int]] | None = None
        self.meant: dict[Key, int] = {}  # which content was given which number
        self.wake_at = -1
        self._beating = False

    # ── life and death ──────────────────────────────────────────────────────────────────────────────────────────────

    def boot(self) -> None:
        """Start the process with what is on disk."""
        self.life += 1
        spool_file.prepare(self.db, exclusive=False)
        self.spool = self.spool_type(
            self.db,
            world=self.world,
            new_epoch=lambda: self.world.rng.randbytes(16),
            boot_id=f"boot-{self.life}",
            limit_bytes=self.world.faults.spool_bytes,
        )
        self.core = self.core_type(self.world.rng.random)
        self.link = None
        self._plan()
        if not self._beating:
            self._beating = True
            self.world.at(self.world.now_ms + self.world.rng.randrange(BEAT_MS), self.beat)

    def kill(self) -> None:
        """SIGKILL or a power cut: with synchronous=FULL both leave exactly what was committed."""
        self.world.note("agent killed")
        if self.db.in_transaction:
            self.db.execute("ROLLBACK")
        if self.link is not None:
            self.link.reset()
        self.spool = self.core = self.link = None
        self.life += 1
        self.world.at(self.world.now_ms + self.world.rng.randrange(100, 90_000), self.revive)

    def revive(self) -> None:
        if self.spool is None:
            self.boot()

    def heal(self) -> None:
        """The end of all faults."""
        self.db.execute("PRAGMA max_page_count = 1073741823")
        self.revive()

    def roll_back(self) -> None:
        """A snapshot of the virtual machine is put back: the spool runs backwards."""
        if self.snapshot is None:
            return
        self.world.note("agent rolled back")
        image, had = self.snapshot
        now_has = self.contents()
        self.world.excused |= now_has - had | self.world.store.declared()
        self.world.ambiguous |= had
        self.world.torn = True
        self.snapshot = None
        self.kill()
        self.db.close()
        self.db = sqlite3.connect(":memory:", isolation_level=None)
        self.db.deserialize(image)

    def contents(self) -> set[int]:
        """What is in the spool, by content."""
        found: set[int] = set()
        if not self.life:
            return found
        shelf = Shelf(self.db)
        for number, raw, _base, last in self.db.execute(
            "SELECT number, epoch, base_seq, last_seq FROM lane"
        ).fetchall():
            epoch, start = bytes(raw), number << SEQ_BITS
            acked = self.spool._lanes.acked.get(epoch, 0) if self.spool is not None else 0
            for key, batch in shelf.take(epoch, start | acked + 1, start | last, limit=1 << 30):
                content = self.meant.get((epoch, key & SEQ_MASK))
                if content is None and batch is not None:
                    content = int.from_bytes(batch.payload[:8], "big")
                found |= {content} if content in self.world.assigned else set()
            for hole in shelf.holes(epoch, start | acked + 1, start | last):
                lost = {self.meant.get((epoch, seq)) for seq in range(hole.seq, hole.last_seq + 1)}
                found |= {content for content in lost if content in self.world.assigned}
        return found

    # ── beats ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def beat(self) -> None:
        world = self.world
        if not world.calm:
            world.at(world.now_ms + BEAT_MS, self.beat)
        if self.spool is None:
            return
        self.misfortune()
        if self.spool is None or self.core is None:
            return
        content = world.content()
        body = content.to_bytes(8, "big") + random.Random(content).randbytes(world.rng.choice((40, 400, 1200)))
        world.bodies[content] = body
        try:
            numbers = self.append(Entry(body, 1, world.rng.random() < 0.2, ()))
        except Killed:
            self.kill()
            return
        for epoch, seq in numbers:
            world.assigned.add(content)
            self.meant[epoch, seq] = content
            world.note(f"assigned {content} as {epoch.hex()[:4]}:{seq}")
            if world.strikes(world.faults.kill_agent):
                self.kill()
                return
            self.step(say.Appended(epoch, seq))

    def append(self, entry: Entry) -> list[Key]:
        assert self.spool is not None
        wall = START_WALL_MS + self.world.now_ms
        return self.spool.append([entry], Moment(wall, self.world.now_ms * 1_000_000))

    def misfortune(self) -> None:
        world, faults = self.world, self.world.faults
        if world.rng.random() < 0.02:
            self.snapshot = (self.db.serialize(), self.contents())
        if world.strikes(faults.kill_agent):
            self.kill()
        elif world.strikes(faults.roll_back_agent):
            self.roll_back()
        elif world.strikes(faults.restore_collector):
            world.store.restore()
        elif world.strikes(faults.clone) and len(world.agents) < 2:
            world.note("agent cloned")
            twin = world.agent_type(world, self.db.serialize())
            twin.meant = dict(self.meant)
            world.ambiguous |= self.contents()
            world.torn = True
            world.agents.append(twin)
            twin.boot()
        if self.spool is not None and world.strikes(faults.disk_full):
            pages = self.db.execute("PRAGMA page_count").fetchone()[0]
            self.db.execute(f"PRAGMA max_page_count = {pages}")
        elif world.rng.random() < 0.3:
            self.db.execute("PRAGMA max_page_count = 1073741823")
        if self.spool is not None and world.strikes(faults.flip):
            self.flip()

    def flip(self) -> None:
        """A disk returns other bytes than were written."""
        row = self.db.execute("SELECT id, payload FROM batch ORDER BY id DESC LIMIT 1").fetchone()
        if row is not None and row[1]:
            damaged = bytearray(row[1])
            damaged[self.world.rng.randrange(len(damaged))] ^= 0x40
            self.db.execute("UPDATE batch SET payload = ? WHERE id = ?", (bytes(damaged), row[0]))
            self.world.note("byte flipped")
            self.world.torn = True

    # ── the shell around the core ───────────────────────────────────────────────────────────────────────────────────

    def step(self, event: say.Event) -> None:
        try:
            self._carry_out([event])
        except Killed:
            self.kill()
        self._plan()

    def _carry_out(self, todo: list[say.Event]) -> None:
        while todo and self.core is not None:
            for effect in self.core.step(todo.pop(0), self.world.now_ms):
                result = self.perform(effect)
                if self.core is None:
                    return
                if result is not None:
                    todo.append(result)

    def _plan(self) -> None:
        if self.core is None:
            return
        life, when = self.life, max(self.core.wake_ms(self.world.now_ms), self.world.now_ms + 1)
        if self.wake_at <= self.world.now_ms or when < self.wake_at:
            self.wake_at = when
            self.world.at(when, lambda: self._tick(life))

    def _tick(self, life: int) -> None:
        if life == self.life and self.core is not None:
            self.wake_at = -1
            self.step(say.Tick())

    def hear(self, link: Link, event: say.Event) -> None:
        if link is self.link and link.life == self.life:
            self.step(event)

    def hear_end(self, link: Link) -> None:
        if link is self.link and link.life == self.life:
            self.step(say.Lost())

    def perform(self, effect: say.Effect) -> say.Event | None:
        action = getattr(self, type(effect).__name__)
        result: say.Event | None = action(effect)
        return result

    def Connect(self, _effect: say.Connect) -> say.Event:
        assert self.spool is not None
        link = self.link = Link(self.world, self)
        self.world.at(self.world.now_ms + 1, lambda: self.world.store.connect(link))
        return say.Connected(self.spool.lanes())

    def Disconnect(self, _effect: say.Disconnect) -> None:
        # The collector's end stays open for a while: a session that is not there any more can still write.
        self.link = None

    def _up(self, deliver: Callable[[Session], None]) -> None:
        link = self.link
        if link is not None:
            link.to_collector(lambda: deliver(link.session) if link.session else None)

    def SayHello(self, effect: say.SayHello) -> None:
        link, lanes = self.link, list(effect.lanes)
        assert link is not None

        def arrive() -> None:
            if self.world.store.up:
                self.world.store.hello(link, lanes)
            else:
                link.reset()

        link.to_collector(arrive)

    def SayLayout(self, effect: say.SayLayout) -> None:
        pass

    def SayBatch(self, effect: say.SayBatch) -> None:
        batch = effect.batch
        event = protocol.Batch(
            batch.epoch,
            batch.seq,
            batch.wall_ms,
            batch.digest,
            batch.previous_digest,
            effect.backfill,
            1,
            batch.payload,
            flaw=_flaw(batch),
        )
        self._up(lambda session: self.world.store.receive(session, event))

    def SayGap(self, effect: say.SayGap) -> None:
        gap = _gap(effect.hole)
        self._up(lambda session: self.world.store.receive(session, gap))

    def SayLaneEnd(self, effect: say.SayLaneEnd) -> None:
        end = protocol.LaneEnd(effect.epoch, effect.last_seq)
        self._up(lambda session: self.world.store.receive(session, end))

    def SayPing(self, _effect: say.SayPing) -> None:
        self._up(lambda session: session.link.to_agent(say.Ponged()))

    def SayGoodbye(self, _effect: say.SayGoodbye) -> None:
        pass

    def Reconcile(self, effect: say.Reconcile) -> say.Event:
        assert self.spool is not None
        return say.Reconciled(self.spool.reconcile(effect.cursors))

    def OpenLane(self, _effect: say.OpenLane) -> say.Event:
        assert self.spool is not None
        self.spool.open_lane()
        return say.LanesChanged(self.spool.lanes())

    def MoveLane(self, effect: say.MoveLane) -> say.Event:
        assert self.spool is not None
        before = {lane.epoch for lane in self.spool.lanes()}
        moving = self._numbers(effect.epoch)
        try:
            self.spool.move(effect.epoch, effect.acked_seq)
        finally:
            known = [bytes(row[0]) for row in self.db.execute("SELECT epoch FROM lane ORDER BY number")]
            for epoch in known:
                if epoch not in before:
                    self.meant.update({(epoch, seq): moved for seq, moved in enumerate(moving, 1) if moved})
        return say.LanesChanged(self.spool.lanes())

    def _numbers(self, epoch: bytes) -> list[int | None]:
        """The contents of a lane in the order of their numbers, as far as they will move."""
        assert self.spool is not None
        lane = self.spool._lanes.get(epoch)
        if lane is None:
            return []
        first = max(lane.base_seq, self.spool._lanes.acked.get(epoch, 0)) + 1
        items = self.spool._items(lane, first, limit=1 << 30)
        return [
            self.meant.get((epoch, seq))
            for item in items
            if not (isinstance(item, Hole) and item.reason is GapReason.RESYNC)
            for seq in range(item.seq, item.last_seq + 1)
        ]

    def Fetch(self, effect: say.Fetch) -> say.Event:
        assert self.spool is not None
        return say.Fetched(effect.epoch, self.spool.fetch(effect.epoch, effect.from_seq, limit=effect.limit))

    def Acknowledge(self, effect: say.Acknowledge) -> None:
        assert self.spool is not None
        lane = self.world.store.disk.lanes.get(effect.epoch)
        if (lane is None or lane.acked_seq < effect.seq) and not self.world.store.restored:
            raise Violation("I5: something is deleted that no transaction holds")
        self.spool.acknowledge(effect.epoch, effect.seq)
        if self.world.strikes(self.world.faults.kill_agent):
            self.kill()


def _flaw(batch: Batch) -> str:
    times = (batch.wall_ms, batch.boottime_ns)
    own = chain.digest(
        batch.epoch, batch.seq, batch.previous_digest, times=times, boot_id=batch.boot_id, payload=batch.payload
    )
    return "" if own == batch.digest else "digest"


def _gap(hole: Hole) -> protocol.Gap:
    reason = protocol.GapReason(int(hole.reason))
    return protocol.Gap(
        hole.epoch,
        hole.seq,
        hole.last_seq,
        reason,
        hole.samples,
        hole.from_wall_ms,
        hole.to_wall_ms,
        hole.digest,
    )
