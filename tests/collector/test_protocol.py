"""The collector's half of the protocol: marks that tell a duplicate from a conflict, and replies worth sending."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector import protocol
from collector.protocol import MARK_BYTES, SEGMENT, Ack, Lane, Nack, latest


def seal(seq: int) -> bytes:
    return seq.to_bytes(MARK_BYTES, "big") + bytes(24)


@given(st.lists(st.integers(1, 200), min_size=1, max_size=40))
def test_every_number_that_was_reached_has_its_mark(steps: list[int]) -> None:
    lane, full, reached = Lane(), {}, []
    for step in steps:
        lane, sealed = lane.advanced(lane.acked_seq + step, seal(lane.acked_seq + step))
        full.update(sealed)
        reached.append(lane.acked_seq)
    for seq in reached:
        segment, place = divmod(seq, SEGMENT)
        marks = lane.marks if segment == lane.segment else full[segment]
        assert marks[place * MARK_BYTES : (place + 1) * MARK_BYTES] == seal(seq)[:MARK_BYTES]
    assert len(lane.marks) <= SEGMENT * MARK_BYTES


def test_a_gap_of_a_billion_costs_nothing() -> None:
    lane, sealed = Lane().advanced(10**9, seal(10**9))
    assert lane.acked_seq == 10**9
    assert sealed == []


def test_acknowledgements_are_cumulative() -> None:
    replies = [Ack(b"a", 1), Ack(b"b", 9), Nack(b"a", 4, "x"), Ack(b"a", 3), Ack(b"a", 2)]
    assert latest(replies) == [Ack(b"a", 3), Ack(b"b", 9), Nack(b"a", 4, "x")]


def test_a_number_out_of_range_has_no_digest() -> None:
    with pytest.raises(ValueError, match=r"argument|format|int"):
        protocol.digest(b"", -1, b"", times=(0, 0), boot_id="", payload=b"")
