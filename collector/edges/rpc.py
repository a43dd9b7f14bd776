"""The agents' port: mutual TLS, one long stream per agent, gRPC health.

Frames in, flow, frames out. Identity comes from the certificate that gRPC verified; what is allowed is decided by
`flows.ingest` in every transaction. Each way of being turned away has one code, told in a last frame and in the status.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from time import monotonic
from typing import Any

import grpc
import grpc.aio
from google.protobuf.message import DecodeError
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from collector import protocol
from collector.domain import trust
from collector.domain.errors import CollectorError, Forbidden, StoreError, Unauthenticated
from collector.domain.message import Message
from collector.domain.pace import Bucket, Pace
from collector.edges import grpc_errors, wire
from collector.edges.connections import Limits, bind, for_agents
from collector.edges.identity import Peer, identify, server_credentials
from collector.edges.wire import CentralCheck
from collector.flows.authority import Authority
from collector.flows.ingest import Ingest
from collector.flows.session import Session
from collector.protocol import Refuse, Reply
from protos.telemetry.v1 import telemetry_pb2 as pb

LOG = logging.getLogger(__name__)

SERVICE = "sigap.telemetry.v1.Telemetry"
FRAME_BYTES_MAX = 1024 * 1024
SLACK_BYTES = 64 * 1024
"""gRPC turns away what is larger than a frame by this much; up to there we can say what is wrong."""
SWEEP_SECONDS = 2.0
HELLO_SECONDS = 10.0
WINDOW_BATCHES, WINDOW_BYTES, BACKFILL_WINDOW = 8, 1024 * 1024, 32
BACKFILL_PER_SECOND = 200.0

OPTIONS = (
    ("grpc.max_receive_message_length", FRAME_BYTES_MAX + SLACK_BYTES),
    # C-core compares the limit above with the compressed size and then inflates without one: so no inflating.
    ("grpc.per_message_decompression", 0),
    ("grpc.max_metadata_size", 8 * 1024),
    ("grpc.max_concurrent_streams", 4),
    ("grpc.http2.bdp_probe", 0),  # a ping for every batch wakes every agent once more
    ("grpc.keepalive_time_ms", 120_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 30_000),
    ("grpc.http2.max_ping_strikes", 2),
    ("grpc.max_connection_age_ms", 6 * 3600 * 1000),  # gRPC itself adds 10 % of jitter
    ("grpc.max_connection_age_grace_ms", 60_000),
    ("grpc.so_reuseport", 0),
)

PACES = {False: Pace(rate=20, burst=100), True: Pace(rate=BACKFILL_PER_SECOND, burst=400)}
"""Batches of one agent, live and backfill: more than it ever measures, and as fast as it was told to catch up."""

UNREAD_FRAMES = 64
"""Frames that an agent has not taken yet before nothing more is read from it."""
UNREAD_SECONDS = 60.0
"""How long an agent may take nothing before its stream is ended."""

UNAVAILABLE, UNREAD = "unavailable", "unread"
STATUS: dict[str, grpc.StatusCode] = {
    **{refusal.value: grpc.StatusCode.UNAUTHENTICATED for refusal in trust.Refusal},
    "agent_mismatch": grpc.StatusCode.UNAUTHENTICATED,
    "fenced": grpc.StatusCode.ABORTED,
    "protocol_version": grpc.StatusCode.FAILED_PRECONDITION,
    "malformed": grpc.StatusCode.INVALID_ARGUMENT,
    "too_large": grpc.StatusCode.INVALID_ARGUMENT,
    "too_many_lanes": grpc.StatusCode.RESOURCE_EXHAUSTED,
    UNAVAILABLE: grpc.StatusCode.UNAVAILABLE,
    UNREAD: grpc.StatusCode.DEADLINE_EXCEEDED,
}
"""Every code of a refusal, with its gRPC status."""

RETRY_LONG_MS = 15 * 60 * 1000
RETRY_SHORT_MS = 5000

Checks = Callable[[int], Awaitable[Sequence[CentralCheck]]]
"""The checks that were defined here for the agent of a host."""


class Telemetry:
    """The service that agents deliver to."""

    def __init__(self, ingest: Ingest, *, checks: Checks | None = None, unread_seconds: float = UNREAD_SECONDS) -> None:
        self._ingest, self._checks, self._unread_seconds = ingest, checks, unread_seconds
        self._streams: set[_Stream] = set()
        self._buckets: dict[tuple[str, bool], Bucket] = {}  # by agent, so that a new stream is no new allowance
        self._sweeper: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to look for agents that were revoked while they were idle."""
        self._sweeper = asyncio.create_task(self._sweep(), name="rpc-sweep")

    async def stop(self) -> None:
        """Stop looking."""
        if self._sweeper is not None:
            self._sweeper.cancel()
            await asyncio.gather(self._sweeper, return_exceptions=True)

    async def refresh_checks(self, host_id: int) -> None:
        """Tell the agents of a host which checks they are to run from now on."""
        for stream in list(self._streams):
            if stream.session is not None and stream.session.host_id == host_id:
                await stream.offer_checks()

    async def deliver(self, requests: AsyncIterator[bytes], context: Any) -> None:
        """The stream of one agent, from its hello to its end."""
        try:
            peer = identify(context.auth_context())
        except Unauthenticated as error:
            self._ingest.metrics.agent_refused.labels(trust.Refusal.NO_IDENTITY.value).inc()
            await grpc_errors.refuse(context, error)
        if (refusal := await self.serve(peer, requests, context)) is not None:
            await context.abort(STATUS[refusal.code], refusal.message)

    async def serve(self, peer: Peer, requests: AsyncIterator[bytes], context: Any) -> Refuse | None:
        """The stream of a known peer; returns why it was turned away, None when it left by itself."""
        stream = _Stream(
            self._ingest,
            peer,
            context,
            self._checks,
            buckets=self._buckets,
            unread_seconds=self._unread_seconds,
        )
        self._streams.add(stream)
        try:
            return await stream.run(requests)
        finally:
            self._streams.discard(stream)

    def handler(self) -> Any:
        """The service for a gRPC server; frames stay bytes until they are looked at."""
        method = grpc.stream_stream_rpc_method_handler(self.deliver)
        return grpc.method_handlers_generic_handler(SERVICE, {"Deliver": method})

    async def _sweep(self) -> None:
        failing = False
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            try:
                await self._ingest.sweep()
                failing = False
            except CollectorError as error:
                if not failing:
                    LOG.error("rpc sweep failed error=%s", error.message)
                failing = True


