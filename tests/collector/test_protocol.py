"""The collector's half of the protocol: marks that tell a duplicate from a conflict, and replies worth sending."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector import chain
from collector.chain import GENESIS, MARK_BYTES, SEGMENT, Lane
from collector.protocol import Ack, Batch, Duplicate, Effect, Event, Ledger, Nack, Resync, latest

EPOCH = b"e" * 16
NOW_MS = 1_790_000_000_000


class Nothing:
    """A history that remembers nothing beyond the ledger."""

    def marks(self, epoch: bytes, segment: int) -> bytes | None:
        return None

    def lane(self, epoch: bytes) -> Lane | None:
        return None


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
        chain.digest(b"", -1, b"", times=(0, 0), boot_id="", payload=b"")


def committed(ledger: Ledger, *events: Event) -> list[Effect]:
    draft = ledger.draft(Nothing())
    effects = [effect for event in events for effect in draft.step(event, NOW_MS)]
    ledger.adopt(draft)
    return effects


def batch(seq: int, *, of: bytes = b"") -> Batch:
    previous = seal(seq - 1) if seq > 1 else GENESIS
    return Batch(EPOCH, seq, NOW_MS, of + seal(seq)[len(of) :], previous, False, 1, None)


def test_what_could_not_be_looked_at_comes_again_before_what_follows_it_is_judged() -> None:
    ledger = Ledger()
    committed(ledger, *(batch(seq) for seq in range(1, 10)))
    # A snapshot is put back: the agent goes through its past, where 2 is stored and 3 will be another one.
    assert ledger.hold([batch(2)], reason="full", retry_after_ms=5) == [Nack(EPOCH, 2, "full", 5)]
    assert committed(ledger, batch(3, of=b"another")) == []
    assert ledger.hold([batch(4)], reason="full", retry_after_ms=5) == [Nack(EPOCH, 2, "full", 5)]
    assert committed(ledger, batch(2)) == [Duplicate(EPOCH, 2), Ack(EPOCH, 2)]
    assert Resync(EPOCH, 9, "another batch with this number is stored") in committed(ledger, batch(3, of=b"another"))


def test_a_held_lane_goes_on_where_it_was() -> None:
    ledger = Ledger()
    committed(ledger, batch(1))
    assert ledger.hold([batch(2), batch(3)], reason="full", retry_after_ms=5) == [Nack(EPOCH, 2, "full", 5)]
    assert committed(ledger, batch(4)) == []
    assert Ack(EPOCH, 4) in committed(ledger, batch(2), batch(3), batch(4))
