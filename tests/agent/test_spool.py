"""The spool: numbers, durability, bounds, losses that are declared."""

from __future__ import annotations

import itertools
import os
import random
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent import spool_file
from agent.batch import GENESIS, Batch, Cursor, Entry, GapReason, Hole, digest
from agent.drained import KEEP_MS
from agent.sample import Moment
from agent.spool import Spool

START_MS = 1_790_000_000_000
BEAT_MS = 10_000


def at(beat: int) -> Moment:
    return Moment(START_MS + beat * BEAT_MS, beat * BEAT_MS * 1_000_000)


def epochs(seed: int = 0) -> Callable[[], bytes]:
    rng = random.Random(seed)
    return lambda: rng.randbytes(16)


def entry(beat: int, *, evidence: bool = False, size: int = 400) -> Entry:
    body = random.Random(beat).randbytes(size)
    return Entry(body, size // 8, evidence, () if evidence else (7,))


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Callable[..., Spool]]:
    alive: list[Spool] = []

    def build(**options: int) -> Spool:
        spool = Spool.open(
            tmp_path / "spool.db", moment=at(0), boot_id="boot-1", new_epoch=epochs(len(alive)), **options
        )
        alive.append(spool)
        return spool

    yield build
    for spool in alive:
        spool._db.close()


def live(spool: Spool) -> bytes:
    return next(lane.epoch for lane in spool.lanes() if lane.live)


def everything(spool: Spool, epoch: bytes) -> list[Batch | Hole]:
    found: list[Batch | Hole] = []
    at_seq = 1
    while items := spool.fetch(epoch, at_seq, limit=50):
        found += items
        at_seq = items[-1].last_seq + 1
    return found


def test_batches_are_numbered_chained_and_come_back_as_they_were(opened: Callable[..., Spool]) -> None:
    spool = opened()
    numbers = [spool.append([entry(i)], at(i))[0] for i in range(70)]
    assert [seq for _, seq in numbers] == list(range(1, 71))
    items = everything(spool, live(spool))
    assert [item.payload for item in items if isinstance(item, Batch)] == [entry(i).payload for i in range(70)]
    previous = GENESIS
    for item in items:
        assert isinstance(item, Batch)
        times = (item.wall_ms, item.boottime_ns)
        assert item.previous_digest == previous
        previous = digest(item.epoch, item.seq, previous, times=times, boot_id="boot-1", payload=item.payload)
        assert previous == item.digest


def test_what_was_appended_survives_a_process_that_never_said_goodbye(opened: Callable[..., Spool]) -> None:
    spool = opened()
    spool.append([entry(1)], at(1), layouts={7: b"layout"})
    spool._db.close()
    again = opened()
    assert not again.clean_start
    assert [item.seq for item in everything(again, live(again))] == [1]
    assert again.append([entry(2)], at(2)) == [(live(again), 2)]
    assert again.layout(7) == b"layout"


def test_a_goodbye_is_remembered(opened: Callable[..., Spool]) -> None:
    opened().close()
    assert opened().clean_start


def test_acknowledged_batches_are_deleted_with_the_next_beat(opened: Callable[..., Spool]) -> None:
    spool = opened()
    for i in range(5):
        spool.append([entry(i)], at(i))
    spool.acknowledge(live(spool), 3)
    assert spool.waiting() == 2
    spool.append([entry(5)], at(5))
    assert spool._db.execute("SELECT count(*) FROM batch").fetchone() == (3,)
    assert spool.fetch(live(spool), 4, limit=1)[0].seq == 4


