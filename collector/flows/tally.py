"""What became of everything that arrived in one commit, as metrics. Decides nothing."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence

from collector import protocol
from collector.domain.sample import Accepted
from collector.metrics import Metrics

LOG = logging.getLogger(__name__)

_RESULTS: Mapping[type, str] = {
    protocol.Duplicate: "duplicate",
    protocol.Conflict: "conflict",
    protocol.Quarantine: "quarantined",
    protocol.Nack: "nack",
}


def count_accepted(metrics: Metrics, accepted: Sequence[Accepted]) -> None:
    """Count batches that were stored."""
    metrics.ingest_samples.inc(sum(len(row.values) // 8 for one in accepted for row in one.rows))
    metrics.ingest_rows.inc(sum(len(one.rows) for one in accepted))
    metrics.ingest_batches.labels("accepted").inc(len(accepted))


def count_effects(metrics: Metrics, agent_id: str, effects: Iterable[protocol.Effect]) -> None:
    """Count what else was decided for one agent; a conflict is worth a line of the log each time."""
    for effect in effects:
        if (name := _RESULTS.get(type(effect))) is not None:
            metrics.ingest_batches.labels(name).inc()
        elif isinstance(effect, protocol.RecordGap):
            count_gaps(metrics, [effect.gap])
        if isinstance(effect, protocol.Conflict):
            LOG.error("agent conflict agent=%s seq=%d: cloned or rolled back", agent_id, effect.seq)


def count_gaps(metrics: Metrics, gaps: Iterable[protocol.Gap]) -> None:
    """Count losses; of some nobody knows how many samples they held, so they are counted as gaps too."""
    for gap in gaps:
        metrics.ingest_gaps.labels(gap.reason.name.lower()).inc()
        metrics.ingest_gap_samples.labels(gap.reason.name.lower()).inc(gap.samples)
