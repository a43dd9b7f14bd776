"""A disk without room, the collector's and the agent's: no false acknowledgement, nobody dies, all is well again."""

from __future__ import annotations

import sqlite3
import time
import urllib.request
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.system.killing import ledger, source
from tests.system.killing.audit import audit
from tests.system.killing.disk import small_disk
from tests.system.killing.stand import Stand, until

SEED = 7
ROUNDS = 3
RESTARTED_IN = 1
FULL_SECONDS = 3.0
RECOVERY_SECONDS = 30.0
FAILED, NO_ROOM, ROOM = "ingest failed", "spool disk full", "spool disk has room again"
SAID_AT_MOST = 3
"""What was left over from a smaller commit may take some more rows before it is full again."""
UNHURRIED_SECONDS = 0.1
"""Half of what a collector takes from an agent (`rpc.PACES`), else what waits is never done with."""
COLLECTOR_MEBIBYTES, AGENT_MEBIBYTES = 24, 2


@pytest.mark.system
@pytest.mark.timeout(300)
def test_a_full_disk_stops_acknowledgements_and_nothing_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = fill_the_collectors(tmp_path, rounds=ROUNDS)
    with capsys.disabled():
        print(f"\n{told}")


def fill_the_collectors(folder: Path, *, rounds: int) -> str:
    """Fill the collector's disk again and again under load; returns what there is to tell."""
    slowest = 0.0
    with (
        small_disk(folder / "disk", mebibytes=COLLECTOR_MEBIBYTES) as disk,
        Stand(folder, agents=3, seed=SEED, data=disk.folder / "data") as stand,
    ):
        for life in stand.agents:
            life.plan = replace(life.plan, beat_seconds=UNHURRIED_SECONDS)
        stand.enrol()
        database, log = stand.collector.plan.database, stand.collector.plan.log
        for number in range(rounds):
            before = _times(log, FAILED)
            disk.fill()
            until(partial(_says, log, FAILED, before + 1), "the collector says that it cannot store")
            full = time.monotonic()
            while time.monotonic() - full < FULL_SECONDS:
                promised = _acknowledged(stand)
                assert all(map(int.__le__, promised, _cursors(database))), "acknowledged what there was no room for"
                assert _health(stand) == 200
                time.sleep(0.2)
            assert _waiting(stand) > 0, "nothing waits: was the disk full?"
            if number == RESTARTED_IN:
                stand.collector.kill()
                stand.collector.start()
                until(partial(_says, log, FAILED, _times(log, FAILED) + 1), "it starts on the full disk, and says so")
            disk.free()
            freed, held = time.monotonic(), _assigned(stand)
            until(
                partial(_has, stand, held),
                "everything is in",
                seconds=RECOVERY_SECONDS,
            )
            slowest = max(slowest, time.monotonic() - freed)
        assert _times(log, FAILED) <= (rounds + 1) * SAID_AT_MOST, "said on transition, not for each batch"
        for life in stand.agents:
            life.stop()
        stand.collector.stop()
        found = audit(database, [life.plan for life in stand.agents])
    assert found.stored == found.assigned == found.acked, "every row is there"
    return f"R7 PASS collector fills={rounds} {found} recovery_seconds={slowest:.1f}"


