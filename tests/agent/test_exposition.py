"""Samples as Prometheus text."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from agent import sampler
from agent.exposition import text
from agent.probes import Host
from agent.sample import Kind, Sample, Series

CAMEL_CASE = "metric names should be written in 'snake_case' not 'camelCase'"


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


@pytest.mark.counterpart
def test_promtool_accepts_one_round_of_this_host():
    """Its only complaint is that /proc/meminfo's names, which node_exporter keeps too, are not snake case."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool (Debian package prometheus) is not installed")
    samples = sampler.once(sampler.host(Host(version="1.0")))
    checked = _promtool(promtool, text(samples))
    complaints = [line for line in checked.stderr.splitlines() if line]
    assert all(line.startswith("node_memory_") and line.endswith(CAMEL_CASE) for line in complaints), complaints
    rest = text([sample for sample in samples if not sample.series.name.startswith("node_memory_")])
    assert _promtool(promtool, rest).returncode == 0


def _promtool(promtool: str, metrics: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [promtool, "check", "metrics"], input=metrics, capture_output=True, text=True, timeout=30, check=False
    )
