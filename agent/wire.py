"""Samples, outcomes and documents ↔ protobuf. Pure; knows nothing of numbers, lanes or sockets."""

from __future__ import annotations

import json
import sys
import zlib
from array import array
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Protocol

from agent import batch as batches
from agent import dialogue
from agent.drained import Drained
from agent.reason import Reason, Value
from agent.sample import Document, Moment, Outcome, Series
from protos.telemetry.v1 import telemetry_lean as pb

LAYOUT_CACHE = 64
"""Layouts kept at hand: one per beat, plus those that came and went with disks and units."""
COMPRESS_FROM_BYTES = 4096
"""Below this, compressing saves a quarter of a kilobyte and costs more than the rest of the beat's encoding."""
IDENTITY, ZLIB = 0, 1
REASON_LENGTH = 500
WINDOW_BATCHES_MAX, WINDOW_BYTES_MAX = 256, 8 * 1024 * 1024
"""On their way at most, whatever the collector allows: they are in memory meanwhile."""
RATE_LEAST, RATE_MAX = 0.1, 10_000.0  # backfilled batches in a second
PAUSE_MS_MAX = 60 * 60_000


class Run(Protocol):
    """One run of a check, as the sampler tells it."""

    @property
    def wire_id(self) -> str: ...  # local:<name> or central:<key>
    @property
    def outcome(self) -> Outcome: ...
    @property
    def wall_ms(self) -> int: ...
    @property
    def interval_ms(self) -> int: ...
    @property
    def timeout_ms(self) -> int: ...


class Beat(Protocol):
    """What one beat saw, as the sampler tells it: a row, check results, documents."""

    @property
    def moment(self) -> Moment: ...
    @property
    def columns(self) -> tuple[Series, ...]: ...  # the very same tuple as long as the series are the same
    @property
    def values(self) -> array[float]: ...
    @property
    def interval_ms(self) -> int: ...
    @property
    def results(self) -> Sequence[Run]: ...
    @property
    def documents(self) -> Sequence[Document]: ...


class Encoder:
    """Turns beats into spool entries. Remembers layouts, so that an unchanged beat packs nothing twice."""

    def __init__(self) -> None:
        self.layouts: dict[int, bytes] = {}  # id → serialised Layout, newest last
        self._known: dict[int, tuple[tuple[Series, ...], int]] = {}  # by identity of the columns, kept alive here

    def encode(self, beat: Beat) -> list[batches.Entry]:
        """At most two entries: measurements, and check results, which outlive measurements in a full spool."""
        entries = []
        used: tuple[int, ...] = ()
        if beat.columns or beat.documents:
            payload = pb.Payload()
            if beat.columns:
                used = (self._layout(beat),)
                payload.rows.add(layout_id=used[0], wall_ms=beat.moment.wall_ms, values=_packed(beat.values))
            for one in beat.documents:
                body = json.dumps(one.body, separators=(",", ":"), ensure_ascii=False).encode()
                payload.documents.add(kind=one.kind, wall_ms=beat.moment.wall_ms, body=body)
            entries.append(batches.Entry(payload.SerializeToString(), len(beat.values), False, used))
        if beat.results:
            evidence = pb.Payload(results=[result(run) for run in beat.results])
            entries.append(batches.Entry(evidence.SerializeToString(), len(beat.results), True))
        return entries

    def _layout(self, beat: Beat) -> int:
        known = self._known.get(id(beat.columns))
        if known is not None:
            return known[1]
        body = layout(beat.columns, beat.interval_ms)
        layout_id = layout_digest(body)
        self.layouts[layout_id] = body
        self._known[id(beat.columns)] = (beat.columns, layout_id)
        if len(self._known) > LAYOUT_CACHE:
            _, gone = self._known.pop(next(iter(self._known)))
            self.layouts.pop(gone, None)
        return layout_id


def _packed(values: array[float]) -> bytes:
    if sys.byteorder == "big":
        values = values[:]
        values.byteswap()
    return values.tobytes()


def layout(series: Iterable[Series], interval_ms: int) -> bytes:
    """The serialised Layout."""
    message = pb.Layout(interval_ms=interval_ms)
    for one in series:
        message.series.add(
            name=one.name,
            labels=[text for pair in one.labels for text in pair],
            unit=one.unit,
            kind=pb.Kind.Name(int(one.kind)),
            help=one.help,
        )
    return message.SerializeToString(deterministic=True)


