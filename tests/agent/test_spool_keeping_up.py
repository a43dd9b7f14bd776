"""A spool whose batches leave as fast as they come: what it hands out from memory is what is on disk, in every case."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.batch import Batch, GapReason, Hole
from agent.compact import Form
from agent.spool import Spool
from tests.agent.test_spool import at, entry, epochs, everything, live


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Callable[..., Spool]]:
    alive: list[Spool] = []

    def build(**options: int) -> Spool:
        path = tmp_path / "spool.db"
        alive.append(Spool.open(path, moment=at(0), boot_id="boot-1", new_epoch=epochs(len(alive)), **options))
        return alive[-1]

    yield build
    for spool in alive:
        spool._db.close()


def forms(spool: Spool) -> list[Form]:
    return [Form(form) for (form,) in spool._db.execute("SELECT form FROM batch ORDER BY id")]


def deliver(spool: Spool) -> list[Batch | Hole]:
    epoch, seq = spool.newest()
    first = next(lane.base_seq for lane in spool.lanes() if lane.epoch == epoch) + 1
    items = spool.fetch(epoch, first, limit=50)
    spool.acknowledge(epoch, seq)
    return items


def test_a_batch_is_packed_once_others_wait_and_no_more_when_they_are_gone(opened: Callable[..., Spool]) -> None:
    spool = opened()
    spool.append([entry(1, size=4000)], at(1))
    assert forms(spool) == [Form.PLAIN]
    spool.append([entry(1, size=4000)], at(2))
    spool.append([entry(1, size=4000)], at(3))
    assert forms(spool)[2] is Form.PLANES
    deliver(spool)
    spool.append([entry(1, size=4000)], at(4))
    assert forms(spool) == [Form.PLAIN]


def test_what_is_handed_out_at_once_is_what_another_process_reads_from_disk(opened: Callable[..., Spool]) -> None:
    spool = opened()
    spool.append([entry(0)], at(0))
    deliver(spool)
    spool.append([entry(1), entry(1, evidence=True)], at(1))
    epoch, _ = spool.newest()
    handed = spool.fetch(epoch, 2, limit=50)
    spool._db.close()
    assert [item.seq for item in handed] == [2, 3]
    assert opened().fetch(epoch, 2, limit=50) == handed


def test_a_limit_is_kept(opened: Callable[..., Spool]) -> None:
    spool = opened()
    spool.append([entry(1), entry(1, evidence=True)], at(1))
    assert [item.seq for item in spool.fetch(live(spool), 1, limit=1)] == [1]
    assert [item.seq for item in spool.fetch(live(spool), 2, limit=1)] == [2]


def test_numbers_whose_batch_was_moved_are_a_hole(opened: Callable[..., Spool]) -> None:
    spool = opened()
    spool.append([entry(1)], at(1))
    old = live(spool)
    spool.move(old, 0)
    (rest,) = spool.fetch(old, 1, limit=50)
    assert isinstance(rest, Hole)
    assert rest.reason is GapReason.RESYNC
    assert [item.payload for item in everything(spool, live(spool)) if isinstance(item, Batch)] == [entry(1).payload]


def test_a_beat_that_did_not_fit_is_handed_out_as_the_loss_that_it_is(opened: Callable[..., Spool]) -> None:
    spool = opened(limit_bytes=1)
    spool.append([entry(1)], at(1))
    (lost,) = spool.fetch(live(spool), 1, limit=50)
    assert isinstance(lost, Hole)
    assert lost.reason is GapReason.SPOOL_FULL


def test_nothing_waits_nothing_is_old(opened: Callable[..., Spool]) -> None:
    spool = opened()
    spool.append([entry(1)], at(1))
    deliver(spool)
    ages = [one.value for one in spool.samples(at(9)) if one.series.name == "sigap_agent_spool_oldest_seconds"]
    assert ages == [0.0]
