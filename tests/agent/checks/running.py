"""Running a check once in a test."""

from __future__ import annotations

import time
from typing import Any

import msgspec

from agent.probes import CHECKS
from agent.probes.check import Check
from agent.sample import ABSENT, Moment, Observation, Outcome


def run(kind: str, *, wall_ms: int | None = None, **options: Any) -> Observation:
    """One run of a check, by the options as they would stand in a file."""
    options = {"name": "it", "timeout_seconds": 2, "retries": 0, **options}
    settings = msgspec.convert(options, CHECKS[kind])
    now_ms = int(time.time() * 1000) if wall_ms is None else wall_ms
    return Check(settings, wire_id="local:it", pause=lambda _: None).observe(Moment(now_ms, 0))


def outcome(kind: str, **options: Any) -> Outcome:
    """Only what the run concluded."""
    found = run(kind, **options).outcome
    assert found is not None
    return found


def numbers(observation: Observation) -> dict[str, float]:
    """The samples that are there, by name and phase or state."""
    absent = ABSENT.hex()
    found = {}
    for sample in observation.samples:
        labels = dict(sample.series.labels)
        part = labels.get("phase") or labels.get("state")
        if sample.value.hex() != absent:
            found[sample.series.name + (f"[{part}]" if part else "")] = sample.value
    return found
