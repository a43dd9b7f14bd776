"""How a service's timeline follows from those of its members: by rolling up states at every instant.

Never multiplies or averages percentages: two members that fail together cost the service once. An unknown member is
tried as down and as up; only when both give the same answer is the service's state known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from heapq import merge
from itertools import pairwise

from collector.domain.interval import Span, subtract
from collector.domain.message import Message
from collector.domain.sample import State
from collector.domain.status import Segment, merged

Known = Sequence[State]
NO_MEMBERS = Message("no members")
BLAMED_MOST = 5
"""So many members are told by name and reason; a service may have hundreds that fail together."""


@dataclass(frozen=True, slots=True)
class Composition:
    """What a service is made of from `since_ms` on, until the next one."""

    since_ms: int
    members: tuple[int, ...]  # ids of checks
    roll_up: str = "worst_of"
    k: int = 1
    exists: bool = True  # False from the day it is retired: nothing counts any more


def worst_of(states: Known, _k: int) -> State:
    """As bad as the worst member."""
    return max(states)


def k_of_n(states: Known, k: int) -> State:
    """As bad as the worst of the best `k`; with fewer than `k` members it cannot be up."""
    return sorted(states)[k - 1] if 0 < k <= len(states) else State.DOWN


ROLL_UPS: Mapping[str, Callable[[Known, int], State]] = {"worst_of": worst_of, "k_of_n": k_of_n}


def roll_up(states: Sequence[State], composition: Composition) -> State:
    """The service's state when its members are in `states`; without members it is unknown.

    >>> roll_up([State.UP, State.UNKNOWN], Composition(0, (1, 2), "k_of_n", k=1))
    <State.UP: 1>
    """
    if not states:
        return State.UNKNOWN
    rule = ROLL_UPS[composition.roll_up]
    if State.UNKNOWN not in states:
        return rule(states, composition.k)
    worst = rule([State.DOWN if state is State.UNKNOWN else state for state in states], composition.k)
    best = rule([State.UP if state is State.UNKNOWN else state for state in states], composition.k)
    return worst if worst is best else State.UNKNOWN


def blame(states: Sequence[tuple[str, State, str]], state: State) -> str:
    """Which members made the service so: `name: reason` of each in the worst of their states, the first few."""
    if not states:
        return NO_MEMBERS
    if state is State.UP:
        return ""
    guilty = [(name, reason) for name, member, reason in states if member is state]
    guilty = guilty or [(name, reason) for name, member, reason in states if member is not State.UP]
    found = [named(name, reason) for name, reason in guilty[:BLAMED_MOST]]
    if len(guilty) > BLAMED_MOST:
        found.append(Message("{count} more", count=len(guilty) - BLAMED_MOST))
    return Message.joined("; ", found)


def named(name: str, reason: str) -> str:
    """A reason with whose it is."""
    return Message("{name}: {reason}", name=name, reason=reason) if reason else name


def fold(members: Mapping[str, Sequence[Segment]], composition: Composition, *, span: Span) -> list[Segment]:
    """The service's timeline over `span`.

    Args:
        members: Timeline of each member under its name; each covers `span` without a gap.
        composition: How they roll up.
        span: What to cover.

    Returns:
        Segments that cover `span` exactly, equal neighbours joined.
    """
    if not members:
        return merged([Segment(*span, State.UNKNOWN, NO_MEMBERS)])
    names, lines = list(members), [list(line) for line in members.values()]
    position = [0] * len(lines)
    segments: list[Segment] = []
    edges = _edges(lines, span)
    for since, until in pairwise(edges):
        for i, line in enumerate(lines):
            while line[position[i]].until_ms <= since:
                position[i] += 1
        now = [line[position[i]] for i, line in enumerate(lines)]
        state = roll_up([part.state for part in now], composition)
        reason = ""
        if state is not State.UP:
            reason = blame([(name, part.state, part.reason) for name, part in zip(names, now, strict=True)], state)
        segments.append(Segment(since, until, state, reason))
    return merged(segments)


def _edges(lines: Iterable[Sequence[Segment]], span: Span) -> list[int]:
    edges = [span.since_ms]
    for at in merge(*([part.until_ms for part in line] for line in lines)):
        if edges[-1] < at < span.until_ms:
            edges.append(at)
    return [*edges, span.until_ms]


def service_timeline(
    versions: Sequence[Composition],
    lines: Callable[[Composition, Span], Mapping[str, Sequence[Segment]]],
    *,
    span: Span,
) -> list[Segment]:
    """The timeline over all versions of a service: each counts from its own start, so an edit never changes the past.

    Args:
        versions: Sorted by `since_ms`.
        lines: Gives the members' timelines of one version over a span.
        span: What to cover; the time in which the service did not exist is left out.
    """
    segments: list[Segment] = []
    for part, version in in_force(versions, span):
        if version.exists:
            segments += fold(lines(version, part), version, span=part)
    return merged(segments)


def in_force(versions: Sequence[Composition], span: Span) -> list[tuple[Span, Composition]]:
    """Which version holds when, inside `span`."""
    found = []
    for i, version in enumerate(versions):
        until = versions[i + 1].since_ms if i + 1 < len(versions) else max(span.until_ms, version.since_ms)
        if version.since_ms < until and (part := Span(version.since_ms, until).clip(span)):
            found.append((part, version))
    return found


def existence(versions: Sequence[Composition], span: Span) -> list[Span]:
    """When the service existed, inside `span`; nothing else belongs in a denominator."""
    absent = [part for part, version in in_force(versions, span) if not version.exists]
    born = min((version.since_ms for version in versions), default=span.until_ms)
    alive = Span(born, max(born, span.until_ms)).clip(span)
    return subtract([alive], absent) if alive else []