class _Refused(Exception):
    def __init__(self, code: str, message: str, *, retry_after_ms: int = 0) -> None:
        super().__init__(message)
        self.refusal = Refuse(code, message, retry_after_ms)


class _Stream:
    """One call: reads frames, hands events to ingest, writes what it is told to."""

    def __init__(
        self,
        ingest: Ingest,
        peer: Peer,
        context: Any,
        checks: Checks | None,
        *,
        buckets: dict[tuple[str, bool], Bucket],
        unread_seconds: float,
    ) -> None:
        self.session: Session | None = None
        self._ingest, self._peer, self._context, self._checks = ingest, peer, context, checks
        self._outbox: asyncio.Queue[bytes | Refuse] = asyncio.Queue()
        self._buckets, self._unread_seconds = buckets, unread_seconds
        self._room = asyncio.Event()
        self._room.set()
        self._goodbye = ""
        self._accepts_checks = False
        self._checks_version = 0

    async def run(self, requests: AsyncIterator[bytes]) -> Refuse | None:
        """Serve the stream; returns why the agent was turned away, None when it left by itself."""
        reading = asyncio.create_task(self._read(requests))
        writing = asyncio.create_task(self._write())
        try:
            await asyncio.wait((reading, writing), return_when=asyncio.FIRST_COMPLETED)
            if reading.done() and (refusal := reading.result()) is not None:
                self._say(refusal)
                return await writing
            return writing.result() if writing.done() else None
        finally:
            for task in (reading, writing):
                task.cancel()
            # First and without waiting: gRPC may cancel this call at any await, also at one in here.
            try:
                if self.session is not None:
                    with contextlib.suppress(StoreError):
                        await self._ingest.close(self.session, goodbye=self._goodbye)
            finally:
                await asyncio.gather(reading, writing, return_exceptions=True)

    async def offer_checks(self) -> None:
        """Send the checks defined here, if this agent takes any."""
        if self._checks is not None and self.session is not None and self._accepts_checks:
            self._checks_version += 1
            checks = await self._checks(self.session.host_id)
            self._say(wire.checks_frame(checks, version=self._checks_version))

    async def _read(self, requests: AsyncIterator[bytes]) -> Refuse | None:
        try:
            async with asyncio.timeout(HELLO_SECONDS):
                first = await anext(requests, None)
            if first is None:
                return None
            session = self.session = await self._greet(first)
            await self.offer_checks()
            async for raw in requests:
                if not self._room.is_set():
                    await self._room.wait()
                frame = _parsed(raw)
                await _TAKE[frame.WhichOneof("frame")](self, session, frame)
        except _Refused as error:
            self._ingest.metrics.agent_refused.labels(error.refusal.code).inc()
            if error.refusal.code != UNAVAILABLE:  # Then it is our trouble, which ingest has told, once.
                LOG.warning("agent refused agent=%s code=%s", self._peer.agent_id, error.refusal.code)
            return error.refusal
        except TimeoutError:
            return Refuse("malformed", f"No hello within {HELLO_SECONDS:.0f} s.")
        except StoreError:
            return Refuse(UNAVAILABLE, grpc_errors.UNAVAILABLE_WORDS, RETRY_SHORT_MS)
        return None

    async def _greet(self, raw: bytes) -> Session:
        frame = _parsed(raw)
        if frame.WhichOneof("frame") != "hello":
            raise _Refused("malformed", "The first frame must be a hello.")
        hello, now_ms = frame.hello, self._ingest.clock()
        if not hello.protocol_min <= protocol.PROTOCOL_VERSION <= hello.protocol_max:
            own, theirs = protocol.PROTOCOL_VERSION, f"{hello.protocol_min} to {hello.protocol_max}"
            words = f"The collector speaks protocol {own}, the agent {theirs}. Update the older of the two."
            raise _Refused("protocol_version", words, retry_after_ms=RETRY_LONG_MS)
        if hello.agent_id != self._peer.agent_id:
            words = "The hello names another agent than the certificate. Enrol this host again."
            raise _Refused("agent_mismatch", words, retry_after_ms=RETRY_LONG_MS)
        greeting = wire.greeting(hello, now_ms=now_ms)
        self._accepts_checks = greeting.accepts_checks
        try:
            session = await self._ingest.open(self._peer.agent_id, self._peer.fingerprint, greeting, reply=self._reply)
        except Unauthenticated as error:
            raise _Refused(_code_of(error), error.message, retry_after_ms=RETRY_LONG_MS) from error
        except Forbidden as error:
            raise _Refused("fenced", error.message) from error
        except StoreError as error:
            words = grpc_errors.UNAVAILABLE_WORDS
            raise _Refused(UNAVAILABLE, words, retry_after_ms=RETRY_SHORT_MS) from error
        limits = pb.Limits(
            window_batches=WINDOW_BATCHES,
            window_bytes=WINDOW_BYTES,
            max_frame_bytes=FRAME_BYTES_MAX,
            backfill_batches_per_second=BACKFILL_PER_SECOND,
            backfill_window_batches=BACKFILL_WINDOW,
        )
        welcome = wire.welcome_frame(session.number, session.ledger.lanes, now_ms=now_ms, limits=limits)
        self._say(welcome)
        return session

    def _reply(self, replies: Sequence[Reply]) -> None:
        for reply in replies:
            self._say(reply if isinstance(reply, Refuse) else wire.reply_frame(reply))

    def _say(self, frame: bytes | Refuse) -> None:
        self._outbox.put_nowait(frame)
        if self._outbox.qsize() >= UNREAD_FRAMES:
            self._room.clear()

    async def _write(self) -> Refuse:
        while True:
            frame = await self._outbox.get()
            if self._outbox.qsize() < UNREAD_FRAMES:
                self._room.set()
            try:
                async with asyncio.timeout(self._unread_seconds):
                    await self._context.write(self._bytes_of(frame))
            except TimeoutError:
                self._ingest.metrics.agent_refused.labels(UNREAD).inc()
                LOG.warning("agent does not read agent=%s seconds=%.0f", self._peer.agent_id, self._unread_seconds)
                return Refuse(UNREAD, f"Nothing was read from this stream for {self._unread_seconds:.0f} s.")
            if isinstance(frame, Refuse):
                return frame

    def _bytes_of(self, frame: bytes | Refuse) -> bytes:
        if not isinstance(frame, Refuse):
            return frame
        if frame.code == "fenced" and self.session is not None:
            return pb.CollectorFrame(fenced=pb.Fenced(session=self.session.number)).SerializeToString()
        return wire.reply_frame(frame)

    # ── one frame ───────────────────────────────────────────────────────────────────────────────────────────────────

    async def _batch(self, session: Session, frame: pb.AgentFrame) -> None:
        batch = frame.batch
        while wait_seconds := self._ahead_seconds(backfill=batch.backfill):
            # Read no further while the agent is too fast: it keeps what is not read, so nothing is lost by it.
            self._ingest.metrics.agent_slowed.inc(wait_seconds)
            await asyncio.sleep(wait_seconds)
        event = wire.batch(batch, row_bytes=self._row_bytes, now_ms=self._ingest.clock())
        await self._ingest.submit(session, event)

    def _ahead_seconds(self, *, backfill: bool) -> float:
        """How long to read no further; 0 when this batch is within the pace, which then counts it."""
        key, now_ms = (self._peer.agent_id, backfill), round(monotonic() * 1000)
        self._buckets[key], wait_seconds = PACES[backfill].take(self._buckets.get(key), now_ms)
        return wait_seconds

    def _row_bytes(self, layout_id: int) -> int | str | None:
        session, layout = self.session, self._ingest.layouts.get(layout_id)
        assert session is not None
        if layout_id in session.left_out:
            self._ingest.metrics.ingest_refused_rows.inc()
            return None
        if layout is not None and layout_id in session.layouts:
            return layout.row_bytes
        return session.unusable.get(layout_id, Message("a row's layout was not declared on this stream"))

    async def _gap(self, session: Session, frame: pb.AgentFrame) -> None:
        await self._ingest.submit(session, wire.gap(frame.gap))

    async def _lane_end(self, session: Session, frame: pb.AgentFrame) -> None:
        await self._ingest.submit(session, wire.lane_end(frame.lane_end))

    async def _layout(self, session: Session, frame: pb.AgentFrame) -> None:
        await self._ingest.declare(session, wire.signed(frame.layout.id), frame.layout.layout)

    async def _ping(self, session: Session, frame: pb.AgentFrame) -> None:
        now_ms = self._ingest.clock()
        session.clock_offset_ms = float(frame.ping.wall_ms - now_ms)
        self._say(wire.pong_frame(frame.ping, now_ms=now_ms))

    async def _say_goodbye(self, session: Session, frame: pb.AgentFrame) -> None:
        del session
        reason = frame.goodbye.reason
        known = pb.Goodbye.Reason.values()
        self._goodbye = (pb.Goodbye.Reason.Name(reason) if reason in known else "STOP").lower()

    async def _unexpected(self, session: Session, frame: pb.AgentFrame) -> None:
        del session
        raise _Refused("malformed", f"A frame of kind {frame.WhichOneof('frame')} has no place here.")


