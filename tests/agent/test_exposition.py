"""Samples as Prometheus text. What promtool says of it is in probes/test_promtool.py."""

from __future__ import annotations

import pytest

from agent.exposition import text
from agent.sample import Kind, Sample, Series


def test_family_is_told_once_and_its_samples_stay_together():
    up = [Series("up", (("device", name),), help="Whether it is up.") for name in ("a", "b")]
    other = Series("load", help="Load.")
    assert text([Sample(up[0], 1.0), Sample(other, 0.5), Sample(up[1], 0.0)]) == (
        "# HELP load Load.\n"
        "# TYPE load gauge\n"
        "load 0.5\n"
        "# HELP up Whether it is up.\n"
        "# TYPE up gauge\n"
        'up{device="a"} 1\n'
        'up{device="b"} 0\n'
    )


def test_labels_and_help_are_escaped():
    series = Series("m", (("path", 'C:\\x "y"\nz'),), help="back\\slash\nand line")
    assert text([Sample(series, 1)]) == (
        '# HELP m back\\\\slash\\nand line\n# TYPE m gauge\nm{path="C:\\\\x \\"y\\"\\nz"} 1\n'
    )


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (float("nan"), "NaN"),
        (float("inf"), "+Inf"),
        (float("-inf"), "-Inf"),
        (1e20, "1e+20"),
        (0.1, "0.1"),
        (-3.0, "-3"),
    ],
)
def test_numbers_are_written_as_prometheus_reads_them(value: float, written: str):
    assert text([Sample(Series("m"), value)]).splitlines()[-1] == f"m {written}"


def test_counter_without_total_is_untyped_as_node_exporter_has_it():
    assert "# TYPE node_vmstat_pgfault untyped" in text([Sample(Series("node_vmstat_pgfault", kind=Kind.COUNTER), 1)])
    assert "# TYPE a_total counter" in text([Sample(Series("a_total", kind=Kind.COUNTER), 1)])


def test_nothing_is_no_text():
    assert text([]) == ""
