"""A disk without room when the spool is opened and when it is closed; in between see test_spool."""

from __future__ import annotations

import itertools
import logging
import random
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent import spool_file
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
