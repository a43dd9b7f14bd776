"""One long stream to the collector: carries out what `protocol` decides, in a thread of its own.

Mutual TLS is the only mode and no proxy from the environment is ever used. The thread sleeps until the collector says
something, the spool has something or `protocol` wants to be asked. Decides nothing about delivery and keeps nothing:
what is not acknowledged is in the spool.
"""

from __future__ import annotations

import logging
import os
import random
import select
import threading
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from google.protobuf.message import DecodeError

from agent import call, wire
from agent import dialogue as say
from agent.clock import Offset
from agent.connection import Connection, ConnectionLost, mutual
from agent.identity import Identity
from agent.probes.definition import Central
from agent.protocol import PROTOCOL_VERSION, Core
from agent.sample import Kind, Moment, Sample, Series
from agent.spool import Spool
from agent.spool_file import SpoolBroken
from protos.telemetry.v1 import telemetry_lean as pb

LOG = logging.getLogger(__name__)

DELIVER = "/sigap.telemetry.v1.Telemetry/Deliver"
FRAME_BYTES_MAX = 1024 * 1024
CONNECT_SECONDS = 10.0
NANOSECONDS_PER_MS = 1_000_000
DRAIN_POLL_SECONDS = 0.05
GOODBYE_SECONDS = 1.0
JOIN_SECONDS = 3.0

_CONNECTED = Series("sigap_agent_connected", (), Kind.GAUGE, "", "Whether the collector takes our batches.")
_SKEW = Series("sigap_agent_clock_skew_seconds", (), Kind.GAUGE, "seconds", "This host's clock minus the collector's.")
_ROUND_TRIP = Series("sigap_agent_round_trip_seconds", (), Kind.GAUGE, "seconds", "Best round trip to the collector.")
_CONNECTS = Series("sigap_agent_connects_total", (), Kind.COUNTER, "", "Streams opened to the collector.")
_FAILURES = Series(
    "sigap_agent_delivery_failures_total", (), Kind.COUNTER, "", "Errors after which delivery began anew."
)
_SENT = Series("sigap_agent_sent_batches_total", (), Kind.COUNTER, "", "Batches sent, repetitions included.")


class About(NamedTuple):
    """What the agent says of itself when it connects."""

    version: str
    host_name: str
    boot_id: str
    accepts_checks: bool = False
    ntp_state: str = ""


