"""What a simulated agent tells about its host beside numbers: facts, its own checks, what could be checked, processes.

The bodies are those of `agent.probes.discovery` and `agent.probes.processes`.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from collector.demo.fleet import LocalCheck
from collector.demo.identity import VERSION
from collector.demo.machine import GIB, MIB, Load, Machine
from protos.telemetry.v1 import telemetry_pb2 as pb

RETRY_PAUSE_SECONDS = 1.0
FIRST_PID = 300
OF_PROCESSES = 0.85
"""Which part of what a machine uses these few account for; the others and the kernel have the rest."""
LEAST_BYTES = 9 * MIB
"""What an idle daemon has in memory."""
BOOTED_MS = 30 * 86_400_000


def documents_of(machine: Machine, checks: Sequence[LocalCheck], now_ms: int) -> list[pb.Document]:
    """The documents that an agent sends when it starts."""
    bodies = {"host": _facts(machine, now_ms), "checks": {"checks": [_declared(one) for one in checks]}}
    bodies["proposals"] = {"proposals": [], "failed_units": [], "units_visible": True}
    return [_document(kind, body, now_ms) for kind, body in bodies.items()]


def processes_of(machine: Machine, load: Load, now_ms: int) -> pb.Document:
    """The processes that use most; together no more than the machine says of itself at the same time."""
    rng = np.random.default_rng([zlib.crc32(machine.name.encode()), now_ms // 1000])
    weights = np.linspace(0.01, 1.0, len(machine.processes)) ** 3
    uneven = weights * rng.gamma(4.0, 0.25, weights.size)
    cpu = load.busy * machine.cpus * OF_PROCESSES * uneven / uneven.sum()
    used = max(0.0, load.memory * machine.memory_gib * GIB * OF_PROCESSES - LEAST_BYTES * weights.size)
    resident = LEAST_BYTES + used * weights / weights.sum()
    found = [
        {
            "pid": FIRST_PID + 37 * at,
            "name": name,
            "user": "root" if at < len(machine.processes) // 2 else name,
            "state": "S",
            "threads": 1 + 4 * at,
            "cpu_ratio": round(float(cpu[at]), 4),
            "resident_bytes": int(resident[at]),
            "started_ms": now_ms - BOOTED_MS,
        }
        for at, name in enumerate(machine.processes)
    ]
    body = {
        "count": 90 + 11 * machine.cpus,
        "threads": 210 + 40 * machine.cpus,
        "by_cpu": sorted(found, key=lambda one: -float(str(one["cpu_ratio"]))),
        "by_memory": sorted(found, key=lambda one: -int(str(one["resident_bytes"]))),
    }
    return _document("processes", body, now_ms)


def _facts(machine: Machine, now_ms: int) -> dict[str, Any]:
    return {
        "name": machine.name,
        "agent_version": VERSION,
        "labels": {},
        "accepts_checks": True,
        "os": machine.system,
        "kernel": "6.1.0-18-amd64",
        "architecture": "x86_64",
        "cpu_count": machine.cpus,
        "memory_bytes": int(machine.memory_gib * GIB),
        "boot_time_ms": now_ms - BOOTED_MS,
        "addresses": [machine.address],
        "virtualization": "kvm",
    }


def _declared(check: LocalCheck) -> dict[str, Any]:
    return {
        "id": check.wire_id,
        "name": check.name,
        "kind": check.kind,
        "interval_seconds": check.interval_seconds,
        "timeout_seconds": check.timeout_seconds,
        "retries": 0,
        "retry_interval_seconds": RETRY_PAUSE_SECONDS,
        "degraded_seconds": None,
        "options": dict(check.options),
    }


def _document(kind: str, body: Any, now_ms: int) -> pb.Document:
    return pb.Document(kind=kind, wall_ms=now_ms, body=json.dumps(body, separators=(",", ":")).encode())