def test_a_full_spool_drops_the_oldest_measurements_and_keeps_the_evidence(opened: Callable[..., Spool]) -> None:
    spool = opened(limit_bytes=1024 * 1024)
    for i in range(4000):
        spool.append([entry(2 * i), entry(2 * i + 1, evidence=True, size=60)], at(i))
    assert spool.used_bytes() <= 1024 * 1024
    items = everything(spool, live(spool))
    lost = [item for item in items if isinstance(item, Hole)]
    kept = [item for item in items if isinstance(item, Batch)]
    covered = sum(item.last_seq - item.seq + 1 for item in items)
    assert covered == 8000
    assert spool.dropped_batches == sum(hole.last_seq - hole.seq + 1 for hole in lost)
    assert spool.dropped_samples == sum(hole.samples for hole in lost)
    assert {hole.reason for hole in lost} == {GapReason.SPOOL_FULL}
    measurements = [batch.seq for batch in kept if batch.layouts]
    evidence = [batch.seq for batch in kept if not batch.layouts]
    assert measurements[-1] == 7999
    assert measurements == list(range(measurements[0], 8000, 2))
    assert len(evidence) > len(measurements)


def test_a_batch_that_is_on_its_way_is_not_dropped(opened: Callable[..., Spool]) -> None:
    spool = opened(limit_bytes=256 * 1024)
    spool.append([entry(0)], at(0))
    assert spool.fetch(live(spool), 1, limit=8)
    for i in range(1, 800):
        spool.append([entry(i)], at(i))
    first = everything(spool, live(spool))[0]
    assert isinstance(first, Batch)
    assert first.seq == 1


def test_batches_older_than_a_week_are_dropped_and_declared(opened: Callable[..., Spool]) -> None:
    spool = opened(keep_ms=10 * BEAT_MS)
    for i in range(30):
        spool.append([entry(i)], at(i))
    items = everything(spool, live(spool))
    assert isinstance(items[0], Hole)
    assert items[0].reason is GapReason.TOO_OLD
    assert items[0].last_seq == 19
    assert (items[0].from_wall_ms, items[0].to_wall_ms) == (at(0).wall_ms, at(18).wall_ms)


def test_a_flipped_byte_is_noticed_and_only_that_batch_is_lost(opened: Callable[..., Spool]) -> None:
    spool = opened()
    for i in range(10):
        spool.append([entry(i)], at(i))
    key = spool._db.execute("SELECT id FROM batch ORDER BY id LIMIT 1 OFFSET 4").fetchone()[0]
    spool._db.execute("UPDATE batch SET payload = zeroblob(length(payload)) WHERE id = ?", (key,))
    items = everything(spool, live(spool))
    holes = [item for item in items if isinstance(item, Hole)]
    assert [(hole.seq, hole.last_seq, hole.reason) for hole in holes] == [(5, 5, GapReason.CORRUPT)]
    assert len(items) == 10
    assert holes[0].samples == 50


def test_a_file_that_is_no_database_is_moved_aside_and_its_loss_declared(
    tmp_path: Path, opened: Callable[..., Spool]
) -> None:
    (tmp_path / "spool.db").write_bytes(os.urandom(8192))
    spool = opened()
    items = everything(spool, live(spool))
    assert [(item.seq, item.reason) for item in items if isinstance(item, Hole)] == [(1, GapReason.CORRUPT)]
    assert (tmp_path / "spool.db.damaged").exists()


