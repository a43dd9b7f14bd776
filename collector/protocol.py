"""The collector's half of the delivery protocol, without any I/O.

A `Ledger` knows, for one session of one agent, how far each lane is committed. A `Draft` is one transaction's view of
it: `step` judges one event and says what to do; nothing is true until the transaction is committed and the ledger has
`adopt`ed the draft. Three separate checks: who sends is the certificate's business, order is (epoch, seq), content is
the digest.

Does not parse, store, send, or look at the clock; every rule is in the manual page "delivery".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Any, NamedTuple, Protocol

from collector.chain import DIGEST_BYTES, EPOCH_BYTES, MARK_BYTES, SEGMENT, Lane
from collector.domain.message import Message

PROTOCOL_VERSION = 1
LANES_MAX = 64
"""Open lanes per agent: a link that flaps must not create epochs without end."""
AHEAD_MS = 5 * 60 * 1000
BEHIND_MS = 30 * 24 * 3600 * 1000
SEQ_MAX = (1 << 40) - 1


class GapReason(IntEnum):
    """Why something will never arrive; the values below OWN are those of the wire, the others the collector's own."""

    UNSPECIFIED = 0
    SPOOL_FULL = 1
    TOO_OLD = 2
    CORRUPT = 3
    CONFLICT = 4
    RESYNC = 5
    REFUSED = 6
    RESTORED = 64  # acknowledged, but missing from a database that was restored from an older copy
    LEFT_OUT = 65  # the rows of a layout with more series than the host may have
    UNREGISTERED = 66  # results of a check that did not come into the register


OWN_REASONS = 64
EVIDENCE_REASONS = frozenset({GapReason.CORRUPT, GapReason.CONFLICT})
"""Of those that agents declare, the ones that may take results of checks. A full spool drops measurements first."""


# ── what comes in ───────────────────────────────────────────────────────────────────────────────────────────────────


class Batch(NamedTuple):
    """A batch whose content was looked at; `flaw` says what is wrong with it, empty when it can be stored."""

    epoch: bytes
    seq: int
    wall_ms: int
    digest: bytes  # as claimed; a flaw when it is not that of the content
    previous_digest: bytes
    backfill: bool
    samples: int
    content: Any  # what the storing side needs; not looked at here
    flaw: str = ""
    body: bytes = b""  # for quarantine
    evidence: bool = False  # with a flaw: whether results of checks are in it for all we know


class Gap(NamedTuple):
    """Numbers that the agent assigned and will never send."""

    epoch: bytes
    from_seq: int
    to_seq: int
    reason: GapReason
    samples: int
    from_ms: int
    to_ms: int
    last_digest: bytes
    detail: str = ""  # what was wrong, for a person
    evidence: bool = False  # whether results of checks are among it for all we know


class Lost(NamedTuple):
    """The beginning of a lane that was acknowledged once, and is not on record."""

    to_seq: int
    from_ms: int
    to_ms: int


class LaneEnd(NamedTuple):
    """The agent will assign no more numbers in this epoch."""

    epoch: bytes
    last_seq: int


Event = Batch | Gap | LaneEnd


# ── what to do ──────────────────────────────────────────────────────────────────────────────────────────────────────


class Store(NamedTuple):
    """Keep the batch's content."""

    batch: Batch


class RecordGap(NamedTuple):
    """Keep that these numbers are lost: unknown, for every figure computed later."""

    gap: Gap


class Quarantine(NamedTuple):
    """Keep a batch that cannot be used, bounded, for a person to look at."""

    epoch: bytes
    seq: int
    reason: str
    body: bytes


class Seal(NamedTuple):
    """Write a full segment of marks; the oldest beyond SEGMENTS may go."""

    epoch: bytes
    segment: int  # first_seq == segment * SEGMENT
    marks: bytes


class Ack(NamedTuple):
    """Everything of the epoch up to this number is on disk, or declared lost, for good."""

    epoch: bytes
    acked_seq: int


