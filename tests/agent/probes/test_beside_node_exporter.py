"""Our host probes beside the real node_exporter, on this host, in the same second.

node_exporter is asked before and after one round of ours. A gauge must lie between its two values or close to them, a
counter between them, and every series of the tier-1 families must be there with exactly its labels.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from agent import sampler
from agent.probes import HOST_PROBES, Host
from agent.probes.textfile import LABEL, LINE
from agent.sample import Kind

pytestmark = pytest.mark.counterpart

BINARY = "prometheus-node-exporter"
DEADLINE_SECONDS = 20

TIER_1 = (
    "node_cpu_seconds_total",
    "node_load1",
    "node_load5",
    "node_load15",
    "node_boot_time_seconds",
    "node_time_seconds",
    "node_vmstat_pgmajfault",
    "node_vmstat_pgfault",
    "node_vmstat_pgpgin",
    "node_vmstat_pgpgout",
    "node_vmstat_pswpin",
    "node_vmstat_pswpout",
    "node_vmstat_oom_kill",
    "node_filesystem_size_bytes",
    "node_filesystem_avail_bytes",
    "node_filesystem_free_bytes",
    "node_filesystem_files",
    "node_filesystem_files_free",
    "node_filesystem_readonly",
    "node_filesystem_device_error",
    "node_disk_read_bytes_total",
    "node_disk_written_bytes_total",
    "node_disk_reads_completed_total",
    "node_disk_writes_completed_total",
    "node_disk_read_time_seconds_total",
    "node_disk_write_time_seconds_total",
    "node_disk_io_time_seconds_total",
    "node_disk_io_time_weighted_seconds_total",
    "node_disk_io_now",
    "node_network_receive_bytes_total",
    "node_network_receive_packets_total",
    "node_network_receive_errs_total",
    "node_network_receive_drop_total",
    "node_network_transmit_bytes_total",
    "node_network_transmit_packets_total",
    "node_network_transmit_errs_total",
    "node_network_transmit_drop_total",
    "node_network_up",
    "node_network_speed_bytes",
    "node_network_mtu_bytes",
    "node_network_carrier",
    "node_pressure_cpu_waiting_seconds_total",
    "node_pressure_io_waiting_seconds_total",
    "node_pressure_io_stalled_seconds_total",
    "node_pressure_memory_waiting_seconds_total",
    "node_pressure_memory_stalled_seconds_total",
    "node_pressure_irq_stalled_seconds_total",
    "node_filefd_allocated",
    "node_filefd_maximum",
    "node_nf_conntrack_entries",
    "node_nf_conntrack_entries_limit",
    "node_timex_offset_seconds",
    "node_timex_maxerror_seconds",
    "node_timex_sync_status",
    "node_context_switches_total",
    "node_intr_total",
    "node_forks_total",
    "node_procs_running",
    "node_procs_blocked",
    "node_uname_info",
    "node_os_info",
    "node_exporter_build_info",
    "node_scrape_collector_duration_seconds",
    "node_scrape_collector_success",
    "node_textfile_scrape_error",
)
"""What dashboards and rules made for node_exporter need; the families of WHOLE come on top."""
WHOLE = (
    "node_memory_",
    "node_arp_",
    "node_entropy_",
    "node_netstat_",
    "node_nf_conntrack_stat_",
    "node_sockstat_",
    "node_softnet_",
    "node_udp_queues",
)
"""What families begin with that are there as a whole, whatever lines this kernel has."""

BEYOND_TIER_1 = (
    "node_cpu_guest_seconds_total",
    "node_disk_reads_merged_total",
    "node_disk_discarded_sectors_total",
    "node_network_receive_multicast_total",
    "node_network_transmit_colls_total",
    "node_timex_tick_seconds",
    "node_timex_status",
    "node_os_version",
)
"""Families that come from the same lines and so must agree as well."""

EXCUSED = {
    "node_exporter_build_info": "its labels say what is running, and that is us",
    "node_scrape_collector_duration_seconds": "what it takes each of us; compared by collector instead",
    "node_scrape_collector_success": "node_exporter has collectors beyond tier 1; compared by collector instead",
}
FREE_GAUGES = {
    "node_procs_running": 64,
    "node_procs_blocked": 64,
    "node_filefd_allocated": 2000,
    "node_disk_io_now": 1000,
    "node_load1": 2,
    "node_nf_conntrack_entries": 1000,
    "node_timex_maxerror_seconds": 0.1,
    "node_netstat_Tcp_CurrEstab": 1000,
}
"""How far a gauge that moves within milliseconds may leave what was seen before and after, in its own unit."""
FREE_RATIO = {"node_memory_": 0.05, "node_filesystem_": 0.02}
SOCKETS_FREE = {"node_sockstat_": 5000, "node_udp_queues": 1_000_000}  # the rest of the test run opens and closes many
IDLE_SECONDS = 0.05  # the kernel lets idle and iowait slip back by some ticks, and each side holds them at its own time
PAGE_BYTES = 4096
BYTES_FREE = 512 * 1024 * 1024  # memory and disk space that the rest of the test run may take or give meanwhile

Series = tuple[str, tuple[tuple[str, str], ...]]


class Scrape(NamedTuple):
    """One answer of node_exporter."""

    values: dict[Series, float]

    def families(self) -> set[str]:
        return {name for name, _ in self.values}


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    binary = shutil.which(BINARY)
    if binary is None:
        pytest.skip(f"{BINARY} (Debian package of the same name) is not installed")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    command = [binary, f"--web.listen-address={address}"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + DEADLINE_SECONDS
        while True:
            try:
                scrape(address)
                break
            except OSError:
                assert process.poll() is None, f"{BINARY} ended at once"
                assert time.monotonic() < deadline, f"{BINARY} does not answer"
                time.sleep(0.05)
        yield address
        process.terminate()


def text_of(address: str) -> str:
    """What it exposes."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"http://{address}/metrics", timeout=DEADLINE_SECONDS) as answer:
        return str(answer.read().decode())


