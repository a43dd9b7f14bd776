"""The sampler: beats, rows, probes that hang or fail, clocks that step, checks that change.

Real worker threads; the clock stands still until a test moves it, so nothing here depends on how fast it runs.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from pathlib import Path

import pytest

from agent import sampler as sampling
from agent.beat import Beat
from agent.columns import is_absent
from agent.probes import Host
from agent.reason import Reason
from agent.sample import Document, Observation, Outcome, Sample, State
from agent.sampler import Sampler, Scheduled
from tests.agent.scripted import (
    DEADLINE_SECONDS,
    SECOND_NS,
    START,
    Bench,
    Scripted,
    gauge,
    seeing,
    value,
    values,
)

SUCCESS = "node_scrape_collector_success"


def test_probes_of_one_interval_share_a_row():
    bench = Bench(Scheduled(seeing("a", 1, 2), 10), Scheduled(seeing("b", 3), 10))
    (beat,) = bench.next_beats(1)
    assert [series.name for series in beat.columns if "scrape" not in series.name] == ["a_0", "a_1", "b_0"]
    assert (value(beat, "a_1"), value(beat, "b_0")) == (2, 3)
    assert values(beat, SUCCESS) == {"a": 1, "b": 1}
    assert beat.interval_ms == 10_000
    assert beat.moment == bench.clock.moment


def test_probes_of_other_intervals_have_rows_of_their_own():
    bench = Bench(Scheduled(seeing("a", 1), 10), Scheduled(seeing("b", 3), 30))
    beats = bench.next_beats(6)
    assert {beat.interval_ms for beat in beats} == {10_000, 30_000}
    assert sum(beat.interval_ms == 10_000 for beat in beats) in (4, 5)


def test_columns_are_the_same_object_while_the_series_are_the_same():
    bench = Bench(Scheduled(seeing("a", 1, 2), 10), Scheduled(seeing("b", 3), 10))
    first, second, third = bench.next_beats(3)
    assert first.columns is second.columns is third.columns


def test_new_series_changes_the_columns_and_a_missing_one_is_absent():
    probe = seeing("a", 1, 2)
    everything = probe.observation
    bench = Bench(Scheduled(probe, 10))
    (first,) = bench.next_beats(1)
    probe.observation = Observation(everything.samples[:1])
    (second,) = bench.next_beats(1)
    assert second.columns is first.columns
    assert is_absent(value(second, "a_1"))
    probe.observation = Observation([*everything.samples, Sample(gauge("new"), 9)])
    (third,) = bench.next_beats(1)
    assert third.columns is not first.columns
    assert value(third, "new") == 9


def test_series_that_stays_away_loses_its_column_at_last():
    probe = seeing("a", 1, 2)
    bench = Bench(Scheduled(probe, 10))
    bench.next_beats(1)
    probe.observation = Observation(probe.observation.samples[:1])
    last = bench.next_beats(70)[-1]
    assert [series.name for series in last.columns if "scrape" not in series.name] == ["a_0"]


def test_failed_probe_is_a_sample_too_and_keeps_its_columns():
    probe = seeing("a", 1)
    bench = Bench(Scheduled(probe, 10), Scheduled(seeing("b", 3), 10))
    (first,) = bench.next_beats(1)
    probe.error = OSError(5, "Input/output error")
    (second,) = bench.next_beats(1)
    assert second.columns is first.columns
    assert is_absent(value(second, "a_0"))
    assert values(second, SUCCESS) == {"a": 0, "b": 1}
    assert bench.counts() == {"probe_runs_total": 4, "probe_failures_total": 1}


def test_probe_that_gives_no_numbers_fails_alone():
    broken = Scripted("broken", Observation([Sample(gauge("broken"), "much")]))
    bench = Bench(Scheduled(broken, 10), Scheduled(seeing("b", 3), 10))
    (beat,) = bench.next_beats(1)
    assert values(beat, SUCCESS) == {"broken": 0, "b": 1}
    assert len(beat.columns) == len(beat.values)
    assert bench.counts()["probe_failures_total"] == 1


def test_failure_and_recovery_are_logged_once_each(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO, logger="agent.sampler")
    probe = seeing("a", 1)
    bench = Bench(Scheduled(probe, 10))
    probe.error = OSError(5, "Input/output error")
    bench.next_beats(3)
    probe.error = None
    bench.next_beats(2)
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert "probe_failed probe=a" in caplog.messages[0]
    assert "Input/output error" in caplog.messages[0]
    assert caplog.messages[1] == "probe_recovered probe=a"


def test_hanging_probe_does_not_delay_another():
    stuck, other = seeing("stuck", 1), seeing("other", 2)
    stuck.gate.clear()
    bench = Bench(Scheduled(stuck, 10, 5), Scheduled(other, 10, 5))
    bench.clock.pass_seconds(1)
    bench.until(stuck.entered.is_set)
    assert not other.runs
    bench.clock.pass_seconds(0.051)
    bench.until(other.entered.is_set)
    assert not bench.beats
    bench.clock.pass_seconds(5)
    bench.until(lambda: bool(bench.beats))
    assert values(bench.beats[0], SUCCESS) == {"stuck": 0, "other": 1}
    assert value(bench.beats[0], "other_0") == 2
    stuck.gate.set()


def test_probe_that_still_runs_is_skipped_and_counted_until_it_returns():
    stuck, other = seeing("stuck", 1), seeing("other", 2)
    stuck.gate.clear()
    bench = Bench(Scheduled(stuck, 10, 5), Scheduled(other, 10, 5))
    bench.clock.pass_seconds(1)
    bench.until(stuck.entered.is_set)
    bench.clock.pass_seconds(6)
    bench.until(lambda: bool(bench.beats))
    bench.next_beats(2)
    assert len(stuck.runs) == 1
    assert len(other.runs) == 3
    assert bench.counts() == {"probe_runs_total": 6, "probe_timeouts_total": 1, "probe_skips_total": 2}
    stuck.gate.set()
    group = bench.sampler._groups[0]
    bench.until(lambda: not group.row.parts[0].slot.busy)
    (beat,) = bench.next_beats(1)
    assert values(beat, SUCCESS) == {"stuck": 1, "other": 1}


def test_all_probes_hanging_still_gives_a_beat():
    probes = [seeing(name, 1) for name in "abc"]
    for probe in probes:
        probe.gate.clear()
    bench = Bench(*[Scheduled(probe, 10, 5) for probe in probes])
    bench.clock.pass_seconds(1)
    for probe in probes:
        bench.until(probe.entered.is_set)
        bench.clock.pass_seconds(0.06)
    bench.clock.pass_seconds(6)
    bench.until(lambda: len(bench.beats) == 1)
    bench.next_beats(1)
    assert values(bench.beats[1], SUCCESS) == {"a": 0, "b": 0, "c": 0}
    for probe in probes:
        probe.gate.set()


def test_round_longer_than_its_interval_is_closed_by_the_next_beat():
    stuck = seeing("stuck", 1)
    stuck.gate.clear()
    bench = Bench(Scheduled(stuck, 10, 60))
    bench.clock.pass_seconds(1)
    bench.until(stuck.entered.is_set)
    bench.clock.pass_seconds(20)
    bench.until(lambda: len(bench.beats) == 2)
    assert bench.counts()["probe_timeouts_total"] == 1
    assert bench.sampler._groups[0].row.parts[0].trouble == "its previous run has not ended yet"
    stuck.gate.set()


def test_probe_nobody_got_to_before_the_next_beat_says_so(caplog: pytest.LogCaptureFixture):
    stuck, late = seeing("stuck", 1), seeing("late", 2)
    stuck.gate.clear()
    bench = Bench(Scheduled(stuck, 10, 60), Scheduled(late, 10, 60))
    bench.clock.pass_seconds(1)
    bench.until(stuck.entered.is_set)
    group = bench.sampler._groups[0]
    group.round.close()
    bench.sampler._finish(group, group.round)
    assert group.row.parts[1].trouble == "was not reached before the next beat"
    assert "reason='was not reached before the next beat'" in caplog.text
    stuck.gate.set()


def test_step_of_the_wall_clock_moves_no_beat():
    bench = Bench(Scheduled(seeing("a", 1), 10))
    bench.next_beats(2)
    bench.clock.pass_seconds(0, wall_step_seconds=-86_400)
    third, fourth = bench.next_beats(2)
    assert third.moment.boottime_ns - bench.beats[1].moment.boottime_ns == pytest.approx(10 * SECOND_NS, rel=1e-4)
    assert fourth.moment.wall_ms - third.moment.wall_ms == pytest.approx(10_000, abs=2)
    assert third.moment.wall_ms < START.wall_ms


def test_suspend_costs_beats_that_are_counted_and_keeps_the_phase():
    bench = Bench(Scheduled(seeing("a", 1), 10))
    bench.next_beats(2)
    phase = bench.beats[1].moment.boottime_ns % (10 * SECOND_NS)
    bench.clock.pass_seconds(3_605)
    bench.until(lambda: len(bench.beats) == 3)
    (fourth,) = bench.next_beats(1)
    assert bench.counts()["beats_missed_total"] == 359
    assert fourth.moment.boottime_ns % (10 * SECOND_NS) == pytest.approx(phase, abs=SECOND_NS / 100)


def test_first_beat_is_soon_and_later_ones_are_spread_over_the_interval():
    phases = set()
    for seed in range(20):
        bench = Bench(Scheduled(seeing("a", 1), 10), seed=seed)
        first, second = bench.next_beats(2)
        assert first.moment.boottime_ns - START.boottime_ns <= SECOND_NS + 1000
        assert 1 <= (second.moment.boottime_ns - first.moment.boottime_ns) / SECOND_NS <= 11.1
        phases.add(second.moment.boottime_ns // SECOND_NS % 10)
    assert len(phases) >= 6


def test_check_has_a_beat_of_its_own_with_its_result():
    check = seeing("probe_success", 1)
    check.observation = Observation(
        check.observation.samples, Outcome(State.UP, Reason("200 OK"), latency_seconds=0.03)
    )
    bench = Bench(Scheduled(check, 10, 5, "local:web"), Scheduled(seeing("a", 1), 10))
    beats = bench.next_beats(2)
    (beat,) = [beat for beat in beats if beat.results]
    (result,) = beat.results
    assert result.wire_id == "local:web"
    assert result.outcome.state is State.UP
    assert (result.interval_ms, result.timeout_ms) == (10_000, 5_000)
    assert result.wall_ms == beat.moment.wall_ms
    assert [series.name for series in beat.columns] == ["probe_success_0"]


def test_check_that_hangs_is_unknown_and_then_skipped():
    check = seeing("c", 1)
    check.gate.clear()
    bench = Bench(Scheduled(check, 10, 5, "local:web"))
    bench.clock.pass_seconds(1)
    bench.until(check.entered.is_set)
    bench.clock.pass_seconds(6)
    bench.until(lambda: bool(bench.beats))
    bench.next_beats(1)
    reasons = [beat.results[0].outcome.reason for beat in bench.beats]
    assert [beat.results[0].outcome.state for beat in bench.beats] == [State.UNKNOWN, State.UNKNOWN]
    assert reasons == ["gave no result within 5 s", "its previous run has not ended yet"]
    check.gate.set()


def test_check_that_breaks_is_unknown_and_never_down():
    check = Scripted("c", error=ValueError("bad option"))
    bench = Bench(Scheduled(check, 10, 5, "local:web"))
    (beat,) = bench.next_beats(1)
    assert beat.results[0].outcome == Outcome(State.UNKNOWN, Reason("failed: {error}", error="ValueError: bad option"))


def test_documents_travel_with_their_beat():
    bench = Bench(Scheduled(Scripted("p", Observation(documents=(Document("processes", {"count": 1}),))), 30))
    (beat,) = bench.next_beats(1)
    assert [document.kind for document in beat.documents] == ["processes"]


def test_checks_are_exchanged_without_disturbing_those_that_stay():
    stays, goes, comes = (Scripted(name, Observation(outcome=Outcome(State.UP, Reason("ok")))) for name in "sgc")
    kept = Scheduled(stays, 10, 5, "central:s")
    bench = Bench(kept, Scheduled(goes, 10, 5, "central:g"), Scheduled(seeing("host", 1), 10))
    bench.next_beats(3)
    due_ns = next(group.due_ns for group in bench.sampler._groups if group.scheduled[0] is kept)
    bench.sampler.replace_checks([Scheduled(stays, 10, 5, "central:s"), Scheduled(comes, 10, 5, "central:c")])
    bench.sampler.step(0)
    assert due_ns in [group.due_ns for group in bench.sampler._groups]
    seen = len(goes.runs)
    beats = bench.next_beats(6)
    assert {result.wire_id for beat in beats for result in beat.results} == {"central:s", "central:c"}
    assert len(goes.runs) == seen
    assert any(values(beat, SUCCESS) for beat in beats)


def test_sink_that_fails_costs_its_beat_only_and_is_logged_once(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO, logger="agent.sampler")
    kept: list[Beat] = []
    full = [True, True, False]

    def sink(beat: Beat) -> None:
        kept.append(beat)
        if full[len(kept) - 1]:
            raise OSError(28, "No space left on device")

    bench = Bench(Scheduled(seeing("a", 1), 10), sink=sink)
    for count in (1, 2, 3):
        bench.clock.pass_seconds(16)
        bench.until(lambda count=count: len(kept) == count and not bench.is_working())
    assert bench.counts()["sink_failures_total"] == 2
    assert [message.split()[0] for message in caplog.messages] == ["beats_lost", "beats_kept_again"]


def test_once_looks_at_everything_and_waits_for_nobody_beyond_the_timeout():
    stuck = seeing("stuck", 1)
    stuck.gate.clear()
    check = Scripted("c", Observation([Sample(gauge("probe_success"), 1)], Outcome(State.UP, Reason("ok"))))
    scheduled = [Scheduled(stuck, 10, 0.1), Scheduled(seeing("a", 1), 30), Scheduled(check, 60, 5, "local:c")]
    samples = sampling.once(scheduled)
    found = {(sample.series.name, sample.series.labels): sample.value for sample in samples}
    assert found["a_0", ()] == 1
    assert found["probe_success", ()] == 1
    assert found[SUCCESS, (("collector", "stuck"),)] == 0
    assert not any(is_absent(sample.value) for sample in samples)
    stuck.gate.set()


def test_sampler_runs_by_the_real_clock_until_it_is_stopped():
    beats: list[Beat] = []
    sampler = Sampler([Scheduled(seeing("a", 1), 0.05, 1)], beats.append, rng=random.Random(1))
    thread = threading.Thread(target=sampler.run)
    thread.start()
    deadline = time.monotonic() + DEADLINE_SECONDS
    while len(beats) < 3:
        assert time.monotonic() < deadline
        threading.Event().wait(0.01)
    sampler.stop()
    thread.join(DEADLINE_SECONDS)
    assert not thread.is_alive()


def test_host_probes_are_scheduled_as_configured():
    scheduled = sampling.host(Host(), intervals={"cpu": 5}, without=("timex",))
    by_name = {each.probe.name: each for each in scheduled}
    assert by_name["cpu"].interval_seconds == 5
    assert by_name["meminfo"].interval_seconds == 10
    assert by_name["processes"].interval_seconds == 60
    assert "timex" not in by_name


def test_whole_recorded_host_is_one_row_and_one_document():
    root = Path(__file__).parents[1] / "data" / "host"
    bench = Bench(*sampling.host(Host(root), without=("filesystem",)))
    beats = bench.next_beats(2)
    host = next(beat for beat in beats if beat.interval_ms == 10_000)
    assert set(values(host, SUCCESS).values()) == {1.0}
    assert any(series.name == "node_cpu_seconds_total" for series in host.columns)
    assert [document.kind for beat in beats for document in beat.documents] == ["processes"]