@pytest.mark.system
@pytest.mark.timeout(120)
def test_what_finds_no_room_in_an_agents_spool_is_declared_lost(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with (
        small_disk(tmp_path / "disk", mebibytes=AGENT_MEBIBYTES) as disk,
        Stand(tmp_path, agents=2, seed=SEED) as stand,
    ):
        (life, other) = stand.agents
        life.plan = replace(life.plan, spool=disk.folder / "spool.db", may_lose=frozenset({"spool_full"}))
        stand.enrol()
        log = life.plan.folder / "agent.log"
        for number in range(ROUNDS):
            stand.collector.kill()  # nothing leaves the spool, so it needs room
            disk.fill()
            until(partial(_says, log, NO_ROOM, number + 1), "the agent says that it has no room")
            time.sleep(FULL_SECONDS)
            assert life.is_alive
            disk.free()
            until(partial(_says, log, ROOM, number + 1), "the agent goes on")
            stand.collector.start()
            held = _assigned(stand)
            until(partial(_has, stand, held), "delivered", seconds=RECOVERY_SECONDS)
        for one in (life, other, stand.collector):
            one.stop()
        found = audit(stand.collector.plan.database, [life.plan, other.plan])
        unsaved = ledger.unsaved(life.plan.notes_path)
        declared = _gaps(stand.collector.plan.database)
        assert (_times(log, NO_ROOM), _times(log, ROOM)) == (ROUNDS, ROUNDS), "said once for each time"
    assert unsaved
    assert found.declared == len(unsaved) == sum(gap.numbers for gap in declared)
    width = len(source.columns(life.plan.number))
    assert sum(gap.samples for gap in declared) == width * len(unsaved)
    assert all(any(gap.from_ms <= wall_ms <= gap.to_ms for gap in declared) for wall_ms in unsaved)
    with capsys.disabled():
        print(f"\nR7 PASS agent fills={ROUNDS} unsaved={len(unsaved)} {found}")


@pytest.mark.system
@pytest.mark.timeout(120)
def test_an_agent_that_starts_on_a_full_disk_says_so_and_keeps_what_it_has(tmp_path: Path) -> None:
    with (
        small_disk(tmp_path / "disk", mebibytes=AGENT_MEBIBYTES) as disk,
        Stand(tmp_path, agents=1, seed=SEED) as stand,
    ):
        (life,) = stand.agents
        life.plan = replace(life.plan, spool=disk.folder / "spool.db")
        stand.enrol()
        stand.collector.kill()
        held = sum(_assigned(stand)) + 20
        until(lambda: sum(_assigned(stand)) > held, "something waits")
        life.kill()
        disk.fill()
        life.start()
        until(lambda: not life.is_alive, "it does not start")
        assert life.code == 1
        assert _times(life.plan.folder / "agent.log", "is full. Free some space") == 1
        disk.free()
        stand.collector.start()
        life.start()
        until(lambda: sum(_acknowledged(stand)) > held, "what waited is delivered", seconds=RECOVERY_SECONDS)
        life.stop()
        stand.collector.stop()
        found = audit(stand.collector.plan.database, [life.plan])
        assert found.stored == found.assigned
        assert not list(disk.folder.glob("*.damaged"))


class Gap(NamedTuple):
    numbers: int
    samples: int
    from_ms: int
    to_ms: int


def _gaps(database: Path) -> list[Gap]:
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        query = "SELECT to_seq - from_seq + 1, samples, from_ms, to_ms FROM gap WHERE reason = 'spool_full'"
        return [Gap(*row) for row in connection.execute(query)]


def _times(log: Path, words: str) -> int:
    return log.read_text().count(words)


def _says(log: Path, words: str, times: int) -> bool:
    return _times(log, words) >= times


def _has(stand: Stand, held: list[int]) -> bool:
    """Whether every agent was acknowledged at least so much."""
    return all(map(int.__ge__, _acknowledged(stand), held))


def _acknowledged(stand: Stand) -> list[int]:
    return [sum(lane.acked_seq for lane in ledger.read(life.plan.notes_path).values()) for life in stand.agents]


def _assigned(stand: Stand) -> list[int]:
    return [sum(lane.last_seq for lane in ledger.read(life.plan.notes_path).values()) for life in stand.agents]


def _waiting(stand: Stand) -> int:
    return sum(_assigned(stand)) - sum(_acknowledged(stand))


def _cursors(database: Path) -> list[int]:
    """What the database says that it has, in the order of the agents' numbers."""
    query = "SELECT sum(l.acked_seq) FROM agent a JOIN lane l ON l.agent_id = a.id GROUP BY a.id ORDER BY a.host_name"
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        return [row[0] for row in connection.execute(query)]


def _health(stand: Stand) -> int:
    with urllib.request.urlopen(f"http://127.0.0.1:{stand.collector.plan.web}/-/healthy", timeout=5) as answer:
        return int(answer.status)
