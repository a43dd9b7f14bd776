"""What is known of a check over time: single results become runs of equal evidence, and runs become a timeline.

The rule, in this one place: **a result counts from the first attempt that showed its state until the next result, but
no longer than two intervals and one timeout after it was taken.** What no result reaches is unknown. Of two results the
one taken later decides, whichever arrived first, so that late evidence fills holes and corrects history without
rewriting what was measured after it.

Does not store, does not roll up over services, does not decide what an outage is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import zip_longest
from typing import NamedTuple

from collector.domain.interval import Span, ordered, subtract
from collector.domain.message import Message
from collector.domain.sample import Result, State

NO_EVIDENCE = Message("no evidence")
REACH_INTERVALS = 2
"""How many intervals a result counts for at most: one missed beat is no gap, two are."""
HOLE_INTERVALS = 1.5
"""Results further apart than this have a beat between them that gave none."""
HOLES = 64
"""How many such beats a run remembers, the newest."""


class Evidence(NamedTuple):
    """One result with how far it reaches; Unix milliseconds by the agent's clock."""

    since_ms: int  # inclusive
    until_ms: int  # exclusive
    at_ms: int  # when the result was taken
    step_ms: int  # the check's interval
    state: State
    reason: str


class Hole(NamedTuple):
    """A beat without a result, in a run or at its end: what arrives late for it counts until the next `since_ms`."""

    last_ms: int  # the newest result before
    since_ms: int  # from when on the next one counts
    first_ms: int  # when the next one was taken


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
    holes: tuple[Hole, ...] = ()  # in order

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

    It begins with the first attempt that showed its state, which may be later than the beat it belongs to: what an
    earlier attempt showed was not confirmed, so what was known before goes on until then. A claim about a time in which
    nothing can have been tried is no evidence.
    """
    oldest_ms = result.wall_ms - max(1, result.attempts) * result.interval_ms - result.timeout_ms
    latest_ms = result.wall_ms + result.interval_ms
    since_ms = result.wall_ms if result.since_ms <= 0 else min(latest_ms, max(result.since_ms, oldest_ms))
    until_ms = result.wall_ms + max(1, reach_ms(result.interval_ms, result.timeout_ms))
    step_ms = max(1, result.interval_ms)
    return Evidence(since_ms, until_ms, result.wall_ms, step_ms, result.state, result.reason)


def insert(runs: Sequence[Run], new: Evidence, *, known_ms: int) -> list[Run]:
    """The runs once `new` is among them, whatever its place in time.

    A late result that contradicts the middle of a run counts there until the run's next result, which is where the hole
    ends that it fills. So whatever the order of arrival, the same runs come out, to the millisecond. (A contradiction
    where no hole is known counts for one interval: two agents for one check, or more holes than a run remembers.)

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
    return _joined(sorted(kept + fresh), step_ms=new.step_ms)


def _yield_to(run: Run, new: Evidence) -> tuple[list[Run], list[Span]]:
    """What stays of an overlapping run, and which spans the new evidence must leave to it."""
    taken_at = (new.at_ms, new.state)  # of two results of the same instant the worse one decides, in any order
    if (run.first_ms, run.state) > taken_at:
        return [run], [run.span]
    if (run.last_ms, run.state) <= taken_at:
        head = _until(run, new.since_ms, last_ms=min(run.last_ms, new.since_ms))
        if new.at_ms - run.last_ms > HOLE_INTERVALS * new.step_ms:
            head = head._replace(holes=(*head.holes, Hole(run.last_ms, new.since_ms, new.at_ms))[-HOLES:])
        return _nonempty(head, run._replace(since_ms=new.until_ms, first_ms=run.last_ms, holes=())), []
    hole = next((one for one in run.holes if one.last_ms < new.at_ms < one.first_ms), None)
    if run.state == new.state:
        return [run if hole is None else _filled(run, hole, new)], [run.span]
    if hole is None:
        next_ms = min(new.at_ms + new.step_ms, run.last_ms)
        hole = Hole(max(run.first_ms, min(run.last_ms, new.at_ms - new.step_ms)), next_ms, next_ms)
    if hole.since_ms <= new.since_ms:
        return [run], [run.span]
    return _parted(run, hole, until_ms=new.since_ms)


