"""The collector in the simulation: sessions, group commits, a disk that a transaction replaces as a whole.

Judges by the product's own ledger and drafts; only where they are kept is simulated.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from agent import dialogue as say
from agent.batch import Cursor, Lane
from collector import chain, protocol
from tests.simulation.faults import START_WALL_MS, Key, Violation

OUTAGE_MS = 40 * 60_000

if TYPE_CHECKING:
    from tests.simulation.link import Link
    from tests.simulation.world import World


class Contents:
    """How often each content was stored, in which lane and under which number."""

    def __init__(self) -> None:
        self._count: dict[int, int] = {}

    def add(self, content: int) -> None:
        self._count[content] = self._count.get(content, 0) + 1

    def count_of(self, content: int) -> int:
        return self._count.get(content, 0)

    def all(self) -> list[int]:
        return list(self._count)

    def copy(self) -> Contents:
        other = Contents()
        other._count = dict(self._count)
        return other


@dataclass
class Image:
    """What is on the collector's disk; a transaction replaces it as a whole."""

    lanes: dict[bytes, chain.Lane] = field(default_factory=dict)
    segments: dict[tuple[bytes, int], bytes] = field(default_factory=dict)
    batches: dict[Key, bytes] = field(default_factory=dict)  # number → payload
    gaps: dict[bytes, list[tuple[int, int, bool]]] = field(default_factory=dict)
    session: int = 0

    def copy(self) -> Image:
        gaps = {epoch: list(spans) for epoch, spans in self.gaps.items()}
        return Image(dict(self.lanes), dict(self.segments), dict(self.batches), gaps, self.session)


class Stored:
    """`protocol.History` of an image."""

    def __init__(self, image: Image) -> None:
        self._image = image

    def marks(self, epoch: bytes, segment: int) -> bytes | None:
        return self._image.segments.get((epoch, segment))

    def lane(self, epoch: bytes) -> chain.Lane | None:
        return self._image.lanes.get(epoch)


class Session:
    """The collector's end of one stream."""

    def __init__(self, link: Link, number: int, ledger: protocol.Ledger) -> None:
        self.link, self.number, self.ledger = link, number, ledger


