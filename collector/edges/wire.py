"""Protobuf ↔ the protocol's own words. Pure; what is wrong with a batch is said in it, never raised.

A row's values stay the bytes they came as: no object is made per sample.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import NamedTuple, TypeVar

from google.protobuf.message import DecodeError

from collector import chain, protocol
from collector.domain.message import Message
from collector.domain.sample import Document, Result, Row, State
from collector.edges.wording import reason_of
from collector.flows.session import Content
from collector.protocol import OWN_REASONS, Ack, Batch, Gap, GapReason, LaneEnd, Nack, Refuse, Reply, Resync
from collector.restored import Drained, Offered
from collector.store.lanes import Greeting
from protos.telemetry.v1 import telemetry_pb2 as pb

IDENTITY, ZLIB = 0, 1
RAW_BYTES_MAX = 4 * 1024 * 1024
RATIO_MAX = 100
COLUMNS_MAX = 2000
RESULTS_MAX = 2000
DRAINED_MAX = 64
DOCUMENTS_MAX = 64
BEAT_MS_MAX = 24 * 3600 * 1000
"""The longest interval that an agent's file allows: longer ones would let one result vouch for weeks."""
NAME_LENGTH = 128
BOOT_ID_LENGTH = 64
WORD_LENGTH = 32
_SIGN = 1 << 63

Entry = TypeVar("Entry")
RowBytes = Callable[[int], int | str | None]
"""The length of a packed row of a layout, what is wrong with the layout, or None for rows to be left out."""


class Flaw(Exception):
    """What is wrong with a batch, in words for a person."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what


def signed(layout_id: int) -> int:
    """The wire's fixed64 as the signed integer that databases have."""
    return layout_id - (1 << 64) if layout_id & _SIGN else layout_id


def greeting(hello: pb.Hello, *, now_ms: int) -> Greeting:
    """What an agent says of itself, cut to what the table holds."""
    named = list(hello.drained)[:DRAINED_MAX]
    return Greeting(
        hello.agent_version[:WORD_LENGTH],
        hello.boot_id[:BOOT_ID_LENGTH],
        tuple(Offered(lane.epoch, max(0, lane.first_seq - 1), lane.oldest_wall_ms) for lane in hello.lanes),
        hello.accepts_checks,
        min(hello.spool_bytes, _SIGN - 1),
        min(hello.spool_limit_bytes, _SIGN - 1),
        float(hello.clock.wall_ms - now_ms) if hello.clock.wall_ms else 0.0,
        hello.clock.ntp_state[:16],
        tuple(Drained(lane.epoch, lane.last_seq, lane.last_digest, max(0, lane.newest_wall_ms)) for lane in named),
    )


