"""Samples as Prometheus text, for `sigap-agent once`.

Listens nowhere and collects nothing.

Source: https://prometheus.io/docs/instrumenting/exposition_formats/ (text format 0.0.4).
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from agent.sample import Kind, Sample

HELP_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n"})
LABEL_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})
EXACT_INTEGER = 2**53  # beyond it a double no longer holds every integer


def text(samples: Iterable[Sample]) -> str:
    """The samples, families in order of their names, HELP and TYPE once for each."""
    families: dict[str, list[Sample]] = {}
    for sample in samples:
        families.setdefault(sample.series.name, []).append(sample)
    lines: list[str] = []
    for name in sorted(families):
        first = families[name][0].series
        lines.append(f"# HELP {name} {first.help.translate(HELP_ESCAPES)}")
        lines.append(f"# TYPE {name} {_type(name, first.kind)}")
        lines.extend(f"{name}{_labels(sample)} {_number(sample.value)}" for sample in families[name])
    return "\n".join(lines) + "\n" if lines else ""


def _type(name: str, kind: Kind) -> str:
    """A counter that node_exporter named without _total must stay untyped, as node_exporter itself writes it."""
    if kind is Kind.GAUGE:
        return "gauge"
    return "counter" if name.endswith("_total") else "untyped"


def _labels(sample: Sample) -> str:
    labels = sample.series.labels
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{value.translate(LABEL_ESCAPES)}"' for name, value in labels) + "}"


def _number(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if value == int(value) and abs(value) < EXACT_INTEGER else repr(float(value))
