"""What the agents under test measure: values that anybody can compute again from the seed, the agent and the time.

So the checker needs no copy of what was sent: a row that is altered, swapped or invented differs from the truth.
"""

from __future__ import annotations

import struct
from array import array
from hashlib import shake_128
from typing import NamedTuple

from agent.sample import ABSENT, Document, Kind, Moment, Series

METRIC = "sigap_test_value"
COLUMNS_LEAST = 20
INTERVAL_MS = 1_000
ABSENT_ONE_IN = 97
HUGE_BYTES = 1 << 20
"""More than fits into a frame: the spool declares it lost instead of numbering a batch."""


class Beat(NamedTuple):
    """What the encoder wants to know of a beat."""

    moment: Moment
    columns: tuple[Series, ...]
    values: array[float]
    interval_ms: int = INTERVAL_MS
    results: tuple[()] = ()
    documents: tuple[Document, ...] = ()


def columns(agent: int) -> tuple[Series, ...]:
    """The series of an agent; some agents share a layout, some do not."""
    return tuple(
        Series(METRIC, (("column", f"{i:02}"),), Kind.GAUGE, "", "Known to the checker.")
        for i in range(COLUMNS_LEAST + agent % 2)
    )


def values(seed: int, agent: int, wall_ms: int) -> tuple[float, ...]:
    """The truth of one beat, column by column; now and then a value is absent."""
    width = COLUMNS_LEAST + agent % 2
    words = struct.unpack(f"<{width}I", shake_128(f"{seed}:{agent}:{wall_ms}".encode()).digest(4 * width))
    return tuple(ABSENT if word % ABSENT_ONE_IN == 0 else word / 8 for word in words)
