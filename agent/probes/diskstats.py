"""What each disk read, wrote and waited for, from /proc/diskstats."""

from __future__ import annotations

import re
from pathlib import Path

from agent.probes.reading import KernelFile, counter, gauge
from agent.sample import Moment, Observation, Sample, Series

EXCLUDED = re.compile(r"^(ram|loop|fd|(h|s|v|xv)d[a-z]|nvme\d+n\d+p)\d+$")  # node_exporter's default: no partitions
SECTOR_BYTES = 512  # in diskstats always, whatever the disk's own sector size
MILLISECONDS = 1000.0
NAME = 2
FIRST = 3

# Name after node_disk_, unit, factor, help; in the order of the fields. Kernels before 5.5 have fewer of them.
FIELDS: tuple[tuple[str, str, float, str], ...] = (
    ("reads_completed_total", "", 1, "Reads finished."),
    ("reads_merged_total", "", 1, "Reads joined with a neighbour before they reached the disk."),
    ("read_bytes_total", "bytes", SECTOR_BYTES, "Bytes read."),
    ("read_time_seconds_total", "seconds", 1 / MILLISECONDS, "Seconds all reads took together."),
    ("writes_completed_total", "", 1, "Writes finished."),
    ("writes_merged_total", "", 1, "Writes joined with a neighbour before they reached the disk."),
    ("written_bytes_total", "bytes", SECTOR_BYTES, "Bytes written."),
    ("write_time_seconds_total", "seconds", 1 / MILLISECONDS, "Seconds all writes took together."),
    ("io_now", "", 1, "Operations under way."),
    ("io_time_seconds_total", "seconds", 1 / MILLISECONDS, "Seconds in which the disk had anything to do."),
    ("io_time_weighted_seconds_total", "seconds", 1 / MILLISECONDS, "Seconds times operations under way."),
    ("discards_completed_total", "", 1, "Discards finished."),
    ("discards_merged_total", "", 1, "Discards joined with a neighbour before they reached the disk."),
    ("discarded_sectors_total", "", 1, "Sectors discarded, of 512 bytes."),
    ("discard_time_seconds_total", "seconds", 1 / MILLISECONDS, "Seconds all discards took together."),
    ("flush_requests_total", "", 1, "Flushes finished."),
    ("flush_requests_time_seconds_total", "seconds", 1 / MILLISECONDS, "Seconds all flushes took together."),
)
SCALES = tuple(scale for _, _, scale, _ in FIELDS)


class DiskStats:
    """node_disk_*, one of each for every whole disk."""

    name = "diskstats"

    def __init__(self, root: Path = Path("/")) -> None:
        self._file = KernelFile(root / "proc/diskstats")
        self._series: dict[bytes, tuple[Series, ...]] = {}

    def observe(self, moment: Moment) -> Observation:
        samples: list[Sample] = []
        for line in self._file.read().split(b"\n"):
            fields = line.split()
            if len(fields) <= FIRST:
                continue
            columns = self._series.get(fields[NAME])
            if columns is None:
                columns = self._columns(fields[NAME])
            for series, scale, value in zip(columns, SCALES, fields[FIRST:], strict=False):
                samples.append(Sample(series, int(value) * scale))
        return Observation(samples)

    def _columns(self, name: bytes) -> tuple[Series, ...]:
        device = name.decode()
        columns: tuple[Series, ...] = ()
        if not EXCLUDED.match(device):
            columns = tuple(
                (counter if field.endswith("_total") else gauge)(f"node_disk_{field}", text, unit=unit, device=device)
                for field, unit, _, text in FIELDS
            )
        self._series[name] = columns
        return columns
