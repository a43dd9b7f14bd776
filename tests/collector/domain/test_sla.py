from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, time
from decimal import Decimal
from fractions import Fraction
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.domain.agreement import Objective
from collector.domain.calendar import Month, ServiceHours, month_span, unix_ms
from collector.domain.errors import InvalidInput
from collector.domain.interval import Span, total
from collector.domain.outage import statistics, stretches
from collector.domain.sample import State
from collector.domain.sla import Evaluation, Verdict, evaluate, truncated
from collector.domain.status import Segment, merged

MINUTE = 60_000
DAY = 1440 * MINUTE
JAKARTA = ZoneInfo("Asia/Jakarta")
U, D, G, N = State.UP, State.DOWN, State.DEGRADED, State.UNKNOWN
PROMISE = Objective(Decimal("99.9"), JAKARTA)


def line(*parts: tuple[int, State], at: int = 0) -> list[Segment]:
    segments = []
    for minutes, state in parts:
        segments.append(Segment(at, at + minutes * MINUTE, state))
        at += minutes * MINUTE
    return segments


def judge(timeline: Sequence[Segment], objective: Objective = PROMISE, period: Span | None = None) -> Evaluation:
    span = Span(timeline[0].since_ms, timeline[-1].until_ms)
    return evaluate(timeline, objective, span=span, existed=[span], period_existence=[period or span])


timelines = st.lists(st.tuples(st.integers(1, 500), st.sampled_from(list(State))), min_size=1, max_size=12).map(
    lambda parts: line(*parts)
)
objectives = st.builds(
    Objective,
    st.sampled_from([Decimal("99.9"), Decimal("50"), Decimal("100")]),
    st.just(JAKARTA),
    st.sampled_from(["up", "down"]),
    st.sampled_from([Objective(Decimal(1), JAKARTA).calendar, ServiceHours(JAKARTA, {3: ((time(8), time(17)),)})]),
)


@given(timelines, objectives)
def test_the_parts_add_up_and_the_list_of_outages_is_the_downtime(
    timeline: list[Segment], objective: Objective
) -> None:
    found = judge(timeline, objective)
    assert found.up_ms + found.down_ms + found.unknown_ms == found.agreed_ms
    assert sum(outage.counted_ms for outage in found.outages) == found.down_ms
    assert sum(gap.counted_ms for gap in found.gaps) == found.unknown_ms
    assert found.up_ms >= 0
    if found.agreed_ms:
        assert 0 <= found.strict <= found.lenient <= 1  # type: ignore[operator]


@given(timelines, objectives, st.data())
def test_losing_evidence_never_raises_up_or_down(
    timeline: list[Segment], objective: Objective, data: st.DataObject
) -> None:
    kept = [part if data.draw(st.booleans()) else part._replace(state=N) for part in timeline]
    full, less = judge(timeline, objective), judge(merged(kept), objective)
    assert less.up_ms <= full.up_ms
    assert less.down_ms <= full.down_ms
    opposite = {Verdict.MET: Verdict.BREACHED, Verdict.BREACHED: Verdict.MET}
    assert less.verdict is not opposite.get(full.verdict)


@given(timelines, objectives, st.data())
def test_splitting_a_segment_changes_no_figure(
    timeline: list[Segment], objective: Objective, data: st.DataObject
) -> None:
    split = []
    for part in timeline:
        at = data.draw(st.integers(part.since_ms, part.until_ms))
        split += [piece for piece in (part._replace(until_ms=at), part._replace(since_ms=at)) if piece.milliseconds]
    assert judge(split, objective) == judge(timeline, objective)


def test_the_vector_with_unknown_time_gives_both_bounds_and_no_proof() -> None:
    found = judge(line((40_000, U), (30, D), (500, N)))
    assert truncated(found.measured, digits=4) == "99.9250"
    assert truncated(found.strict, digits=4) == "98.6923"
    assert truncated(found.coverage, digits=4) == "98.7663"
    assert found.budget.allowance_ms // MINUTE == 40
    assert found.verdict is Verdict.NOT_PROVABLE


