"""An agent as a process: real spool and protocol core in one thread, on a Unix socket instead of gRPC.

Its clock runs faster than the world's, so that it comes back sooner. Runs until it is killed, or until SIGTERM: then it
measures no more, delivers everything and ends.
"""

from __future__ import annotations

import contextlib
import logging
import os
import random
import select
import signal
import socket
import sys
import time
from array import array
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent import dialogue as say
from agent import identity, sampler, wire
from agent.protocol import PROTOCOL_VERSION, Core
from agent.sample import Moment
from agent.wire import Encoder
from protos.telemetry.v1 import telemetry_pb2 as pb
from tests.chaos.forked_collector import LENGTH
from tests.system.killing import source
from tests.system.killing.ledger import Notes, WatchedSpool

HASTE = 10
"""How many of the agent's milliseconds are in one of the world's."""
READ_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class Plan:
    """One agent; the same for each of its lives."""

    number: int
    folder: Path
    seed: int
    socket: Path
    beat_seconds: float = 0.004
    keep_ms: int = 7 * 24 * 3600 * 1000
    may_lose: frozenset[str] = frozenset()

    @property
    def spool_path(self) -> Path:
        """Where the spool is."""
        return self.folder / "spool.db"

    @property
    def notes_path(self) -> Path:
        """Where the ledger is."""
        return self.folder / "notes"


class Link:
    """Carries out what the core decides."""

    def __init__(self, plan: Plan, spool: WatchedSpool) -> None:
        found = identity.load(plan.folder / "state")
        assert found is not None
        self.spool = spool
        self.core = Core(random.Random(os.getpid()).random)
        self._plan, self._identity = plan, found
        self._socket: socket.socket | None = None
        self._unread = b""

    def run(self, seconds: float) -> None:
        """Listen for so long at most, tick when it is time to."""
        now_ms = _now_ms()
        if self.core.wake_ms(now_ms) <= now_ms:
            self.tell(say.Tick())
        wait = min(seconds, max(0.0, (self.core.wake_ms(_now_ms()) - _now_ms()) / 1000 / HASTE))
        if self._socket is None:
            time.sleep(wait)
        elif select.select((self._socket,), (), (), wait)[0]:
            self._read(self._socket)

    def tell(self, event: Any) -> None:
        """Let the core decide and do what it wants, until it wants nothing more."""
        todo: deque[Any] = deque((event,))
        while todo:
            for effect in self.core.step(todo.popleft(), _now_ms()):
                if (result := _ACTIONS[type(effect)](self, effect)) is not None:
                    todo.append(result)

    def _read(self, stream: socket.socket) -> None:
        try:
            found = stream.recv(READ_BYTES)
        except OSError:
            found = b""
        if not found:
            self._hang_up(None)
            self.tell(say.Lost())
            return
        self._unread += found
        while len(self._unread) >= LENGTH.size:
            end = LENGTH.size + LENGTH.unpack_from(self._unread)[0]
            if len(self._unread) < end:
                return
            raw, self._unread = self._unread[LENGTH.size : end], self._unread[end:]
            frame = pb.CollectorFrame.FromString(raw)
            self.tell(_HEARD[frame.WhichOneof("frame") or ""](frame))

    def _send(self, frame: pb.AgentFrame | bytes) -> None:
        raw = frame if isinstance(frame, bytes) else frame.SerializeToString()
        if self._socket is not None:
            with contextlib.suppress(OSError):  # Reading will tell.
                self._socket.sendall(LENGTH.pack(len(raw)) + raw)

    def _connect(self, _: say.Connect) -> Any:
        stream = socket.socket(socket.AF_UNIX)
        try:
            stream.connect(str(self._plan.socket))
        except OSError:
            stream.close()
            return say.Lost()
        self._socket, self._unread = stream, b""
        self._send(self._identity.certificate_pem)
        return say.Connected(self.spool.lanes())

    def _hang_up(self, _: say.Disconnect | None) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _say_hello(self, effect: say.SayHello) -> None:
        lanes = [
            pb.Lane(epoch=lane.epoch, first_seq=lane.base_seq + 1, last_seq=lane.last_seq, live=lane.live)
            for lane in effect.lanes
        ]
        agent_id, version = self._identity.agent_id, PROTOCOL_VERSION
        hello = pb.Hello(protocol_min=version, protocol_max=version, agent_id=agent_id, lanes=lanes)
        self._send(pb.AgentFrame(hello=hello))

    def _say_layout(self, effect: say.SayLayout) -> None:
        body = self.spool.layout(effect.layout_id)
        self._send(pb.AgentFrame(layout=pb.LayoutDeclaration(id=effect.layout_id, layout=body)))

    def _say_lane_end(self, effect: say.SayLaneEnd) -> None:
        end = pb.LaneEnd(epoch=effect.epoch, last_seq=effect.last_seq, digest=effect.digest)
        self._send(pb.AgentFrame(lane_end=end))

    def _open_lane(self, _: say.OpenLane) -> Any:
        self.spool.open_lane()
        return say.LanesChanged(self.spool.lanes())

    def _move_lane(self, effect: say.MoveLane) -> Any:
        raise AssertionError(f"lane {effect.epoch.hex()} is to move: the collector has something else there")


