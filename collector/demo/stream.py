"""A simulated host's stream to the collector: the agents' delivery protocol over mutual TLS, in memory.

Numbered, digested batches in lanes, a bounded window, resending on a nack and after a lost connection. Unlike an agent
it has no spool: what is not acknowledged when the program ends is lost. Does not know what is in a payload.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import zlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import grpc
import grpc.aio

from collector import chain, protocol
from collector.demo.identity import VERSION, Identity
from collector.domain.errors import CollectorError
from collector.domain.series import Layout
from collector.store.series.layouts import encode, identify
from protos.telemetry.v1 import telemetry_pb2 as pb

LOG = logging.getLogger(__name__)

METHOD = "/sigap.telemetry.v1.Telemetry/Deliver"
COMPRESS_FROM_BYTES = 4096
ZLIB = 1
FAST = 1
RETRY_SECONDS = 2.0
WELCOME_SECONDS = 15.0
GOODBYE_SECONDS = 3.0
LAYOUT_BITS = (1 << 64) - 1


class DeliveryError(CollectorError):
    """The collector will not take what a simulated host sends."""


class Content(NamedTuple):
    """What one batch carries; `wall_ms` is the time of its newest part by the host's clock."""

    payload: pb.Payload
    wall_ms: int


@dataclass(slots=True)
class Lane:
    """An ordered sequence of batches."""

    backfill: bool
    epoch: bytes = field(default_factory=lambda: secrets.token_bytes(chain.EPOCH_BYTES))
    seq: int = 0
    digest: bytes = chain.GENESIS
    window: int = 1  # how many may wait, as the collector says
    waiting: OrderedDict[int, bytes] = field(default_factory=OrderedDict)  # number → frame, not acknowledged yet