class Uplink:
    """Delivery with one identity. `start`, `wake`, `stop` and `samples` may be called from any thread."""

    def __init__(
        self,
        identity: Identity,
        spool: Spool,
        *,
        about: About,
        now: Callable[[], Moment],
        rng: random.Random,
        receive: Callable[[Sequence[Central]], None] = lambda _: None,
        on_broken: Callable[[str], None] = lambda _: None,
        address: str = "",
    ) -> None:
        self._identity, self._spool, self._about, self._now = identity, spool, about, now
        self._receive, self._on_broken = receive, on_broken
        self._address = address or identity.address
        self._core = Core(rng.random)
        self._offset = Offset()
        self._orders: deque[Any] = deque()  # from other threads; None: the spool has something new
        self._heard: deque[Any] = deque()  # from the collector
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)  # rung when there is an order
        self._bell_lock = threading.Lock()  # once the bell is gone its number may be another file's
        self._stream: Connection | None = None
        self._ended = threading.Event()
        self._trouble = self._failure = ""  # what was said last
        self._connects = self._sent = self._failures = 0
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="uplink", daemon=True)

    def start(self) -> None:
        """Begin to deliver."""
        self._thread.start()

    def wake(self) -> None:
        """There is something new in the spool."""
        self._order(None)

    def stop(self, timeout_seconds: float) -> None:
        """Deliver what can be delivered in that time, say goodbye, end."""
        deadline = self._now().boottime_ns + int(timeout_seconds * 1e9)
        while self._spool.waiting() and self._core.is_open and self._now().boottime_ns < deadline:
            if self._ended.wait(DRAIN_POLL_SECONDS):
                break
        self._order(say.Stop())
        if self._thread.ident is None:
            self._put_bell_away()
        else:
            self._thread.join(JOIN_SECONDS)

    @property
    def is_open(self) -> bool:
        """Whether the collector takes our batches."""
        return self._core.is_open

    def samples(self) -> Sequence[Sample]:
        """What delivery knows of itself; the clock's skew only once it was measured."""
        found = [
            Sample(_CONNECTED, float(self._core.is_open)),
            Sample(_CONNECTS, float(self._connects)),
            Sample(_FAILURES, float(self._failures)),
            Sample(_SENT, float(self._sent)),
        ]
        if (best := self._offset.best()) is not None:
            found += [Sample(_SKEW, best.offset_ms / 1000), Sample(_ROUND_TRIP, best.round_trip_ms / 1000)]
        return found

    def _order(self, event: Any) -> None:
        self._orders.append(event)
        with self._bell_lock:
            if self._bell >= 0:
                os.eventfd_write(self._bell, 1)

    def _put_bell_away(self) -> None:
        with self._bell_lock:
            os.close(self._bell)
            self._bell = -1

    # ── the thread ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _run(self) -> None:
        why = "delivery ended"
        try:
            while not self._stopping:
                try:
                    self._deliver()
                except SpoolBroken as error:
                    why = str(error)
                    return
                except Exception as error:
                    self._start_over(error)
        finally:
            if not self._stopping:
                self._on_broken(why)
            self._close_stream()
            self._put_bell_away()
            self._ended.set()

    def _deliver(self) -> None:
        while not self._stopping:
            event = self._next()
            self._stopping = isinstance(event, say.Stop)
            self._perform(event)

    def _start_over(self, error: Exception) -> None:
        """Nobody foresaw this. Measuring goes on and what is not acknowledged is in the spool: deliver from there."""
        self._failures += 1
        self._close_stream()
        self._core.start_over(self._now_ms())
        at = traceback.extract_tb(error.__traceback__)[-1]
        words = call.harmless(f"{type(error).__name__}: {error}")
        if words != self._failure:
            self._failure = words
            LOG.critical("uplink failed reason=%r in=%s line=%s; batches are kept", words, at.name, at.lineno)

    def _next(self) -> Any:
        """What happened next, or a tick when it is time for one."""
        while True:
            if self._heard:
                return self._heard.popleft()
            if self._orders:
                event = self._orders.popleft()
                return event if event is not None else say.Appended(*self._spool.newest())
            now_ms = self._now_ms()
            wait_ms = self._core.wake_ms(now_ms) - now_ms
            if wait_ms <= 0 or not self._wait(wait_ms):
                return say.Tick()

    def _wait(self, wait_ms: int) -> bool:
        """Sleep until something happens; whether it did. What was heard is in `_heard` then."""
        stream, waiting = self._stream, select.poll()
        waiting.register(self._bell, select.POLLIN)
        if stream is not None:
            waiting.register(stream.fileno(), stream.awaits)
        ready = waiting.poll(wait_ms)
        for descriptor, _ in ready:
            if descriptor == self._bell:
                os.eventfd_read(self._bell)
            elif stream is not None:
                self._listen(stream)
        return bool(ready)

    def _perform(self, event: Any) -> None:
        """Let the core decide and carry out what it wants, until it wants nothing more."""
        todo: deque[Any] = deque((event,))
        while todo:
            for effect in self._core.step(todo.popleft(), self._now_ms()):
                result = _ACTIONS[type(effect)](self, effect)
                if result is not None:
                    todo.append(result)

    def _connect(self, _effect: say.Connect) -> Any:
        self._connects += 1
        try:
            trust = mutual(self._identity.authority_pem, self._identity.key_pem, self._identity.certificate_pem)
            self._stream = Connection(
                self._address, trust, DELIVER, timeout_seconds=CONNECT_SECONDS, message_bytes_max=FRAME_BYTES_MAX
            )
            self._stream.stream()
        except (ConnectionLost, ValueError, OSError) as error:
            self._note_trouble(str(error))
            self._close_stream()
            return say.Lost()
        return say.Connected(self._spool.lanes())

    def _disconnect(self, _effect: say.Disconnect) -> None:
        self._close_stream()

    def _close_stream(self) -> None:
        stream, self._stream = self._stream, None
        self._heard.clear()
        if stream is not None:
            if self._core.stopped:
                stream.finish(GOODBYE_SECONDS)
            stream.close()

    def _send(self, frame: pb.AgentFrame | bytes) -> None:
        if self._stream is not None:
            try:
                self._stream.say(frame if isinstance(frame, bytes) else frame.SerializeToString())
            except ConnectionLost as error:
                self._lose(str(error))

    def _say_hello(self, effect: say.SayHello) -> None:
        about, moment = self._about, self._now()
        hello = pb.Hello(
            protocol_min=PROTOCOL_VERSION,
            protocol_max=PROTOCOL_VERSION,
            agent_id=self._identity.agent_id,
            agent_version=about.version,
            host_name=about.host_name,
            boot_id=about.boot_id,
            clean_shutdown=self._spool.clean_start,
            lanes=map(wire.lane, effect.lanes),
            clock=pb.Clock(wall_ms=moment.wall_ms, boottime_ns=moment.boottime_ns, ntp_state=about.ntp_state),
            accepts_checks=about.accepts_checks,
            spool_bytes=self._spool.used_bytes(),
            spool_limit_bytes=self._spool.limit_bytes,
            drained=map(wire.drained, self._spool.drained(moment.wall_ms)),
        )
        self._send(pb.AgentFrame(hello=hello))

    def _say_layout(self, effect: say.SayLayout) -> None:
        body = self._spool.layout(effect.layout_id)
        self._send(pb.AgentFrame(layout=pb.LayoutDeclaration(id=effect.layout_id, layout=body)))

    def _say_batch(self, effect: say.SayBatch) -> None:
        self._sent += 1
        self._send(wire.batch_frame(effect.batch, backfill=effect.backfill))

    def _say_gap(self, effect: say.SayGap) -> None:
        self._send(wire.gap_frame(effect.hole))

    def _say_lane_end(self, effect: say.SayLaneEnd) -> None:
        end = pb.LaneEnd(epoch=effect.epoch, last_seq=effect.last_seq, digest=effect.digest)
        self._send(pb.AgentFrame(lane_end=end))

    def _say_ping(self, _effect: say.SayPing) -> None:
        moment = self._now()
        self._send(pb.AgentFrame(ping=pb.Ping(wall_ms=moment.wall_ms, boottime_ns=moment.boottime_ns)))

    def _say_goodbye(self, _effect: say.SayGoodbye) -> None:
        self._send(pb.AgentFrame(goodbye=pb.Goodbye(reason=pb.Goodbye.STOP)))

    def _reconcile(self, effect: say.Reconcile) -> Any:
        return say.Reconciled(self._spool.reconcile(effect.cursors))

    def _open_lane(self, _effect: say.OpenLane) -> Any:
        self._spool.open_lane()
        return say.LanesChanged(self._spool.lanes())

    def _move_lane(self, effect: say.MoveLane) -> Any:
        LOG.error("lane moved epoch=%s: another batch has its number; was this host rolled back?", effect.epoch.hex())
        self._spool.move(effect.epoch, effect.acked_seq)
        return say.LanesChanged(self._spool.lanes())

    def _fetch(self, effect: say.Fetch) -> Any:
        return say.Fetched(effect.epoch, self._spool.fetch(effect.epoch, effect.from_seq, limit=effect.limit))

    def _acknowledge(self, effect: say.Acknowledge) -> None:
        self._spool.acknowledge(effect.epoch, effect.seq)
        self._failure = ""

    def _now_ms(self) -> int:
        return self._now().boottime_ns // NANOSECONDS_PER_MS

    # ── hearing ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _listen(self, stream: Connection) -> None:
        try:
            for raw in stream.receive():
                frame = pb.CollectorFrame.FromString(raw)
                kind = frame.WhichOneof("frame")
                if kind in _HEARD and (event := _HEARD[kind](self, frame)) is not None:
                    self._heard.append(event)
        except (ConnectionLost, DecodeError) as error:
            self._lose(str(error))
        else:
            if (status := stream.status) is not None:
                self._lose(f"{status.name}: {status.words}", refused=status.code == call.UNAUTHENTICATED)

    def _lose(self, words: str, *, refused: bool = False) -> None:
        """What was heard before still counts; `protocol` learns that there is nothing more."""
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()
            self._note_trouble(words)
            self._heard.append(say.Lost(refused))

    def _note_trouble(self, words: str) -> None:
        """Say once why there is no stream; the same reason is not repeated until it worked again."""
        if words != self._trouble:
            self._trouble = words
            LOG.warning("uplink lost collector=%s reason=%r; batches are kept", self._address, words)

    def _heard_welcome(self, frame: pb.CollectorFrame) -> Any:
        welcome = frame.welcome
        self._trouble = ""
        LOG.info("uplink open collector=%s session=%d", self._address, welcome.session)
        return wire.welcomed(welcome)

    def _heard_pong(self, frame: pb.CollectorFrame) -> Any:
        pong, moment = frame.pong, self._now()
        self._offset.note(
            sent=Moment(pong.ping_wall_ms, pong.ping_boottime_ns),
            received=moment,
            collector_wall_ms=pong.collector_wall_ms,
        )
        return say.Ponged()

    def _heard_checks(self, frame: pb.CollectorFrame) -> Any:
        if self._about.accepts_checks:
            self._receive([Central(c.id, c.kind, c.name, c.options) for c in frame.checks.checks])
        return say.Ponged()

    def _heard_refused(self, frame: pb.CollectorFrame) -> Any:
        refused = frame.refused
        code, words = call.harmless(refused.code), call.harmless(refused.message)
        LOG.error("collector refuses code=%s reason=%r; batches are kept", code, words)
        self._trouble = f"refused: {code}"
        return say.Refused(code, wire.pause_ms(refused.retry_after_ms))

    def _heard_fenced(self, _frame: pb.CollectorFrame) -> Any:
        LOG.error("uplink fenced: another agent uses this identity; enrol a cloned host anew")
        return say.Fenced()


