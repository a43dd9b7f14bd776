"""The series of a simulated machine, in the order in which `machine` computes them; node_exporter's names."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

from collector.domain.series import Column, Kind

BLOCK_BYTES = 4096
DEVICE, DISK = "eth0", "vda"
MODES = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
MEMORY = ("MemTotal", "MemFree", "MemAvailable", "Buffers", "Cached", "Dirty", "Slab", "SwapTotal", "SwapFree")
FILESYSTEM = ("size_bytes", "free_bytes", "avail_bytes", "files", "files_free", "readonly")
DISK_FIELDS = (
    *("reads_completed_total", "writes_completed_total", "read_bytes_total", "written_bytes_total"),
    *("read_time_seconds_total", "write_time_seconds_total", "io_time_seconds_total"),
)
NETWORK_FIELDS = (
    *("receive_bytes_total", "transmit_bytes_total", "receive_packets_total", "transmit_packets_total"),
    *("receive_errs_total", "transmit_errs_total"),
)
PRESSURE = ("cpu_waiting", "io_waiting", "io_stalled", "memory_waiting", "memory_stalled")
KERNEL_COUNTERS = ("context_switches", "intr", "forks")
GAUGES = (
    *("node_boot_time_seconds", "node_time_seconds", "node_procs_running", "node_procs_blocked"),
    *("node_filefd_allocated", "node_filefd_maximum", "node_timex_offset_seconds", "node_timex_sync_status"),
    "sigap_agent_clock_skew_seconds",
)


@cache
def _columns(cpus: int, disks: tuple[tuple[str, str], ...]) -> tuple[Column, ...]:
    found = [_counter("node_cpu_seconds_total", cpu=str(cpu), mode=mode) for cpu in range(cpus) for mode in MODES]
    found += [_gauge(f"node_load{minutes}") for minutes in (1, 5, 15)]
    found += [_gauge(f"node_memory_{name}_bytes") for name in MEMORY]
    for mountpoint, device in disks:
        labels = {"device": device, "fstype": "ext4", "mountpoint": mountpoint}
        found += [_gauge(f"node_filesystem_{name}", **labels) for name in FILESYSTEM]
    found += [_counter(f"node_disk_{name}", device=DISK) for name in DISK_FIELDS]
    found += [_counter(f"node_network_{name}", device=DEVICE) for name in NETWORK_FIELDS]
    found.append(_gauge("node_network_up", device=DEVICE))
    found += [_counter(f"node_pressure_{name}_seconds_total") for name in PRESSURE]
    found += [_counter(f"node_{name}_total") for name in KERNEL_COUNTERS]
    found += [_gauge(name) for name in GAUGES]
    found.append(_gauge("node_uname_info", machine="x86_64", release="6.1.0-18-amd64", sysname="Linux"))
    return tuple(found)


def columns_of(cpus: int, disks: Iterable[tuple[str, str]]) -> tuple[Column, ...]:
    """The columns of a machine with so many CPUs and these (mountpoint, device) filesystems."""
    return _columns(cpus, tuple(disks))


def _gauge(name: str, **labels: str) -> Column:
    return Column(name, tuple(sorted(labels.items())), Kind.GAUGE, _unit(name))


def _counter(name: str, **labels: str) -> Column:
    return Column(name, tuple(sorted(labels.items())), Kind.COUNTER, _unit(name))


def _unit(name: str) -> str:
    stem = name.removesuffix("_total")
    return next((unit for unit in ("bytes", "seconds") if stem.endswith(f"_{unit}")), "")
