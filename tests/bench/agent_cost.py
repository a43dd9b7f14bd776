"""What watching one host costs, beside node_exporter on the same host, at the same beat, at the same time.

Ours is the whole agent as a monitored host has it, `pip install sigap` without extras: every host probe, spool with its
syncs, mutual TLS to a collector, no checks. Of node_exporter only the exporter is counted, not whoever scrapes it. Both
beat every ten seconds as in life, because short beats would flatter both: caches stay warm.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
import venv
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from packaging.requirements import Requirement

from agent import identity
from collector.store import schema
from collector.store.database import Database
from collector.up import FRUGAL
from tests.bench.figure import Figure
from tests.collector.delivery import Receiver, receiver

BEAT_SECONDS = 10.0
BEATS = 30  # as long as the slowest beat of the agent, which looks around every five minutes
WARM_ROWS = 3  # the first look at everything, and its reports, are no beats of every day
EXPORTER = "prometheus-node-exporter"
DEADLINE_SECONDS = 60
DOUBLE_BYTES = 8
KIBIBYTE = 1024
ROOT = Path(__file__).resolve().parents[2]
OURS = ("agent", "protos")  # packages that an agent imports; this installation may be an editable one
LISTENING = "0A"  # state of a socket in /proc/net/tcp


class Cost(NamedTuple):
    """What a process spent over all beats, and what it holds."""

    series: float  # collected in one beat, on average
    cpu_seconds: float
    uss_bytes: int  # free if the process ended
    rss_bytes: int  # with what it shares now, but would hold alone on another host
    threads: int

    @property
    def microseconds_per_series(self) -> float:
        return self.cpu_seconds / (self.series * BEATS) * 1e6


def run() -> Iterator[Figure]:
    """Ours, then node_exporter's where it is installed, then one by the other."""
    binary = shutil.which(EXPORTER)
    if binary is None:
        print(f"agent    {EXPORTER} is not installed: nothing to compare with", file=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="sigap-bench-") as folder:
        ours, theirs = asyncio.run(_measure(Path(folder), binary))
    yield from _figures("agent", ours)
    if theirs is None:
        return
    yield from _figures("node_exporter", theirs)
    yield Figure("agent: CPU a series", ours.microseconds_per_series / theirs.microseconds_per_series, "node_exporters")
    yield Figure("agent: unique memory", ours.uss_bytes / theirs.uss_bytes, "node_exporters")


def _figures(who: str, cost: Cost) -> Iterator[Figure]:
    yield Figure(f"{who}: series a beat", cost.series, "series")
    yield Figure(f"{who}: CPU a beat", cost.cpu_seconds / BEATS * 1e3, "ms", f"{cost.threads} threads")
    yield Figure(f"{who}: CPU a series and beat", cost.microseconds_per_series, "µs")
    yield Figure(f"{who}: unique memory (USS)", cost.uss_bytes / 2**20, "MiB")
    yield Figure(f"{who}: resident memory, shared pages included", cost.rss_bytes / 2**20, "MiB")


async def _measure(folder: Path, binary: str | None) -> tuple[Cost, Cost | None]:
    database = Database(f"sqlite:///{folder}/sigap.db")
    schema.METADATA.create_all(database.engine)
    async with receiver(database, folder / "trust") as stand:
        with _agent(folder, stand) as pid:
            await asyncio.to_thread(_until, lambda: len(stand.collected.accepted) >= WARM_ROWS, "the agent delivers")
            if binary is None:
                return await asyncio.to_thread(_watch, pid, lambda: None, lambda: _values(stand)), None
            # A copy, because pages shared with another node_exporter on this host would not count as its own.
            with _exporter(shutil.copy(binary, folder)) as (other, scrape):
                await asyncio.to_thread(scrape)
                seen = 0

                def beat() -> None:
                    nonlocal seen
                    seen += scrape()

                theirs_at_start = _cpu_seconds(other)
                ours = await asyncio.to_thread(_watch, pid, beat, lambda: _values(stand))
                theirs = Cost(seen / BEATS, _cpu_seconds(other) - theirs_at_start, *_holds(other))
    database.close()
    return ours, theirs