class Stream:
    """One host's connection. `connect`, then `send` on `live` or `history`; `close` says goodbye."""

    def __init__(self, identity: Identity, address: str, *, clock: Callable[[], int], boot_id: str) -> None:
        """`clock` is the host's own, which may be wrong."""
        self.identity = identity
        self.live, self.history = Lane(backfill=False), Lane(backfill=True)
        self._address, self._clock, self._boot_id = address, clock, boot_id
        self._layouts: dict[int, bytes] = {}
        self._channel: Any = None
        self._call: Any = None
        self._reader: asyncio.Task[None] | None = None
        self._progress = asyncio.Condition()
        self._writing = asyncio.Lock()
        self._failure: CollectorError | None = None
        self.is_connected = False

    # ── the connection ──────────────────────────────────────────────────────────────────────────────────────────────

    async def connect(self) -> None:
        """Open the stream, greet, and send again what was not acknowledged.

        Raises:
            DeliveryError: Refused, or not answered.
        """
        await self._leave()
        self._channel = grpc.aio.secure_channel(self._address, self.identity.credentials())
        self._call = self._channel.stream_stream(METHOD)()
        try:
            async with asyncio.timeout(WELCOME_SECONDS):
                await self._call.write(pb.AgentFrame(hello=self._hello()).SerializeToString())
                welcome = await self._next()
        except (grpc.RpcError, TimeoutError, OSError) as error:
            await self._leave()
            raise DeliveryError(
                f"{self.identity.host_name} cannot deliver to {self._address}.",
                hint=f"Is the collector running there? ({type(error).__name__})",
            ) from error
        if welcome is None or welcome.WhichOneof("frame") != "welcome":
            raise DeliveryError(f"{self.identity.host_name} was not welcomed: {_words(welcome)}")
        limits = welcome.welcome.limits
        self.live.window, self.history.window = limits.window_batches, limits.backfill_window_batches
        self._acknowledge({cursor.epoch: cursor.acked_seq for cursor in welcome.welcome.cursors})
        for layout_id, body in self._layouts.items():
            await self._call.write(_layout_frame(layout_id, body))
        for lane in (self.history, self.live):
            for frame in list(lane.waiting.values()):
                await self._call.write(frame)
        self.is_connected, self._failure = True, None
        self._reader = asyncio.create_task(self._read(), name=f"demo {self.identity.host_name}")

    async def close(self) -> None:
        """Say goodbye and hang up."""
        if self._reader is not None and self.is_connected:
            with contextlib.suppress(grpc.RpcError, asyncio.InvalidStateError, TimeoutError):
                async with asyncio.timeout(GOODBYE_SECONDS):
                    stop = pb.Goodbye(reason=pb.Goodbye.Reason.STOP)
                    await self._call.write(pb.AgentFrame(goodbye=stop).SerializeToString())
                    await self._call.done_writing()
                    # The collector ends the stream once it has heard.
                    await asyncio.shield(self._reader)
        await self._leave()

    async def _leave(self) -> None:
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.gather(self._reader, return_exceptions=True)
        if self._call is not None:
            self._call.cancel()
        if self._channel is not None:
            await self._channel.close()
        self._reader = self._call = self._channel = None
        self.is_connected = False

    def _hello(self) -> pb.Hello:
        lanes = [
            pb.Lane(epoch=lane.epoch, first_seq=1, last_seq=lane.seq, live=not lane.backfill)
            for lane in (self.history, self.live)
        ]
        return pb.Hello(
            protocol_min=protocol.PROTOCOL_VERSION,
            protocol_max=protocol.PROTOCOL_VERSION,
            agent_id=self.identity.agent_id,
            agent_version=VERSION,
            host_name=self.identity.host_name,
            boot_id=self._boot_id,
            clean_shutdown=True,
            accepts_checks=True,
            lanes=lanes,
            clock=pb.Clock(wall_ms=self._clock(), ntp_state="synchronised"),
        )

    # ── sending ─────────────────────────────────────────────────────────────────────────────────────────────────────

    async def declare(self, layout: Layout) -> int:
        """Tell the collector a layout once; returns its id as rows name it."""
        body = encode(layout)
        layout_id = identify(body) & LAYOUT_BITS
        if layout_id not in self._layouts:
            self._layouts[layout_id] = body
            await self._write(_layout_frame(layout_id, body))
        return layout_id

    async def send(self, lane: Lane, content: Content) -> None:
        """Number, digest and send one batch; waits while too many are not acknowledged.

        Raises:
            DeliveryError: The collector refused this host.
        """
        async with self._progress:
            await self._progress.wait_for(lambda: len(lane.waiting) < lane.window or self._failure is not None)
        self._check()
        frame = self._frame(lane, content)
        lane.waiting[lane.seq] = frame
        await self._write(frame)

    async def drain(self, lane: Lane) -> None:
        """Wait until everything in a lane is acknowledged."""
        async with self._progress:
            await self._progress.wait_for(lambda: self._failure is not None or not lane.waiting)
        self._check()

    async def end(self, lane: Lane) -> None:
        """Say that a lane is complete."""
        if lane.seq:
            end = pb.LaneEnd(epoch=lane.epoch, last_seq=lane.seq, digest=lane.digest)
            await self._write(pb.AgentFrame(lane_end=end).SerializeToString())

    def _frame(self, lane: Lane, content: Content) -> bytes:
        raw = content.payload.SerializeToString()
        lane.seq += 1
        previous, lane.digest = (
            lane.digest,
            chain.digest(
                lane.epoch, lane.seq, lane.digest, times=(content.wall_ms, 0), boot_id=self._boot_id, payload=raw
            ),
        )
        codec, body = (ZLIB, zlib.compress(raw, FAST)) if len(raw) >= COMPRESS_FROM_BYTES else (0, raw)
        batch = pb.Batch(
            epoch=lane.epoch,
            seq=lane.seq,
            wall_ms=content.wall_ms,
            boot_id=self._boot_id,
            codec=codec,
            raw_length=len(raw),
            payload=body,
            digest=lane.digest,
            previous_digest=previous,
            backfill=lane.backfill,
        )
        return pb.AgentFrame(batch=batch).SerializeToString()

    async def _write(self, frame: bytes) -> None:
        async with self._writing:
            try:
                if self._call is not None:
                    await self._call.write(frame)
            except (grpc.RpcError, asyncio.InvalidStateError) as error:
                # What waits is sent again by the next connection.
                LOG.debug("demo write lost host=%s error=%s", self.identity.host_name, error)

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure

    # ── listening ───────────────────────────────────────────────────────────────────────────────────────────────────

    async def _next(self) -> pb.CollectorFrame | None:
        raw = await self._call.read()
        return pb.CollectorFrame.FromString(raw) if isinstance(raw, bytes) else None

    async def _read(self) -> None:
        try:
            while (frame := await self._next()) is not None:
                match frame.WhichOneof("frame"):
                    case "ack":
                        self._acknowledge({frame.ack.epoch: frame.ack.acked_seq})
                    case "nack":
                        await self._repeat(frame.nack)
                    case "refused" | "fenced" | "resync":
                        words = f"{self.identity.host_name} was turned away: {_words(frame)}"
                        self._failure = DeliveryError(words)
                async with self._progress:
                    self._progress.notify_all()
        except grpc.aio.AioRpcError as error:
            LOG.info("demo stream ended host=%s status=%s", self.identity.host_name, error.code().name)
        self._failure = self._failure or DeliveryError(f"{self.identity.host_name} lost its connection.")
        self.is_connected = False
        async with self._progress:
            self._progress.notify_all()

    def _acknowledge(self, cursors: dict[bytes, int]) -> None:
        for lane in (self.history, self.live):
            acked = cursors.get(lane.epoch, 0)
            while lane.waiting and next(iter(lane.waiting)) <= acked:
                lane.waiting.popitem(last=False)

    async def _repeat(self, nack: pb.Nack) -> None:
        await asyncio.sleep(nack.retry_after_ms / 1000)
        for lane in (self.history, self.live):
            if lane.epoch == nack.epoch:
                for frame in [frame for seq, frame in lane.waiting.items() if seq >= nack.expected_seq]:
                    await self._write(frame)


def _layout_frame(layout_id: int, body: bytes) -> bytes:
    return pb.AgentFrame(layout=pb.LayoutDeclaration(id=layout_id, layout=body)).SerializeToString()


def _words(frame: pb.CollectorFrame | None) -> str:
    if frame is None:
        return "the stream ended"
    name = frame.WhichOneof("frame")
    return str({"refused": frame.refused.message, "resync": frame.resync.reason}.get(str(name), name))
