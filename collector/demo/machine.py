"""A simulated machine: what it is, and the rows that it would have measured.

Rows are computed for many times at once; counters go on where the call before ended, so that a month of history and the
beats after it are one story. Equal machines and times give equal rows. Sends nothing and reads no clock.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from collector.demo.columns import BLOCK_BYTES, MODES, columns_of
from collector.domain.interval import Span
from collector.domain.series import Layout

Numbers = NDArray[np.float64]
Count = Callable[[Numbers], Numbers]
"""Growth per second of the next counter → the counter."""

HOUR_SECONDS, DAY_SECONDS = 3600.0, 86_400.0
WESTERN_TIME_SECONDS = 7 * HOUR_SECONDS
"""Offices open by Jakarta's clock; the rhythm of the whole organisation follows it."""
GIB = 1024.0**3
MIB = 1024.0**2
WEEKEND = 0.45
LOAD_MINUTES = (1, 5, 15)
LEAKED = 0.42
"""Share of the memory that is lost by the time a leaking program is restarted."""
CPU_SHARES = {"user": 0.66, "nice": 0.01, "system": 0.2, "irq": 0.0, "softirq": 0.03, "steal": 0.02}
"""How the busy part of a CPU divides; the rest of it is waiting for disks."""


class Disk(NamedTuple):
    """A filesystem: how full it was at the start, and what it gains a day, as shares of its size."""

    mountpoint: str
    device: str
    size_gib: float
    used: float
    daily: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """One host as it is made up."""

    name: str
    cpus: int = 2
    memory_gib: float = 4.0
    disks: tuple[Disk, ...] = (Disk("/", "/dev/vda1", 40.0, 0.38, 0.0008),)
    base: float = 0.04  # share of the CPUs in use at night
    peak: float = 0.3  # share added at the busiest hour
    nightly: float = 0.0  # share added by the jobs between one and half past two
    memory_used: float = 0.45
    leak_days: float = 0.0  # memory fills up over this time until the program is restarted
    network_mib: float = 0.4  # per second at the busiest hour
    skew_seconds: float = 0.0  # its clock is wrong by this much
    address: str = "192.0.2.1"
    system: str = "Debian GNU/Linux 12 (bookworm)"
    processes: tuple[str, ...] = ("systemd", "sshd", "cron")


class Stress(NamedTuple):
    """A time in which a machine worked much harder than usual."""

    span: Span
    busy: float


class Load(NamedTuple):
    """How much of a machine was in use in its newest row, 0 … 1."""

    busy: float  # of all CPUs together
    memory: float


IDLE = Load(0.0, 0.0)


@dataclass(slots=True)
class _Moment:
    """Everything that the columns of one call have in common."""

    seconds: Numbers  # Unix time of each row
    elapsed: Numbers  # since the row before
    busy: Numbers  # share of the CPUs in use
    disk: Numbers  # share of the disk's time in use
    memory: Numbers  # share of the memory in use
    demand: Numbers  # 0 … 1: how much people want just now


