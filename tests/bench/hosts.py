"""Numbers as hosts give them: 150 series in node_exporter's names, moving as they do on a busy server."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from collector.domain.series import Column, Kind, Layout
from collector.store.series import layouts

BEAT_MS = 10_000
JITTER_MS = 30
MODES = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
MEMORY = (
    *("MemTotal", "MemFree", "MemAvailable", "Buffers", "Cached", "SwapCached", "Active", "Inactive", "SwapTotal"),
    *("SwapFree", "Dirty", "Writeback", "AnonPages", "Mapped", "Shmem", "KReclaimable", "Slab", "SReclaimable"),
    *("SUnreclaim", "KernelStack", "PageTables", "CommitLimit", "Committed_AS", "VmallocUsed"),
)
DISK = (
    *("read_bytes", "written_bytes", "reads_completed", "writes_completed"),
    *("read_time_seconds", "write_time_seconds", "io_time_seconds"),
)
NETWORK = (*("receive_bytes", "transmit_bytes", "receive_packets", "transmit_packets", "receive_errs", "receive_drop"),)


def layout() -> Layout:
    """150 columns."""
    columns = [
        Column("node_cpu_seconds_total", (("cpu", str(cpu)), ("mode", mode)), Kind.COUNTER)
        for cpu in range(8)
        for mode in MODES
    ]
    columns += [Column(f"node_memory_{key}_bytes") for key in MEMORY]
    columns += [Column(f"node_load{minutes}") for minutes in (1, 5, 15)]
    columns += [
        Column(f"node_filesystem_{what}", (("device", f"/dev/sda{n}"), ("fstype", "ext4"), ("mountpoint", f"/m{n}")))
        for n in range(4)
        for what in ("size_bytes", "avail_bytes", "free_bytes", "files_free")
    ]
    columns += [
        Column(f"node_disk_{what}_total", (("device", name),), Kind.COUNTER) for name in ("sda", "sdb") for what in DISK
    ]
    columns += [
        Column(f"node_network_{what}_total", (("device", name),), Kind.COUNTER)
        for name in ("eth0", "eth1", "lo")
        for what in NETWORK
    ]
    columns += [Column(f"node_netstat_{n}", (), Kind.COUNTER) for n in range(150 - len(columns))]
    return Layout(tuple(columns), BEAT_MS)


LAYOUT = layout()
BODY = layouts.encode(LAYOUT)
LAYOUT_ID = layouts.identify(BODY)


def history(beats: int, *, seed: int) -> NDArray[np.float64]:
    """(beats × 150): one host's rows."""
    rng = np.random.default_rng(seed)
    return np.column_stack([_column(rng, column, beats) for column in LAYOUT.columns])


def _column(rng: np.random.Generator, column: Column, beats: int) -> NDArray[np.float64]:
    name = column.name
    if name == "node_cpu_seconds_total":
        share = {"idle": 0.8, "user": 0.12, "system": 0.05, "iowait": 0.02, "softirq": 0.01}.get(column.labels[1][1], 0)
        return np.round(1e5 + np.cumsum(rng.gamma(4, share * BEAT_MS / 4000, beats) if share else np.zeros(beats)), 2)
    if name.startswith("node_load"):
        return np.round(np.abs(1 + np.cumsum(rng.normal(0, 0.03, beats))), 2)
    if name.startswith("node_memory"):
        still = "Total" in name or rng.random() < 0.2
        return 4096.0 * np.round(1e6 + (0 if still else np.cumsum(rng.normal(0, 200, beats)))) + np.zeros(beats)
    if "size_bytes" in name:
        return np.full(beats, 2.0**38)
    if name.startswith("node_filesystem"):
        return 4096.0 * np.round(3e7 - np.cumsum(rng.poisson(0.3, beats) * 16.0))
    if name.endswith(("errs_total", "drop_total")) or rng.random() < 0.15:
        return np.full(beats, 3.0)
    if "seconds" in name:
        return np.round(1e4 + np.cumsum(rng.gamma(2, 0.05, beats)), 3)
    return np.floor(1e9 + np.cumsum(rng.gamma(1.5, 40_000 if "bytes" in name else 50, beats)))


@dataclass(slots=True)
class Fleet:
    """Some hosts, beat by beat; each host starts at a place of its own in one of a few histories."""

    hosts: int
    beats: int
    start_ms: int
    seed: int = 1

    def rows(self) -> Iterator[list[tuple[int, int, bytes]]]:
        """Per beat: host id, time and packed values of every host."""
        rng = np.random.default_rng(self.seed)
        histories = [history(self.beats, seed=self.seed + n).astype("<f8") for n in range(min(self.hosts, 8))]
        for beat in range(self.beats):
            jitter = rng.integers(-JITTER_MS, JITTER_MS, self.hosts)
            yield [
                (
                    host,
                    self.start_ms + beat * BEAT_MS + int(jitter[host]),
                    histories[host % len(histories)][beat].tobytes(),
                )
                for host in range(self.hosts)
            ]
