"""Whether anything is missing, doubled or false, once every process is dead: database, spools and ledgers compared.

    assigned = stored + declared lost + still in the spool

as sets of numbers, for every epoch of every agent, and every stored value against `source`.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy import select

from agent import identity
from agent.shelf import SEQ_BITS, SEQ_MASK
from collector.domain.series import Matcher
from collector.store import schema
from collector.store.database import Connection, Database
from collector.store.series import SeriesStore, journal
from tests.system.killing import ledger, source

FOREVER_MS = 1 << 62


class Plan(Protocol):
    """What must be known of an agent."""

    @property
    def number(self) -> int: ...
    @property
    def seed(self) -> int: ...
    @property
    def folder(self) -> Path: ...  # with `state`, its identity
    @property
    def spool_path(self) -> Path: ...
    @property
    def notes_path(self) -> Path: ...
    @property
    def may_lose(self) -> frozenset[str]: ...  # reasons that a declared loss may have


@dataclass(slots=True)
class Findings:
    """How many numbers there are of each kind; all agents together."""

    assigned: int = 0
    acked: int = 0
    stored: int = 0
    declared: int = 0
    spooled: int = 0
    lost: int = 0
    duplicated: int = 0
    altered: int = 0

    def __str__(self) -> str:
        return (
            f"assigned={self.assigned} acked={self.acked} stored={self.stored} declared={self.declared} "
            f"spooled={self.spooled} lost={self.lost} duplicated={self.duplicated} altered={self.altered}"
        )


def audit(database: Path | str, plans: Sequence[Plan], *, quarantined: int = 0) -> Findings:
    """Compare; nobody may be writing. `database` is a file of SQLite or the address of any.

    Raises:
        AssertionError: Something is not as it must be.
    """
    if isinstance(database, Path):
        _check_file(database)
        database = f"sqlite:///{database}"
    found = Findings()
    db = Database(database)
    try:
        series = SeriesStore(db, clock=lambda: 0)
        series.open()
        assert series.statistics().unreadable_rows == 0
        rows = db.read_now(lambda c: list(c.execute(select(schema.agent.c.id, schema.agent.c.host_id))))
        hosts = {row.id: row.host_id for row in rows}
        found.duplicated = db.read_now(_rows_twice)
        assert len(db.read_now(lambda c: list(c.execute(select(schema.quarantine))))) == quarantined
        for plan in plans:
            agent_id = _agent_id(plan)
            stored = _stored(series, plan, hosts[agent_id], found)
            _judge(db.read_now(_known_of(agent_id)), plan, stored, found)
        statistics = series.statistics()
        assert (statistics.damaged_blocks, statistics.damaged_records) == (0, 0)
    finally:
        db.close()
    assert (found.lost, found.duplicated, found.altered) == (0, 0, 0), found
    assert found.assigned == found.stored + found.declared + found.spooled, found
    return found


def _check_file(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)], path
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == [], path


def _agent_id(plan: Plan) -> str:
    found = identity.load(plan.folder / "state")
    assert found is not None
    return found.agent_id


def _rows_twice(connection: Connection) -> int:
    """Rows that the journal holds more than once: `select` would hide them."""
    seen: Counter[tuple[int, int, int]] = Counter()
    for record in journal.replay(connection):
        assert record.entries is not None, f"journal record {record.id} is damaged"
        seen.update((entry.host_id, entry.layout_id, entry.wall_ms) for entry in record.entries)
    return sum(count - 1 for count in seen.values())


def _stored(series: SeriesStore, plan: Plan, host_id: int, found: Findings) -> set[int]:
    """The times of every row of a host, each value compared with the truth."""
    names = [dict(column.labels)["column"] for column in source.columns(plan.number)]
    read = series.select([Matcher("__name__", "=", source.METRIC)], 0, FOREVER_MS, host_ids={host_id}, resolution_ms=0)
    cells: dict[str, dict[int, float]] = {}
    for one in read:
        times = one.times.tolist()
        found.duplicated += len(times) - len(set(times))
        cells[one.labels["column"]] = dict(zip(times, one.values.tolist(), strict=True))
    stored = {wall_ms for column in cells.values() for wall_ms in column}
    for wall_ms in stored:
        truth = source.values(plan.seed, plan.number, wall_ms)
        shown = [cells[name].get(wall_ms) if name in cells else None for name in names]
        found.altered += shown != [None if value != value else value for value in truth]
    return stored


@dataclass(frozen=True, slots=True)
class _Known:
    """What the collector has on disk of one agent."""

    cursors: Mapping[bytes, int]
    gaps: Mapping[bytes, list[int]]
    reasons: frozenset[str]


def _known_of(agent_id: str) -> Callable[[Connection], _Known]:
    def read(connection: Connection) -> _Known:
        def rows(table: Any) -> list[Any]:
            return list(connection.execute(select(table).where(table.c.agent_id == agent_id)))

        gaps: dict[bytes, list[int]] = {}
        declared = rows(schema.gap)
        for gap in declared:
            gaps.setdefault(bytes(gap.epoch), []).extend(range(gap.from_seq, gap.to_seq + 1))
        cursors = {bytes(lane.epoch): lane.acked_seq for lane in rows(schema.lane)}
        return _Known(cursors, gaps, frozenset(gap.reason for gap in declared))

    return read


def _judge(known: _Known, plan: Plan, stored: set[int], found: Findings) -> None:
    lanes = ledger.read(plan.notes_path)
    spooled = _spooled(plan.spool_path)
    unexplained = set(stored)
    assert known.reasons <= plan.may_lose, f"agent {plan.number} lost something: {set(known.reasons)}"
    assert known.cursors.keys() <= lanes.keys(), "the collector knows epochs that no agent had"
    for epoch, lane in lanes.items():
        cursor, gaps = known.cursors.get(epoch, 0), known.gaps.get(epoch, [])
        where = f"agent {plan.number} epoch {epoch.hex()} cursor {cursor} assigned {lane.last_seq}"
        assert lane.acked_seq <= cursor <= lane.last_seq, f"{where}: acknowledged {lane.acked_seq}"
        assert len(gaps) == len(set(gaps)), f"{where}: declared lost twice"
        assert all(seq <= cursor for seq in gaps), f"{where}: a gap beyond the cursor"
        kept = {seq: lane.wall_ms[seq] for seq in lane.wall_ms.keys() - set(gaps) if seq <= cursor}
        there = {seq for seq, wall_ms in kept.items() if wall_ms in stored}
        waiting = {seq for seq in range(cursor + 1, lane.last_seq + 1) if seq in spooled.get(epoch, set())}
        assert not any(lane.wall_ms.get(seq) in stored for seq in waiting), f"{where}: stored beyond the cursor"
        unexplained -= {kept[seq] for seq in there}
        missing = set(range(1, lane.last_seq + 1)) - there - set(gaps) - waiting
        assert not missing, f"{where}: {len(missing)} numbers are nowhere: {sorted(missing)[:10]}"
        assert not there & set(gaps), f"{where}: stored and declared lost"
        found.assigned += lane.last_seq
        found.acked += lane.acked_seq
        found.stored += len(there)
        found.declared += len(gaps)
        found.spooled += len(waiting)
        found.lost += len(missing)
    assert not unexplained, f"agent {plan.number}: {len(unexplained)} rows that it never measured"


def _spooled(path: Path) -> dict[bytes, set[int]]:
    """The numbers that a spool still holds, as batches or as declared holes."""
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)], path
        epochs = dict(connection.execute("SELECT number, epoch FROM lane"))
        held: dict[bytes, set[int]] = {epoch: set() for epoch in epochs.values()}
        for (key,) in connection.execute("SELECT id FROM batch"):
            held[epochs[key >> SEQ_BITS]].add(key & SEQ_MASK)
        for key, last_seq in connection.execute("SELECT id, last_seq FROM hole"):
            held[epochs[key >> SEQ_BITS]].update(range(key & SEQ_MASK, last_seq + 1))
    return held
