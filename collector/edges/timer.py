"""The clock that asks: runs each periodic job on its own beat and goes on whatever a job does.

One of the two places with a broad `except` (the other is the agent's sampler): it counts, logs on transition, goes on.
What the jobs do is the flows' work.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from collector.metrics import Metrics

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Job:
    """Something that is done again and again."""

    name: str
    interval_seconds: float
    run: Callable[[], Awaitable[object]]


class Timer:
    """Runs jobs until it is stopped; a job that takes longer than its interval is not started twice."""

    def __init__(self, jobs: Sequence[Job], *, metrics: Metrics, clock: Callable[[], int]) -> None:
        self._jobs = jobs
        self._metrics = metrics
        self._clock = clock
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Start every job's beat."""
        self._tasks = [asyncio.create_task(self._beat(job), name=f"timer {job.name}") for job in self._jobs]

    async def stop(self) -> None:
        """Stop between two runs or in the middle of one."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _beat(self, job: Job) -> None:
        failing = False
        loop = asyncio.get_running_loop()
        due = loop.time() + job.interval_seconds
        while True:
            await asyncio.sleep(max(0.0, due - loop.time()))
            due = max(due + job.interval_seconds, loop.time())
            try:
                await job.run()
            except Exception as error:
                self._metrics.timer_runs.labels(job.name, "failed").inc()
                if not failing:
                    log.exception("job failing job=%s error=%r", job.name, str(error))
                failing = True
                continue
            self._metrics.timer_runs.labels(job.name, "ok").inc()
            self._metrics.timer_last.labels(job.name).set(self._clock() / 1_000)
            if failing:
                log.info("job recovered job=%s", job.name)
            failing = False
