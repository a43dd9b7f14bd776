"""A timeline as sums, for tests that compare two of them."""

from __future__ import annotations

from collections.abc import Iterable

from collector.domain.sample import State
from collector.domain.status import Segment


def durations(segments: Iterable[Segment]) -> dict[State, int]:
    """Milliseconds per state; together exactly as long as the timeline."""
    sums = dict.fromkeys(State, 0)
    for segment in segments:
        sums[segment.state] += segment.milliseconds
    return sums
