"""The probe for hosts without /proc, on this host, beside the probes that read /proc."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.probes.loadavg import LoadAverage
from agent.probes.meminfo import Meminfo
from agent.probes.netdev import NetDev
from agent.probes.portable import Portable
from agent.probes.stat import Stat
from agent.sample import Moment, Probe

NOW = Moment(1_790_000_000_000, 1)


def values(probe: Probe) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {(one.series.name, one.series.labels): one.value for one in probe.observe(NOW).samples}


def test_where_proc_is_it_says_nothing() -> None:
    assert values(Portable()) == {}


def test_elsewhere_it_agrees_with_what_proc_says(tmp_path: Path) -> None:
    portable = values(Portable(tmp_path))
    for probe, slack in ((LoadAverage(), 0.5), (Stat(), 1.0)):
        shared = {key: value for key, value in values(probe).items() if key in portable}
        assert shared, probe.name
        for key, value in shared.items():
            assert portable[key] == pytest.approx(value, abs=slack), key
    memory = values(Meminfo())
    assert portable["node_memory_MemTotal_bytes", ()] == memory["node_memory_MemTotal_bytes", ()]
    available = "node_memory_MemAvailable_bytes", ()
    assert portable[available] == pytest.approx(memory[available], rel=0.1)


def test_its_devices_and_mounts_carry_node_exporters_labels(tmp_path: Path) -> None:
    portable = values(Portable(tmp_path))
    labels = {name: {label for label, _ in found} for name, found in portable}
    assert labels["node_cpu_seconds_total"] == {"cpu", "mode"}
    assert labels["node_filesystem_size_bytes"] == {"device", "fstype", "mountpoint"}
    assert set(values(NetDev())) & set(portable) or not values(NetDev())


def test_a_series_is_the_same_object_at_every_look(tmp_path: Path) -> None:
    probe = Portable(tmp_path)
    first, second = probe.observe(NOW).samples, probe.observe(NOW).samples
    assert {id(one.series) for one in first} == {id(one.series) for one in second}
