"""`python -m tests.soak [MINUTES]`: the product as a person starts it, in use all the time, and watched for what grows.

A real agent beats ten times as often as usual; pages, live streams and scrapes are asked for all the time. Every minute
one line says what collector and agent hold. At the end a level that is higher in the last third than in the middle one
is a leak, and the exit code says so. The first third may grow: caches fill.
"""

from __future__ import annotations

import contextlib
import itertools
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.system.product import HOST, TRACE, Browser, Product, product, wait_for

MINUTES = 60
LOOK_SECONDS = 10.0
LINE_EVERY = 6  # looks
BEAT_SECONDS = 1
PAUSE_SECONDS = 0.2
STREAM_SECONDS = 5.0
START_SECONDS = 30.0
PAGES = (
    "/",
    "/hosts",
    f"/hosts/{HOST}",
    f"/hosts/{HOST}/charts?range=1h",
    "/services",
    "/alerts",
    "/agents",
    "/settings",
    "/metrics",
    "/federate?match[]=%7Bjob%3D%22node%22%7D",
    "/api/v1/sd/agents",
)
FAST = "".join(
    f"[host.probes.{name}]\ninterval_seconds = {BEAT_SECONDS}\n"
    for name in ("cpu", "meminfo", "diskstats", "filesystem", "netdev", "netclass", "netstat", "stat", "vmstat", "self")
)
ALLOWED = {"resident": 1.05, "descriptors": 1.0, "threads": 1.3}
"""How much higher the last third may be than the middle one. A probe that stood still once leaves another worker."""


class Level(NamedTuple):
    """What one process holds."""

    resident: float  # MiB
    descriptors: float
    threads: float


def look(pid: int) -> Level:
    """What the process holds now."""
    folder = Path(f"/proc/{pid}")
    fields = dict(line.split(":", 1) for line in (folder / "status").read_text(encoding="utf-8").splitlines())
    resident = int(fields["VmRSS"].split()[0]) / 1024
    return Level(resident, len(list((folder / "fd").iterdir())), int(fields["Threads"]))


def grown(levels: Sequence[Level]) -> dict[str, tuple[float, float]]:
    """What is higher in the last third than in the middle one, by more than is allowed: both medians."""
    third = len(levels) // 3
    found = {}
    for name, allowed in ALLOWED.items():
        middle, last = (
            statistics.median(getattr(level, name) for level in part)
            for part in (levels[third : 2 * third], levels[2 * third :])
        )
        if last > middle * allowed:
            found[name] = (middle, last)
    return found


def _ask(browser: Browser, ended: threading.Event, failures: list[str]) -> None:
    """One page after the other until the end."""
    for path in itertools.cycle(PAGES):
        if ended.wait(PAUSE_SECONDS):
            return
        answer = browser.request("GET", path)
        if answer.status != 200:
            failures.append(f"{path}: {answer.status}")


def _listen(browser: Browser, ended: threading.Event) -> None:
    """Live streams that come and go, as tabs do."""
    while not ended.is_set():
        with contextlib.suppress(TimeoutError):
            for _ in itertools.islice(browser.events(f"/live/hosts/{HOST}", STREAM_SECONDS), 3):
                pass


@contextlib.contextmanager
def _used(running: Product, failures: list[str]) -> Iterator[None]:
    ended = threading.Event()
    works: tuple[Callable[[], object], ...] = (
        lambda: _ask(_signed_in(running), ended, failures),
        lambda: _listen(_signed_in(running), ended),
    )
    threads = [threading.Thread(target=work, daemon=True) for work in works]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        for thread in threads:
            thread.join(START_SECONDS)


def _signed_in(running: Product) -> Browser:
    browser = Browser(running.address)
    browser.cookie = running.browser.cookie
    return browser


def main(minutes: float) -> int:
    """Run, watch, judge."""
    failures: list[str] = []
    seen: dict[str, list[Level]] = {"collector": [], "agent": []}
    with product(agent_text=FAST) as running:
        wait_for(lambda: HOST in running.hosts(), START_SECONDS, "the host is there")
        wait_for(lambda: running.json(f"/hosts/{HOST}.json")["vitals"], START_SECONDS, "its numbers are there")
        assert running.process is not None
        pids = {"collector": running.process.pid, "agent": running.agent_pid()}
        ends = time.monotonic() + minutes * 60
        with _used(running, failures):
            for number in itertools.count():
                time.sleep(LOOK_SECONDS)
                for who, pid in pids.items():
                    seen[who].append(look(pid))
                if number % LINE_EVERY == 0:
                    print(_line(ends - time.monotonic(), seen, running.folder), flush=True)
                if time.monotonic() >= ends:
                    break
        assert running.agent_pid() == pids["agent"], "the agent ended meanwhile"
        failures += [line for line in running.output().splitlines() if TRACE in line or " ERROR " in line]
    for who, levels in seen.items():
        failures += [f"{who}: {name} grew from {a:.1f} to {b:.1f}" for name, (a, b) in grown(levels).items()]
    print("\n".join(failures) or "nothing grew, nothing failed")
    return 1 if failures else 0


def _line(left_seconds: float, seen: dict[str, list[Level]], folder: Path) -> str:
    parts = [
        f"{who} {now.resident:6.1f} MiB {now.descriptors:3.0f} descriptors {now.threads:2.0f} threads"
        for who, levels in seen.items()
        for now in levels[-1:]
    ]
    stored = sum(file.stat().st_size for file in folder.glob("*.db*")) / 2**20
    return f"{max(0.0, left_seconds) / 60:5.1f} min left · {' · '.join(parts)} · database {stored:.1f} MiB"


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]) if len(sys.argv) > 1 else MINUTES))
