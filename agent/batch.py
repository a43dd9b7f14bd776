"""What one beat becomes on its way to the collector: entries, then numbered batches, holes where some were lost.

Pure values and their digest, shared by the spool, the wire and the protocol. Knows nothing of how they are stored,
encoded or sent.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from hashlib import blake2b
from typing import NamedTuple

EPOCH_BYTES = 16
DIGEST_BYTES = 32
GENESIS = bytes(DIGEST_BYTES)
"""The digest before the first batch of an epoch."""

_NUMBERS = struct.Struct("<Qqq")
_PERSON = b"sigap batch 1"


class GapReason(IntEnum):
    """Why numbers will never arrive; the values are those of the wire."""

    SPOOL_FULL = 1
    TOO_OLD = 2
    CORRUPT = 3
    CONFLICT = 4
    RESYNC = 5
    REFUSED = 6


class Entry(NamedTuple):
    """What one beat adds to the spool; it has no number yet."""

    payload: bytes  # a serialised Payload, uncompressed
    samples: int
    evidence: bool  # check results: dropped last when the spool is full
    layouts: tuple[int, ...] = ()


class Batch(NamedTuple):
    """A numbered entry as it travels."""

    epoch: bytes
    seq: int
    wall_ms: int
    boottime_ns: int
    boot_id: str
    payload: bytes  # uncompressed
    digest: bytes
    previous_digest: bytes
    layouts: tuple[int, ...]

    @property
    def last_seq(self) -> int:
        """The number the lane has reached once this has arrived."""
        return self.seq

    @property
    def size_bytes(self) -> int:
        """What it weighs in the window."""
        return len(self.payload)


class Hole(NamedTuple):
    """Numbers that were assigned and will never arrive, with what is known of them."""

    epoch: bytes
    seq: int  # the first
    last_seq: int
    reason: GapReason
    samples: int
    from_wall_ms: int
    to_wall_ms: int
    digest: bytes  # of last_seq, so that the chain continues over the hole

    @property
    def size_bytes(self) -> int:
        """Weighs nothing in the window."""
        return 0


Item = Batch | Hole


class Lane(NamedTuple):
    """An ordered, gap-checked sequence: what the spool has of it."""

    epoch: bytes
    base_seq: int  # everything up to here is the collector's
    last_seq: int  # the highest number assigned
    last_digest: bytes
    live: bool  # new entries go here
    oldest_wall_ms: int = 0
    size_bytes: int = 0
    overtaken: bool = False  # the collector has numbers that this spool never assigned: it was rolled back


class Cursor(NamedTuple):
    """How far the collector says it has a lane."""

    epoch: bytes
    acked_seq: int
    digest: bytes


def digest(epoch: bytes, seq: int, previous: bytes, *, times: tuple[int, int], boot_id: str, payload: bytes) -> bytes:
    """BLAKE2b-256 over the canonical batch; `times` are (wall_ms, boottime_ns).

    Source: the manual page "wire format". The collector computes it by code of its own.
    """
    boot = boot_id.encode()
    state = blake2b(digest_size=DIGEST_BYTES, person=_PERSON)
    state.update(epoch + _NUMBERS.pack(seq, *times) + bytes((len(boot),)) + boot + previous)
    state.update(payload)
    return state.digest()
