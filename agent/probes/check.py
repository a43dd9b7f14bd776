"""What every kind of check shares: its settings, its numbers, and the probe that runs it on the sampler's beat.

A kind is a strict msgspec structure whose fields are its options and whose `look` looks once. Retries, thresholds,
labels and error mapping are here, so that a kind is only about its protocol. Knows no kind.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Annotated, ClassVar, NamedTuple

import msgspec

from agent.probes import attempts
from agent.probes.attempts import CannotProbe, Finding, Key, Patience, Verdict
from agent.probes.endpoint import Deadline, explain, no_answer
from agent.sample import ABSENT, Kind, Moment, Observation, Sample, Series, State

Seconds = Annotated[float, msgspec.Meta(gt=0, le=86_400)]
Days = Annotated[float, msgspec.Meta(ge=0, le=3_650)]
Name = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
Line = Annotated[str, msgspec.Meta(max_length=1_024)]


class Measure(NamedTuple):
    """One number that a kind of check takes; `labels` distinguish several of one name."""

    name: str
    help: str
    unit: str = ""
    labels: tuple[tuple[str, str], ...] = ()

    @property
    def key(self) -> Key:
        """What a finding's value is filed under."""
        return (self.name, self.labels)


SUCCESS = Measure("probe_success", "1 when the check is up or degraded, 0 when it is down, absent when unknown")
DURATION = Measure("probe_duration_seconds", "Seconds that the last attempt took", "seconds")
EXPIRY = Measure(
    "probe_ssl_earliest_cert_expiry",
    "Unix time at which the first certificate of the server's chain expires",
    "seconds",
)
LOOKUP = Measure("probe_dns_lookup_time_seconds", "Seconds that resolving the target's name took", "seconds")
PROTOCOL = Measure("probe_ip_protocol", "IP version that the target was reached by, 4 or 6")


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The options that every kind of check has; a kind adds its own."""

    name: Name
    interval_seconds: Annotated[float, msgspec.Meta(ge=1, le=86_400)] = 30.0
    timeout_seconds: Annotated[float, msgspec.Meta(ge=0.01, le=600)] = 5.0
    retries: Annotated[int, msgspec.Meta(ge=0, le=10)] = 1
    retry_interval_seconds: Annotated[float, msgspec.Meta(ge=0, le=600)] = 1.0
    degraded_seconds: Annotated[float, msgspec.Meta(ge=0.001, le=86_400)] | None = None

    KIND: ClassVar[str]
    MEASURES: ClassVar[tuple[Measure, ...]] = ()
    SECRET: ClassVar[frozenset[str]] = frozenset()  # options never shown or sent
    LOCAL_ONLY: ClassVar[frozenset[str]] = frozenset()  # options that a central definition may not use

    def __post_init__(self) -> None:
        if self.longest_seconds > self.interval_seconds:
            raise ValueError(
                f"interval_seconds {self.interval_seconds:g} is too short for {self.retries + 1} attempts of "
                f"timeout_seconds {self.timeout_seconds:g} with retry_interval_seconds {self.retry_interval_seconds:g}:"
                f" they take up to {self.longest_seconds:g} seconds"
            )

    @property
    def longest_seconds(self) -> float:
        """How long one run may take, with every retry used up."""
        return self.timeout_seconds * (self.retries + 1) + self.retry_interval_seconds * self.retries

    @property
    def target(self) -> str:
        """What is looked at, for labels and reasons; without secrets."""
        raise NotImplementedError

    def look(self, deadline: Deadline) -> Finding:
        """Look once.

        Raises:
            Failed: The target did not do what it should.
            CannotProbe: Looking was not possible.
        """
        raise NotImplementedError


COMMON_OPTIONS = tuple(field for field in Settings.__struct_fields__ if field != "name")


class Check:
    """A probe that runs one check: every attempt within its deadline, retries within the beat.

    Equal to another that would do the same, so that a reload leaves unchanged checks alone.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        wire_id: str,
        clock: Callable[[], float] = time.monotonic,
        pause: Callable[[float], object] = time.sleep,
    ) -> None:
        self.name = wire_id
        self.settings = settings
        self._clock = clock
        self._pause = pause
        self._series = _series(settings)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Check) and (self.name, self.settings) == (other.name, other.settings)

    def __hash__(self) -> int:
        return hash(self.name)

    def observe(self, moment: Moment) -> Observation:
        """Look until the state counts."""
        began = self._clock()

        def now_ms() -> int:
            return moment.wall_ms + int((self._clock() - began) * 1000)

        settings = self.settings
        patience = Patience(settings.retries, settings.retry_interval_seconds)
        settled = attempts.settle(lambda: self._attempt(now_ms()), patience, now_ms=now_ms, pause=self._pause)
        values = settled.finding.values
        samples = [Sample(series, values.get(key, ABSENT)) for key, series in self._series]
        return Observation(samples=samples, outcome=settled.outcome)

    def _attempt(self, now_ms: int) -> Finding:
        settings = self.settings
        deadline = Deadline(settings.timeout_seconds, wall_ms=now_ms, clock=self._clock)
        try:
            finding = settings.look(deadline)
        except Verdict as verdict:
            finding = _told(verdict)
        except TimeoutError:
            finding = Finding(State.DOWN, no_answer(settings.target, deadline))
        except OSError as error:
            finding = _told(explain(error, settings.target))
        spent = deadline.spent()
        if not finding.latency_seconds:
            finding = replace(finding, latency_seconds=spent)
        finding = attempts.slower_than(finding, settings.degraded_seconds)
        return _completed(finding, spent)


def _told(verdict: Verdict) -> Finding:
    return Finding(State.UNKNOWN if isinstance(verdict, CannotProbe) else State.DOWN, verdict.reason)


def _completed(finding: Finding, spent_seconds: float) -> Finding:
    """The finding with the numbers that every check has."""
    values: dict[Key, float] = {DURATION.key: spent_seconds, **finding.values}
    if finding.state is not State.UNKNOWN:
        values[SUCCESS.key] = float(finding.state is not State.DOWN)
    return replace(finding, values=values)


def _series(settings: Settings) -> list[tuple[Key, Series]]:
    """Every series that a check can have: all of them in each row, so that its layout never changes."""
    common = {"check": settings.name, "kind": settings.KIND, "target": settings.target}
    return [
        (measure.key, Series(measure.name, _sorted({**common, **dict(measure.labels)}), Kind.GAUGE, measure.unit,
                             measure.help))
        for measure in (SUCCESS, DURATION, *settings.MEASURES)
    ]  # fmt: skip


def _sorted(labels: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(labels.items()))
