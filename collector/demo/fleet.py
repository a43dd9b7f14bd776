"""The machines of the made-up organisation, and the checks that are in their agents' own files. Data only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from collector.demo.machine import Disk, Machine

SERVER = ("systemd", "sshd", "cron", "rsyslogd")


@dataclass(frozen=True, slots=True)
class LocalCheck:
    """A check in an agent's own file: of a kind that cannot be defined centrally."""

    host: str
    name: str
    kind: str
    options: Mapping[str, Any] = field(default_factory=dict)
    interval_seconds: float = 60.0
    timeout_seconds: float = 5.0

    @property
    def wire_id(self) -> str:
        """How its results name it."""
        return f"local:{self.name}"

    @property
    def key(self) -> str:
        """Its record's key."""
        return f"{self.host}.{self.name}"


def _large(used: float, daily: float, size_gib: float = 500.0) -> tuple[Disk, ...]:
    return (Disk("/", "/dev/vda1", 40.0, 0.41, 0.0006), Disk("/srv", "/dev/vdb1", size_gib, used, daily))


MACHINES: tuple[Machine, ...] = (
    Machine(name="lb-1", base=0.05, peak=0.22, network_mib=9.0, address="192.0.2.10", processes=(*SERVER, "haproxy")),
    Machine(name="web-1", peak=0.42, network_mib=4.0, address="192.0.2.11", processes=(*SERVER, "nginx", "php-fpm")),
    Machine(name="web-2", peak=0.39, network_mib=4.0, address="192.0.2.12", processes=(*SERVER, "nginx", "php-fpm")),
    Machine(
        name="app-1",
        cpus=4,
        memory_gib=16,
        disks=_large(0.35, 0.001),
        peak=0.48,
        network_mib=3.0,
        address="192.0.2.21",
        processes=(*SERVER, "java", "gunicorn"),
    ),
    Machine(
        name="app-2",
        cpus=4,
        memory_gib=16,
        disks=_large(0.33, 0.001),
        peak=0.44,
        leak_days=6.5,
        memory_used=0.4,
        network_mib=3.0,
        address="192.0.2.22",
        processes=(*SERVER, "java", "celery"),
    ),
    Machine(
        name="db-1",
        cpus=4,
        memory_gib=32,
        disks=_large(0.55, 0.004),
        peak=0.4,
        nightly=0.3,
        memory_used=0.62,
        network_mib=2.5,
        address="192.0.2.31",
        processes=(*SERVER, "postgres", "pgbouncer"),
    ),
    Machine(
        name="db-2",
        cpus=4,
        memory_gib=32,
        disks=_large(0.55, 0.004),
        peak=0.2,
        memory_used=0.6,
        network_mib=2.0,
        address="192.0.2.32",
        processes=(*SERVER, "postgres"),
    ),
    Machine(name="cache-1", memory_gib=8, memory_used=0.68, address="192.0.2.33", processes=(*SERVER, "redis-server")),
    Machine(
        name="file-1",
        cpus=4,
        memory_gib=8,
        disks=_large(0.64, 0.0098, 2000.0),
        peak=0.18,
        nightly=0.25,
        network_mib=3.0,
        address="192.0.2.41",
        processes=(*SERVER, "smbd", "nmbd"),
    ),
    Machine(name="mail-1", peak=0.2, memory_used=0.55, address="192.0.2.42", processes=(*SERVER, "master", "dovecot")),
    Machine(name="dns-1", base=0.02, peak=0.05, address="192.0.2.53", processes=(*SERVER, "unbound")),
    Machine(name="dns-2", base=0.02, peak=0.05, address="192.0.2.54", processes=(*SERVER, "unbound")),
    Machine(
        name="backup-1",
        cpus=4,
        memory_gib=8,
        disks=_large(0.7, 0.0012, 8000.0),
        base=0.02,
        peak=0.03,
        nightly=0.75,
        address="192.0.2.55",
        processes=(*SERVER, "borg"),
    ),
    Machine(
        name="intranet-1", peak=0.15, memory_used=0.7, address="192.0.2.43", system="Debian GNU/Linux 11 (bullseye)"
    ),
    Machine(name="staging-1", peak=0.1, address="192.0.2.90", processes=(*SERVER, "gunicorn")),
    Machine(name="jkt-pos-1", peak=0.2, address="192.0.2.61", processes=(*SERVER, "posd")),
    Machine(name="sby-pos-1", peak=0.2, address="192.0.2.62", processes=(*SERVER, "posd")),
    Machine(name="sby-gw-1", base=0.03, peak=0.1, skew_seconds=4.2, network_mib=2.0, address="192.0.2.64"),
    Machine(name="mks-pos-1", peak=0.2, address="192.0.2.63", processes=(*SERVER, "posd")),
    Machine(
        name="mks-wms-1",
        cpus=4,
        memory_gib=16,
        disks=_large(0.46, 0.003),
        peak=0.35,
        address="192.0.2.71",
        processes=(*SERVER, "java", "mysqld"),
    ),
)

LOCAL_CHECKS: tuple[LocalCheck, ...] = (
    LocalCheck(
        "backup-1",
        "nightly-database",
        "file",
        {"path": "/srv/backup/database/latest.dump", "maximum_age_seconds": 93_600},
    ),
    LocalCheck(
        "backup-1", "nightly-files", "file", {"path": "/srv/backup/files/latest.tar.zst", "maximum_age_seconds": 93_600}
    ),
    LocalCheck("db-1", "postgresql", "systemd", {"unit": "postgresql@15-main.service"}),
    LocalCheck("file-1", "smbd", "systemd", {"unit": "smbd.service"}),
    LocalCheck("mail-1", "postfix", "process", {"process": "master"}),
)
