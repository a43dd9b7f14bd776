"""What measuring one host costs, beside node_exporter on the same host, at the same beat.

Ours is a process of its own with every host probe on the sampler's real schedule and nothing else: no delivery. Of
node_exporter the scrape's reader is not counted, only the exporter. What only this side needs is imported in functions,
because the measured process runs this module too.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from agent import sampler
from agent.beat import Beat
from agent.probes import HOST_PROBES, Host
from agent.probes.self_metrics import Source
from tests.bench.figure import Figure

BEAT_SECONDS = 1.0  # tighter than in life, so that ten beats take ten seconds; warmer caches help both sides alike
BEATS = 10
EXPORTER = "prometheus-node-exporter"
DEADLINE_SECONDS = 20


class Cost(NamedTuple):
    """What a process spent over all beats."""

    series: float  # a beat
    cpu_seconds: float
    uss_bytes: int

    @property
    def microseconds_per_series(self) -> float:
        return self.cpu_seconds / (self.series * BEATS) * 1e6


def run() -> Iterator[Figure]:
    """Ours, then node_exporter's where it is installed."""
    import shutil
    import subprocess

    child = subprocess.run([sys.executable, "-m", "tests.bench.agent_cost"], capture_output=True, text=True, check=True)
    yield from _figures("agent without delivery", Cost(*json.loads(child.stdout)))
    binary = shutil.which(EXPORTER)
    if binary is None:
        print(f"agent    {EXPORTER} is not installed: nothing to compare with", file=sys.stderr)
        return
    yield from _figures("node_exporter", exporter(binary))


def _figures(who: str, cost: Cost) -> Iterator[Figure]:
    yield Figure(f"{who}: series a beat", cost.series, "series")
    yield Figure(f"{who}: CPU", cost.microseconds_per_series, "µs/series")
    yield Figure(f"{who}: unique memory", cost.uss_bytes / 2**20, "MiB")


def exporter(binary: str) -> Cost:
    """node_exporter with its defaults, scraped at the same beat."""
    import socket
    import subprocess
    import urllib.request

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    command = [binary, f"--web.listen-address={address}"]
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def scrape() -> int:
        with opener.open(f"http://{address}/metrics", timeout=DEADLINE_SECONDS) as answer:
            return sum(1 for line in answer.read().splitlines() if not line.startswith(b"#"))

    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + DEADLINE_SECONDS
        while True:
            try:
                scrape()
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
        before, series = thread_seconds(process.pid), 0
        for _ in range(BEATS):
            time.sleep(BEAT_SECONDS)
            series += scrape()
        cost = Cost(series / BEATS, thread_seconds(process.pid) - before, uss_bytes(process.pid))
        process.terminate()
        return cost


def thread_seconds(pid: int) -> float:
    """CPU seconds of all living threads of a process, to the nanosecond."""
    tasks = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(task.read_text(encoding="ascii").split()[0]) for task in tasks) / 1e9


def uss_bytes(pid: int | str) -> int:
    """Memory that would be free if the process ended."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Private_"))


def sample() -> Cost:
    """Run the sampler in this process; the first beat only warms up, as node_exporter's first scrape does."""
    sources: list[Source] = []
    intervals = {name: BEAT_SECONDS * entry.interval_seconds / 10 for name, entry in HOST_PROBES.items()}
    beats: list[tuple[int, float]] = []  # series, CPU seconds so far

    def keep(beat: Beat) -> None:
        beats.append((len(beat.values), time.process_time()))
        if sum(1 for series, _ in beats if series == max(beats)[0]) > BEATS:
            made.stop()

    scheduled = sampler.host(Host(sources=sources), intervals=intervals)
    made = sampler.Sampler(scheduled, keep, rng=random.Random(1))
    sources.append(made.samples)
    made.run()
    values = sum(series for series, _ in beats[1:])
    return Cost(values / BEATS, beats[-1][1] - beats[0][1], uss_bytes("self"))


if __name__ == "__main__":
    print(json.dumps(sample()))
