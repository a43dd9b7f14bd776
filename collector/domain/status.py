"""What is known of a check over time: single results become runs of equal evidence, and runs become a timeline.

The rule, in this one place: **a result counts from the first attempt that showed its state until the next result, but
no longer than two intervals and one timeout after it was taken.** What no result reaches is unknown. Of two results the
one taken later decides, whichever arrived first, so that late evidence fills holes and corrects history without
rewriting what was measured after it.

Does not store, does not roll up over services, does not decide what an outage is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from collector.domain.interval import Span, ordered, subtract
from collector.domain.message import Message
from collector.domain.sample import Result, State

REACH_INTERVALS = 2
NO_EVIDENCE = Message("no evidence")
"""How many intervals a result counts for at most: one missed beat is no gap, two are."""


class Evidence(NamedTuple):
    """One result with how far it reaches; Unix milliseconds by the agent's clock."""

    since_ms: int  # inclusive
    until_ms: int  # exclusive
    at_ms: int  # when the result was taken
    step_ms: int  # the check's interval
    state: State
    reason: str


class Run(NamedTuple):
    """A stretch of equal evidence, `[since_ms, until_ms)`, from one or many results."""

    since_ms: int
    until_ms: int
    first_ms: int  # the oldest result in it
    last_ms: int  # the newest
    state: State
    reason: str  # of the oldest: what made it so
    known_ms: int  # when we came to know, by the collector's clock
    id: int | None = None  # its row, once stored

    @property
    def span(self) -> Span:
        """When it holds."""
        return Span(self.since_ms, self.until_ms)


class Segment(NamedTuple):
    """A stretch of one state in a timeline; unlike runs, the segments of a timeline leave nothing out."""

    since_ms: int
    until_ms: int
    state: State
    reason: str = ""

    @property
    def milliseconds(self) -> int:
        """How long it lasts."""
        return self.until_ms - self.since_ms


def reach_ms(interval_ms: int, timeout_ms: int) -> int:
    """How long after it was taken a result still counts."""
    return REACH_INTERVALS * interval_ms + timeout_ms


def evidence(result: Result) -> Evidence:
    """The span that a result vouches for.

    Backwards it reaches to its first attempt, and no further than its attempts can have taken: a claim about a time in
    which nothing was tried is no evidence.
    """
    oldest_ms = result.wall_ms - max(1, result.attempts) * result.interval_ms - result.timeout_ms
    since_ms = result.wall_ms if result.since_ms <= 0 else min(result.wall_ms, max(result.since_ms, oldest_ms))
    until_ms = result.wall_ms + max(1, reach_ms(result.interval_ms, result.timeout_ms))
    step_ms = max(1, result.interval_ms)
    return Evidence(since_ms, until_ms, result.wall_ms, step_ms, result.state, result.reason)


def insert(runs: Sequence[Run], new: Evidence, *, known_ms: int) -> list[Run]:
    """The runs once `new` is among them, whatever its place in time.

    A result that contradicts the middle of a run counts there until the run's next result, taken to be one interval
    later: the results inside a run are not kept apart. So whatever the order of arrival the same runs come out, to the
    millisecond for results of first attempts and to the length of its retries for others.

    Args:
        runs: Of one check; sorted, apart; at least all that overlap or touch the evidence.
        new: The result to add. Adding the same one again changes nothing.
        known_ms: When it arrived.

    Returns:
        Sorted, apart, joined where equal states touch. Rows are recognised by their `id`.
    """
    kept: list[Run] = []
    free = [Span(new.since_ms, new.until_ms)]
    for run in runs:
        if run.until_ms <= new.since_ms or run.since_ms >= new.until_ms:
            kept.append(run)
            continue
        pieces, taken = _yield_to(run, new)
        kept += pieces
        free = subtract(free, taken)
    fresh = [Run(*span, new.at_ms, new.at_ms, new.state, new.reason, known_ms) for span in free]
    return _joined(sorted(kept + fresh))


def _yield_to(run: Run, new: Evidence) -> tuple[list[Run], list[Span]]:
    """What stays of an overlapping run, and which spans the new evidence must leave to it."""
    taken_at = (new.at_ms, new.state)  # of two results of the same instant the worse one decides, in any order
    if (run.first_ms, run.state) > taken_at:
        return [run], [run.span]
    if (run.last_ms, run.state) <= taken_at:
        head_last = min(run.last_ms, new.since_ms)
        head = run._replace(until_ms=new.since_ms, first_ms=min(run.first_ms, head_last), last_ms=head_last)
        return _nonempty(head, run._replace(since_ms=new.until_ms, first_ms=run.last_ms)), []
    if run.state == new.state:
        return [run], [run.span]
    next_ms = min(new.at_ms + new.step_ms, run.last_ms)
    head_last = max(run.first_ms, min(run.last_ms, new.at_ms - new.step_ms))
    tail = run._replace(since_ms=next_ms, first_ms=next_ms)
    return _nonempty(run._replace(until_ms=new.since_ms, last_ms=head_last), tail), [tail.span]


def _nonempty(head: Run, tail: Run) -> list[Run]:
    """The two ends of a run that are left; only one of them can keep the row."""
    if head.since_ms >= head.until_ms:
        return [tail] if tail.since_ms < tail.until_ms else []
    return [head, tail._replace(id=None)] if tail.since_ms < tail.until_ms else [head]


def _joined(runs: Iterable[Run]) -> list[Run]:
    joined: list[Run] = []
    for run in runs:
        before = joined[-1] if joined else None
        if before and before.state == run.state and before.until_ms >= run.since_ms:
            joined[-1] = before._replace(
                until_ms=max(before.until_ms, run.until_ms),
                first_ms=min(before.first_ms, run.first_ms),
                last_ms=max(before.last_ms, run.last_ms),
                id=before.id if before.id is not None else run.id,
            )
        else:
            joined.append(run)
    return joined


def timeline(runs: Sequence[Run], span: Span) -> list[Segment]:
    """The whole of `span` in segments; what no run covers is unknown.

    Args:
        runs: Sorted, apart.
        span: What to cover.

    Raises:
        DisorderError: The runs overlap or run backwards.
    """
    ordered([run.span for run in runs])
    segments: list[Segment] = []
    at = span.since_ms
    for run in runs:
        since_ms, until_ms = max(run.since_ms, span.since_ms), min(run.until_ms, span.until_ms)
        if since_ms >= until_ms:
            continue
        if since_ms > at:
            segments.append(Segment(at, since_ms, State.UNKNOWN, NO_EVIDENCE))
        segments.append(Segment(since_ms, until_ms, run.state, run.reason))
        at = until_ms
    if at < span.until_ms:
        segments.append(Segment(at, span.until_ms, State.UNKNOWN, NO_EVIDENCE))
    return merged(segments)


def merged(segments: Iterable[Segment]) -> list[Segment]:
    """The same timeline with equal neighbours joined; the first one's reason stays."""
    joined: list[Segment] = []
    for segment in segments:
        if segment.since_ms >= segment.until_ms:
            continue
        if joined and joined[-1].state == segment.state and joined[-1].until_ms == segment.since_ms:
            joined[-1] = joined[-1]._replace(until_ms=segment.until_ms)
        else:
            joined.append(segment)
    return joined


def durations(segments: Iterable[Segment]) -> dict[State, int]:
    """Milliseconds per state; together exactly as long as the timeline."""
    sums = dict.fromkeys(State, 0)
    for segment in segments:
        sums[segment.state] += segment.milliseconds
    return sums