class Store:
    """The collector: receives, commits in groups, acknowledges. Everything but `disk` dies with its process."""

    LINGER_MS = 30

    def __init__(self, world: World) -> None:
        self.world = world
        self.disk = Image()
        self.backup: Image | None = None
        self.promised: dict[Key, tuple[bytes, int]] = {}
        self.contents = Contents()
        self.acked: dict[bytes, int] = {}
        self.restored = False
        self.start()

    # ── the process ─────────────────────────────────────────────────────────────────────────────────────────────────

    def start(self) -> None:
        self.up = True
        self.sessions: list[Session] = []
        self.queue: list[tuple[Session, protocol.Event]] = []
        self.committing = False

    def kill(self) -> None:
        """The process dies; every stream is reset."""
        if not self.up:
            return
        self.world.note("collector killed")
        self.up = False
        for session in self.sessions:
            session.link.reset()
        self.sessions, self.queue = [], []
        longest_ms = self.world.rng.choice((60_000, 60_000, 60_000, OUTAGE_MS))
        self.world.at(self.world.now_ms + self.world.rng.randrange(100, longest_ms), self.start)

    def restore(self) -> None:
        """An old backup is put back: what was acknowledged since is gone, and the collector does not know."""
        if self.backup is not None:
            self.world.note("collector restored")
            lost = set(self.disk.batches) - set(self.backup.batches)
            self.world.excused |= {int.from_bytes(self.disk.batches[key][:8], "big") for key in lost}
            self.world.excused |= self.declared()
            self.world.torn = True
            self.disk, self.backup = self.backup, None
            self.contents = Contents()
            for payload in self.disk.batches.values():
                self.contents.add(int.from_bytes(payload[:8], "big"))
            self.acked, self.restored = {}, True
            self.kill()

    def connect(self, link: Link) -> None:
        if not self.up:
            link.reset()

    def hello(self, link: Link, lanes: list[Lane]) -> None:
        image = self.disk.copy()
        image.session += 1
        named = {lane.epoch for lane in lanes}
        for epoch, lane in image.lanes.items():
            if epoch not in named:
                image.lanes[epoch] = chain.Lane(lane.acked_seq, lane.digest, lane.marks, ended=True)
        self.disk = image
        known = {epoch: image.lanes[epoch] for epoch in sorted(named) if epoch in image.lanes}
        session = Session(link, image.session, protocol.Ledger(dict(known)))
        self.fence(session)
        self.sessions.append(session)
        link.session = session
        cursors = [Cursor(epoch, lane.acked_seq, lane.digest) for epoch, lane in known.items()]
        link.to_agent(say.Welcomed(session.number, cursors, say.Limits()))

    def fence(self, session: Session) -> None:
        for older in self.sessions:
            older.link.to_agent(say.Fenced())

    def receive(self, session: Session, event: protocol.Event) -> None:
        self.queue.append((session, event))
        if not self.committing:
            self.committing = True
            self.world.at(self.world.now_ms + self.LINGER_MS, self.commit)

    # ── one transaction ─────────────────────────────────────────────────────────────────────────────────────────────

    def commit(self) -> None:
        self.committing = False
        if not self.up or not self.queue:
            return
        group, self.queue = self.queue, []
        if self.world.strikes(self.world.faults.kill_collector):
            self.kill()  # Before the transaction is on disk.
            return
        if self.world.strikes(self.world.faults.store_full):
            self.world.note("store full")
            for session in dict.fromkeys(session for session, _ in group):
                events = [event for other, event in group if other is session]
                for nack in session.ledger.hold(events, reason="full", retry_after_ms=5000):
                    session.link.to_agent(say.Nacked(nack.epoch, nack.expected_seq, nack.retry_after_ms))
            return
        work: dict[Session, list[protocol.Event]] = {}
        for session, event in group:
            work.setdefault(session, []).append(event)
        image, verdicts = self.disk.copy(), []
        for session, events in work.items():
            if not self.may_write(session, image):
                continue
            draft = session.ledger.draft(Stored(image))
            effects = [effect for event in events for effect in self.judge(draft, event)]
            image.lanes.update(draft.lanes)
            for effect in effects:
                self.apply(image, effect)
            verdicts.append((session, draft, effects))
        self.write(image)
        if self.world.strikes(self.world.faults.kill_collector):
            self.kill()  # After it is on disk, before anybody is told.
            return
        for session, draft, effects in verdicts:
            session.ledger.adopt(draft)
            self.answer(session, effects)

    def judge(self, draft: protocol.Draft, event: protocol.Event) -> list[protocol.Effect]:
        return draft.step(event, START_WALL_MS + self.world.now_ms)

    def may_write(self, session: Session, image: Image) -> bool:
        return session.number == image.session

    def apply(self, image: Image, effect: protocol.Effect) -> None:
        if isinstance(effect, protocol.Store):
            image.batches[effect.batch.epoch, effect.batch.seq] = effect.batch.content
        elif isinstance(effect, protocol.RecordGap):
            spans = image.gaps.setdefault(effect.gap.epoch, [])
            moved = effect.gap.reason is protocol.GapReason.RESYNC  # its content has another number
            spans.append((effect.gap.from_seq, effect.gap.to_seq, moved))
        elif isinstance(effect, protocol.Seal):
            image.segments[effect.epoch, effect.segment] = effect.marks
            image.segments.pop((effect.epoch, effect.segment - chain.SEGMENTS), None)

    def write(self, image: Image) -> None:
        """The transaction is on disk."""
        before, self.disk = self.disk, image
        for key, payload in image.batches.items():
            if key in before.batches:
                continue
            content = int.from_bytes(payload[:8], "big")
            if payload != self.world.bodies.get(content):
                raise Violation(f"I3: what is stored as {content} is not what was measured")
            self.contents.add(content)
        if self.world.rng.random() < 0.05:
            self.backup = image.copy()

    def answer(self, session: Session, effects: list[protocol.Effect]) -> None:
        replies = [effect for effect in effects if isinstance(effect, protocol.Reply)]
        for reply in protocol.latest(replies):
            if isinstance(reply, protocol.Ack):
                self.acked[reply.epoch] = max(self.acked.get(reply.epoch, 0), reply.acked_seq)
                session.link.to_agent(say.Acked(reply.epoch, reply.acked_seq))
            elif isinstance(reply, protocol.Nack):
                session.link.to_agent(say.Nacked(reply.epoch, reply.expected_seq, reply.retry_after_ms))
            elif isinstance(reply, protocol.Resync):
                self.world.note(f"resync {reply.reason}")
                if not self.world.torn:
                    raise Violation("I9: two batches under one number, though nothing was rolled back or cloned")
                session.link.to_agent(say.Resynced(reply.epoch, reply.acked_seq))
            else:
                raise Violation(f"the collector refuses a sound agent: {reply}")

    # ── invariants ──────────────────────────────────────────────────────────────────────────────────────────────────

    def declared(self) -> set[int]:
        """Contents whose number is in a declared gap."""
        return {
            content
            for agent in self.world.agents
            for (epoch, seq), content in agent.meant.items()
            if any(first <= seq <= last and not moved for first, last, moved in self.disk.gaps.get(epoch, ()))
        }

    def check(self) -> None:
        """I1, I3, I4: what was acknowledged is on disk under its number, or declared lost, and stays so."""
        for epoch, seq in self.acked.items():
            lane = self.disk.lanes.get(epoch)
            if lane is None or lane.acked_seq < seq:
                raise Violation(f"I4: acknowledged {seq}, but the disk has {lane.acked_seq if lane else None}")
        for epoch, lane in self.disk.lanes.items():
            top = lane.acked_seq
            if top and (epoch, top) not in self.disk.batches:
                spans = self.disk.gaps.get(epoch, ())
                if not any(first <= top <= last for first, last, _ in spans):
                    raise Violation(f"I1: {top} is neither stored nor a gap")
