"""The agent's half of the delivery protocol, without any I/O.

`Core.step(event, now_ms)` says what to do next; whoever runs it carries that out and tells what came of it. The clock
is monotonic milliseconds and given, chance is given too, so that a whole fleet can be simulated from one seed.

Two rules above all: nothing is deleted before the collector's commit is proven, and what is lost has a number.
The rules in full are in the manual page "delivery".
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from enum import Enum, auto

from agent.batch import Batch, Cursor, Lane
from agent.dialogue import (
    Acked,
    Acknowledge,
    Appended,
    Connect,
    Connected,
    Disconnect,
    Effect,
    Event,
    Fenced,
    Fetch,
    Fetched,
    LanesChanged,
    Limits,
    Lost,
    MoveLane,
    Nacked,
    OpenLane,
    Ponged,
    Reconcile,
    Reconciled,
    Refused,
    Resynced,
    SayBatch,
    SayGap,
    SayGoodbye,
    SayHello,
    SayLaneEnd,
    SayLayout,
    SayPing,
    Stop,
    Tick,
    Welcomed,
)

PROTOCOL_VERSION = 1
LANES_MAX = 64
SPLIT_BATCHES = 2
"""A longer backlog at reconnect gets out of the way of what is measured now."""
RETRY_FIRST_MS, RETRY_LAST_MS, RETRY_LEAST_MS = 1_000, 60_000, 100
STABLE_MS = 60_000
REFUSED_MS = 15 * 60_000
PING_MS = 30_000
SILENCE_MS = 90_000
"""Without any frame for this long the connection is dead, whatever the network says."""
WELCOME_MS = 20_000
TRUST_CODES = frozenset(
    {
        "no_identity",
        "certificate_not_listed",
        "certificate_of_another_agent",
        "revoked",
        "certificate_not_yet_valid",
        "certificate_expired",
        "agent_mismatch",
        "protocol_version",
    }
)
"""Refusals that a person has to mend; asking again every minute would not help."""


class _Phase(Enum):
    WAITING = auto()  # for the time to try again
    CONNECTING = auto()
    GREETING = auto()  # hello is sent
    COMPARING = auto()  # welcome has come, the spool compares
    OPEN = auto()
    STOPPED = auto()


class _View:
    """A lane as far as this stream is concerned."""

    __slots__ = (
        "acked",
        "epoch",
        "fetching",
        "held_until_ms",
        "high",
        "inflight",
        "last",
        "last_digest",
        "live",
        "sent",
    )

    def __init__(self, lane: Lane, sent: int) -> None:
        self.epoch, self.live, self.last, self.last_digest = lane.epoch, lane.live, lane.last_seq, lane.last_digest
        self.acked = self.sent = self.high = sent  # `high`: the highest number that this stream was given
        self.inflight: deque[tuple[int, int]] = deque()  # (last number, bytes)
        self.fetching = False
        self.held_until_ms = 0

    def rewind(self, to_seq: int) -> None:
        self.sent = to_seq
        self.inflight.clear()

    def has_more(self, now_ms: int) -> bool:
        return self.sent < self.last and not self.fetching and now_ms >= self.held_until_ms


class Core:
    """One agent's side of its connections, one after the other."""

    def __init__(self, jitter: Callable[[], float]) -> None:
        """`jitter` gives numbers in [0, 1)."""
        self.session = 0
        self._jitter = jitter
        self._phase = _Phase.WAITING
        self._attempts = 0
        self._retry_ms = 0
        self._since_ms = 0  # of this phase
        self._heard_ms = 0
        self._ping_ms = 0
        self._limits = Limits()
        self._cursors: dict[bytes, Cursor] = {}
        self._views: dict[bytes, _View] = {}
        self._declared: set[int] = set()
        self._credit = 0.0
        self._credit_ms = 0

    @property
    def is_open(self) -> bool:
        """Whether batches can flow."""
        return self._phase is _Phase.OPEN

    @property
    def stopped(self) -> bool:
        """Whether the agent ends on purpose."""
        return self._phase is _Phase.STOPPED

    def step(self, event: Event, now_ms: int) -> list[Effect]:
        """What to do, in this order, now that `event` has happened."""
        effects = _HANDLERS[type(event)](self, event, now_ms)
        return effects + self._pump(now_ms)

    def start_over(self, now_ms: int) -> None:
        """Forget what was going on, whatever it was, and try again after the usual pause."""
        if self._phase is _Phase.WAITING:
            self._enter(_Phase.CONNECTING, now_ms)  # What it waited for may be what went wrong.
        self._leave(now_ms)

    def wake_ms(self, now_ms: int) -> int:
        """When to say `Tick` at the latest."""
        match self._phase:
            case _Phase.WAITING:
                return self._retry_ms
            case _Phase.OPEN:
                held = [v.held_until_ms for v in self._views.values() if v.held_until_ms > now_ms and v.sent < v.last]
                starved = self._credit < 1 and any(not v.live and v.sent < v.last for v in self._views.values())
                pause = [now_ms + max(1, round(1000 / self._limits.backfill_per_second))] if starved else []
                return min([self._ping_ms, self._heard_ms + SILENCE_MS, *held, *pause])
            case _Phase.STOPPED:
                return now_ms + RETRY_LAST_MS
            case _:
                return self._since_ms + WELCOME_MS

    # ── the connection ──────────────────────────────────────────────────────────────────────────────────────────────

    def _tick(self, _event: Tick, now_ms: int) -> list[Effect]:
        match self._phase:
            case _Phase.WAITING if now_ms >= self._retry_ms:
                self._enter(_Phase.CONNECTING, now_ms)
                return [Connect()]
            case _Phase.CONNECTING | _Phase.GREETING if now_ms >= self._since_ms + WELCOME_MS:
                return self._leave(now_ms)
            case _Phase.OPEN if now_ms >= self._heard_ms + SILENCE_MS:
                return self._leave(now_ms)
            case _Phase.OPEN if now_ms >= self._ping_ms:
                self._ping_ms = now_ms + PING_MS
                return [SayPing()]
        return []

    def _connected(self, event: Connected, now_ms: int) -> list[Effect]:
        if self._phase is not _Phase.CONNECTING:
            return []
        self._enter(_Phase.GREETING, now_ms)
        return [SayHello(event.lanes)]

    def _lost(self, event: Lost, now_ms: int) -> list[Effect]:
        if self._phase in (_Phase.WAITING, _Phase.STOPPED):
            return []
        self._leave(now_ms, after_ms=REFUSED_MS if event.refused else 0)
        return []

    def _fenced(self, _event: Fenced, now_ms: int) -> list[Effect]:
        # Two with one certificate must not throw each other out every second.
        return self._leave(now_ms, after_ms=RETRY_LAST_MS)

    def _refused(self, event: Refused, now_ms: int) -> list[Effect]:
        usual = REFUSED_MS if event.code in TRUST_CODES else 0
        return self._leave(now_ms, after_ms=event.retry_after_ms or usual)

    def _stop(self, _event: Stop, now_ms: int) -> list[Effect]:
        said: list[Effect] = [SayGoodbye()] if self._phase is _Phase.OPEN else []
        alive = self._phase not in (_Phase.WAITING, _Phase.STOPPED)
        self._enter(_Phase.STOPPED, now_ms)
        return [*said, Disconnect()] if alive else []

    def _leave(self, now_ms: int, *, after_ms: int = 0) -> list[Effect]:
        if self._phase in (_Phase.WAITING, _Phase.STOPPED):
            return []
        if self._phase is _Phase.OPEN and now_ms - self._since_ms >= STABLE_MS:
            self._attempts = 0
        longest = min(RETRY_LAST_MS, RETRY_FIRST_MS << min(self._attempts, 10))
        wait = round(after_ms * (0.5 + self._jitter() / 2)) if after_ms else round(self._jitter() * longest)
        self._attempts += 1
        self._retry_ms = now_ms + max(RETRY_LEAST_MS, wait)
        self._enter(_Phase.WAITING, now_ms)
        self._views.clear()
        self._declared.clear()
        return [Disconnect()]

    def _enter(self, phase: _Phase, now_ms: int) -> None:
        self._phase, self._since_ms, self._heard_ms = phase, now_ms, now_ms

    # ── lanes ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def _welcomed(self, event: Welcomed, now_ms: int) -> list[Effect]:
        if self._phase is not _Phase.GREETING:
            return []
        self._enter(_Phase.COMPARING, now_ms)
        self.session, self._limits = event.session, event.limits
        self._cursors = {cursor.epoch: cursor for cursor in event.cursors}
        self._credit, self._credit_ms = 0.0, now_ms
        return [Reconcile(event.cursors)]

    def _reconciled(self, event: Reconciled, now_ms: int) -> list[Effect]:
        if self._phase is not _Phase.COMPARING:
            return []
        self._enter(_Phase.OPEN, now_ms)
        self._ping_ms = now_ms + PING_MS
        self._adopt(event.lanes)
        split = any(
            view.live and (lane.overtaken or (waiting > SPLIT_BATCHES and len(event.lanes) < LANES_MAX))
            for lane in event.lanes
            for view in (self._views[lane.epoch],)
            # What a restored collector lacks is one hole, and no backlog; the lane has to stay to declare it.
            for waiting in (view.last - max(view.sent, lane.base_seq),)
        )
        return [SayPing(), *([OpenLane()] if split else [])]

    def _lanes_changed(self, event: LanesChanged, _now_ms: int) -> list[Effect]:
        if self._phase is _Phase.OPEN:
            self._adopt(event.lanes)
        return []

    def _adopt(self, lanes: Iterable[Lane]) -> None:
        old, self._views = self._views, {}
        for lane in lanes:
            view = old.get(lane.epoch)
            if view is None:
                view = _View(lane, self._start(lane))
            view.live, view.last, view.last_digest = lane.live, max(view.last, lane.last_seq), lane.last_digest
            self._views[lane.epoch] = view

    def _start(self, lane: Lane) -> int:
        """What need not be sent: the spool has already believed the cursors that it could prove."""
        cursor = self._cursors.get(lane.epoch)
        return min(cursor.acked_seq, lane.base_seq) if cursor else 0

    def _appended(self, event: Appended, _now_ms: int) -> list[Effect]:
        if (view := self._views.get(event.epoch)) is not None:
            view.last = max(view.last, event.seq)
        return []

    def _fetched(self, event: Fetched, _now_ms: int) -> list[Effect]:
        view = self._views.get(event.epoch)
        if view is None:
            return []
        view.fetching = False
        if not event.items:
            view.last = view.sent
            return []
        effects: list[Effect] = []
        for item in event.items:
            if isinstance(item, Batch):
                for layout_id in item.layouts:
                    if layout_id not in self._declared:
                        self._declared.add(layout_id)
                        effects.append(SayLayout(layout_id))
                effects.append(SayBatch(item, not view.live))
            else:
                effects.append(SayGap(item))
            view.sent = item.last_seq
            view.high = max(view.high, view.sent)
            view.inflight.append((item.last_seq, item.size_bytes))
            self._credit -= 0 if view.live else 1
        return effects

    def _acked(self, event: Acked, now_ms: int) -> list[Effect]:
        self._heard_ms = now_ms
        view = self._views.get(event.epoch)
        if view is None:
            return []
        # Only what this stream was given can be meant: what has the same number since may be something else.
        seq = min(event.seq, view.high)
        while view.inflight and view.inflight[0][0] <= seq:
            view.inflight.popleft()
        view.acked, view.sent = max(view.acked, seq), max(view.sent, seq)
        effects: list[Effect] = [Acknowledge(event.epoch, seq)]
        if not view.live and seq >= view.last:
            del self._views[event.epoch]
            effects.append(SayLaneEnd(event.epoch, view.last, view.last_digest))
        return effects

    def _nacked(self, event: Nacked, now_ms: int) -> list[Effect]:
        self._heard_ms = now_ms
        view = self._views.get(event.epoch)
        if view is not None and (event.retry_after_ms or now_ms >= view.held_until_ms):
            # Where a rolled-back lane meets its own future, the collector expects more than we ever sent: then all that
            # is not acknowledged goes again. Otherwise its number counts, also inside of what we believe to be a hole;
            # the chain of digests proves at the next batch that what is skipped is the same on both sides.
            wanted = event.expected_seq - 1
            view.rewind(wanted if wanted < view.sent else view.acked)
            view.held_until_ms = now_ms + event.retry_after_ms
        return []

    def _resynced(self, event: Resynced, now_ms: int) -> list[Effect]:
        self._heard_ms = now_ms
        if self._views.pop(event.epoch, None) is None:
            return []
        # Its remaining numbers come back as a hole that begins after the collector's last.
        self._cursors[event.epoch] = Cursor(event.epoch, event.acked_seq, b"")
        return [MoveLane(event.epoch, event.acked_seq)]

    def _ponged(self, _event: Ponged, now_ms: int) -> list[Effect]:
        self._heard_ms = now_ms
        return []

    # ── sending ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _pump(self, now_ms: int) -> list[Effect]:
        """Read on wherever there is something to send and room for it: live first, then the oldest."""
        if self._phase is not _Phase.OPEN:
            return []
        effects: list[Effect] = []
        limits = self._limits
        rate = limits.backfill_per_second
        self._credit = min(rate, self._credit + (now_ms - self._credit_ms) * rate / 1000)
        self._credit_ms = now_ms
        backfill = [view for view in self._views.values() if not view.live]
        room = min(limits.backfill_batches - sum(len(v.inflight) for v in backfill), int(self._credit))
        if sum(size for v in backfill for _, size in v.inflight) >= limits.window_bytes:
            room = 0
        for view in (v for v in self._views.values() if v.live):
            free = limits.window_batches - len(view.inflight)
            if free > 0 and view.has_more(now_ms) and sum(size for _, size in view.inflight) < limits.window_bytes:
                view.fetching = True
                effects.append(Fetch(view.epoch, view.sent + 1, free))
        for view in backfill:
            if room > 0 and view.has_more(now_ms):
                view.fetching = True
                share = min(room, view.last - view.sent)
                room -= share
                effects.append(Fetch(view.epoch, view.sent + 1, share))
        return effects


_HANDLERS: dict[type, Callable[..., list[Effect]]] = {
    Tick: Core._tick,
    Connected: Core._connected,
    Lost: Core._lost,
    Welcomed: Core._welcomed,
    Reconciled: Core._reconciled,
    LanesChanged: Core._lanes_changed,
    Appended: Core._appended,
    Fetched: Core._fetched,
    Acked: Core._acked,
    Nacked: Core._nacked,
    Resynced: Core._resynced,
    Ponged: Core._ponged,
    Fenced: Core._fenced,
    Refused: Core._refused,
    Stop: Core._stop,
}
