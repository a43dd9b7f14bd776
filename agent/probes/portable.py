"""CPU, memory, load, filesystems, disks and network where there is no /proc, by psutil.

On Linux the other probes read /proc themselves, exactly and cheaply, and this one says nothing. Elsewhere they have
nothing to read, and the names here are node_exporter's for Linux, so that rules and charts work the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

from agent.probes.reading import counter, gauge
from agent.sample import Moment, Observation, Sample, Series

MILLISECONDS = 1_000.0


class Portable:
    """What psutil knows of the host. It is imported at the first look that needs it: it costs some megabytes."""

    name = "portable"

    def __init__(self, root: Path = Path("/")) -> None:
        self._proc = root / "proc" / "stat"
        self._known: dict[tuple[str, ...], Series] = {}

    def observe(self, moment: Moment) -> Observation:
        if self._proc.exists():
            return Observation()
        import psutil

        readers = (self._cpu, self._memory, self._load, self._filesystems, self._disks, self._network)
        return Observation([sample for reader in readers for sample in reader(psutil)])

    def _sample(self, make: Callable[..., Series], name: str, text: str, value: float, **labels: str) -> Sample:
        key = (name, *labels.values())
        series = self._known.get(key)
        if series is None:
            series = self._known[key] = make(name, text, **labels)
        return Sample(series, float(value))

    def _cpu(self, psutil: ModuleType) -> Iterator[Sample]:
        for number, times in enumerate(psutil.cpu_times(percpu=True)):
            for mode in ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal"):
                if hasattr(times, mode):
                    text = "Time each CPU spent in each mode."
                    yield self._sample(
                        counter, "node_cpu_seconds_total", text, getattr(times, mode), cpu=str(number), mode=mode
                    )
        yield self._sample(gauge, "node_boot_time_seconds", "When the host started.", psutil.boot_time())

    def _memory(self, psutil: ModuleType) -> Iterator[Sample]:
        memory, swap = psutil.virtual_memory(), psutil.swap_memory()
        for name, text, value in (
            ("MemTotal", "Memory of the host.", memory.total),
            ("MemAvailable", "Memory that programs could get without swapping.", memory.available),
            ("MemFree", "Memory that nothing uses.", memory.free),
            ("SwapTotal", "Swap space.", swap.total),
            ("SwapFree", "Swap space that is not used.", swap.free),
        ):
            yield self._sample(gauge, f"node_memory_{name}_bytes", text, value)

    def _load(self, psutil: ModuleType) -> Iterator[Sample]:
        for minutes, value in zip((1, 5, 15), psutil.getloadavg(), strict=True):
            yield self._sample(gauge, f"node_load{minutes}", f"Load averaged over {minutes} min.", value)

    def _filesystems(self, psutil: ModuleType) -> Iterator[Sample]:
        for mount in psutil.disk_partitions(all=False):
            try:
                usage = psutil.disk_usage(mount.mountpoint)
            except OSError:
                # A drive without a medium, or a mount that this account may not see: not a filesystem to measure.
                continue
            labels = {"device": mount.device, "fstype": mount.fstype, "mountpoint": mount.mountpoint}
            for name, text, value in (
                ("size", "Size.", usage.total),
                ("avail", "Space that is left for ordinary users.", usage.free),
                ("free", "Space that is left.", usage.total - usage.used),
            ):
                yield self._sample(gauge, f"node_filesystem_{name}_bytes", text, value, **labels)
            is_readonly = "ro" in mount.opts.split(",")
            yield self._sample(
                gauge, "node_filesystem_readonly", "Whether it is mounted read-only.", is_readonly, **labels
            )

    def _disks(self, psutil: ModuleType) -> Iterator[Sample]:
        for device, count in (psutil.disk_io_counters(perdisk=True) or {}).items():
            for name, text, value in (
                ("read_bytes_total", "Bytes read.", count.read_bytes),
                ("written_bytes_total", "Bytes written.", count.write_bytes),
                ("reads_completed_total", "Reads completed.", count.read_count),
                ("writes_completed_total", "Writes completed.", count.write_count),
                ("read_time_seconds_total", "Time spent reading.", getattr(count, "read_time", 0) / MILLISECONDS),
                ("write_time_seconds_total", "Time spent writing.", getattr(count, "write_time", 0) / MILLISECONDS),
            ):
                yield self._sample(counter, f"node_disk_{name}", text, value, device=device.rpartition("/")[2])

    def _network(self, psutil: ModuleType) -> Iterator[Sample]:
        for device, count in psutil.net_io_counters(pernic=True).items():
            for name, text, value in (
                ("receive_bytes_total", "Bytes received.", count.bytes_recv),
                ("transmit_bytes_total", "Bytes sent.", count.bytes_sent),
                ("receive_packets_total", "Packets received.", count.packets_recv),
                ("transmit_packets_total", "Packets sent.", count.packets_sent),
                ("receive_errs_total", "Packets received with errors.", count.errin),
                ("transmit_errs_total", "Packets sent with errors.", count.errout),
                ("receive_drop_total", "Packets dropped when received.", count.dropin),
                ("transmit_drop_total", "Packets dropped when sent.", count.dropout),
            ):
                yield self._sample(counter, f"node_network_{name}", text, value, device=device)
