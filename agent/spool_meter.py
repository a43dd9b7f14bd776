"""What the spool says of itself, as samples that travel with all others."""

from __future__ import annotations

from agent.sample import Kind, Sample, Series

_BATCHES = Series(
    "sigap_agent_spool_batches",
    (),
    Kind.GAUGE,
    "",
    "Batches waiting for the collector.",
)
_BYTES = Series(
    "sigap_agent_spool_bytes",
    (),
    Kind.GAUGE,
    "bytes",
    "Size of the spool.",
)
_LIMIT = Series(
    "sigap_agent_spool_limit_bytes",
    (),
    Kind.GAUGE,
    "bytes",
    "Size at which the oldest is dropped.",
)
_OLDEST = Series(
    "sigap_agent_spool_oldest_seconds",
    (),
    Kind.GAUGE,
    "seconds",
    "Age of the oldest waiting batch.",
)
_DROPPED = Series(
    "sigap_agent_spool_dropped_batches_total",
    (),
    Kind.COUNTER,
    "",
    "Batches lost and declared.",
)
_LOST = Series(
    "sigap_agent_spool_dropped_samples_total",
    (),
    Kind.COUNTER,
    "",
    "Samples lost and declared.",
)


def samples(
    *, batches: int, used_bytes: int, limit_bytes: int, oldest_seconds: float, dropped: tuple[int, int]
) -> list[Sample]:
    """One sample of each; `dropped` are batches and samples."""
    values = (batches, used_bytes, limit_bytes, oldest_seconds, *dropped)
    series = (_BATCHES, _BYTES, _LIMIT, _OLDEST, _DROPPED, _LOST)
    return [Sample(one, float(value)) for one, value in zip(series, values, strict=True)]
