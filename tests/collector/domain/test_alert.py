from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.domain.alert import (
    PATIENCE_MS,
    Alert,
    AlertState,
    Observation,
    Rule,
    at_least,
    due_ms,
    fingerprint,
    lost_sight,
    ripen,
    step,
)
from collector.domain.measure import MEASURES
from collector.domain.registers.rule import LABELS, OPTIONS

BEAT = 10_000
GAP = 2 * BEAT + 5_000
DISK = Rule(1, "disk", "filesystem_used_ratio", 0.9, clear_level=0.85, for_seconds=60)
AT_ONCE = Rule(2, "down", "check_state", 3, comparison=">=")


def watch(
    rule: Rule, values: Sequence[tuple[int, float]], alert: Alert | None = None, *, live: bool = True
) -> tuple[Alert | None, list[tuple[str, int]]]:
    """Judge (beat, value) pairs; returns the alert that is left and what was told: (event, time)."""
    told: list[tuple[str, int]] = []
    for beat, value in values:
        after = step(rule, alert, Observation(beat * BEAT, value, GAP, live))
        if after and after.state is AlertState.FIRING and (alert is None or alert.state is not AlertState.FIRING):
            told.append(("firing", after.fired_ms or 0))
        if after and after.state is AlertState.RESOLVED:
            told.append(("resolved", after.resolved_ms or 0))
            after = None
        alert = after
    return alert, told


def test_it_fires_once_the_condition_held_long_enough_and_not_before() -> None:
    alert, told = watch(DISK, [(beat, 0.95) for beat in range(1, 7)])
    assert (alert.state if alert else None, told) == (AlertState.PENDING, [])
    assert watch(DISK, [(7, 0.95)], alert)[1] == [("firing", 70_000)]


def test_a_single_good_value_starts_the_count_again() -> None:
    values = [(beat, 0.95) for beat in range(1, 7)] + [(7, 0.5)] + [(beat, 0.95) for beat in range(8, 14)]
    assert watch(DISK, values)[1] == []


def test_it_ends_at_the_clear_level_and_not_at_the_level() -> None:
    firing, _ = watch(DISK, [(beat, 0.95) for beat in range(1, 9)])
    still, told = watch(DISK, [(9, 0.88), (10, 0.91), (11, 0.86)], firing)
    assert (still.state if still else None, told) == (AlertState.FIRING, [])
    assert watch(DISK, [(12, 0.84)], still) == (None, [("resolved", 120_000)])


def test_without_a_duration_it_fires_at_once() -> None:
    assert watch(AT_ONCE, [(1, 3.0), (2, 1.0)])[1] == [("firing", 10_000), ("resolved", 20_000)]


def test_an_alert_that_fires_and_ends_between_two_looks_leaves_both_events() -> None:
    assert [event for event, _ in watch(AT_ONCE, [(1, 3.0), (2, 1.0), (3, 3.0), (4, 1.0)])[1]] == [
        "firing",
        "resolved",
    ] * 2


def test_values_below_can_be_watched_too() -> None:
    days = Rule(3, "cert", "certificate_days_left", 14, comparison="<", clear_level=20)
    assert watch(days, [(1, 15.0), (2, 13.0), (3, 19.0), (4, 21.0)])[1] == [("firing", 20_000), ("resolved", 40_000)]


def test_late_observations_never_begin_an_alert() -> None:
    assert watch(AT_ONCE, [(beat, 3.0) for beat in range(20)], live=False) == (None, [])


def test_late_observations_may_end_an_alert() -> None:
    firing, _ = watch(AT_ONCE, [(1, 3.0)])
    assert watch(AT_ONCE, [(2, 1.0)], firing, live=False)[1] == [("resolved", 20_000)]


def test_late_news_alone_does_not_fire_what_was_pending() -> None:
    pending, _ = watch(DISK, [(1, 0.95)])
    pending, told = watch(DISK, [(beat, 0.95) for beat in range(2, 12)], pending, live=False)
    assert told == []
    assert watch(DISK, [(12, 0.95)], pending)[1] == [("firing", 70_000)]


def test_time_without_observations_does_not_count() -> None:
    pending, _ = watch(DISK, [(1, 0.95), (2, 0.95)])
    pending, told = watch(DISK, [(20, 0.95)], pending)
    assert told == []
    assert watch(DISK, [(beat, 0.95) for beat in range(21, 26)], pending)[1] == [("firing", 250_000)]


def test_time_without_observations_counts_once_late_ones_prove_it() -> None:
    pending, _ = watch(DISK, [(1, 0.95), (2, 0.95), (20, 0.95)])
    _, told = watch(DISK, [(beat, 0.95) for beat in range(3, 20)], pending, live=False)
    assert told == [("firing", 70_000)]


def test_a_good_value_found_late_leaves_only_what_came_after() -> None:
    pending, _ = watch(DISK, [(1, 0.95), (2, 0.95), (20, 0.95)])
    pending, told = watch(DISK, [(3, 0.95), (4, 0.1), (5, 0.95)], pending, live=False)
    assert told == []
    assert watch(DISK, [(beat, 0.95) for beat in range(21, 27)], pending)[1] == [("firing", 260_000)]