def test_missing_data_can_neither_hide_a_sure_breach_nor_spoil_a_sure_success() -> None:
    assert judge(line((1000, U), (400, D), (5, N))).verdict is Verdict.BREACHED
    assert judge(line((40_000, U), (5, N), (1, D))).verdict is Verdict.MET


def test_no_evidence_is_not_provable_and_never_100_percent() -> None:
    found = judge(line((1000, N)))
    assert found.verdict is Verdict.NOT_PROVABLE
    assert (found.measured, found.strict, found.lenient, found.coverage) == (None, 0, 1, 0)


def test_nothing_agreed_gives_no_number() -> None:
    found = evaluate([], PROMISE, span=Span(0, DAY), existed=[], period_existence=[])
    assert (found.coverage, found.measured, found.strict) == (None, None, None)
    assert found.verdict is Verdict.NOT_PROVABLE


def test_office_hours_count_75_minutes_of_a_night_long_outage() -> None:
    weekdays = {day: ((time(8), time(17)),) for day in range(5)}
    month = month_span(Month(2026, 10), JAKARTA)
    since = unix_ms(datetime(2026, 10, 5, 16, 30, tzinfo=JAKARTA).astimezone(UTC))
    until = unix_ms(datetime(2026, 10, 6, 8, 45, tzinfo=JAKARTA).astimezone(UTC))
    timeline = [Segment(month.since_ms, since, U), Segment(since, until, D), Segment(until, month.until_ms, U)]
    found = judge(timeline, replace(PROMISE, calendar=ServiceHours(JAKARTA, weekdays)))
    assert found.down_ms == 75 * MINUTE
    assert len(found.outages) == 1
    assert found.outages[0].milliseconds == 975 * MINUTE
    assert truncated(found.measured, digits=4) == "99.3686"
    assert truncated(judge(timeline).measured, digits=4) == "97.8158"


@pytest.mark.parametrize(
    ("percent", "days", "seconds"), [("99.9", 30, 2592), ("99.9", 365, 31536), ("99.5", 30, 12960), ("99.99", 30, 259)]
)
def test_the_allowance_of_a_period_is_exact(percent: str, days: int, seconds: int) -> None:
    found = judge(line((days * 1440, U)), Objective(Decimal(percent), JAKARTA))
    assert found.budget.allowance_ms // 1000 == seconds


def test_the_budget_starts_full_is_that_of_the_whole_period_and_goes_negative() -> None:
    period = Span(0, 30 * DAY)
    start = judge(line((1, U)), period=period)
    assert start.budget.left_ms == start.budget.allowance_ms == 2_592_000
    assert judge(line((10 * 1440 - 30, U), (30, D)), period=period).budget.left_ratio == Fraction(132, 432)
    over = judge(line((100, U), (60, D)), period=period).budget
    assert over.left_ms == 2_592_000 - 60 * MINUTE < 0
    assert not over.can_still_meet


@pytest.mark.parametrize(
    ("parts", "verdict"),
    [
        (((1440, U),), Verdict.ON_TRACK),
        (((10 * 1440, U), (14, D)), Verdict.ON_TRACK),  # 42 minutes of 43.2 at this rate
        (((10 * 1440, U), (15, D)), Verdict.AT_RISK),  # 45 minutes at this rate
        (((25 * 1440, U), (33, D)), Verdict.AT_RISK),  # less than a quarter of the allowance is left
        (((1, D),), Verdict.AT_RISK),
        (((1, N), (1440, U)), Verdict.ON_TRACK),  # no trend is seen in what was not seen
        (((20 * 1440, U), (40, N)), Verdict.AT_RISK),
        (((20 * 1440, U), (44, N)), Verdict.NOT_PROVABLE),  # whatever comes, met can never be proved any more
        (((60, N),), Verdict.NOT_PROVABLE),
        (((1440, U), (44, D), (60, N)), Verdict.BREACHED),
    ],
)
def test_before_its_end_a_period_is_on_track_at_risk_or_lost_for_good(
    parts: tuple[tuple[int, State], ...], verdict: Verdict
) -> None:
    assert judge(line(*parts), period=Span(0, 30 * DAY)).verdict is verdict


