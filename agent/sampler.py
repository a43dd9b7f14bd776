"""Runs every probe on its beat and hands on what was seen; a failed probe is a sample too.

One thread keeps the schedule and calls the sink, workers run the probes (`rounds`), `beat` makes rows of what they
saw. Does not look at anything itself, and neither stores nor sends.
"""

from __future__ import annotations

import heapq
import logging
import random
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from queue import Empty, SimpleQueue

from agent.beat import NANOSECONDS, TIMEOUT_SECONDS, Beat, Part, Result, Row, Scheduled, describe
from agent.columns import is_absent
from agent.probes import HOST_PROBES, Host
from agent.probes.reading import NoData, counter
from agent.rounds import Round, Stage, Turn, Workers
from agent.sample import Moment, Sample

__all__ = ["Beat", "Result", "Sampler", "Scheduled", "host", "now", "once"]

START_SPREAD_SECONDS = 1.0  # the first beats of an agent come within it, so that a new host shows at once
LEAST_SECOND_BEAT = 10  # rates need two beats, so the second may come after this part of an interval
LONGEST_WAIT_SECONDS = 10.0  # waiting does not count a suspend, so long waits are cut up
NANOSECONDS_PER_MILLISECOND = 1_000_000
NEVER_NS = 2**63 - 1

RUNS = counter("sigap_agent_probe_runs_total", "Times a probe or check was due.")
FAILURES = counter("sigap_agent_probe_failures_total", "Runs that ended with an error.")
TIMEOUTS = counter("sigap_agent_probe_timeouts_total", "Runs given up because they took too long.")
SKIPS = counter("sigap_agent_probe_skips_total", "Runs left out because the one before had not ended.")
MISSED = counter("sigap_agent_beats_missed_total", "Beats that did not happen: the host was suspended or overloaded.")
SINK_FAILURES = counter("sigap_agent_sink_failures_total", "Beats that could not be handed on.")
COUNTED = {Stage.FAILED: FAILURES, Stage.TIMED_OUT: TIMEOUTS, Stage.SKIPPED: SKIPS}

logger = logging.getLogger(__name__)

Sink = Callable[[Beat], None]
Message = Callable[[], None]  # something for the thread that keeps the schedule to do


def now() -> Moment:
    """The time by the host's own clocks."""
    wall_ms = time.time_ns() // NANOSECONDS_PER_MILLISECOND
    return Moment(wall_ms, time.clock_gettime_ns(time.CLOCK_BOOTTIME))


def host(
    setup: Host,
    *,
    intervals: Mapping[str, float] | None = None,
    without: Collection[str] = (),
    timeout_seconds: float = TIMEOUT_SECONDS,
) -> list[Scheduled]:
    """Every host probe but those in `without`, at its own interval (seconds) or the one given by name."""
    chosen = intervals or {}
    return [
        Scheduled(entry.make(setup), chosen.get(name, entry.interval_seconds), timeout_seconds)
        for name, entry in HOST_PROBES.items()
        if name not in without
    ]


class Group:
    """Probes that share a beat: the host probes of one interval, or one check."""

    def __init__(self, scheduled: Sequence[Scheduled]) -> None:
        self.scheduled = scheduled
        self.interval_ns = int(scheduled[0].interval_seconds * NANOSECONDS)
        self.row = Row([Part(each) for each in scheduled], interval_seconds=scheduled[0].interval_seconds)
        self.due_ns = 0
        self.phase_ns = 0
        self.round: Round | None = None
        self.attention_ns = 0  # when the schedule looks at it next; an older entry in the heap is void
        self.beats = 0

    def advance(self, now_ns: int) -> int:
        """Move on to the next beat in phase; returns how many were missed."""
        behind = (now_ns - self.phase_ns) // self.interval_ns
        following = self.phase_ns + (behind + 1) * self.interval_ns
        missed = (now_ns - self.due_ns) // self.interval_ns
        if not self.beats and following - now_ns < self.interval_ns // LEAST_SECOND_BEAT:
            following += self.interval_ns  # the first beat was out of phase and just now
        self.due_ns = following
        self.beats += 1
        return missed


