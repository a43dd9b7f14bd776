from __future__ import annotations

from collector import chain, restored
from collector.chain import GENESIS, Lane
from collector.protocol import SEQ_MAX, GapReason, Lost
from collector.restored import Drained, Offered

EPOCH, OTHER, SEAL = b"e" * 16, b"o" * 16, b"s" * 32
KNOWN = {EPOCH: Lane(5, SEAL)}


def test_what_is_on_record_is_not_lost() -> None:
    offered = [Offered(EPOCH, 5, 900), Offered(OTHER, 0, 0)]
    assert restored.beginnings(offered, KNOWN, since_ms=100, now_ms=1000) == {}
    assert restored.ends([Drained(EPOCH, 5, SEAL, 800)], KNOWN) == {}


def test_what_was_acknowledged_beyond_the_record_is_lost_up_to_what_still_waits() -> None:
    offered = [Offered(EPOCH, 9, 900), Offered(OTHER, 2, 0)]
    found = restored.beginnings(offered, KNOWN, since_ms=100, now_ms=1000)
    assert found == {EPOCH: Lost(9, 100, 900), OTHER: Lost(2, 100, 1000)}


def test_a_lane_that_is_over_is_brought_to_its_end_and_its_rest_declared() -> None:
    one = Drained(EPOCH, 4000, b"n" * 32, 800)
    ((named, lane),) = restored.ends([one], KNOWN).values()
    assert (named, lane.acked_seq, lane.digest, lane.ended) == (one, 4000, b"n" * 32, True)
    gap = restored.gap(one, KNOWN[EPOCH], since_ms=100)
    assert (gap.from_seq, gap.to_seq, gap.reason, gap.from_ms, gap.to_ms) == (6, 4000, GapReason.RESTORED, 100, 800)
    assert gap.evidence


def test_a_lane_nobody_here_knows_is_lost_from_its_first_number() -> None:
    one = Drained(OTHER, 70, SEAL, 50)
    ((_, lane),) = restored.ends([one], KNOWN).values()
    assert (lane.acked_seq, lane.segment) == (70, 70 // chain.SEGMENT)
    assert restored.gap(one, Lane(), since_ms=100)[1:3] == (1, 70)


def test_numbers_that_cannot_be_are_not_believed() -> None:
    assert restored.ends([Drained(OTHER, SEQ_MAX + 1, SEAL, 1), Drained(OTHER, 7, b"short", 1)], {}) == {}
    assert restored.ends([Drained(OTHER, 0, GENESIS, 1)], {}) == {}