_TAKE: dict[str | None, Callable[[_Stream, Session, pb.AgentFrame], Awaitable[None]]] = {
    "batch": _Stream._batch,
    "gap": _Stream._gap,
    "lane_end": _Stream._lane_end,
    "layout": _Stream._layout,
    "ping": _Stream._ping,
    "goodbye": _Stream._say_goodbye,
    "hello": _Stream._unexpected,
    None: _Stream._unexpected,
}


def _parsed(raw: bytes) -> pb.AgentFrame:
    if len(raw) > FRAME_BYTES_MAX:
        raise _Refused("too_large", f"A frame has {len(raw)} bytes; {FRAME_BYTES_MAX} are allowed.")
    try:
        return pb.AgentFrame.FromString(raw)
    except DecodeError as error:
        raise _Refused("malformed", "A frame is no protobuf message of this protocol.") from error


def _code_of(error: Unauthenticated) -> str:
    words = {text: refusal for refusal, text in trust.REFUSAL_WORDS.items()}
    return words.get(error.message, trust.Refusal.NOT_LISTED).value


async def telemetry_server(
    telemetry: Telemetry, authority: Authority, address: str, *, limits: Limits | None = None
) -> tuple[Any, int]:
    """The agents' port, not started: the server and the port that it is bound to.

    Raises:
        OSError: The address is taken or not this host's.
    """
    options = (*OPTIONS, *(limits or for_agents()).options())
    server = grpc.aio.server(options=options, compression=grpc.Compression.NoCompression)
    server.add_generic_rpc_handlers((telemetry.handler(),))
    healthy = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(healthy, server)
    await healthy.set(SERVICE, health_pb2.HealthCheckResponse.SERVING)
    return server, bind(server, address, server_credentials(authority, mutual=True))
