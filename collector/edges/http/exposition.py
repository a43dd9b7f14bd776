"""Prometheus' two text formats, written straight as text: for what has thousands of samples.

An object and a dictionary for each sample, as prometheus_client's encoders take them, cost more than the samples. What
that library counts itself is still encoded by it. Reads nothing and decides nothing about what is shown.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import NamedTuple

from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import CollectorRegistry

EOF = "# EOF\n"
_OPEN_METRICS = "application/openmetrics-text"


class Format(NamedTuple):
    """One of the two, with what differs between them for gauges and for samples of unknown type."""

    content_type: str
    encode: Callable[[CollectorRegistry], bytes]
    unknown: str
    end: str
    stamp: Callable[[int], str]  # of Unix milliseconds


TEXT = Format(CONTENT_TYPE_PLAIN_0_0_4, generate_latest, "untyped", "", str)
OPEN_METRICS = Format(
    f"{_OPEN_METRICS}; version=1.0.0; charset=utf-8",
    openmetrics.generate_latest,
    "unknown",
    EOF,
    lambda wall_ms: f"{wall_ms // 1_000}.{wall_ms % 1_000:03}",
)


def format_of(accept: str) -> Format:
    """OpenMetrics for whoever names it, the older text for everybody else."""
    named = {one.split(";")[0].strip().lower() for one in accept.split(",")}
    return OPEN_METRICS if _OPEN_METRICS in named else TEXT


def escaped(value: str) -> str:
    """A label's value as it stands between the quotes."""
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def number(value: float) -> str:
    """The shortest text that is read as exactly this number."""
    if math.isfinite(value):
        return repr(value)
    return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"


def head(name: str, text: str, kind: str) -> str:
    """What stands before the samples of a metric."""
    return f"# HELP {name} {text}\n# TYPE {name} {kind}\n"


class Family(NamedTuple):
    """A gauge of ours: what is told about it, and its samples as lines, in either format."""

    name: str
    help: str
    labels: tuple[str, ...]
    lines: str

    @property
    def text(self) -> str:
        """As a scraper reads it."""
        return head(self.name, self.help, "gauge") + self.lines


def gauge(name: str, text: str, values: Iterable[tuple[tuple[str, ...], float]], labels: tuple[str, ...]) -> Family:
    """A gauge of ours from (label values, value) pairs, as `metrics.gauge` has it."""
    name = f"sigap_{name}"
    lines = []
    for label_values, value in values:
        pairs = ",".join([f'{label}="{escaped(one)}"' for label, one in zip(labels, label_values, strict=True)])
        lines.append(f"{name}{{{pairs}}} {number(float(value))}\n" if pairs else f"{name} {number(float(value))}\n")
    return Family(name, text, labels, "".join(lines))