def scrape(address: str) -> Scrape:
    text = text_of(address)
    values: dict[Series, float] = {}
    for line in text.splitlines():
        match = LINE.fullmatch(line)
        if match and match[1].startswith("node_"):
            labels = tuple(sorted((label[1], label[2]) for label in LABEL.finditer(match[2] or "")))
            values[match[1], labels] = float(match[3])
    return Scrape(values)


class Sides(NamedTuple):
    """node_exporter before, ours, node_exporter after."""

    before: Scrape
    ours: dict[Series, float]
    kinds: dict[Series, Kind]
    after: Scrape

    def common(self, families: set[str]) -> list[Series]:
        """Series node_exporter had both times, so that a device that came or went meanwhile does not matter."""
        return [series for series in self.before.values if series in self.after.values and series[0] in families]


@pytest.fixture(scope="module")
def sides(address: str) -> Sides:
    scheduled = sampler.host(Host(version="1.0"))
    sampler.once(scheduled)  # opens files and learns series, as a running agent has
    before = scrape(address)
    samples = sampler.once(scheduled)
    after = scrape(address)
    ours = {(sample.series.name, sample.series.labels): sample.value for sample in samples}
    kinds = {(sample.series.name, sample.series.labels): sample.series.kind for sample in samples}
    return Sides(before, ours, kinds, after)


def compared(sides: Sides) -> set[str]:
    whole = {name for name in sides.before.families() if name.startswith(WHOLE)}
    return {*TIER_1, *BEYOND_TIER_1, *whole} - set(EXCUSED)


def test_every_tier_1_family_of_this_host_is_there_with_every_label_set(sides: Sides):
    missing = [series for series in sides.common(compared(sides)) if series not in sides.ours]
    assert missing == []


def test_excused_families_are_there_under_labels_of_their_own(sides: Sides):
    assert set(EXCUSED) <= {name for name, _ in sides.ours}


def test_nothing_is_measured_that_node_exporter_excludes(sides: Sides):
    theirs = {*sides.before.values, *sides.after.values}
    families = compared(sides) & sides.before.families()
    assert [series for series in sides.ours if series[0] in families and series not in theirs] == []


def test_collectors_of_the_same_name_succeed_alike(sides: Sides):
    name = "node_scrape_collector_success"
    alike = [series for series in sides.common({name}) if dict(series[1])["collector"] in HOST_PROBES]
    assert len(alike) >= 20
    assert {s: sides.ours[s] for s in alike} == {s: sides.before.values[s] for s in alike}


def test_counters_lie_between_the_two_scrapes(sides: Sides):
    outside = {}
    for series in sides.common(compared(sides)):
        if sides.kinds.get(series) is Kind.COUNTER:
            low, ours, high = sides.before.values[series], sides.ours[series], sides.after.values[series]
            slack = IDLE_SECONDS if series[0] == "node_cpu_seconds_total" else rounding(high)
            if not low - slack <= ours <= high + slack:
                outside[series] = (low, ours, high)
    assert outside == {}


def test_gauges_are_equal_or_as_close_as_they_move(sides: Sides):
    outside = {}
    for series in sides.common(compared(sides)):
        if sides.kinds.get(series) is Kind.GAUGE:
            low, high = sorted((sides.before.values[series], sides.after.values[series]))
            slack = tolerance(series[0], high)
            if not low - slack <= sides.ours[series] <= high + slack:
                outside[series] = (low, sides.ours[series], high)
    assert outside == {}


def test_tier_1_families_this_host_cannot_have_are_few_and_known(sides: Sides):
    absent = set(TIER_1) - sides.before.families()
    # irq pressure needs a later node_exporter; the rest depend on what the kernel was built with.
    assert {name for name in absent if not name.startswith(("node_pressure_", "node_nf_conntrack_"))} == set()


def rounding(value: float) -> float:
    """Both sides divide ticks, microseconds and milliseconds, and not in the same order."""
    return max(1e-9, abs(value) * 1e-12)


def tolerance(name: str, value: float) -> float:
    if name in FREE_GAUGES:
        return FREE_GAUGES[name]
    for prefix, free in SOCKETS_FREE.items():
        if name.startswith(prefix):
            return free * PAGE_BYTES if name.endswith("_bytes") else free
    for prefix, ratio in FREE_RATIO.items():
        if name.startswith(prefix) and name not in ("node_filesystem_readonly", "node_filesystem_device_error"):
            return max(value * ratio, BYTES_FREE if name.endswith("_bytes") else 1.0)
    return rounding(value)
