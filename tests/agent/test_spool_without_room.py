"""A disk without room when the spool is opened and when it is closed; in between see test_spool."""

from __future__ import annotations

import itertools
import logging
import os
import random
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent import room, spool_file
from agent.batch import Batch, Entry, GapReason, Hole, Item
from agent.sample import Moment
from agent.spool import Spool

SAMPLES = 50
EPOCHS = itertools.count(1)
ROOM = 1 << 20


def at(beat: int) -> Moment:
    return Moment(1_700_000_000_000 + beat * 1000, beat * 10**9)


def entry(beat: int) -> Entry:
    return Entry(random.Random(beat).randbytes(2000), SAMPLES, False)


def reopened(path: Path) -> Spool:
    return Spool.open(path, moment=at(0), boot_id="boot", new_epoch=lambda: next(EPOCHS).to_bytes(16, "big"))


def limit(spool: Spool, pages: int) -> None:
    """What the file may have; SQLite takes less than it has for what it has."""
    spool._db.execute(f"PRAGMA max_page_count={pages}")


def content(spool: Spool) -> Iterator[Item]:
    for lane in spool.lanes():
        yield from spool.fetch(lane.epoch, lane.base_seq + 1, limit=1000)


def test_what_found_no_room_is_declared_by_a_spool_that_is_closed(tmp_path: Path) -> None:
    spool = reopened(tmp_path / "spool.db")
    limit(spool, 1)
    lost = [beat for beat in range(1, 40) if not spool.append([entry(beat)], at(beat))]
    limit(spool, ROOM)
    spool.close()
    found = list(content(reopened(tmp_path / "spool.db")))
    batches, holes = [one for one in found if isinstance(one, Batch)], [one for one in found if isinstance(one, Hole)]
    assert lost
    assert len(batches) == 39 - len(lost)
    assert [(one.reason, one.last_seq - one.seq + 1, one.samples) for one in holes] == [
        (GapReason.SPOOL_FULL, len(lost), SAMPLES * len(lost))
    ]
    assert (holes[0].from_wall_ms, holes[0].to_wall_ms) == (at(lost[0]).wall_ms, at(lost[-1]).wall_ms)


def test_closing_without_room_keeps_what_is_there(tmp_path: Path) -> None:
    spool = reopened(tmp_path / "spool.db")
    limit(spool, 1)
    kept = [beat for beat in range(1, 40) if spool.append([entry(beat)], at(beat))]
    spool.close()
    again = reopened(tmp_path / "spool.db")
    assert [one.wall_ms for one in content(again) if isinstance(one, Batch)] == [at(beat).wall_ms for beat in kept]


def test_that_there_is_room_again_is_said_when_it_is_true(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    spool = reopened(tmp_path / "spool.db")
    limit(spool, 1)
    lost = [beat for beat in range(1, 40) if not spool.append([entry(beat)], at(beat))]
    limit(spool, ROOM)
    with caplog.at_level(logging.WARNING):
        assert spool.append([entry(40)], at(40))
    said = [record.getMessage() for record in caplog.records if "room again" in record.getMessage()]
    assert said == [f"spool disk has room again lost_batches={len(lost)}"]
    spool.close()


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("database or disk is full", spool_file.SpoolError),
        ("disk I/O error", spool_file.SpoolError),
        ("attempt to write a readonly database", spool_file.SpoolError),
        ("database is locked", spool_file.SpoolError),
        ("database disk image is malformed", spool_file.Damaged),
        ("file is not a database", spool_file.Damaged),
    ],
)
def test_only_a_file_that_makes_no_sense_is_moved_aside(tmp_path: Path, words: str, kind: type[Exception]) -> None:
    assert type(spool_file.refused(tmp_path / "spool.db", sqlite3.OperationalError(words))) is kind


class Disk:
    """A disk whose free space is ours to say."""

    def __init__(self, spare_bytes: int) -> None:
        self.spare_bytes = spare_bytes

    def spare(self, path: Path) -> int:
        assert path.name == "spool.db"
        return self.spare_bytes


def on_disk(path: Path, disk: Disk) -> Spool:
    epoch = (1).to_bytes(16, "big")
    return Spool.open(path, moment=at(0), boot_id="boot", new_epoch=lambda: epoch, spare_bytes=disk.spare)


def large(beat: int) -> Entry:
    return Entry(random.Random(beat).randbytes(100_000), SAMPLES, False)


def shown_limit(spool: Spool) -> float:
    return next(s.value for s in spool.samples(at(0)) if s.series.name == "sigap_agent_spool_limit_bytes")


@pytest.mark.parametrize("spare", [0, -(10**9)])
def test_on_a_nearly_full_disk_the_spool_grows_no_further_and_declares_the_oldest(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, spare: int
) -> None:
    disk, path = Disk(10**12), tmp_path / "spool.db"
    spool = on_disk(path, disk)
    for beat in range(1, 81):
        spool.append([large(beat)], at(beat))
    assert (spool.dropped_batches, shown_limit(spool)) == (0, 64 << 20)
    disk.spare_bytes = spare
    for beat in range(81, 141):
        assert spool.append([large(beat)], at(beat))
    size = path.stat().st_size
    for beat in range(141, 201):
        assert spool.append([large(beat)], at(beat))
    items = list(content(spool))
    assert path.stat().st_size <= size + (1 << 20)  # the log is folded back when it is full
    assert 0 < spool.dropped_batches < 200
    assert sum(one.last_seq - one.seq + 1 for one in items if isinstance(one, Hole)) == spool.dropped_batches
    assert [one.seq for one in items if isinstance(one, Batch)][-1] == 200
    disk.spare_bytes = 10**12
    spool.append([large(201)], at(201))
    assert shown_limit(spool) == 64 << 20
    told = [record.getMessage().partition(" limit")[0] for record in caplog.records]
    assert told == ["spool disk nearly full", "spool disk has room"]
    spool.close()


def test_a_full_disk_leaves_the_spool_of_a_new_agent_hours_of_beats(tmp_path: Path) -> None:
    spool = on_disk(tmp_path / "spool.db", Disk(-1))
    for beat in range(1, 31):
        spool.append([large(beat)], at(beat))
    assert (spool.dropped_batches, shown_limit(spool)) == (0, room.FLOOR_BYTES)
    for beat in range(31, 101):
        spool.append([large(beat)], at(beat))
    assert spool.used_bytes() <= room.FLOOR_BYTES
    assert spool.dropped_batches > 0
    spool.close()


def test_the_reserve_is_a_twentieth_and_never_more_than_a_gibibyte(tmp_path: Path) -> None:
    disk = os.statvfs(tmp_path)
    total, free = disk.f_blocks * disk.f_frsize, disk.f_bavail * disk.f_frsize
    spare = room.spare_bytes(tmp_path / "spool.db")
    assert abs(free - spare - min(total * 0.05, 1 << 30)) < (64 << 20)  # others write meanwhile