_ACTIONS: dict[type, Callable[[Link, Any], Any]] = {
    say.Connect: Link._connect,
    say.Disconnect: Link._hang_up,
    say.SayHello: Link._say_hello,
    say.SayLayout: Link._say_layout,
    say.SayBatch: lambda link, effect: link._send(wire.batch_frame(effect.batch, backfill=effect.backfill)),
    say.SayGap: lambda link, effect: link._send(wire.gap_frame(effect.hole)),
    say.SayLaneEnd: Link._say_lane_end,
    say.SayPing: lambda link, _: None,
    say.SayGoodbye: lambda link, _: None,
    say.Reconcile: lambda link, effect: say.Reconciled(link.spool.reconcile(effect.cursors)),
    say.OpenLane: Link._open_lane,
    say.MoveLane: Link._move_lane,
    say.Fetch: lambda link, effect: say.Fetched(
        effect.epoch, link.spool.fetch(effect.epoch, effect.from_seq, limit=effect.limit)
    ),
    say.Acknowledge: lambda link, effect: link.spool.acknowledge(effect.epoch, effect.seq),
}

_HEARD: dict[str, Callable[[pb.CollectorFrame], Any]] = {
    "welcome": lambda frame: wire.welcomed(frame.welcome),
    "ack": lambda frame: say.Acked(frame.ack.epoch, frame.ack.acked_seq),
    "nack": lambda frame: say.Nacked(frame.nack.epoch, frame.nack.expected_seq, frame.nack.retry_after_ms),
    "resync": lambda frame: say.Resynced(frame.resync.epoch, frame.resync.acked_seq),
    "fenced": lambda _: say.Fenced(),
    "refused": lambda frame: say.Refused(frame.refused.code, frame.refused.retry_after_ms),
}


def main(plan: Plan) -> None:
    """One life."""
    handle = os.open(plan.folder / "agent.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.dup2(handle, 2)
    logging.basicConfig(level="WARNING", stream=sys.stderr, format="%(asctime)s %(process)d %(message)s", force=True)
    stopping: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: stopping.append(number))
    spool = WatchedSpool.open(
        plan.spool_path,
        moment=sampler.now(),
        boot_id="boot",
        new_epoch=lambda: os.urandom(16),
        keep_ms=plan.keep_ms,
    )
    assert isinstance(spool, WatchedSpool)
    spool.watch(Notes(plan.notes_path))
    link, encoder, series = Link(plan, spool), Encoder(), source.columns(plan.number)
    due, wall_ms = time.monotonic(), 0
    while not stopping:
        if time.monotonic() >= due:
            due = time.monotonic() + plan.beat_seconds
            now = sampler.now()
            wall_ms = max(wall_ms + 1, now.wall_ms)
            moment = Moment(wall_ms, now.boottime_ns)
            beat = source.Beat(moment, series, array("d", source.values(plan.seed, plan.number, wall_ms)))
            spool.append(encoder.encode(beat), moment, layouts=encoder.layouts)
            link.tell(say.Appended(*spool.newest()))
        link.run(max(0.0, due - time.monotonic()))
    while spool.waiting():
        link.run(1.0)
    link.tell(say.Stop())
    spool.close()


def _now_ms() -> int:
    return time.monotonic_ns() * HASTE // 1_000_000
