from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from collector.domain.interval import Span
from collector.domain.sample import Result, State
from collector.domain.status import (
    Evidence,
    Hole,
    Run,
    Segment,
    evidence,
    insert,
    lose,
    reach_ms,
    timeline,
)
from tests.collector.durations import durations

STEP, TIMEOUT, BEATS = 10, 4, 14
END = STEP * (BEATS + 4)


def result(at: int, state: State, since: int = 0, attempts: int = 1) -> Result:
    return Result("local:web", at, state, 0.0, "", since, attempts, STEP, TIMEOUT)


def stored(results: list[Result]) -> list[Run]:
    runs: list[Run] = []
    for one in results:
        runs = insert(runs, evidence(one), known_ms=0)
    return runs


def states(runs: list[Run]) -> list[State]:
    """Every millisecond on its own."""
    line = timeline(runs, Span(0, END))
    return [segment.state for segment in line for _ in range(segment.milliseconds)]


def oracle(results: list[Result]) -> list[State]:
    """By brute force: at each instant the newest result that reaches it."""
    seconds = []
    for at in range(END):
        reaching = [r for r in results if (r.since_ms or r.wall_ms) <= at < r.wall_ms + 2 * STEP + TIMEOUT]
        seconds.append(max(reaching, key=lambda r: (r.wall_ms, r.state)).state if reaching else State.UNKNOWN)
    return seconds


@st.composite
def histories(draw: st.DrawFn) -> list[Result]:
    """One result per beat, some beats missing, some decided only by a later attempt."""
    beats = draw(st.lists(st.integers(1, BEATS), unique=True, max_size=BEATS))
    history = []
    for beat in beats:
        state = draw(st.sampled_from(list(State)))
        retrying = draw(st.integers(0, STEP))
        history.append(result(beat * STEP, state, beat * STEP + retrying, attempts=2))
    return history


@given(histories(), st.randoms(use_true_random=False))
def test_the_order_of_arrival_never_changes_what_is_stored(history: list[Result], random: object) -> None:
    shuffled = list(history)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    in_order = stored(sorted(history, key=lambda one: one.wall_ms))
    late = stored(shuffled)
    assert [(run.since_ms, run.until_ms, run.state) for run in late] == [
        (run.since_ms, run.until_ms, run.state) for run in in_order
    ]
    assert states(late) == oracle(history)


@given(histories())
def test_a_replayed_result_changes_nothing(history: list[Result]) -> None:
    once = stored(sorted(history, key=lambda one: one.wall_ms))
    assert stored(sorted(history * 2, key=lambda one: one.wall_ms)) == once
    again = once
    for one in history:
        again = insert(again, evidence(one), known_ms=9)
    assert [run[:5] for run in again] == [run[:5] for run in once]


@given(histories(), st.data())
def test_deleting_evidence_only_moves_time_to_unknown(history: list[Result], data: st.DataObject) -> None:
    runs = stored(history)
    kept = [run for run in runs if data.draw(st.booleans())]
    full, less = (durations(timeline(some, Span(0, END))) for some in (runs, kept))
    assert all(less[state] <= full[state] for state in (State.UP, State.DEGRADED, State.DOWN))
    assert sum(less.values()) == sum(full.values()) == END


@given(histories())
def test_the_states_of_a_window_add_up_to_the_window(history: list[Result]) -> None:
    assert sum(durations(timeline(stored(history), Span(3, END - 5))).values()) == END - 8


def test_a_result_reaches_two_intervals_and_a_timeout_and_no_further() -> None:
    runs = stored([result(100, State.UP)])
    assert (runs[0].since_ms, runs[0].until_ms) == (100, 100 + reach_ms(STEP, TIMEOUT)) == (100, 124)


def test_retries_do_not_shorten_an_outage() -> None:
    runs = stored([result(10, State.UP), result(20, State.UP), result(38, State.DOWN, since=30, attempts=3)])
    assert [(run.since_ms, run.state) for run in runs] == [(10, State.UP), (30, State.DOWN)]


def test_a_result_cannot_vouch_for_a_time_in_which_nothing_was_tried() -> None:
    assert evidence(result(1000, State.DOWN, since=1, attempts=2)).since_ms == 1000 - 2 * STEP - TIMEOUT


def test_a_state_counts_from_the_attempt_that_first_showed_it_and_its_beat_is_over_after_one_interval() -> None:
    assert evidence(result(50, State.UP, since=53, attempts=2)).since_ms == 53
    assert evidence(result(50, State.UP, since=700, attempts=2)).since_ms == 50 + STEP