class Nack(NamedTuple):
    """The next number that this lane can take."""

    epoch: bytes
    expected_seq: int
    reason: str
    retry_after_ms: int = 0


class Resync(NamedTuple):
    """Close this epoch and go on in a new one."""

    epoch: bytes
    acked_seq: int
    reason: str


class Refuse(NamedTuple):
    """End the stream."""

    code: str
    message: str
    retry_after_ms: int = 0


class Duplicate(NamedTuple):
    """Counted, nothing else."""

    epoch: bytes
    seq: int


class Conflict(NamedTuple):
    """Two different batches under one number: a cloned or rolled-back agent. Somebody should know."""

    epoch: bytes
    seq: int


Reply = Ack | Nack | Resync | Refuse
Effect = Store | RecordGap | Quarantine | Seal | Duplicate | Conflict | Reply


# ── lanes ───────────────────────────────────────────────────────────────────────────────────────────────────────────


class History(Protocol):
    """What the store remembers beyond the ledger; asked inside the transaction."""

    def marks(self, epoch: bytes, segment: int) -> bytes | None:
        """The marks of a full segment, None when it is not kept (any more)."""
        ...

    def lane(self, epoch: bytes) -> Lane | None:
        """A lane that the session's greeting did not name, for example one that has ended."""
        ...


@dataclass(slots=True)
class Ledger:
    """What is committed of one agent's lanes, as far as its newest session is concerned."""

    lanes: dict[bytes, Lane] = field(default_factory=dict)
    nacked: frozenset[bytes] = frozenset()  # told what comes next; more of the same is already on its way
    resynced: frozenset[bytes] = frozenset()  # told to close; what is still on its way is not looked at
    held: dict[bytes, int] = field(default_factory=dict)  # told to send again from here; what is after it waits for it
    lost: Mapping[bytes, Lost] = field(default_factory=dict)  # what a restored database lacks

    def draft(self, history: History) -> Draft:
        """A transaction's view."""
        return Draft(self, history)

    def adopt(self, draft: Draft) -> None:
        """The draft's transaction is on disk."""
        self.lanes.update(draft.lanes)
        self.nacked, self.resynced = frozenset(draft.nacked), frozenset(draft.resynced)
        self.held = dict(draft.held)

    def hold(self, events: Iterable[Event], *, reason: str, retry_after_ms: int) -> list[Nack]:
        """None of these events could be looked at: what to send again, and when.

        That is not always the number after the committed ones: where a rolled-back lane goes through its past, a batch
        that is passed over would later be taken for one that was never stored.
        """
        wanted: dict[bytes, int] = {}
        for event in events:
            wanted.setdefault(event.epoch, self.lanes.get(event.epoch, Lane()).acked_seq + 1)
            if event.epoch not in self.resynced and (seq := _first_seq(event)):
                self.held[event.epoch] = min(seq, self.held.get(event.epoch, seq))
        self.nacked |= frozenset(wanted)
        return [
            Nack(epoch, min(seq, self.held.get(epoch, seq)), reason, retry_after_ms) for epoch, seq in wanted.items()
        ]