@given(timelines, objectives)
def test_before_its_end_nothing_is_met_and_a_breach_stays_one_whatever_comes(
    timeline: list[Segment], objective: Objective
) -> None:
    now_ms = timeline[-1].until_ms
    period = Span(0, now_ms + 2 * DAY)
    running = judge(timeline, objective, period)
    best = judge([*timeline, Segment(now_ms, period.until_ms, U)], objective)
    assert running.verdict is not Verdict.MET or not running.ahead_ms
    assert (running.verdict is Verdict.BREACHED) == (best.verdict is Verdict.BREACHED)
    if running.verdict in (Verdict.ON_TRACK, Verdict.AT_RISK):
        assert best.verdict is Verdict.MET


def test_a_promise_of_100_percent_has_no_budget_and_no_division_by_it() -> None:
    budget = judge(line((10, U)), Objective(Decimal(100), JAKARTA)).budget
    assert (budget.allowance_ms, budget.left_ratio, budget.can_still_meet) == (0, None, True)


def test_degraded_time_counts_by_policy_and_is_told_either_way() -> None:
    timeline = line((60, U), (30, G), (10, D))
    as_up, as_down = judge(timeline), judge(timeline, replace(PROMISE, degraded_counts_as="down"))
    assert (as_up.up_ms, as_up.down_ms, as_up.degraded_ms) == (90 * MINUTE, 10 * MINUTE, 30 * MINUTE)
    assert (as_down.up_ms, as_down.down_ms, as_down.degraded_ms) == (60 * MINUTE, 40 * MINUTE, 30 * MINUTE)
    assert [outage.state for outage in as_down.outages] == [D]


def test_three_outages_give_the_usual_means() -> None:
    timeline = line((20_000, U), (75, D), (10_000, U), (12, D), (10_000, U), (33, D), (4_520, U))
    found = judge(timeline).statistics
    assert found.mtrs_ms == 40 * MINUTE
    assert found.mtbf_ms is not None
    assert round(found.mtbf_ms / (60 * MINUTE), 2) == Fraction("247.33")
    assert found.mtrs_ms + found.mtbf_ms == 248 * 60 * MINUTE
    assert found.longest_ms == 75 * MINUTE


def test_without_an_outage_there_is_no_mean() -> None:
    assert statistics([], up_ms=5).mtbf_ms is None


def test_a_service_born_in_mid_month_is_judged_for_the_part_that_exists() -> None:
    month = Span(0, 30 * DAY)
    born = Span(15 * DAY, 30 * DAY)
    found = evaluate([Segment(*born, U)], PROMISE, span=month, existed=[born], period_existence=[born])
    assert (found.agreed_ms, found.measured, found.is_partial) == (15 * DAY, 1, True)


def test_an_outage_at_the_end_of_what_is_known_is_open() -> None:
    assert [outage.is_open for outage in stretches(line((5, D), (5, U), (5, D)), {D}, agreed=[Span(0, DAY)])] == [
        False,
        True,
    ]


@pytest.mark.parametrize(
    ("ratio", "target", "shown"),
    [
        (Fraction(99896, 100_000), None, "99.89"),
        (Fraction(99996, 100_000), Decimal(100), "99.99"),
        (Fraction(999_985, 1_000_000), Decimal("99.999"), "99.998"),
        (Fraction(1), Decimal("99.9"), "100.00"),
        (Fraction(0), None, "0.00"),
        (None, None, ""),
    ],
)
def test_a_figure_is_cut_off_and_never_rounded_across_its_target(
    ratio: Fraction | None, target: Decimal | None, shown: str
) -> None:
    assert truncated(ratio, target) == shown


def test_an_hour_lost_in_march_is_not_in_the_denominator() -> None:
    march = month_span(Month(2026, 3), ZoneInfo("Europe/Berlin"))
    found = judge([Segment(*march, U)])
    assert found.agreed_ms == total([march]) == (31 * 24 - 1) * 60 * MINUTE


@pytest.mark.parametrize("percent", ["0", "100.1", "-5"])
def test_an_objective_that_cannot_be_kept_or_missed_is_refused(percent: str) -> None:
    with pytest.raises(InvalidInput):
        Objective(Decimal(percent), JAKARTA)
