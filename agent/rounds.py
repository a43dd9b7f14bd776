"""One beat's look at several probes by as few threads as possible, and never fewer than needed.

One worker goes through the probes one by one. As soon as it stands still, another takes over what is left; the one
that hangs is left behind with its probe, which is skipped until it returns. Knows no schedule and no series.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from enum import Enum, auto
from queue import SimpleQueue

from agent.sample import Moment, Observation, Probe

PATIENCE_NS = 50_000_000  # a probe that takes longer no longer makes others wait


logger = logging.getLogger(__name__)


class Stage(Enum):
    """How far one probe has come in this round."""

    WAITING = auto()
    RUNNING = auto()
    SEEN = auto()
    FAILED = auto()
    TIMED_OUT = auto()
    SKIPPED = auto()


class Slot:
    """One probe's place in the agent; `busy` while a run of it has not returned."""

    __slots__ = ("busy", "probe", "timeout_ns")

    def __init__(self, probe: Probe, *, timeout_ns: int) -> None:
        self.probe = probe
        self.timeout_ns = timeout_ns
        self.busy = False


class Turn:
    """One probe in one round."""

    __slots__ = ("duration_ns", "error", "observation", "slot", "stage", "started_ns")

    def __init__(self, slot: Slot) -> None:
        self.slot = slot
        self.stage = Stage.SKIPPED if slot.busy else Stage.WAITING
        self.started_ns = 0
        self.duration_ns = 0
        self.observation: Observation | None = None
        self.error: Exception | None = None

    def fail(self, error: Exception) -> None:
        """What was seen turned out to be no use."""
        self.stage, self.error, self.observation = Stage.FAILED, error, None

    @property
    def is_settled(self) -> bool:
        """Whether nothing more can come of it in this round."""
        return self.stage not in (Stage.WAITING, Stage.RUNNING)


class Round:
    """All turns of one beat; `work` is for worker threads, the rest for the thread that keeps the schedule."""

    def __init__(
        self, moment: Moment, slots: Sequence[Slot], *, now_ns: Callable[[], int], finished: Callable[[Round], None]
    ) -> None:
        self.moment = moment
        self.turns = [Turn(slot) for slot in slots]
        self._now_ns = now_ns
        self._finished = finished
        self._lock = threading.Lock()
        self._next = 0  # turns before it have been taken
        self._open = sum(not turn.is_settled for turn in self.turns)

    def work(self) -> None:
        """Take turns until none is left; tell once when the last one is settled."""
        if self.is_over():  # every probe was still busy
            self._finished(self)
            return
        while (turn := self._take()) is not None:
            error: Exception | None = None
            observation: Observation | None = None
            try:
                observation = turn.slot.probe.observe(self.moment)
            except Exception as raised:  # whatever a probe raises is that probe's result
                error = raised
            if self._settle(turn, observation, error):
                self._finished(self)

    def review(self) -> bool:
        """Give up on what took too long; returns whether another worker is needed for what is left."""
        now_ns = self._now_ns()
        with self._lock:
            for turn in self.turns:
                if turn.stage is Stage.RUNNING and now_ns - turn.started_ns >= turn.slot.timeout_ns:
                    self._time_out(turn, now_ns)
            running = [turn for turn in self.turns if turn.stage is Stage.RUNNING]
            waiting = any(turn.stage is Stage.WAITING for turn in self.turns)
            return waiting and all(now_ns - turn.started_ns >= PATIENCE_NS for turn in running)

    def close(self) -> None:
        """Settle everything now: the next beat is here."""
        now_ns = self._now_ns()
        with self._lock:
            for turn in self.turns:
                if not turn.is_settled:
                    self._time_out(turn, now_ns)

    def next_review_ns(self) -> int:
        """When to review again, on the clock given."""
        with self._lock:
            now_ns = self._now_ns()
            running = [turn for turn in self.turns if turn.stage is Stage.RUNNING]
            times = [turn.started_ns + turn.slot.timeout_ns for turn in running]
            if any(turn.stage is Stage.WAITING for turn in self.turns):
                times.append(now_ns + PATIENCE_NS)
            return min(times, default=now_ns)

    def is_over(self) -> bool:
        """Whether every turn is settled."""
        return self._open == 0

    def _take(self) -> Turn | None:
        with self._lock:
            while self._next < len(self.turns):
                turn = self.turns[self._next]
                self._next += 1
                if turn.stage is Stage.WAITING:
                    turn.stage = Stage.RUNNING
                    turn.slot.busy = True
                    turn.started_ns = self._now_ns()
                    return turn
        return None

    def _settle(self, turn: Turn, observation: Observation | None, error: Exception | None) -> bool:
        with self._lock:
            turn.slot.busy = False
            if turn.stage is not Stage.RUNNING:  # too late: the round has been told without it
                return False
            turn.stage = Stage.SEEN if error is None else Stage.FAILED
            turn.observation, turn.error = observation, error
            turn.duration_ns = self._now_ns() - turn.started_ns
            self._open -= 1
            return self._open == 0

    def _time_out(self, turn: Turn, now_ns: int) -> None:
        self._open -= 1
        turn.duration_ns = now_ns - turn.started_ns if turn.started_ns else 0
        turn.stage = Stage.TIMED_OUT


class Workers:
    """Threads that wait for work; there are never more than probes that hang at the same time, plus one per round.

    They are daemons: a thread stuck in the kernel must not keep the agent from ending.
    """

    def __init__(self) -> None:
        self._tasks: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._idle = 0
        self._count = 0

    def submit(self, task: Callable[[], None]) -> None:
        """Run it soon, in a thread of its own if all are taken."""
        self._tasks.put(task)
        with self._lock:
            spawn = self._idle <= 0
            if not spawn:
                self._idle -= 1
        if spawn:
            self._spawn()

    def _spawn(self) -> None:
        self._count += 1
        try:
            threading.Thread(target=self._work, name=f"worker-{self._count}", daemon=True).start()
        except RuntimeError:  # the system gives no more threads: the task waits for the next worker that gets free
            logger.warning("no_thread_for_probes workers=%d; is the limit of tasks too low?", self._count)
            with self._lock:
                self._idle -= 1

    def stop(self) -> None:
        """Let the waiting threads end; those that hang end with the program."""
        with self._lock:
            idle, self._idle = self._idle, 0
        for _ in range(max(idle, 0)):
            self._tasks.put(None)

    def _work(self) -> None:
        while (task := self._tasks.get()) is not None:
            task()
            with self._lock:
                self._idle += 1
