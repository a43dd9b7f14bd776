from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.domain.interval import Span
from collector.domain.sample import State
from collector.domain.status import Run, Segment, timeline
from collector.domain.tree import Composition, existence, fold, roll_up, service_timeline
from tests.collector.durations import durations

U, D, G, N = State.UP, State.DOWN, State.DEGRADED, State.UNKNOWN
WORST = Composition(0, (1, 2))
END = 40
lines = st.lists(st.sampled_from(list(State)), min_size=END, max_size=END)


def line(states: Sequence[State]) -> list[Segment]:
    return [Segment(at, at + 1, state) for at, state in enumerate(states)]


@pytest.mark.parametrize(
    ("states", "rule", "k", "expected"),
    [
        ([U, U], "worst_of", 1, U),
        ([U, G], "worst_of", 1, G),
        ([U, D, N], "worst_of", 1, D),
        ([U, N], "worst_of", 1, N),
        ([G, N], "worst_of", 1, N),
        ([U, N], "k_of_n", 1, U),
        ([D, N], "k_of_n", 1, N),
        ([U, D, D], "k_of_n", 2, D),
        ([U, U, D], "k_of_n", 2, U),
        ([U, G, D], "k_of_n", 2, G),
        ([U, U, N], "k_of_n", 2, U),
        ([U], "k_of_n", 2, D),
        ([], "worst_of", 1, N),
    ],
)
def test_unknown_is_tried_both_ways(states: list[State], rule: str, k: int, expected: State) -> None:
    assert roll_up(states, Composition(0, tuple(range(len(states))), rule, k)) is expected


@given(st.lists(lines, min_size=1, max_size=3), st.sampled_from(["worst_of", "k_of_n"]), st.integers(1, 3))
def test_a_service_is_folded_at_every_instant(members: list[list[State]], rule: str, k: int) -> None:
    composition = Composition(0, tuple(range(len(members))), rule, k)
    folded = fold({str(i): line(states) for i, states in enumerate(members)}, composition, span=Span(0, END))
    expanded = [segment.state for segment in folded for _ in range(segment.milliseconds)]
    assert expanded == [roll_up(list(now), composition) for now in zip(*members, strict=True)]


def test_failures_at_the_same_time_count_once_and_apart_twice() -> None:
    together = fold({"a": line([D, U]), "b": line([D, U])}, WORST, span=Span(0, 2))
    apart = fold({"a": line([D, U]), "b": line([U, D])}, WORST, span=Span(0, 2))
    assert durations(together)[D] == 1
    assert durations(apart)[D] == 2


def test_the_reason_names_the_member_that_failed() -> None:
    down = [Segment(0, 5, D, "connection refused")]
    assert fold({"db": down, "web": [Segment(0, 5, U)]}, WORST, span=Span(0, 5))[0].reason == "db: connection refused"


def test_a_service_without_members_is_unknown() -> None:
    assert fold({}, WORST, span=Span(0, 5)) == [Segment(0, 5, N, "no members")]


def test_an_edit_today_does_not_change_yesterday() -> None:
    runs = {1: [Run(0, 100, 0, 90, U, "", 0)], 2: [Run(0, 100, 0, 90, D, "", 0)]}

    def members(version: Composition, span: Span) -> Mapping[str, Sequence[Segment]]:
        return {str(check): timeline(runs[check], span) for check in version.members}

    before = service_timeline([Composition(10, (1,))], members, span=Span(0, 50))
    after = service_timeline([Composition(10, (1,)), Composition(50, (2,))], members, span=Span(0, 100))
    assert [part[:3] for part in before] == [(10, 50, U)]
    assert [part[:3] for part in after] == [(10, 50, U), (50, 100, D)]


def test_time_before_a_service_and_after_its_end_does_not_exist() -> None:
    versions = [Composition(10, (1,)), Composition(30, (), exists=False), Composition(60, (1,))]
    assert existence(versions, Span(0, 100)) == [Span(10, 30), Span(60, 100)]
    assert existence([], Span(0, 100)) == []
    assert existence([Composition(200, (1,))], Span(0, 100)) == []
