"""Size, free space and state of each mounted filesystem.

Never asks a mount that has not answered yet: a dead NFS server costs one timeout, once.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from agent.probes.asking import Asker
from agent.probes.reading import KernelFile, gauge
from agent.sample import Moment, Observation, Sample, Series

# node_exporter's defaults, as Debian ships it.
EXCLUDED_MOUNT_POINTS = re.compile(
    r"^/(dev|proc|run|sys|mnt|media|var/lib/docker/.+|var/lib/containers/storage/.+)($|/)"
)
EXCLUDED_TYPES = re.compile(
    r"^(autofs|binfmt_misc|bpf|cgroup2?|configfs|debugfs|devpts|devtmpfs|fusectl|hugetlbfs|iso9660|mqueue|nsfs|overlay"
    r"|proc|procfs|pstore|rpc_pipefs|securityfs|selinuxfs|squashfs|sysfs|tracefs)$"
)
TIMEOUT_SECONDS = 1.0
ESCAPED = re.compile(r"\\([0-7]{3})")

ERROR = ("node_filesystem_device_error", "1 when the filesystem could not be asked, or has not answered yet.", "")
METRICS = (
    ("node_filesystem_size_bytes", "Size of the filesystem.", "bytes"),
    ("node_filesystem_free_bytes", "Bytes free, including those reserved for root.", "bytes"),
    ("node_filesystem_avail_bytes", "Bytes free for ordinary users.", "bytes"),
    ("node_filesystem_files", "Files (inodes) the filesystem can hold.", ""),
    ("node_filesystem_files_free", "Files (inodes) that can still be made.", ""),
    ("node_filesystem_readonly", "1 when the filesystem is mounted read-only.", ""),
)

Statfs = Callable[[str], os.statvfs_result]


class Mount(NamedTuple):
    """One mounted filesystem that counts, with its series."""

    path: str
    readonly: bool
    error: Series
    columns: tuple[Series, ...]


class Filesystem:
    """node_filesystem_*."""

    name = "filesystem"

    def __init__(
        self, root: Path = Path("/"), *, statfs: Statfs = os.statvfs, timeout_seconds: float = TIMEOUT_SECONDS
    ) -> None:
        # The mounts of process 1 are the host's even where this process has its own view; it may be hidden from us.
        self._tables = [KernelFile(root / "proc" / process / "mountinfo") for process in ("1", "self")]
        self._asker = Asker(statfs, timeout_seconds=timeout_seconds)
        self._seen = b""
        self._mounts: list[Mount] = []

    def observe(self, moment: Moment) -> Observation:
        table = self._read_table()
        if table != self._seen:
            self._mounts = mounts(table.decode(errors="replace"))
            self._seen = table
        answers = self._asker.answers([mount.path for mount in self._mounts])
        samples: list[Sample] = []
        for mount in self._mounts:
            samples.extend(_samples(mount, answers.get(mount.path)))
        return Observation(samples)

    def _read_table(self) -> bytes:
        first, second = self._tables
        try:
            return first.read()
        except OSError:
            return second.read()


def mounts(table: str) -> list[Mount]:
    """The filesystems of a mountinfo table that count, each device, type and mount point once.

    Source: proc_pid_mountinfo(5).
    """
    found: dict[tuple[str, str, str], Mount] = {}
    for line in table.splitlines():
        fields, _, rest = line.partition(" - ")
        path, options = fields.split(" ")[4:6]
        fstype, device, super_options = (*rest.split(" "), "", "")[:3]
        path = ESCAPED.sub(lambda match: chr(int(match[1], 8)), path)
        if EXCLUDED_MOUNT_POINTS.match(path) or EXCLUDED_TYPES.match(fstype):
            continue
        readonly = "ro" in options.split(",") or "ro" in super_options.split(",")
        labels = {"device": device, "fstype": fstype, "mountpoint": path}
        columns = tuple(gauge(name, text, unit=unit, **labels) for name, text, unit in METRICS)
        found.setdefault((device, fstype, path), Mount(path, readonly, gauge(ERROR[0], ERROR[1], **labels), columns))
    return list(found.values())


def _samples(mount: Mount, answer: os.statvfs_result | OSError | None) -> list[Sample]:
    if answer is None or isinstance(answer, OSError):
        return [Sample(mount.error, 1.0)]
    unit = answer.f_frsize
    values = (
        answer.f_blocks * unit,
        answer.f_bfree * unit,
        answer.f_bavail * unit,
        answer.f_files,
        answer.f_ffree,
        mount.readonly,
    )
    return [Sample(mount.error, 0.0), *map(Sample, mount.columns, map(float, values))]