@given(st.lists(st.sampled_from([0.5, 0.87, 0.95]), min_size=1, max_size=40), st.integers(0, 40))
def test_a_restart_changes_nothing(values: list[float], cut: int) -> None:
    beats = list(enumerate(values, start=1))
    alert, before = watch(DISK, beats[:cut])
    kept = alert and Alert(**{name: getattr(alert, name) for name in alert.__slots__})
    assert before + watch(DISK, beats[cut:], kept)[1] == watch(DISK, beats)[1]


@given(st.lists(st.sampled_from([0.5, 0.95]), min_size=3, max_size=40), st.data())
def test_every_firing_is_followed_by_its_end_before_the_next(values: list[float], data: st.DataObject) -> None:
    events = [
        event for event, _ in watch(AT_ONCE, [(beat, 3.0 if v > 0.9 else 1.0) for beat, v in enumerate(values)])[1]
    ]
    assert events == ["firing", "resolved"] * (len(events) // 2) + ["firing"] * (len(events) % 2)


SLOW = Rule(4, "slow", "check_state", 3, comparison=">=", for_seconds=60)
AHEAD = 7_000_000  # by how much the collector's clock is ahead of the host's


def slow(at_ms: int, *, step_ms: int = 300_000, live: bool = True) -> Observation:
    """A check that is down, seen every five minutes."""
    return Observation(at_ms, 3.0, 2 * step_ms + 5_000, live, heard_ms=at_ms + AHEAD, step_ms=step_ms)


def began(seen: Observation, rule: Rule = SLOW) -> Alert:
    alert = step(rule, None, seen)
    assert alert is not None
    return alert


def test_a_duration_that_ends_between_two_observations_ends_by_time() -> None:
    alert = began(slow(0))
    assert due_ms(SLOW, alert) == AHEAD + 60_000
    assert ripen(SLOW, alert, AHEAD + 59_999) is alert
    fired = ripen(SLOW, alert, AHEAD + 60_000)
    assert (fired.state, fired.fired_ms, fired.last_ms) == (AlertState.FIRING, 60_000, 0)


def test_an_observation_that_is_due_by_the_end_is_waited_for_a_moment() -> None:
    alert = began(slow(0, step_ms=30_000))
    alert = step(SLOW, alert, slow(30_000, step_ms=30_000)) or alert
    assert ripen(SLOW, alert, AHEAD + 60_000 + PATIENCE_MS - 1) is alert
    assert ripen(SLOW, alert, AHEAD + 60_000 + PATIENCE_MS).fired_ms == 60_000
    good = Observation(60_000, 1.0, 65_000, heard_ms=AHEAD + 60_500, step_ms=30_000)
    assert step(SLOW, alert, good) is None


def test_time_fires_nothing_beyond_what_was_seen_counts() -> None:
    alert = began(slow(0, step_ms=20_000))
    assert due_ms(SLOW, alert) is None
    assert ripen(SLOW, alert, AHEAD + 1_000_000) is alert


def test_what_should_have_fired_while_nobody_was_there_is_left_to_what_is_observed_next() -> None:
    alert = began(slow(0))
    over_ms = AHEAD + 605_000 + PATIENCE_MS
    assert ripen(SLOW, alert, over_ms).state is AlertState.FIRING
    assert ripen(SLOW, alert, over_ms + 1) is alert


def test_late_news_lets_time_prove_nothing() -> None:
    alert = began(slow(0))
    late = step(SLOW, alert, slow(50_000, live=False)) or alert
    assert (late.last_ms, due_ms(SLOW, late)) == (50_000, None)


def test_what_could_not_be_looked_at_neither_counts_nor_fires_by_time() -> None:
    alert = lost_sight(began(slow(0, step_ms=10_000)), 10_000)
    assert due_ms(SLOW, alert) is None
    alert = step(SLOW, alert, slow(30_000, step_ms=10_000)) or alert
    assert alert.pending_ms == 20_000  # ten seconds seen before, none of the twenty in which it was unknown
    assert lost_sight(alert, 30_000) is alert


def test_a_condition_holds_since_the_first_attempt_that_showed_it() -> None:
    alert = began(Observation(0, 3.0, 605_000, since_ms=12_000))
    assert alert.pending_ms == 12_000


def test_a_rule_selects_by_anchored_expressions() -> None:
    rule = Rule(1, "r", "cpu_busy_ratio", 1, selector={"instance": "web-.*", "site": ""})
    assert rule.selects({"instance": "web-1"})
    assert not rule.selects({"instance": "my-web-1"})
    assert not rule.selects({"instance": "web-1", "site": "jkt"})


def test_the_fingerprint_is_of_the_labels_in_any_order_and_not_of_the_severity() -> None:
    one = fingerprint({"a": "1", "b": "2", "severity": "info"})
    assert one == fingerprint({"b": "2", "a": "1", "severity": "critical"})
    assert one != fingerprint({"a": "12", "b": ""})
    assert len(one) == 16


@pytest.mark.parametrize(("severity", "minimum", "told"), [("info", "warning", False), ("critical", "warning", True)])
def test_severities_are_ordered(severity: str, minimum: str, told: bool) -> None:
    assert at_least(severity, minimum) is told


def test_every_measure_can_be_named_by_a_rule_and_has_words_of_its_own() -> None:
    assert {option.value for option in OPTIONS} == {option.value for option in LABELS} == set(MEASURES)
