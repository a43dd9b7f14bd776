"""The two halves of the delivery protocol against each other, in many small worlds.

I1 acknowledged means stored or declared lost, for ever. I2 stored at most once. I3 stored as measured. I4 no cursor
goes back. I5 nothing is deleted that no transaction holds. I6 assigned = stored + declared gap + still spooled. I7 only
the newest session writes. I8 when faults stop, the spool drains. I9 no conflict without a cause.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator
from typing import Any

import pytest

from agent.shelf import SEQ_MASK
from collector import protocol
from tests.simulation.agent import AgentProcess, SimulatedSpool
from tests.simulation.collector import Image, Session, Store
from tests.simulation.faults import Violation
from tests.simulation.world import simulate

SEEDS = 200
BEATS = 120
SEEDS_PER_WORKER = 50
FOUND = {
    161: "a batch of a failed commit, in the past of a rolled-back lane, was stored again under another number",
}
"""Seeds that once showed a fault, lived longer than the others."""
FOUND_BEATS = 150


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Thousands of simulated misfortunes are not worth a line each."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("first", range(0, SEEDS, SEEDS_PER_WORKER))
def test_the_conservation_law_holds_in_every_world(first: int) -> None:
    for seed in range(first, first + SEEDS_PER_WORKER):
        simulate(seed, beats=BEATS)


@pytest.mark.parametrize("seed", FOUND)
def test_a_fault_that_was_found_once_stays_away(seed: int) -> None:
    simulate(seed, beats=FOUND_BEATS)


def test_the_same_seed_gives_the_same_run() -> None:
    for seed in (3, 17, 65, 237):
        assert simulate(seed, beats=BEATS).trace == simulate(seed, beats=BEATS).trace


def test_the_worlds_are_not_all_calm() -> None:
    seen = {" ".join(line.split()[1:3]) for seed in range(60) for line in simulate(seed, beats=BEATS).trace}
    expected = {
        "agent killed",
        "collector killed",
        "connection cut",
        "store full",
        "agent cloned",
        "agent rolled",
        "collector restored",
        "byte flipped",
        "spool full",
    }
    assert expected <= seen


# ── the test of the test: each of these must be noticed ─────────────────────────────────────────────────────────────


class AckBeforeCommit(Store):
    def write(self, image: Image) -> None:
        if self.world.strikes(self.world.faults.kill_collector):
            return  # The process dies here in truth, but it has acknowledged already.
        super().write(image)


class OffByOneAck(Store):
    def answer(self, session: Session, effects: list[protocol.Effect]) -> None:
        raised = [e._replace(acked_seq=e.acked_seq + 1) if isinstance(e, protocol.Ack) else e for e in effects]
        super().answer(session, raised)


class GapNotRecorded(Store):
    def apply(self, image: Image, effect: protocol.Effect) -> None:
        if not isinstance(effect, protocol.RecordGap):
            super().apply(image, effect)


class NoFencing(Store):
    def may_write(self, session: Session, image: Image) -> bool:
        return True

    def fence(self, session: Session) -> None:
        pass


class DuplicatesByNumberOnly(Store):
    def judge(self, draft: protocol.Draft, event: protocol.Event) -> list[protocol.Effect]:
        lane = draft.lane(event.epoch)
        if isinstance(event, protocol.Batch) and lane is not None and event.seq <= lane.acked_seq:
            return [protocol.Ack(event.epoch, event.seq)]
        return super().judge(draft, event)


class CursorInAnotherTransaction(Store):
    def write(self, image: Image) -> None:
        if self.world.strikes(self.world.faults.kill_collector):
            image = Image(image.lanes, image.segments, self.disk.batches, image.gaps, image.session)
        super().write(image)


class ForgetsTheOlderHalf(Store):
    def write(self, image: Image) -> None:
        if len(image.batches) > 40:
            image.batches = dict(list(image.batches.items())[20:])
        super().write(image)
        self.contents._count = {int.from_bytes(body[:8], "big"): 1 for body in image.batches.values()}


class DeletesBeforeAck(AgentProcess):
    def SayBatch(self, effect: Any) -> None:
        super().SayBatch(effect)
        if self.spool is not None:
            self.spool.acknowledge(effect.batch.epoch, effect.batch.seq)


class SaysNoGap(AgentProcess):
    def SayGap(self, effect: Any) -> None:
        pass


class DropsSilently(SimulatedSpool):
    def _drop(self, rows: Any, reason: Any) -> None:
        lanes = {lane.number: lane for lane in self._lanes.values()}
        for row in rows:
            lane = lanes[row.key >> 40]
            self._shelf.remove(row.key, row.key)
            if lane.base_seq + 1 == row.key & SEQ_MASK:
                lane.base_seq, lane.base_digest = row.key & SEQ_MASK, row.digest


class DropsSilentlyProcess(AgentProcess):
    spool_type = DropsSilently


class DeletesByNumberOnly(SimulatedSpool):
    def acknowledge(self, epoch: bytes, seq: int) -> None:
        for lane in self.lanes():
            super().acknowledge(lane.epoch, seq)


class DeletesByNumberOnlyProcess(AgentProcess):
    spool_type = DeletesByNumberOnly


class DoesNotSync(AgentProcess):
    """What was committed a moment ago is not on the disk yet when the power goes."""

    image: bytes = b""

    def append(self, entry: Any) -> list[Any]:
        self.image = self.db.serialize()
        return super().append(entry)

    def kill(self) -> None:
        super().kill()
        if self.image:
            self.db.close()
            self.db = sqlite3.connect(":memory:", isolation_level=None)
            self.db.deserialize(self.image)


BUGS: dict[str, dict[str, Any]] = {
    "acknowledges before the commit": {"store": AckBeforeCommit},
    "acknowledges one too many": {"store": OffByOneAck},
    "does not record gaps": {"store": GapNotRecorded},
    "does not fence the older session": {"store": NoFencing},
    "tells duplicates by their number only": {"store": DuplicatesByNumberOnly},
    "keeps the cursor in another transaction": {"store": CursorInAnotherTransaction},
    "forgets what it has acknowledged": {"store": ForgetsTheOlderHalf},
    "deletes before the acknowledgement": {"agent": DeletesBeforeAck},
    "does not declare gaps": {"agent": SaysNoGap},
    "drops without a gap": {"agent": DropsSilentlyProcess},
    "deletes by number, whatever the epoch": {"agent": DeletesByNumberOnlyProcess},
    "does not sync its disk": {"agent": DoesNotSync},
}


@pytest.mark.parametrize("bug", BUGS)
def test_a_seeded_bug_is_caught(bug: str) -> None:
    for seed in range(SEEDS):
        try:
            simulate(seed, beats=BEATS, **BUGS[bug])
        except Violation:
            return
    pytest.fail(f"{SEEDS} worlds did not notice an implementation that {bug}")