class Sampler:
    """Keeps the schedule on the boot clock, which neither steps nor stops in a suspend.

    `run` belongs to one thread, and the sink is called in it, one beat at a time; it should return soon. `stop`,
    `replace_checks` and `samples` may be called from any thread, `stop` from a signal handler too.
    """

    def __init__(
        self,
        scheduled: Sequence[Scheduled],
        sink: Sink,
        *,
        rng: random.Random,
        now: Callable[[], Moment] = now,
    ) -> None:
        self._sink = sink
        self._rng = rng
        self._now = now
        self._workers = Workers()
        self._inbox: SimpleQueue[Message] = SimpleQueue()
        self._groups: list[Group] = []
        self._heap: list[tuple[int, int, Group]] = []
        self._entries = 0
        self._stopped = False
        self._sink_fails = False
        self._counts = dict.fromkeys((RUNS, FAILURES, TIMEOUTS, SKIPS, MISSED, SINK_FAILURES), 0)
        for group in _groups(scheduled):
            self._add(group)

    def run(self) -> None:
        """Sample until `stop`."""
        while not self._stopped:
            self.step(self.wait_seconds())
        self._workers.stop()

    def run_once(self) -> None:
        """One beat of everything, now."""
        for group in self._groups:
            self._begin(group, self._now())
            group.due_ns = NEVER_NS
            self._plan(group)
        while any(group.round is not None for group in self._groups):
            self.step(self.wait_seconds())
        self._workers.stop()

    def stop(self) -> None:
        """End `run` soon; a round under way is dropped."""
        self._inbox.put(self._end)

    def replace_checks(self, checks: Sequence[Scheduled]) -> None:
        """Run these checks from now on; one that is equal to a present one goes on undisturbed."""
        self._inbox.put(partial(self._exchange_checks, tuple(checks)))

    def samples(self) -> Iterator[Sample]:
        """What the sampler knows of itself: a source for the `self` probe."""
        return (Sample(series, count) for series, count in self._counts.items())

    def wait_seconds(self) -> float:
        """How long nothing is due."""
        if not self._heap:
            return LONGEST_WAIT_SECONDS
        ahead = (self._heap[0][0] - self._now().boottime_ns) / NANOSECONDS
        return min(max(ahead, 0.0), LONGEST_WAIT_SECONDS)

    def step(self, wait_seconds: float) -> None:
        """Wait for a round to end or for the time to pass, then do what is due."""
        try:
            message = self._inbox.get(timeout=wait_seconds) if wait_seconds > 0 else self._inbox.get_nowait()
            message()
        except Empty:
            pass  # nothing ended: something is due
        now_ns = self._now().boottime_ns
        while self._heap and self._heap[0][0] <= now_ns:
            when_ns, _, group = heapq.heappop(self._heap)
            if when_ns == group.attention_ns:
                self._attend(group)

    def _end(self) -> None:
        self._stopped = True

    def _round_ended(self, group: Group, ended: Round) -> None:
        if group.round is ended:  # else it was given up before
            self._finish(group, ended)
            self._plan(group)

    def _attend(self, group: Group) -> None:
        if group.round is not None:
            if group.round.review():
                self._workers.submit(group.round.work)
            if group.round.is_over():
                self._finish(group, group.round)
        moment = self._now()
        if moment.boottime_ns >= group.due_ns:
            self._begin(group, moment)
        self._plan(group)

    def _begin(self, group: Group, moment: Moment) -> None:
        if group.round is not None:
            group.round.close()
            self._finish(group, group.round)
        self._counts[MISSED] += group.advance(moment.boottime_ns)
        slots = [part.slot for part in group.row.parts]
        group.round = Round(moment, slots, now_ns=lambda: self._now().boottime_ns, finished=partial(self._tell, group))
        self._workers.submit(group.round.work)

    def _tell(self, group: Group, ended: Round) -> None:
        """Called by a worker: pass the news to the thread that keeps the schedule."""
        self._inbox.put(partial(self._round_ended, group, ended))

    def _plan(self, group: Group) -> None:
        when_ns = group.due_ns if group.round is None else min(group.due_ns, group.round.next_review_ns())
        group.attention_ns = when_ns
        self._entries += 1
        heapq.heappush(self._heap, (when_ns, self._entries, group))

    def _finish(self, group: Group, ended: Round) -> None:
        group.round = None
        beat = group.row.beat(ended.moment, ended.turns)
        for part, turn in zip(group.row.parts, ended.turns, strict=True):
            self._judge(part, turn)
        try:
            self._sink(beat)
        except Exception as error:  # a beat that cannot be kept must not end the beats
            self._counts[SINK_FAILURES] += 1
            if not self._sink_fails:
                logger.exception("beats_lost error=%s; is the spool's disk full?", type(error).__name__)
            self._sink_fails = True
        else:
            if self._sink_fails:
                logger.warning("beats_kept_again lost=%d", self._counts[SINK_FAILURES])
            self._sink_fails = False

    def _judge(self, part: Part, turn: Turn) -> None:
        """Count the turn; log when a probe starts or stops failing, not while it does."""
        self._counts[RUNS] += 1
        if turn.stage in COUNTED:
            self._counts[COUNTED[turn.stage]] += 1
        trouble = describe(turn)
        if trouble and not part.trouble:
            level = logging.INFO if isinstance(turn.error, NoData) else logging.WARNING
            logger.log(level, "probe_failed probe=%s reason=%r", part.name, trouble)
        elif part.trouble and not trouble:
            logger.info("probe_recovered probe=%s", part.name)
        part.trouble = trouble

    def _add(self, group: Group) -> None:
        now_ns = self._now().boottime_ns
        spread_ns = min(int(START_SPREAD_SECONDS * NANOSECONDS), group.interval_ns)
        group.due_ns = now_ns + int(self._rng.random() * spread_ns)
        group.phase_ns = now_ns + int(self._rng.random() * group.interval_ns)
        self._groups.append(group)
        self._plan(group)

    def _exchange_checks(self, checks: Sequence[Scheduled]) -> None:
        wanted = list(checks)
        for group in list(self._groups):
            only = group.scheduled[0]
            if only.wire_id is None:
                continue
            if only in wanted:
                wanted.remove(only)
            else:
                self._drop(group)
        for group in _groups(wanted):
            self._add(group)

    def _drop(self, group: Group) -> None:
        self._groups.remove(group)
        group.attention_ns = NEVER_NS
        group.round = None


def _groups(scheduled: Sequence[Scheduled]) -> list[Group]:
    together: dict[tuple[float, str | None], list[Scheduled]] = {}
    for each in scheduled:
        together.setdefault((each.interval_seconds, each.wire_id), []).append(each)
    return [Group(members) for members in together.values()]


def once(scheduled: Sequence[Scheduled], *, now: Callable[[], Moment] = now) -> list[Sample]:
    """One round of everything, waiting for each no longer than its timeout."""
    beats: list[Beat] = []
    sampler = Sampler(scheduled, beats.append, rng=random.Random(0), now=now)  # noqa: S311 (no beat after this one)
    sampler.run_once()
    return [
        Sample(series, value)
        for beat in beats
        for series, value in zip(beat.columns, beat.values, strict=True)
        if not is_absent(value)
    ]