def _watch(pid: int, beat: Callable[[], object], values: Callable[[], int]) -> Cost:
    """Ours over BEATS beats, in which `beat` is called as often."""
    if listening := _listening(pid):
        raise RuntimeError(f"The agent listens on {listening} ports.")
    before, had = _cpu_seconds(pid), values()
    for _ in range(BEATS):
        time.sleep(BEAT_SECONDS)
        beat()
    return Cost((values() - had) / BEATS, _cpu_seconds(pid) - before, *_holds(pid))


def _values(stand: Receiver) -> int:
    return sum(len(row.values) // DOUBLE_BYTES for one in stand.collected.accepted for row in one.rows)


@contextmanager
def _agent(folder: Path, stand: Receiver) -> Iterator[int]:
    """The agent as `sigap-agent run`, with an identity and no configuration but its state directory."""
    state = folder / "agent"
    identity.save(state, stand.enrol())
    environment = {**os.environ, **FRUGAL, "STATE_DIRECTORY": str(state)}
    with subprocess.Popen([_base_install(folder / "python"), "-m", "agent", "run"], env=environment) as process:
        try:
            yield process.pid
        finally:
            process.terminate()


def _base_install(folder: Path) -> Path:
    """An interpreter that finds the agent and what it depends on, and nothing of the extras."""
    venv.create(folder, symlinks=True)
    packages = folder / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    for name in OURS:
        (packages / name).symlink_to(ROOT / name)
    for name in _needs("sigap", set()):
        files = metadata.distribution(name).files or []
        for top in {file.parts[0] for file in files} - {"..", "__pycache__"}:
            (packages / top).symlink_to(metadata.distribution(name).locate_file(top).__fspath__())
    return folder / "bin" / "python"


def _needs(name: str, known: set[str]) -> set[str]:
    """The distributions that one needs without its extras, and those that these need."""
    for one in map(Requirement, metadata.requires(name) or []):
        wanted = one.marker is None or one.marker.evaluate({"extra": ""})
        if wanted and one.name not in known:
            known.add(one.name)
            _needs(one.name, known)
    return known


@contextmanager
def _exporter(binary: str) -> Iterator[tuple[int, Callable[[], int]]]:
    """node_exporter with its defaults, and how to scrape it: series seen."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def scrape() -> int:
        with opener.open(f"http://{address}/metrics", timeout=DEADLINE_SECONDS) as answer:
            return sum(1 for line in answer.read().splitlines() if not line.startswith(b"#"))

    def answers() -> bool:
        try:
            return scrape() > 0
        except OSError:
            return False

    quiet = subprocess.DEVNULL
    with subprocess.Popen([binary, f"--web.listen-address={address}"], stdout=quiet, stderr=quiet) as process:
        try:
            _until(answers, "node_exporter answers")
            yield process.pid, scrape
        finally:
            process.terminate()


def _until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"Waited {DEADLINE_SECONDS} s in vain until {what}.")
        time.sleep(0.05)


def _cpu_seconds(pid: int) -> float:
    """CPU seconds of all living threads of a process, to the nanosecond."""
    tasks = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(task.read_text(encoding="ascii").split()[0]) for task in tasks) / 1e9


def _holds(pid: int) -> tuple[int, int, int]:
    """Unique and resident bytes, threads."""
    sizes: dict[str, int] = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()[1:]:
        name, size, _ = line.split()
        sizes[name.rstrip(":")] = int(size) * KIBIBYTE
    unique = sum(size for name, size in sizes.items() if name.startswith("Private_"))
    return unique, sizes["Rss"], len(list(Path(f"/proc/{pid}/task").iterdir()))


def _listening(pid: int) -> int:
    """Listening TCP sockets of a process."""
    listens = {
        fields[9]
        for table in ("tcp", "tcp6")
        if (path := Path(f"/proc/{pid}/net/{table}")).exists()
        for fields in map(str.split, path.read_text(encoding="ascii").splitlines()[1:])
        if fields[3] == LISTENING
    }
    targets = (os.readlink(entry) for entry in Path(f"/proc/{pid}/fd").iterdir())
    return sum(target.removeprefix("socket:[").removesuffix("]") in listens for target in targets)