def batch(message: pb.Batch, *, row_bytes: RowBytes, now_ms: int) -> Batch:
    """A batch with its content, or with the flaw that keeps it from being stored."""
    content, flaw, evidence = Content(), "", False
    try:
        content = _content(message, row_bytes, now_ms)
        samples = sum(len(row.values) // 8 for row in content.rows) or len(content.results)
    except Flaw as error:
        flaw = error.what
        samples, evidence = _lost_with(message)
    return Batch(
        message.epoch,
        message.seq,
        message.wall_ms,
        message.digest,
        message.previous_digest,
        message.backfill,
        samples,
        content,
        flaw,
        message.SerializeToString() if flaw else message.payload,
        evidence,
    )


def gap(message: pb.Gap) -> Gap:
    """A declared loss; a reason that this collector does not know yet is unspecified."""
    known = {reason.value for reason in GapReason if reason < OWN_REASONS}
    return Gap(
        message.epoch,
        message.from_seq,
        message.to_seq,
        GapReason(message.reason if message.reason in known else 0),
        min(message.samples, _SIGN - 1),
        max(0, message.from_wall_ms),
        max(0, message.to_wall_ms),
        message.last_digest,
    )


def lane_end(message: pb.LaneEnd) -> LaneEnd:
    """The end of an epoch."""
    return LaneEnd(message.epoch, message.last_seq)


def reply_frame(reply: Reply) -> bytes:
    """What the agent is told."""
    return _FRAMES[type(reply)](reply).SerializeToString()


def welcome_frame(session: int, known: dict[bytes, chain.Lane], *, now_ms: int, limits: pb.Limits) -> bytes:
    """The first thing an agent is told."""
    cursors = [pb.Cursor(epoch=epoch, acked_seq=lane.acked_seq, digest=lane.digest) for epoch, lane in known.items()]
    welcome = pb.Welcome(
        session=session, server_time_ms=now_ms, cursors=cursors, limits=limits, protocol=protocol.PROTOCOL_VERSION
    )
    return pb.CollectorFrame(welcome=welcome).SerializeToString()


class CentralCheck(NamedTuple):
    """A check that was defined here, as an agent gets it."""

    id: str  # central:<key>
    kind: str
    name: str
    options: bytes  # JSON, the same keys as in the agent's own file


def checks_frame(checks: Iterable[CentralCheck], *, version: int) -> bytes:
    """All checks that an agent is to run for the collector; it replaces what it was told before."""
    definitions = [pb.CheckDefinition(id=c.id, kind=c.kind, name=c.name, options=c.options) for c in checks]
    return pb.CollectorFrame(checks=pb.CheckSet(version=version, checks=definitions)).SerializeToString()


def pong_frame(ping: pb.Ping, *, now_ms: int) -> bytes:
    """The answer by which an agent measures its clock."""
    pong = pb.Pong(ping_wall_ms=ping.wall_ms, ping_boottime_ns=ping.boottime_ns, collector_wall_ms=now_ms)
    return pb.CollectorFrame(pong=pong).SerializeToString()


_FRAMES: dict[type, Callable[..., pb.CollectorFrame]] = {
    Ack: lambda r: pb.CollectorFrame(ack=pb.Ack(epoch=r.epoch, acked_seq=r.acked_seq)),
    Nack: lambda r: pb.CollectorFrame(
        nack=pb.Nack(epoch=r.epoch, expected_seq=r.expected_seq, reason=r.reason, retry_after_ms=r.retry_after_ms)
    ),
    Resync: lambda r: pb.CollectorFrame(resync=pb.Resync(epoch=r.epoch, acked_seq=r.acked_seq, reason=r.reason)),
    Refuse: lambda r: pb.CollectorFrame(
        refused=pb.Refused(code=r.code, message=r.message, retry_after_ms=r.retry_after_ms)
    ),
}


def _content(message: pb.Batch, row_bytes: RowBytes, now_ms: int) -> Content:
    payload = _inflate(message)
    if len(message.previous_digest) != chain.DIGEST_BYTES or len(message.boot_id) > BOOT_ID_LENGTH:
        raise Flaw(Message("its previous digest or boot id has the wrong length"))
    try:
        own = chain.digest(
            message.epoch,
            message.seq,
            message.previous_digest,
            times=(message.wall_ms, message.boottime_ns),
            boot_id=message.boot_id,
            payload=payload,
        )
    except ValueError as error:
        raise Flaw(Message("its numbers are out of range: {error}", error=str(error))) from error
    if own != message.digest:
        raise Flaw(Message("its digest is not that of its content"))
    try:
        parsed = pb.Payload.FromString(payload)
    except DecodeError as error:
        raise Flaw(Message("its payload is no protobuf message, or not UTF-8")) from error
    latest_ms = now_ms + protocol.AHEAD_MS
    rows, left_out = _rows(parsed.rows, row_bytes, latest_ms) if parsed.rows else ((), {})
    results = tuple(map(partial(_result, latest_ms=latest_ms), _at_most(parsed.results, RESULTS_MAX)))
    documents = tuple(map(partial(_document, latest_ms=latest_ms), _at_most(parsed.documents, DOCUMENTS_MAX)))
    return Content(rows, results, documents, left_out)


def _lost_with(message: pb.Batch) -> tuple[int, bool]:
    """How many samples a batch had that cannot be stored, and whether results may be among them: as far as one sees."""
    try:
        parsed = pb.Payload.FromString(_inflate(message))
    except (Flaw, DecodeError):
        return 0, True
    return sum(len(row.values) // 8 for row in parsed.rows) + len(parsed.results), bool(parsed.results)


def _inflate(message: pb.Batch) -> bytes:
    if message.codec == IDENTITY:
        return message.payload
    if message.codec != ZLIB:
        raise Flaw(Message("its codec {codec} is not known; update the collector", codec=message.codec))
    length = message.raw_length
    if length > RAW_BYTES_MAX or length > RATIO_MAX * len(message.payload):
        raise Flaw(Message("it would inflate to {length} bytes", length=length))
    inflater = zlib.decompressobj()
    try:
        # One byte more than announced is asked for, so that a longer one shows without being inflated.
        payload = inflater.decompress(message.payload, length + 1)
    except zlib.error as error:
        raise Flaw(Message("its payload cannot be inflated")) from error
    if len(payload) != length:
        raise Flaw(Message("its payload has not the announced length"))
    return payload


def _rows(rows: Sequence[pb.Row], row_bytes: RowBytes, latest_ms: int) -> tuple[tuple[Row, ...], dict[int, int]]:
    """The rows, and the samples of those that are to be left out, by layout."""
    found, left_out, columns = [], dict[int, int](), 0
    for row in rows:
        layout_id, values = signed(row.layout_id), row.values
        expected = row_bytes(layout_id)
        if expected is None:
            left_out[layout_id] = left_out.get(layout_id, 0) + len(values) // 8
            continue
        if isinstance(expected, str):
            raise Flaw(expected)
        if len(values) != expected:
            raise Flaw(
                Message("a row has {count} bytes where its layout has {expected}", count=len(values), expected=expected)
            )
        if not 0 < row.wall_ms <= latest_ms:
            raise Flaw(Message("a row's time lies more than five minutes in the future"))
        columns += expected // 8
        found.append(Row(layout_id, row.wall_ms, values))
    if columns > COLUMNS_MAX:
        raise Flaw(Message("it has {columns} series; {most} are allowed", columns=columns, most=COLUMNS_MAX))
    return tuple(found), left_out


def _result(result: pb.CheckResult, *, latest_ms: int) -> Result:
    if not 0 < len(result.check_id) <= NAME_LENGTH:
        length = len(result.check_id)
        raise Flaw(
            Message("a check's id has {length} characters; 1 to {most} are allowed", length=length, most=NAME_LENGTH)
        )
    if not 0 < result.wall_ms <= latest_ms:
        raise Flaw(Message("a result of {check} lies more than five minutes in the future", check=result.check_id))
    if max(result.interval_ms, result.timeout_ms) > BEAT_MS_MAX:
        raise Flaw(Message("a result of {check} speaks for more than a day", check=result.check_id))
    # Its first attempt may have shown something else, so that it counts from a later one of the same beat.
    since_ms = result.since_ms if 0 < result.since_ms <= result.wall_ms + result.interval_ms else result.wall_ms
    return Result(
        result.check_id,
        result.wall_ms,
        State(result.state) if 0 <= result.state <= State.DOWN else State.UNKNOWN,
        result.latency_seconds,
        reason_of(result),
        since_ms,
        result.attempts,
        result.interval_ms,
        result.timeout_ms,
    )


def _document(document: pb.Document, *, latest_ms: int) -> Document:
    if not 0 < len(document.kind) <= WORD_LENGTH or not 0 < document.wall_ms <= latest_ms:
        raise Flaw(Message("a document has no kind, or its time lies more than five minutes in the future"))
    try:
        json.loads(document.body)
    except (ValueError, RecursionError) as error:
        raise Flaw(Message("a document of kind {kind} is no JSON", kind=document.kind)) from error
    return Document(document.kind, document.wall_ms, document.body)


def _at_most(messages: Sequence[Entry], limit: int) -> Sequence[Entry]:
    if len(messages) > limit:
        raise Flaw(Message("it has {count} entries of one kind; {limit} are allowed", count=len(messages), limit=limit))
    return messages
