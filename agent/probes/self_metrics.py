"""What the agent costs and how it fares.

Asks its sources (sampler, spool, uplink) for their numbers; knows none of them.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Sequence

from agent.probes.reading import KernelFile, counter, gauge
from agent.sample import Moment, Observation, Sample

Source = Callable[[], Iterable[Sample]]

CPU = counter("sigap_agent_cpu_seconds_total", "CPU time the agent itself has used.", unit="seconds")
MEMORY = gauge("sigap_agent_resident_bytes", "Memory the agent itself holds.", unit="bytes")
THREADS = gauge("sigap_agent_threads", "Threads of the agent; each probe that hangs holds one.")
DESCRIPTORS = gauge("sigap_agent_open_descriptors", "Files and sockets the agent holds open.")
RESIDENT_FIELD = 1
THREADS_FIELD = 17  # counted after the name, as in processes
BUILD_HELP = "The program that measures this host; always 1."


class SelfMetrics:
    """sigap_agent_*, and node_exporter_build_info with what truly runs here."""

    name = "self"

    def __init__(self, sources: Sequence[Source] = (), *, version: str = "") -> None:
        # Kept, not copied: whoever starts later adds itself to the list.
        self._sources = sources
        self._memory = KernelFile("/proc/self/statm")
        self._stat = KernelFile("/proc/self/stat")
        self._page_bytes = os.sysconf("SC_PAGE_SIZE")
        labels = {"version": version, "implementation": "sigap", "pythonversion": sys.version.split()[0]}
        self._build = Sample(gauge("node_exporter_build_info", BUILD_HELP, **labels), 1.0)

    def observe(self, moment: Moment) -> Observation:
        times = os.times()
        with os.scandir("/proc/self/fd") as entries:
            descriptors = sum(1 for _ in entries) - 1  # the listing itself holds one
        samples = [
            self._build,
            Sample(CPU, times.user + times.system),
            Sample(MEMORY, int(self._memory.read().split()[RESIDENT_FIELD]) * self._page_bytes),
            Sample(THREADS, int(self._stat.read().rpartition(b") ")[2].split()[THREADS_FIELD])),
            Sample(DESCRIPTORS, descriptors),
        ]
        for source in self._sources:
            samples.extend(source())
        return Observation(samples)
