"""What the demo makes up: the same story and the same rows every time, and as they would be measured."""

from __future__ import annotations

import io

import numpy as np
import pytest
from rich.console import Console

from collector.demo.fleet import LOCAL_CHECKS, MACHINES
from collector.demo.flow import Beat, Summary
from collector.demo.machine import Machine, Simulation, Stress
from collector.demo.organisation import documents, watches
from collector.demo.results import looks
from collector.demo.story import DAY_MS, HOUR_MS, tell
from collector.demo.terminal import Terminal
from collector.domain.interval import Span
from collector.domain.measure import MEASURES, Rows
from collector.domain.registers import REGISTERS

START_MS = 1_790_000_000_000
BEAT_MS = 300_000


def times(days: float, *, since_ms: int = START_MS) -> np.ndarray:
    return np.arange(since_ms, since_ms + int(days * DAY_MS), BEAT_MS, dtype=np.int64)


def column(simulation: Simulation, name: str, **labels: str) -> int:
    layout = simulation.layout(BEAT_MS)
    return next(at for at in layout.families[name] if labels.items() <= dict(layout.columns[at].labels).items())


def test_equal_machines_and_times_give_equal_rows():
    first, second = (Simulation(Machine(name="web-1"), START_MS) for _ in range(2))
    assert np.array_equal(first.rows(times(1)), second.rows(times(1)))


def test_counters_go_on_where_the_call_before_ended():
    simulation = Simulation(Machine(name="web-1"), START_MS)
    one, two = simulation.rows(times(1)), simulation.rows(times(1, since_ms=START_MS + DAY_MS))
    at = column(simulation, "node_network_transmit_bytes_total")
    assert (np.diff(np.concatenate([one[:, at], two[:, at]])) >= 0).all()


@pytest.mark.parametrize("machine", MACHINES, ids=lambda one: one.name)
def test_the_modes_of_a_cpu_add_up_to_the_time_that_passed(machine: Machine):
    simulation = Simulation(machine, START_MS)
    rows = simulation.rows(times(2))
    layout = simulation.layout(BEAT_MS)
    first = [at for at in layout.families["node_cpu_seconds_total"] if dict(layout.columns[at].labels)["cpu"] == "0"]
    grown = np.diff(rows[:, first].sum(axis=1))
    assert rows.shape[1] == len(layout.columns)
    assert np.allclose(grown, BEAT_MS / 1000, atol=0.1)


def test_a_restart_begins_the_counters_anew():
    boot_ms = START_MS + 6 * HOUR_MS
    simulation = Simulation(Machine(name="web-1"), START_MS, boots_ms=[boot_ms])
    rows, at = simulation.rows(times(1)), 6 * 12
    assert rows[at, column(simulation, "node_boot_time_seconds")] == boot_ms // 1000
    counters = [i for i, one in enumerate(simulation.layout(BEAT_MS).columns) if one.kind]
    assert (rows[at, counters] <= rows[at - 1, counters]).all()


def test_a_stressed_machine_is_busy_by_the_measure_that_rules_use():
    span = Span(START_MS + 2 * HOUR_MS, START_MS + 4 * HOUR_MS)
    simulation = Simulation(Machine(name="app-1"), START_MS, [Stress(span, 0.93)])
    rows = simulation.rows(times(0.5))
    busy = MEASURES["cpu_busy_ratio"].compile(simulation.layout(BEAT_MS))
    wall = times(0.5)[1:, np.newaxis] / 1000
    values = busy.evaluate(Rows(rows[1:], rows[:-1], np.full_like(wall, BEAT_MS / 1000), wall))[:, 0]
    inside = (wall[:, 0] * 1000 > span.since_ms) & (wall[:, 0] * 1000 <= span.until_ms)
    assert values[inside].min() > 0.8 > values[~inside].max()


def test_a_check_looks_on_its_beat_and_wherever_its_state_changes():
    now_ms = START_MS + 29 * DAY_MS
    story = tell(START_MS, now_ms)
    watch = next(one for one in watches(documents(["lb-1"]))["lb-1"] if one.key == "shop.page")
    found = looks(watch, story, Span(START_MS, now_ms), interval_ms=BEAT_MS)
    walls = [one.wall_ms for one in found]
    assert walls[0] == START_MS
    assert max(np.diff(walls)) == BEAT_MS
    assert {at for one in story.incidents_of("shop.page") for at in one.span if at < now_ms} <= set(walls)
    assert {one.state for one in found} == {1, 2, 3}


def test_one_host_more_or_less_does_not_change_what_others_did():
    span = Span(START_MS, START_MS + DAY_MS)
    story = tell(START_MS, START_MS + 29 * DAY_MS)
    alone, together = (watches(documents(hosts))["lb-1"] for hosts in (["lb-1"], ["lb-1", "app-1"]))
    assert alone == together
    assert looks(alone[0], story, span, interval_ms=BEAT_MS) == looks(together[0], story, span, interval_ms=BEAT_MS)


def test_the_organisation_is_as_large_as_promised_and_hangs_together():
    records = documents([one.name for one in MACHINES])
    names = [one["register"] for one in records]
    assert (names.count("host"), names.count("service")) == (20, 8)
    assert {one["key"] for one in records if one["register"] == "host"} == {one.name for one in MACHINES}
    assert len({one["state"] for one in records if one["register"] == "service"}) >= 3
    assert {one["register"] for one in records} <= set(REGISTERS)
    checks = {watch.key for some in watches(records).values() for watch in some}
    assert {check for one in tell(START_MS, START_MS + 29 * DAY_MS).incidents for check in one.checks} <= checks
    assert {one.key for one in LOCAL_CHECKS} <= checks


def test_hosts_do_not_march_in_step():
    assert [Beat(10_000, offset_ms).wait_ms(25_000) for offset_ms in (0, 2_500, 5_000)] == [5_000, 7_500, 10_000]


def test_progress_is_told_in_plain_lines_where_there_is_no_terminal():
    written = io.StringIO()
    with Terminal(Console(file=written, width=200)) as terminal:
        for done in range(101):
            terminal.advance(done, 100)
    terminal.summary(Summary(20, 26, 8, 29, 384_062, 12.34, ()), "http://127.0.0.1:8420/sign-in?link=x")
    lines = written.getvalue().splitlines()
    assert lines[1:5] == ["25 %", "50 %", "75 %", "100 %"]
    assert "20 simulated hosts, 26 checks, 8 services" in lines[5]
    assert lines[6].endswith("http://127.0.0.1:8420/sign-in?link=x")


def test_progress_is_a_bar_on_a_terminal():
    written = io.StringIO()
    with Terminal(Console(file=written, width=120, force_terminal=True)) as terminal:
        terminal.advance(50, 100)
        terminal.advance(100, 100)
    assert "100%" in written.getvalue()