def test_an_outage_ends_with_the_attempt_that_succeeded_and_not_with_the_beat_before_it() -> None:
    runs = stored([result(10, State.DOWN, since=10, attempts=3), result(20, State.UP, since=26, attempts=3)])
    assert [(run.since_ms, run.until_ms, run.state) for run in runs] == [(10, 26, State.DOWN), (26, 44, State.UP)]


def test_a_late_contradiction_counts_until_the_attempt_that_shows_otherwise() -> None:
    runs = stored([result(10, State.UP), result(30, State.UP, since=33, attempts=2), result(40, State.UP)])
    assert [run.holes for run in runs] == [(Hole(10, 33, 30),)]
    runs = insert(runs, evidence(result(20, State.DOWN, since=22, attempts=2)), known_ms=1)
    assert [(run.since_ms, run.until_ms, run.state, run.holes) for run in runs] == [
        (10, 22, State.UP, ()),
        (22, 33, State.DOWN, ()),
        (33, 64, State.UP, ()),
    ]


def test_a_lost_result_takes_back_what_stood_for_it() -> None:
    runs = lose(stored([result(at, State.UP) for at in (10, 20, 40, 50)]), Span(25, 35))
    assert [(run.since_ms, run.until_ms) for run in runs] == [(10, 25), (40, 74)]
    assert lose(runs, Span(25, 35)) == runs


def test_a_lost_result_before_a_change_takes_back_what_stood_for_it() -> None:
    runs = lose(stored([result(10, State.UP), result(30, State.DOWN)]), Span(15, 25))
    assert [(run.since_ms, run.until_ms) for run in runs] == [(10, 15), (30, 54)]


def test_a_loss_after_the_last_result_ends_what_it_says() -> None:
    runs = stored([result(10, State.UP), result(20, State.UP)])
    assert [run.until_ms for run in lose(runs, Span(21, 90))] == [21]
    assert insert(lose(runs, Span(21, 90)), evidence(result(90, State.UP)), known_ms=1)[1].since_ms == 90


def test_a_loss_of_something_else_takes_nothing_back() -> None:
    runs = stored([result(at, State.UP) for at in (10, 20, 30)])
    assert lose(runs, Span(12, 19)) == runs
    assert lose(runs, Span(31, 33)) == runs


@given(histories(), st.integers(0, END), st.integers(1, END))
def test_a_loss_only_moves_time_to_unknown(history: list[Result], since_ms: int, length_ms: int) -> None:
    before = stored(history)
    lost = Span(since_ms, since_ms + length_ms)
    after = states(lose(before, lost))
    assert all(now in (State.UNKNOWN, known) for now, known in zip(after, states(before), strict=True))
    assert after[:since_ms] == states(before)[:since_ms]
    at_once = [one.wall_ms for one in history if one.since_ms == one.wall_ms]
    taken = [at for at in at_once if lost.since_ms <= at < lost.until_ms]
    assert [after[at] for at in taken] == [states(before)[at] for at in taken]


def test_late_evidence_fills_the_hole_and_joins_both_sides() -> None:
    runs = stored([result(10, State.UP), result(80, State.UP)])
    assert len(runs) == 2
    for at in (40, 30, 50, 60, 70, 20):
        runs = insert(runs, evidence(result(at, State.UP)), known_ms=1)
    assert [(run.since_ms, run.until_ms) for run in runs] == [(10, 104)]


def test_a_late_contradiction_inside_a_run_counts_until_the_next_beat() -> None:
    runs = stored([result(at, State.UP) for at in (10, 20, 40, 50)])
    runs = insert(runs, evidence(result(30, State.DOWN)), known_ms=1)
    assert [(run.since_ms, run.until_ms, run.state) for run in runs] == [
        (10, 30, State.UP),
        (30, 40, State.DOWN),
        (40, 74, State.UP),
    ]


def test_a_split_run_keeps_its_row_on_one_side_only() -> None:
    runs = [Run(0, 100, 0, 90, State.UP, "", 0, id=7)]
    parts = insert(runs, Evidence(40, 64, 40, 10, State.DOWN, "refused"), known_ms=1)
    assert [run.id for run in parts] == [7, None, None]


def test_of_two_results_of_one_instant_the_worse_decides_in_any_order() -> None:
    up, down = result(10, State.UP), result(10, State.DOWN)
    assert states(stored([up, down])) == states(stored([down, up])) == oracle([up, down])


def test_a_timeline_without_runs_is_unknown_and_not_up() -> None:
    assert timeline([], Span(0, 50)) == [Segment(0, 50, State.UNKNOWN, "no evidence")]