class Draft:
    """What the lanes will be once the transaction is committed."""

    def __init__(self, ledger: Ledger, history: History) -> None:
        self.lanes: dict[bytes, Lane] = {}  # only what changed
        self.opened: list[bytes] = []  # of those, the ones that are new
        self.nacked, self.resynced = set(ledger.nacked), set(ledger.resynced)
        self.held = dict(ledger.held)
        self._committed, self._lost = ledger.lanes, ledger.lost
        self._history = history

    def step(self, event: Event, now_ms: int) -> list[Effect]:
        """Judge one event in the order of arrival."""
        if (seq := _first_seq(event)) and seq > self.held.get(event.epoch, seq):
            return []
        if seq:
            self.held.pop(event.epoch, None)
        if isinstance(event, Batch):
            return self._batch(event, now_ms)
        if isinstance(event, Gap):
            return self._gap(event, now_ms)
        return self._end(event)

    def lane(self, epoch: bytes) -> Lane | None:
        """The lane as this transaction sees it."""
        return self.lanes.get(epoch) or self._committed.get(epoch) or self._history.lane(epoch)

    def _batch(self, batch: Batch, now_ms: int) -> list[Effect]:
        if batch.epoch in self.resynced:
            return []
        lane = self.lane(batch.epoch)
        if lane is None:
            if refused := self._no_room(batch.epoch, batch.seq):
                return refused
            lane = Lane()
        if batch.seq <= lane.acked_seq:
            return self._seen(batch, lane)
        if batch.seq != lane.acked_seq + 1:
            return self._out_of_order(batch.epoch, lane)
        if lane.ended:
            return self._resync(batch, lane, "this epoch has ended")
        if batch.previous_digest != lane.digest:
            return self._resync(batch, lane, "it does not follow what is stored before it")
        return self._accept(batch, lane, now_ms)

    def _accept(self, batch: Batch, lane: Lane, now_ms: int) -> list[Effect]:
        effects: list[Effect] = []
        flaw = batch.flaw or _time_flaw(batch.wall_ms, now_ms)
        too_old = batch.wall_ms < now_ms - BEHIND_MS
        if flaw or too_old:
            # One poison batch must not block the lane: it becomes a gap, and a person can look at it.
            if flaw:
                effects.append(Quarantine(batch.epoch, batch.seq, flaw, batch.body))
            reason = GapReason.REFUSED if flaw else GapReason.TOO_OLD
            at_ms = min(batch.wall_ms, now_ms + AHEAD_MS)
            where = (batch.epoch, batch.seq, batch.seq)
            gap = Gap(*where, reason, batch.samples, at_ms, at_ms, batch.digest, flaw, evidence=batch.evidence)
            effects.append(RecordGap(gap))
        else:
            effects.append(Store(batch))
        return effects + self._advance(batch.epoch, lane, batch.seq, batch.digest)

    def _seen(self, batch: Batch, lane: Lane) -> list[Effect]:
        if self._mark(batch.epoch, batch.seq, lane) == batch.digest[:MARK_BYTES]:
            # Not the highest number but this one: the chain proves what is before it, nothing what is after.
            return [Duplicate(batch.epoch, batch.seq), Ack(batch.epoch, batch.seq)]
        return self._resync(batch, lane, "another batch with this number is stored")

    def _gap(self, gap: Gap, now_ms: int) -> list[Effect]:
        lane = self.lane(gap.epoch)
        if gap.epoch in self.resynced and gap.reason is not GapReason.RESYNC:
            # Sent before the agent knew. To acknowledge it would let go of batches before it that were not looked at.
            return []
        if not 0 < gap.from_seq <= gap.to_seq <= SEQ_MAX:
            return [Refuse("malformed", "A gap runs backwards or is too wide.")]
        if lane is None:
            if refused := self._no_room(gap.epoch, gap.from_seq):
                return refused
            lane = Lane()
        if gap.to_seq <= lane.acked_seq:
            if self._mark(gap.epoch, gap.to_seq, lane) == gap.last_digest[:MARK_BYTES]:
                return [Duplicate(gap.epoch, gap.to_seq), Ack(gap.epoch, gap.to_seq)]
            return self._close(gap.epoch, gap.to_seq, lane, why="a gap over stored batches")
        if gap.from_seq != lane.acked_seq + 1:
            return self._out_of_order(gap.epoch, lane)
        # Taken after the epoch's end too: to know of a loss is always better, and nothing can be overwritten by one.
        latest = now_ms + AHEAD_MS
        kept = gap._replace(from_ms=min(gap.from_ms, latest), to_ms=min(max(gap.from_ms, gap.to_ms), latest))
        kept = kept._replace(evidence=gap.reason in EVIDENCE_REASONS)
        lost = self._lost.get(gap.epoch)
        if lost is not None and gap.reason is GapReason.RESYNC and gap.to_seq <= lost.to_seq:
            # The agent only says that it cannot send these any more; that it was told to delete them is known here.
            kept = kept._replace(
                reason=GapReason.RESTORED, evidence=True, from_ms=lost.from_ms, to_ms=min(lost.to_ms, latest)
            )
        return [RecordGap(kept), *self._advance(gap.epoch, lane, gap.to_seq, gap.last_digest)]

    def _end(self, end: LaneEnd) -> list[Effect]:
        lane = self.lane(end.epoch)
        if lane is None:
            return []
        if end.last_seq > lane.acked_seq:
            return self._out_of_order(end.epoch, lane)
        if end.last_seq == lane.acked_seq and not lane.ended:
            self.lanes[end.epoch] = replace(lane, ended=True)
        return []

    def _advance(self, epoch: bytes, lane: Lane, to_seq: int, digest: bytes) -> list[Effect]:
        if self.lane(epoch) is None:
            self.opened.append(epoch)
        digest = digest[:DIGEST_BYTES].ljust(DIGEST_BYTES, b"\0")
        self.lanes[epoch], sealed = lane.advanced(to_seq, digest)
        self.nacked.discard(epoch)
        return [*(Seal(epoch, segment, marks) for segment, marks in sealed), Ack(epoch, to_seq)]

    def _mark(self, epoch: bytes, seq: int, lane: Lane) -> bytes | None:
        segment, place = divmod(seq, SEGMENT)
        marks = lane.marks if segment == lane.segment else self._history.marks(epoch, segment)
        mark = marks[place * MARK_BYTES : (place + 1) * MARK_BYTES] if marks else b""
        return mark if any(mark) else None

    def _out_of_order(self, epoch: bytes, lane: Lane) -> list[Effect]:
        # What was already on its way when the first one was out of order would only repeat the same answer.
        if epoch in self.nacked:
            return []
        self.nacked.add(epoch)
        return [Nack(epoch, lane.acked_seq + 1, "not the next number")]

    def _no_room(self, epoch: bytes, seq: int) -> list[Effect]:
        if len(epoch) != EPOCH_BYTES:
            return [Refuse("malformed", f"An epoch has {EPOCH_BYTES} bytes.")]
        opened = {**self._committed, **self.lanes}
        if sum(not lane.ended for lane in opened.values()) >= LANES_MAX:
            return [Refuse("too_many_lanes", f"More than {LANES_MAX} lanes are open; finish some first.")]
        return self._out_of_order(epoch, Lane()) if seq != 1 else []

    def _resync(self, batch: Batch, lane: Lane, why: str) -> list[Effect]:
        kept = Quarantine(batch.epoch, batch.seq, f"conflict: {why}", batch.body)
        return [kept, *self._close(batch.epoch, batch.seq, lane, why=why)]

    def _close(self, epoch: bytes, seq: int, lane: Lane, *, why: str) -> list[Effect]:
        self.resynced.add(epoch)
        return [Conflict(epoch, seq), Resync(epoch, lane.acked_seq, why)]


def latest(replies: Iterable[Reply]) -> list[Reply]:
    """The replies worth sending: of the acknowledgements of an epoch only the highest, since they are cumulative."""
    acked: dict[bytes, int] = {}
    others: list[Reply] = []
    for reply in replies:
        if isinstance(reply, Ack):
            acked[reply.epoch] = max(reply.acked_seq, acked.get(reply.epoch, 0))
        else:
            others.append(reply)
    return [*(Ack(epoch, seq) for epoch, seq in acked.items()), *others]


def _time_flaw(wall_ms: int, now_ms: int) -> str:
    return Message("its time lies more than five minutes in the future") if wall_ms > now_ms + AHEAD_MS else ""


def _first_seq(event: Event) -> int:
    """The number that an event begins with; 0 for the end of a lane."""
    if isinstance(event, Batch):
        return event.seq
    return event.from_seq if isinstance(event, Gap) else 0
