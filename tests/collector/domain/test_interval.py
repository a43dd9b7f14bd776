from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.domain.errors import DisorderError
from collector.domain.interval import Span, clip, intersect, ordered, subtract, total, union

LIMIT = 60
spans = st.lists(
    st.tuples(st.integers(0, LIMIT), st.integers(0, LIMIT)).map(lambda pair: Span(min(pair), max(pair))), max_size=8
)


def instants(some: list[Span]) -> set[int]:
    """The oracle: every millisecond on its own."""
    return {at for since, until in some for at in range(since, until)}


@given(spans)
def test_a_union_covers_exactly_what_its_parts_cover(some: list[Span]) -> None:
    assert instants(union(some)) == instants(some)
    assert total(union(some)) == len(instants(some))
    assert ordered(union(some)) == union(some)


@given(spans, spans)
def test_intersection_and_difference_agree_with_single_instants(left: list[Span], right: list[Span]) -> None:
    a, b = union(left), union(right)
    assert instants(intersect(a, b)) == instants(a) & instants(b)
    assert instants(subtract(a, b)) == instants(a) - instants(b)
    assert total(intersect(a, b)) + total(subtract(a, b)) == total(a)


@given(spans, st.integers(0, LIMIT))
def test_splitting_a_span_changes_no_total(some: list[Span], at: int) -> None:
    whole = union(some)
    halves = clip(whole, Span(0, at)) + clip(whole, Span(at, LIMIT))
    assert total(halves) == total(whole)
    assert union(halves) == whole


def test_neighbours_touch_without_sharing_an_instant() -> None:
    assert union([Span(0, 5), Span(5, 9)]) == [Span(0, 9)]
    assert intersect([Span(0, 5)], [Span(5, 9)]) == []


@pytest.mark.parametrize("wrong", [[Span(5, 1)], [Span(0, 5), Span(4, 8)], [Span(6, 8), Span(0, 2)]])
def test_backward_and_overlapping_spans_are_rejected(wrong: list[Span]) -> None:
    with pytest.raises(DisorderError):
        intersect(wrong, [Span(0, 9)])


def test_a_backward_span_cannot_enter_a_union() -> None:
    with pytest.raises(DisorderError):
        union([Span(5, 1)])
