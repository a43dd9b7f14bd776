"""How much randomness the kernel has at hand."""

from __future__ import annotations

from pathlib import Path

from agent.probes.reading import KernelFile, gauge
from agent.sample import Moment, Observation, Sample

AVAILABLE = gauge("node_entropy_available_bits", "Bits of entropy at hand.")
POOL = gauge("node_entropy_pool_size_bits", "Bits the pool of entropy can hold.")


class Entropy:
    """node_entropy_available_bits and the size of its pool, from /proc/sys/kernel/random."""

    name = "entropy"

    def __init__(self, root: Path = Path("/")) -> None:
        folder = root / "proc/sys/kernel/random"
        self._available, self._pool = KernelFile(folder / "entropy_avail"), KernelFile(folder / "poolsize")

    def observe(self, moment: Moment) -> Observation:
        return Observation((Sample(AVAILABLE, int(self._available.read())), Sample(POOL, int(self._pool.read()))))
