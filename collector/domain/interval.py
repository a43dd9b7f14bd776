"""Half-open integer-millisecond span algebra under every figure about time.

A span holds its start and not its end, so that neighbours touch without sharing an instant and lengths add up exactly.
Knows no calendar and no time zone: milliseconds since 1970 in UTC, leap seconds neither added nor removed (POSIX).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from collector.domain.errors import DisorderError
from collector.domain.message import Message


class Span(NamedTuple):
    """`[since_ms, until_ms)`; empty when both are equal, never backwards in what this module returns."""

    since_ms: int
    until_ms: int

    @property
    def milliseconds(self) -> int:
        """How long it lasts."""
        return self.until_ms - self.since_ms

    def clip(self, other: Span) -> Span | None:
        """The part inside `other`; None when nothing is left."""
        since, until = max(self.since_ms, other.since_ms), min(self.until_ms, other.until_ms)
        return Span(since, until) if since < until else None


def ordered(spans: Sequence[Span]) -> Sequence[Span]:
    """The same spans, once they are known to be sorted and apart.

    Raises:
        DisorderError: One runs backwards, or starts before the one ahead of it has ended.
    """
    reached: int | None = None
    for span in spans:
        if span.until_ms < span.since_ms:
            raise DisorderError(
                Message("A span runs backwards: {since} to {until}.", since=span.since_ms, until=span.until_ms)
            )
        if reached is not None and span.since_ms < reached:
            raise DisorderError(
                Message(
                    "Spans overlap: one reaches {reached}, the next starts at {since}.",
                    reached=reached,
                    since=span.since_ms,
                )
            )
        reached = span.until_ms
    return spans


def union(spans: Iterable[Span]) -> list[Span]:
    """What any of them covers: sorted, apart, and joined where they touch. Takes any order and overlap.

    >>> union([Span(5, 9), Span(0, 5), Span(20, 30)])
    [Span(since_ms=0, until_ms=9), Span(since_ms=20, until_ms=30)]
    """
    joined: list[Span] = []
    for since, until in sorted(spans):
        if until < since:
            raise DisorderError(Message("A span runs backwards: {since} to {until}.", since=since, until=until))
        if since == until:
            continue
        if joined and since <= joined[-1].until_ms:
            joined[-1] = Span(joined[-1].since_ms, max(joined[-1].until_ms, until))
        else:
            joined.append(Span(since, until))
    return joined


def intersect(left: Sequence[Span], right: Sequence[Span]) -> list[Span]:
    """What both cover. Each side is sorted and apart; so is the result.

    Raises:
        DisorderError: One of the sides is not sorted and apart.
    """
    left, right = ordered(left), ordered(right)
    shared: list[Span] = []
    i = j = 0
    while i < len(left) and j < len(right):
        if part := left[i].clip(right[j]):
            shared.append(part)
        if left[i].until_ms <= right[j].until_ms:
            i += 1
        else:
            j += 1
    return shared


def subtract(left: Sequence[Span], right: Sequence[Span]) -> list[Span]:
    """What the left covers and the right does not. Each side is sorted and apart; so is the result.

    Raises:
        DisorderError: One of the sides is not sorted and apart.
    """
    left, right = ordered(left), ordered(right)
    kept: list[Span] = []
    j = 0
    for since, until in left:
        while j < len(right) and right[j].until_ms <= since:
            j += 1
        at, k = since, j
        while k < len(right) and right[k].since_ms < until:
            if right[k].since_ms > at:
                kept.append(Span(at, right[k].since_ms))
            at = max(at, right[k].until_ms)
            k += 1
        if at < until:
            kept.append(Span(at, until))
    return kept


def clip(spans: Sequence[Span], within: Span) -> list[Span]:
    """The parts of sorted spans inside one span."""
    return intersect(spans, [within])


def total(spans: Iterable[Span]) -> int:
    """The sum of their lengths in milliseconds; spans are apart, else time would count twice."""
    return sum(span.until_ms - span.since_ms for span in spans)
