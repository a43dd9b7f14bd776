"""What simulated hosts say of their processes fits what they say of themselves."""

from __future__ import annotations

import json

import numpy as np
import pytest

from collector.demo.documents import processes_of
from collector.demo.fleet import MACHINES
from collector.demo.machine import GIB, MIB, Machine, Simulation

WORKDAY_MS = 1_795_564_800_000


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.name)
def test_processes_use_no_more_than_their_machine(machine: Machine) -> None:
    simulation = Simulation(machine, WORKDAY_MS)
    for hour in range(24):
        at = WORKDAY_MS + hour * 3_600_000
        simulation.rows(np.array([at], dtype=np.int64))
        told = json.loads(processes_of(machine, simulation.load, at).body)
        assert sum(one["cpu_ratio"] for one in told["by_cpu"]) <= simulation.load.busy * machine.cpus
        assert (
            sum(one["resident_bytes"] for one in told["by_memory"]) <= simulation.load.memory * machine.memory_gib * GIB
        )
        assert min(one["resident_bytes"] for one in told["by_memory"]) >= 8 * MIB
        assert len(told["by_cpu"]) == len(machine.processes)
