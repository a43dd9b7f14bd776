"""What tests of the sampler share: clocks moved by hand, probes that do what they are told, a sampler on both."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from agent.beat import Beat
from agent.sample import Moment, Observation, Sample, Series
from agent.sampler import Sampler, Scheduled

DEADLINE_SECONDS = 10
SECOND_NS = 1_000_000_000
START = Moment(1_795_561_589_500, 1_000 * SECOND_NS)


class FakeClock:
    """Both clocks, moved by hand."""

    def __init__(self) -> None:
        self.moment = START

    def __call__(self) -> Moment:
        return self.moment

    def pass_seconds(self, seconds: float, *, wall_step_seconds: float = 0.0) -> None:
        wall_ms = self.moment.wall_ms + round((seconds + wall_step_seconds) * 1000)
        self.moment = Moment(wall_ms, self.moment.boottime_ns + round(seconds * SECOND_NS))


@dataclass(eq=False)
class Scripted:
    """A probe that does what it is told; hangs while `gate` is closed."""

    name: str
    observation: Observation = field(default_factory=Observation)
    error: Exception | None = None
    gate: threading.Event = field(default_factory=threading.Event)
    entered: threading.Event = field(default_factory=threading.Event)
    runs: list[Moment] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.gate.set()

    def observe(self, moment: Moment) -> Observation:
        self.runs.append(moment)
        self.entered.set()
        assert self.gate.wait(DEADLINE_SECONDS)
        if self.error is not None:
            raise self.error
        return self.observation


def gauge(name: str, **labels: str) -> Series:
    return Series(name, tuple(sorted(labels.items())))


def seeing(name: str, *values: float) -> Scripted:
    """A probe with one series for each value, always the same series objects."""
    series = [gauge(f"{name}_{position}") for position in range(len(values))]
    return Scripted(name, Observation([Sample(*pair) for pair in zip(series, values, strict=True)]))


class Bench:
    """A sampler on a clock that stands still, and the beats it made."""

    def __init__(self, *scheduled: Scheduled, seed: int = 1, sink: Callable[[Beat], None] | None = None) -> None:
        self.clock = FakeClock()
        self.beats: list[Beat] = []
        self.sampler = Sampler(scheduled, sink or self.beats.append, rng=random.Random(seed), now=self.clock)

    def until(self, claim: Callable[[], bool]) -> None:
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not claim():
            assert time.monotonic() < deadline
            self.sampler.step(0.005)

    def next_beats(self, count: int) -> list[Beat]:
        """Go to the next moment at which something is due until so many more beats are there."""
        wanted = len(self.beats) + count
        deadline = time.monotonic() + DEADLINE_SECONDS
        while len(self.beats) < wanted:
            assert time.monotonic() < deadline
            if not self.is_working():
                self.clock.pass_seconds(self.sampler.wait_seconds() + 1e-6)
            self.sampler.step(0.005)
        return self.beats[-count:]

    def is_working(self) -> bool:
        return any(group.round is not None for group in self.sampler._groups)

    def counts(self) -> dict[str, float]:
        return {
            sample.series.name.removeprefix("sigap_agent_"): sample.value
            for sample in self.sampler.samples()
            if sample.value
        }


def values(beat: Beat, name: str) -> dict[str, float]:
    """Of one metric, by the value of its only label."""
    return {
        series.labels[0][1] if series.labels else "": value
        for series, value in zip(beat.columns, beat.values, strict=True)
        if series.name == name
    }


def value(beat: Beat, name: str) -> float:
    return values(beat, name)[""]
