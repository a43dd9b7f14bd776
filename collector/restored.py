"""What an agent says is acknowledged and this database does not have: it was restored from an older copy.

Pure values. Agents delete what was acknowledged, so it is lost for good and has to be declared: unknown, never well.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import NamedTuple

from collector.chain import DIGEST_BYTES, Lane
from collector.protocol import SEQ_MAX, Gap, GapReason, Lost


class Offered(NamedTuple):
    """A lane of which the agent still has something, or to which it still adds."""

    epoch: bytes
    base_seq: int  # acknowledged and deleted up to here
    oldest_ms: int  # what comes next was measured then; 0 when nothing waits


class Drained(NamedTuple):
    """A lane that the agent has no more, because all of it was acknowledged."""

    epoch: bytes
    last_seq: int
    digest: bytes
    newest_ms: int


def beginnings(
    offered: Iterable[Offered], known: Mapping[bytes, Lane], *, since_ms: int, now_ms: int
) -> dict[bytes, Lost]:
    """Of lanes that go on, what is lost at their beginning.

    Args:
        offered: As the agent greets.
        known: The lanes on record.
        since_ms: The newest thing on record that the agent measured.
        now_ms: By the agent's clock.
    """
    return {
        lane.epoch: Lost(lane.base_seq, since_ms, max(since_ms, lane.oldest_ms or now_ms))
        for lane in offered
        if lane.base_seq > known.get(lane.epoch, Lane()).acked_seq
    }


def ends(drained: Iterable[Drained], known: Mapping[bytes, Lane]) -> dict[bytes, tuple[Drained, Lane]]:
    """Lanes that are over and not on record to their end: what the agent says of them, and the lane once it is."""
    found = {}
    for one in drained:
        lane = known.get(one.epoch, Lane())
        if len(one.digest) == DIGEST_BYTES and lane.acked_seq < one.last_seq <= SEQ_MAX:
            # The marks are of no use any more: nothing of this lane can come again.
            found[one.epoch] = (one, replace(lane.advanced(one.last_seq, one.digest)[0], ended=True))
    return found


def gap(one: Drained, before: Lane, *, since_ms: int) -> Gap:
    """The end of a lane, declared lost."""
    from_ms = min(since_ms, one.newest_ms)
    where, times = (one.epoch, before.acked_seq + 1, one.last_seq), (from_ms, one.newest_ms)
    return Gap(*where, GapReason.RESTORED, 0, *times, one.digest, evidence=True)