def test_a_damaged_file_whose_lanes_can_be_read_declares_exactly_what_it_held(
    tmp_path: Path, opened: Callable[..., Spool]
) -> None:
    spool = opened()
    for i in range(400):
        spool.append([entry(i)], at(i))
    epoch = live(spool)
    spool.acknowledge(epoch, 100)
    spool.append([entry(400)], at(400))
    spool._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    spool._db.close()
    image = bytearray((tmp_path / "spool.db").read_bytes())
    for page in range(20, len(image) // 4096):
        image[page * 4096 : page * 4096 + 200] = os.urandom(200)
    (tmp_path / "spool.db").write_bytes(image)
    again = opened()
    lost = {lane.epoch: everything(again, lane.epoch) for lane in again.lanes()}
    assert [(hole.seq, hole.last_seq) for hole in again.fetch(epoch, 101, limit=5)] == [(101, 401)]
    assert lost[live(again)] == []


def test_a_second_agent_on_the_same_spool_is_told(opened: Callable[..., Spool]) -> None:
    opened()
    with pytest.raises(spool_file.SpoolError, match="in use"):
        opened()


def test_a_full_disk_loses_the_beat_counts_it_and_declares_it_later(opened: Callable[..., Spool]) -> None:
    spool = opened()
    spool.append([entry(0)], at(0))
    pages = spool._db.execute("PRAGMA page_count").fetchone()[0]
    spool._db.execute(f"PRAGMA max_page_count={pages}")
    lost = [i for i in range(1, 40) if spool.append([entry(i)], at(i)) == []]
    assert lost
    spool._db.execute("PRAGMA max_page_count=100000")
    assert spool.append([entry(50)], at(50))
    items = everything(spool, live(spool))
    holes = [item for item in items if isinstance(item, Hole)]
    assert sum(hole.last_seq - hole.seq + 1 for hole in holes) == len(lost)
    assert sum(hole.samples for hole in holes) == 50 * len(lost) == spool.dropped_samples
    assert items[-1].last_seq == 41


def test_a_new_lane_takes_what_comes_and_the_old_one_drains(opened: Callable[..., Spool]) -> None:
    spool = opened()
    for i in range(4):
        spool.append([entry(i)], at(i))
    old = live(spool)
    spool.open_lane()
    assert spool.append([entry(4)], at(4)) == [(live(spool), 1)]
    spool.acknowledge(old, 4)
    assert [lane.epoch for lane in spool.lanes()] == [live(spool)]


def test_a_lane_that_is_over_is_named_for_two_weeks(opened: Callable[..., Spool]) -> None:
    spool = opened()
    for beat in range(3):
        spool.append([entry(beat)], at(beat))
    old, last = spool.newest()
    seal = spool.lanes()[0].last_digest
    spool.open_lane()
    spool.acknowledge(old, last)
    (one,) = spool.drained(at(9).wall_ms)
    assert one == (old, last, seal, at(2).wall_ms)
    spool.close()
    again = opened()
    assert again.drained(at(9).wall_ms) == [one]
    assert again.drained(at(2).wall_ms + KEEP_MS) == []


def test_a_moved_lane_keeps_its_content_and_declares_its_old_numbers(opened: Callable[..., Spool]) -> None:
    spool = opened()
    for i in range(40):
        spool.append([entry(i)], at(i))
    old = live(spool)
    spool.acknowledge(old, 10)
    spool.move(old, 10)
    moved = everything(spool, live(spool))
    assert [b.payload for b in moved if isinstance(b, Batch)] == [entry(i).payload for i in range(10, 40)]
    assert [item.seq for item in moved] == list(range(1, 31))
    rest = spool.fetch(old, 11, limit=9)
    assert [(h.seq, h.last_seq, h.reason) for h in rest if isinstance(h, Hole)] == [(11, 40, GapReason.RESYNC)]
    assert spool.append([entry(99)], at(99)) == [(live(spool), 31)]
    assert spool.dropped_batches == 0


def test_a_rolled_back_lane_that_the_collector_has_in_full_is_forgotten(opened: Callable[..., Spool]) -> None:
    spool = opened()
    spool.append([entry(1)], at(1))
    old = live(spool)
    spool.move(old, 5)
    assert [lane.epoch for lane in spool.lanes()] == [live(spool)]
    assert live(spool) != old


def test_a_cursor_is_believed_only_with_the_right_digest(opened: Callable[..., Spool]) -> None:
    spool = opened()
    for i in range(6):
        spool.append([entry(i)], at(i))
    epoch = live(spool)
    third = spool.fetch(epoch, 3, limit=1)[0].digest
    assert spool.reconcile([Cursor(epoch, 3, bytes(32))])[0].base_seq == 0
    assert spool.reconcile([Cursor(epoch, 3, third)])[0].base_seq == 3
    assert spool.reconcile([Cursor(epoch, 99, third)])[0].overtaken


def test_a_collector_that_lost_its_memory_is_told_what_is_gone(opened: Callable[..., Spool]) -> None:
    spool = opened()
    for i in range(6):
        spool.append([entry(i)], at(i))
    epoch = live(spool)
    spool.acknowledge(epoch, 4)
    spool.append([entry(6)], at(6))
    first, second = spool.fetch(epoch, 1, limit=2)
    assert isinstance(first, Hole)
    assert (first.seq, first.last_seq, first.reason) == (1, 4, GapReason.RESYNC)
    assert isinstance(second, Batch)
    assert second.previous_digest == first.digest


def host_like_rows(count: int) -> Iterator[bytes]:
    """150 series as a busy host has them: CPU seconds, bytes, operations, free space, all moving at their own pace."""
    rng = random.Random(1)
    cpu = [rng.uniform(1e3, 1e5) for _ in range(32)]
    counters = [float(rng.randint(10**6, 10**11)) for _ in range(66)]
    gauges = [float(rng.randint(10**8, 10**11) // 4096 * 4096) for _ in range(36)]
    steady = [float(rng.randint(0, 10**6)) for _ in range(10)]
    for _ in range(count):
        for i in range(32):
            cpu[i] += rng.randint(0, 900) / 100 if i % 8 in (0, 2, 3) else 0.01 * (rng.random() < 0.2)
        for i in range(66):
            counters[i] += rng.randint(0, 10**6) if i % 3 else 0
        for i in range(36):
            gauges[i] += rng.randint(-500, 500) * 4096 if i < 18 else 0
        loads = [round(rng.random(), 2) for _ in range(6)]
        yield struct.pack("<150d", *[round(x, 2) for x in cpu], *counters, *gauges, *steady, *loads)


def test_seven_days_of_150_series_every_ten_seconds_fit_in_64_mebibytes(opened: Callable[..., Spool]) -> None:
    spool = opened()
    spool._db.execute("PRAGMA synchronous=OFF")
    beats = 3000
    for i, row in enumerate(host_like_rows(beats)):
        spool.append([Entry(row, 150, False, (7,))], at(i))
    empty = 12 * 4096 + spool_file.WAL_PAGES * 4096
    per_beat = (spool.used_bytes() - empty) / beats
    assert per_beat * 7 * 24 * 360 + empty < 64 * 1024 * 1024 * 0.85
    assert spool.dropped_batches == 0


def test_bases_do_not_pile_up(opened: Callable[..., Spool]) -> None:
    spool = opened()
    for i in range(400):
        epoch, seq = spool.append([entry(i)], at(i))[0]
        spool.acknowledge(epoch, seq)
    assert spool._db.execute("SELECT count(*) FROM base").fetchone()[0] <= 3


def test_the_spool_measures_itself(opened: Callable[..., Spool]) -> None:
    spool = opened()
    spool.append([entry(0)], at(0))
    values = {sample.series.name: sample.value for sample in spool.samples(at(3))}
    assert values["sigap_agent_spool_batches"] == 1
    assert values["sigap_agent_spool_oldest_seconds"] == 30
    assert values["sigap_agent_spool_dropped_batches_total"] == 0
    assert values["sigap_agent_spool_limit_bytes"] == 64 * 1024 * 1024


def test_a_failing_write_stops_the_agent_instead_of_pretending(opened: Callable[..., Spool]) -> None:
    spool = opened()
    spool._db.execute("PRAGMA query_only=ON")
    with pytest.raises(spool_file.SpoolBroken, match="Check the disk"):
        spool.append([entry(0)], at(0))


def test_packed_payloads_of_any_shape_come_back(opened: Callable[..., Spool]) -> None:
    spool = opened()
    rng = random.Random(3)
    payloads = [rng.randbytes(rng.choice((0, 1, 7, 9, 400, 401))) for _ in range(120)]
    for i, (payload, layout) in enumerate(zip(payloads, itertools.cycle((1, 2, 3)), strict=False)):
        spool.append([Entry(payload, 0, False, (layout,))], at(i))
    assert [item.payload for item in everything(spool, live(spool)) if isinstance(item, Batch)] == payloads
