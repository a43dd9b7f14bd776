"""Check results as the story has them: on the check's own beat, and wherever its state changes.

Pure. A silent host has no results.
"""

from __future__ import annotations

import zlib
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from collector.demo.story import Story
from collector.domain.interval import Span
from collector.domain.message import Message, Value
from collector.domain.sample import State
from protos.telemetry.v1 import telemetry_pb2 as pb

LATENCY_SECONDS = {"http": 0.14, "tcp": 0.004, "dns": 0.009, "tls": 0.03, "file": 0.0004, "systemd": 0.003}
"""How long a look usually takes, by kind."""
QUICK_SECONDS = 0.002
DEGRADED_SECONDS = 3.4


class Watch(NamedTuple):
    """A check of a simulated host."""

    key: str
    host: str
    wire_id: str
    kind: str
    interval_ms: int
    timeout_ms: int
    name: str  # as its agent calls it
    target: str  # what is looked at


class Look(NamedTuple):
    """What one look found."""

    wall_ms: int
    state: State
    latency_seconds: float
    reason: Message | None


def looks(watch: Watch, story: Story, span: Span, *, interval_ms: int) -> list[Look]:
    """What `watch` found in `span`, looking every `interval_ms`."""
    times = _times(watch, story, span, interval_ms)
    states = np.full(times.size, int(State.UP))
    reasons: list[Message | None] = [None] * times.size
    for incident in story.incidents_of(watch.key):
        inside = np.flatnonzero((times >= incident.span.since_ms) & (times < incident.span.until_ms))
        states[inside] = int(incident.state)
        for at in inside.tolist():
            reasons[at] = incident.reason
    latencies = _latencies(watch, times, states)
    found = zip(times.tolist(), map(State, states.tolist()), latencies.tolist(), reasons, strict=True)
    return [Look(*one) for one in found]


def told(watch: Watch, look: Look, *, interval_ms: int) -> pb.CheckResult:
    """A look as an agent tells it."""
    return pb.CheckResult(
        check_id=watch.wire_id,
        wall_ms=look.wall_ms,
        state=pb.State.Name(look.state),
        latency_seconds=look.latency_seconds,
        reason=look.reason or "",
        wording=_wording(look.reason) if look.reason else None,
        since_ms=look.wall_ms,
        attempts=1,
        interval_ms=interval_ms,
        timeout_ms=watch.timeout_ms,
    )


def _wording(value: Value) -> pb.Reason:
    """A reason or one of its values as an agent sends it."""
    if isinstance(value, Message):
        return pb.Reason(template=value.template, values={name: _wording(one) for name, one in value.values.items()})
    if isinstance(value, int):
        return pb.Reason(whole=value)
    return pb.Reason(number=value) if isinstance(value, float) else pb.Reason(text=value)


def _times(watch: Watch, story: Story, span: Span, interval_ms: int) -> NDArray[np.int64]:
    phase = _seed(watch) % interval_ms
    first = span.since_ms + (phase - span.since_ms) % interval_ms
    # An agent looks as soon as it runs.
    moments = [story.start_ms, *(silence.until_ms for silence in story.silences_of(watch.host))]
    moments += [at for one in story.incidents_of(watch.key) for at in one.span]
    extra = np.array([at for at in moments if span.since_ms <= at < span.until_ms], dtype=np.int64)
    times = np.union1d(np.arange(first, span.until_ms, interval_ms, dtype=np.int64), extra)
    return audible(times, story, watch.host)


def audible(times: NDArray[np.int64], story: Story, host: str) -> NDArray[np.int64]:
    """The times at which `host` was not silent."""
    for silence in story.silences_of(host):
        times = times[(times < silence.since_ms) | (times >= silence.until_ms)]
    return times


def _latencies(watch: Watch, times: NDArray[np.int64], states: NDArray[np.int64]) -> NDArray[np.float64]:
    usual = LATENCY_SECONDS.get(watch.kind, QUICK_SECONDS)
    noise = np.random.default_rng([_seed(watch), int(times[0]) if times.size else 0]).gamma(6.0, 1 / 6, times.size)
    found = np.where(states == int(State.DEGRADED), DEGRADED_SECONDS, usual) * (0.6 + 0.4 * noise)
    found[states == int(State.DOWN)] = watch.timeout_ms / 1000.0
    return found.round(6)


def _seed(watch: Watch) -> int:
    return zlib.crc32(f"{watch.host}/{watch.wire_id}".encode())