_HEARD: dict[str, Callable[[Uplink, pb.CollectorFrame], Any]] = {
    "welcome": Uplink._heard_welcome,
    "ack": lambda _, frame: say.Acked(frame.ack.epoch, frame.ack.acked_seq),
    "nack": lambda _, frame: say.Nacked(
        frame.nack.epoch, frame.nack.expected_seq, wire.pause_ms(frame.nack.retry_after_ms)
    ),
    "resync": lambda _, frame: say.Resynced(frame.resync.epoch, frame.resync.acked_seq),
    "pong": Uplink._heard_pong,
    "checks": Uplink._heard_checks,
    "fenced": Uplink._heard_fenced,
    "refused": Uplink._heard_refused,
}

_ACTIONS: dict[type, Callable[[Uplink, Any], Any]] = {
    say.Connect: Uplink._connect,
    say.Disconnect: Uplink._disconnect,
    say.SayHello: Uplink._say_hello,
    say.SayLayout: Uplink._say_layout,
    say.SayBatch: Uplink._say_batch,
    say.SayGap: Uplink._say_gap,
    say.SayLaneEnd: Uplink._say_lane_end,
    say.SayPing: Uplink._say_ping,
    say.SayGoodbye: Uplink._say_goodbye,
    say.Reconcile: Uplink._reconcile,
    say.OpenLane: Uplink._open_lane,
    say.MoveLane: Uplink._move_lane,
    say.Fetch: Uplink._fetch,
    say.Acknowledge: Uplink._acknowledge,
}