def layout_digest(body: bytes) -> int:
    """A layout's id: the first eight bytes of its BLAKE2b-256, little-endian, unsigned."""
    return int.from_bytes(blake2b(body, digest_size=32).digest()[:8], "little")


def result(run: Run) -> pb.CheckResult:
    """One check result."""
    outcome = run.outcome
    return pb.CheckResult(
        check_id=run.wire_id,
        wall_ms=run.wall_ms,
        state=pb.State.Name(int(outcome.state)),
        latency_seconds=outcome.latency_seconds,
        reason=outcome.reason[:REASON_LENGTH],
        since_ms=outcome.since_ms or run.wall_ms,
        attempts=outcome.attempts,
        interval_ms=run.interval_ms,
        timeout_ms=run.timeout_ms,
        wording=_wording(outcome.reason) if outcome.reason.template else None,
    )


def _wording(value: Value) -> pb.Reason:
    """A reason or one of its values, taken apart."""
    if isinstance(value, Reason) and value.template:
        return pb.Reason(template=value.template, values={name: _wording(one) for name, one in value.values.items()})
    if isinstance(value, int):
        return pb.Reason(whole=value)
    return pb.Reason(number=value) if isinstance(value, float) else pb.Reason(text=value)


def batch_frame(item: batches.Batch, *, backfill: bool) -> bytes:
    """A batch as it goes on the stream."""
    codec, payload = IDENTITY, item.payload
    if len(payload) >= COMPRESS_FROM_BYTES and len(small := zlib.compress(payload, 1)) < len(payload):
        codec, payload = ZLIB, small
    return pb.AgentFrame(
        batch=pb.Batch(
            epoch=item.epoch,
            seq=item.seq,
            wall_ms=item.wall_ms,
            boottime_ns=item.boottime_ns,
            boot_id=item.boot_id,
            codec=codec,
            raw_length=len(item.payload),
            payload=payload,
            digest=item.digest,
            previous_digest=item.previous_digest,
            backfill=backfill,
        )
    ).SerializeToString()


def gap_frame(hole: batches.Hole) -> bytes:
    """A declared loss as it goes on the stream."""
    return pb.AgentFrame(
        gap=pb.Gap(
            epoch=hole.epoch,
            from_seq=hole.seq,
            to_seq=hole.last_seq,
            reason=pb.GapReason.Name(int(hole.reason)),
            samples=hole.samples,
            from_wall_ms=hole.from_wall_ms,
            to_wall_ms=hole.to_wall_ms,
            last_digest=hole.digest,
        )
    ).SerializeToString()


def lane(one: batches.Lane) -> pb.Lane:
    """A lane as it is introduced."""
    return pb.Lane(
        epoch=one.epoch,
        first_seq=one.base_seq + 1,
        last_seq=one.last_seq,
        oldest_wall_ms=one.oldest_wall_ms,
        live=one.live,
    )


def drained(one: Drained) -> pb.Lane:
    """A lane that is gone, as it is named."""
    return pb.Lane(
        epoch=one.epoch,
        first_seq=one.last_seq + 1,
        last_seq=one.last_seq,
        last_digest=one.last_digest,
        newest_wall_ms=one.newest_wall_ms,
    )


def welcomed(welcome: pb.Welcome) -> dialogue.Welcomed:
    """The collector's first words; what it leaves out keeps its default, what makes no sense becomes what does."""
    limits, usual = welcome.limits, dialogue.Limits()
    rate = limits.backfill_batches_per_second or usual.backfill_per_second
    return dialogue.Welcomed(
        welcome.session,
        [batches.Cursor(cursor.epoch, cursor.acked_seq, cursor.digest) for cursor in welcome.cursors],
        dialogue.Limits(
            min(limits.window_batches or usual.window_batches, WINDOW_BATCHES_MAX),
            min(limits.window_bytes or usual.window_bytes, WINDOW_BYTES_MAX),
            min(limits.backfill_window_batches or usual.backfill_batches, WINDOW_BATCHES_MAX),
            # A rate that is not a number compares as neither, and becomes the least.
            min(rate, RATE_MAX) if rate >= RATE_LEAST else RATE_LEAST,
        ),
    )


def pause_ms(wanted: int) -> int:
    """How long the collector wants us to wait, as far as that makes sense: nobody comes by to end a longer one."""
    return min(wanted, PAUSE_MS_MAX)