@dataclass(slots=True)
class Simulation:
    """The rows of one machine, in order of time."""

    machine: Machine
    start_ms: int
    stress: Sequence[Stress] = ()
    boots_ms: Sequence[int] = ()  # restarts, in order; counters begin anew
    load: Load = IDLE
    _counts: list[float] = field(default_factory=list)
    _loads: dict[int, float] = field(default_factory=dict)
    _last_ms: int = 0
    _rng: np.random.Generator = field(init=False)
    _boot_ms: int = field(init=False)

    def __post_init__(self) -> None:
        seed = zlib.crc32(self.machine.name.encode())
        self._rng = np.random.default_rng(seed)
        self._boot_ms = self.start_ms - int((20 + seed % 90) * DAY_SECONDS * 1000)
        self._last_ms = self._boot_ms

    def layout(self, interval_ms: int) -> Layout:
        """What the columns of `rows` are, for rows that are this far apart."""
        disks = [(disk.mountpoint, disk.device) for disk in self.machine.disks]
        return Layout(columns_of(self.machine.cpus, disks), interval_ms)

    def rows(self, times_ms: NDArray[np.int64]) -> Numbers:
        """What the machine measured: times by columns.

        Args:
            times_ms: Unix milliseconds, ascending, after those of the call before.
        """
        moment = self._moment(times_ms)
        counters = iter(range(1 << 20))

        def count(rate: Numbers) -> Numbers:
            return self._count(next(counters), rate, times_ms, moment)

        parts = [
            *self._cpu(moment, count),
            *self._memory(moment),
            *self._filesystems(moment),
            *self._disk_and_network(moment, count),
            *self._kernel(moment, times_ms, count),
        ]
        self._last_ms = int(times_ms[-1])
        self.load = Load(float(moment.busy[-1]), float(moment.memory[-1]))
        return np.column_stack(parts)

    def _moment(self, times_ms: NDArray[np.int64]) -> _Moment:
        machine, seconds = self.machine, times_ms / 1000.0
        local = seconds + WESTERN_TIME_SECONDS
        hour, weekday = local % DAY_SECONDS / HOUR_SECONDS, (local // DAY_SECONDS + 3) % 7
        office = np.exp(-(((hour - 10.5) / 2.6) ** 2)) + 0.85 * np.exp(-(((hour - 15.5) / 3.2) ** 2))
        demand = np.clip(office, 0, 1) * np.where(weekday >= 5, WEEKEND, 1.0)
        night = ((hour >= 1) & (hour < 2.5)).astype(float)
        noise = self._rng.gamma(4.0, 0.25, seconds.size)
        busy = machine.base + machine.peak * demand * noise + machine.nightly * night
        for one in self.stress:
            # A row is about the time before it.
            inside = (times_ms > one.span.since_ms) & (times_ms <= one.span.until_ms)
            busy = np.where(inside, one.busy + 0.03 * (noise - 1), busy)
        busy = np.clip(busy, 0.004, 0.985)
        disk = np.clip(0.3 * busy + 0.5 * night * machine.nightly, 0.002, 0.95)
        memory = machine.memory_used + 0.06 * demand + 0.004 * noise
        if machine.leak_days:
            period = machine.leak_days * DAY_SECONDS
            memory = memory + LEAKED * ((seconds - self.start_ms / 1000.0) % period) / period
        elapsed = np.diff(times_ms, prepend=self._last_ms) / 1000.0
        return _Moment(seconds, elapsed, busy, disk, np.clip(memory, 0.05, 0.97), demand)

    def _count(self, position: int, rate: Numbers, times_ms: NDArray[np.int64], moment: _Moment) -> Numbers:
        if position == len(self._counts):
            self._counts.append(0.0)
        grown = self._counts[position] + np.cumsum(rate * moment.elapsed)
        for boot_ms in self.boots_ms:
            if self._last_ms < boot_ms <= times_ms[-1]:
                at = int(np.searchsorted(times_ms, boot_ms))
                spent = rate[at] * (times_ms[at] - boot_ms) / 1000.0
                grown[at:] = grown[at:] - grown[at] + spent
        self._counts[position] = float(grown[-1])
        return grown

    def _cpu(self, moment: _Moment, count: Count) -> list[Numbers]:
        parts = []
        for cpu in range(self.machine.cpus):
            busy = np.clip(moment.busy * (1.06 - 0.12 * cpu / self.machine.cpus), 0, 0.99)
            waiting = 0.06 * moment.disk
            rates = {mode: share * busy for mode, share in CPU_SHARES.items()}
            rates["iowait"] = waiting
            rates["idle"] = 1.0 - waiting - sum(rates[mode] for mode in CPU_SHARES)
            parts += [np.round(count(rates[mode]), 2) for mode in MODES]
        load = moment.busy * self.machine.cpus * 1.1
        return [*parts, *(np.round(self._averaged(load, moment, minutes), 2) for minutes in LOAD_MINUTES)]

    def _averaged(self, target: Numbers, moment: _Moment, minutes: int) -> Numbers:
        """As the kernel does it: each value decays towards the next."""
        value, found = self._loads.get(minutes, float(target[0])), []
        for now, kept in zip(target.tolist(), np.exp(-moment.elapsed / (60.0 * minutes)).tolist(), strict=True):
            value = kept * value + (1 - kept) * now
            found.append(value)
        self._loads[minutes] = value
        return np.array(found)

    def _memory(self, moment: _Moment) -> list[Numbers]:
        total = np.full(moment.seconds.size, self.machine.memory_gib * GIB)
        available = total * (1 - moment.memory)
        cached, swap = 0.7 * available, np.full(moment.seconds.size, 2 * GIB)
        swap_free = swap * (1 - np.clip(moment.memory - 0.8, 0, 1) * 2)
        dirty = (2 + 40 * moment.disk) * MIB
        free = available - 0.95 * cached
        found = (total, free, available, 0.03 * total, cached, dirty, 0.05 * total, swap, swap_free)
        return [_blocks(one) for one in found]

    def _filesystems(self, moment: _Moment) -> list[Numbers]:
        parts: list[Numbers] = []
        days = (moment.seconds - self.start_ms / 1000.0) / DAY_SECONDS
        for disk in self.machine.disks:
            size = np.full(moment.seconds.size, disk.size_gib * GIB)
            used = np.clip(disk.used + disk.daily * days + 0.002 * moment.demand, 0, 0.995)
            files = np.full(moment.seconds.size, float(int(disk.size_gib) * 65_536))
            free = _blocks(size * (1 - used))
            parts += [size, free, free, files, np.floor(files * (1 - 0.3 * used)), np.zeros_like(size)]
        return parts

    def _disk_and_network(self, moment: _Moment, count: Count) -> list[Numbers]:
        counted: list[Numbers] = []
        for scale in (60.0, 140.0, 60 * 16_384.0, 140 * 9_216.0):
            counted.append(np.floor(count(scale * moment.disk)))
        for scale in (0.35, 0.5, 0.8):
            counted.append(np.round(count(scale * moment.disk), 3))
        noise = self._rng.gamma(8.0, 1 / 8, moment.seconds.size)
        bytes_rate = self.machine.network_mib * MIB * (0.04 + moment.demand) * noise
        for scale in (1.0, 2.3, 1 / 900, 1 / 600):
            counted.append(np.floor(count(scale * bytes_rate)))
        nothing = np.zeros(moment.seconds.size)
        return [*counted, nothing, nothing, np.ones(moment.seconds.size)]

    def _kernel(self, moment: _Moment, times_ms: NDArray[np.int64], count: Count) -> list[Numbers]:
        full, size = np.clip(moment.memory - 0.85, 0, 1), moment.seconds.size
        pressure = [0.25 * moment.busy**2, 0.2 * moment.disk, 0.1 * moment.disk, full, 0.5 * full]
        counted = [np.round(count(rate), 6) for rate in pressure]
        for scale in (9000.0, 5200.0, 3.5):
            counted.append(np.floor(count(scale * (0.1 + moment.busy))))
        boot = np.full(size, self._boot_ms // 1000, dtype=np.float64)
        for boot_ms in self.boots_ms:
            boot[times_ms >= boot_ms] = boot_ms // 1000
        running = np.floor(1 + moment.busy * self.machine.cpus * 2)
        skew = np.full(size, self.machine.skew_seconds) + self._rng.normal(0, 0.002, size)
        return [
            *counted,
            boot,
            np.round(moment.seconds + skew, 3),
            running,
            np.floor(6 * moment.disk),
            np.floor(900 + 2500 * moment.busy),
            np.full(size, 9.2e18),
            np.round(self._rng.normal(0, 0.0004, size), 6),
            np.full(size, float(not self.machine.skew_seconds)),
            np.round(skew, 4),
            np.ones(size),
        ]


def _blocks(values: Numbers) -> Numbers:
    return np.floor(values / BLOCK_BYTES) * BLOCK_BYTES
