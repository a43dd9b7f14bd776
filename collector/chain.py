"""The chain of digests of one epoch: how far it is committed, and what recognises a batch that came before.

Pure values; what follows from them is decided in `collector.protocol`.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from hashlib import blake2b

EPOCH_BYTES = 16
DIGEST_BYTES = 32
GENESIS = bytes(DIGEST_BYTES)
"""The digest before the first batch of an epoch."""

MARK_BYTES = 8
"""Of a digest kept to recognise a duplicate: a wrong match needs 2^64 tries by somebody who holds the key anyway."""
SEGMENT = 64
"""Marks in one segment. The open one is in the lane's row, full ones are written once."""
SEGMENTS = 16
"""Full segments kept: 1,024 digests per lane."""

_NUMBERS = struct.Struct("<Qqq")
_PERSON = b"sigap batch 1"


@dataclass(frozen=True, slots=True)
class Lane:
    """How far one epoch is committed."""

    acked_seq: int = 0
    digest: bytes = GENESIS  # of acked_seq
    marks: bytes = bytes(MARK_BYTES)  # of the open segment, up to acked_seq; number 0 has the empty mark
    ended: bool = False

    @property
    def segment(self) -> int:
        """The open segment: marks of the numbers from segment * SEGMENT on."""
        return self.acked_seq // SEGMENT

    def advanced(self, to_seq: int, digest: bytes) -> tuple[Lane, list[tuple[int, bytes]]]:
        """The lane after `to_seq`, and the segments that became full; numbers in a gap have empty marks."""
        sealed = []
        segment, marks = self.segment, self.marks
        steps = to_seq - self.acked_seq
        if steps > SEGMENT * (SEGMENTS + 1):
            # A wide gap: nothing before it can be a duplicate that is worth comparing.
            segment = to_seq // SEGMENT
            marks = bytes((to_seq - segment * SEGMENT) * MARK_BYTES)
        else:
            marks += bytes((steps - 1) * MARK_BYTES)
        marks += digest[:MARK_BYTES]
        size = SEGMENT * MARK_BYTES
        while len(marks) > size:
            sealed.append((segment, marks[:size]))
            segment, marks = segment + 1, marks[size:]
        return Lane(to_seq, digest, marks, self.ended), sealed


def digest(epoch: bytes, seq: int, previous: bytes, *, times: tuple[int, int], boot_id: str, payload: bytes) -> bytes:
    """BLAKE2b-256 over the canonical batch; `times` are (wall_ms, boottime_ns), `payload` is uncompressed.

    Raises:
        ValueError: a number or the boot id is out of range.

    Source: the manual page "wire format". The agent computes it by code of its own.
    """
    boot = boot_id.encode()
    try:
        head = epoch + _NUMBERS.pack(seq, *times) + bytes((len(boot),)) + boot + previous
    except struct.error as error:
        raise ValueError(str(error)) from error
    state = blake2b(head, digest_size=DIGEST_BYTES, person=_PERSON)
    state.update(payload)
    return state.digest()