def _parted(run: Run, hole: Hole, *, until_ms: int) -> tuple[list[Run], list[Span]]:
    """The run without the time from `until_ms` to the end of a hole, and which span is left to what came after it."""
    later = tuple(one for one in run.holes if one.last_ms >= hole.first_ms)
    if hole.since_ms >= run.until_ms:
        return [_until(run, until_ms, last_ms=hole.last_ms)], []
    tail = run._replace(since_ms=hole.since_ms, first_ms=hole.first_ms, holes=later)
    return _nonempty(_until(run, until_ms, last_ms=hole.last_ms), tail), [tail.span]


def _until(run: Run, until_ms: int, *, last_ms: int) -> Run:
    holes = tuple(one for one in run.holes if one.first_ms <= last_ms and one.since_ms <= until_ms)
    return run._replace(until_ms=until_ms, first_ms=min(run.first_ms, last_ms), last_ms=last_ms, holes=holes)


def _filled(run: Run, hole: Hole, new: Evidence) -> Run:
    halves = (Hole(hole.last_ms, new.since_ms, new.at_ms), Hole(new.at_ms, hole.since_ms, hole.first_ms))
    left = [one for one in halves if one.first_ms - one.last_ms > HOLE_INTERVALS * new.step_ms]
    return run._replace(holes=tuple(sorted([*(one for one in run.holes if one != hole), *left])))


def _nonempty(head: Run, tail: Run) -> list[Run]:
    """The two ends of a run that are left; only one of them can keep the row."""
    if head.since_ms >= head.until_ms:
        return [tail] if tail.since_ms < tail.until_ms else []
    return [head, tail._replace(id=None)] if tail.since_ms < tail.until_ms else [head]


def _joined(runs: Iterable[Run], *, step_ms: int) -> list[Run]:
    joined: list[Run] = []
    for run in runs:
        before = joined[-1] if joined else None
        if before and before.state == run.state and before.until_ms >= run.since_ms:
            hole = Hole(before.last_ms, run.since_ms, run.first_ms)
            missed = hole.first_ms - hole.last_ms > HOLE_INTERVALS * step_ms and hole not in before.holes
            between = (hole,) if missed else ()
            joined[-1] = before._replace(
                until_ms=max(before.until_ms, run.until_ms),
                first_ms=min(before.first_ms, run.first_ms),
                last_ms=max(before.last_ms, run.last_ms),
                id=before.id if before.id is not None else run.id,
                holes=(before.holes + between + run.holes)[-HOLES:],
            )
        else:
            joined.append(run)
    return joined


def lose(runs: Sequence[Run], lost: Span) -> list[Run]:
    """The runs once it is known that results taken in `lost` will never come.

    Where a beat is missing there, what came before counts no further than to where the loss begins: it would stand for
    a result that existed. Where no beat is missing, nothing was lost of this check.

    Args:
        runs: Of one check; sorted, apart; at least all that touch `lost`.
        lost: By the agent's clock.
    """
    kept: list[Run] = []
    for run, later in zip_longest(runs, runs[1:]):
        left = [run]
        for hole in run.holes:
            if hole.last_ms < lost.until_ms and hole.first_ms > lost.since_ms:
                until_ms = max(hole.last_ms + 1, left[-1].since_ms + 1, lost.since_ms)
                left[-1:], _ = _parted(left[-1], hole, until_ms=min(until_ms, hole.since_ms))
        if later is None or later.since_ms > run.until_ms:
            left[-1] = _ended(left[-1], lost)
        kept += left
    return kept


def _ended(run: Run, lost: Span) -> Run:
    """A run that no result follows, cut where the one that would have followed was lost."""
    # Half an interval after the last result at the latest, what is lost is of the next beat.
    due_ms = run.last_ms + (run.until_ms - run.last_ms) // (2 * REACH_INTERVALS)
    if not (run.last_ms < lost.until_ms and due_ms < lost.until_ms and run.until_ms > lost.since_ms):
        return run
    return run._replace(until_ms=max(run.last_ms + 1, run.since_ms + 1, lost.since_ms))


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
