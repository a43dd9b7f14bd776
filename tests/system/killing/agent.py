"""An agent as a process: the real spool, protocol and uplink, fed by `source` instead of by probes.

Runs until it is killed, or until SIGTERM: then it stops measuring, delivers everything and says goodbye.
"""

from __future__ import annotations

import logging
import os
import random
import signal
import sys
import threading
from array import array
from dataclasses import dataclass
from pathlib import Path

from agent import identity, sampler
from agent.batch import Entry
from agent.enrol import enrol
from agent.sample import Moment
from agent.spool_file import SpoolError
from agent.uplink import About, Uplink
from agent.wire import Encoder
from tests.system.killing import source
from tests.system.killing.ledger import Notes, WatchedSpool

BOOT_ID = "boot"
DRAIN_SECONDS = 90.0
IMPATIENCE = 0.01
"""Reconnecting waits at most this share of what it would: 0.6 s instead of a minute, to be there when it is killed."""


@dataclass(frozen=True, slots=True)
class Plan:
    """One agent; the same for each of its lives."""

    number: int
    folder: Path
    seed: int
    beat_seconds: float = 0.03
    keep_ms: int = 7 * 24 * 3600 * 1000  # an agent with less declares what it lost while the collector was away
    limit_bytes: int = 64 * 1024 * 1024
    may_lose: frozenset[str] = frozenset()  # reasons that it may give for a declared loss
    huge_one_in: int = 0  # every so many beats one is too large for any frame
    token: str = ""
    spool: Path | None = None  # elsewhere than in the folder

    @property
    def spool_path(self) -> Path:
        """Where the spool is."""
        return self.spool or self.folder / "spool.db"

    @property
    def notes_path(self) -> Path:
        """Where the ledger is."""
        return self.folder / "notes"


class Jitter(random.Random):
    """Chance as the protocol wants it, but impatient."""

    def random(self) -> float:
        """A number in [0, IMPATIENCE)."""
        return super().random() * IMPATIENCE


def main(plan: Plan) -> None:
    """One life."""
    _log_to(plan.folder / "agent.log")
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    found = identity.load(plan.folder / "state") or enrol(plan.token, plan.folder / "state", f"host-{plan.number}")
    try:
        spool = WatchedSpool.open(
            plan.spool_path,
            moment=sampler.now(),
            boot_id=BOOT_ID,
            new_epoch=lambda: os.urandom(16),
            keep_ms=plan.keep_ms,
            limit_bytes=plan.limit_bytes,
        )
    except SpoolError as error:
        logging.error("not started: %s", error)
        sys.exit(1)
    assert isinstance(spool, WatchedSpool)
    spool.watch(Notes(plan.notes_path))
    about = About("test", f"host-{plan.number}", BOOT_ID)
    uplink = Uplink(found, spool, about=about, now=sampler.now, rng=Jitter(os.getpid()))
    uplink.start()
    _measure(plan, spool, uplink, stopping)
    _drain(spool, uplink)


def _measure(plan: Plan, spool: WatchedSpool, uplink: Uplink, stopping: threading.Event) -> None:
    encoder, series, wall_ms, beats = Encoder(), source.columns(plan.number), 0, 0
    while not stopping.wait(plan.beat_seconds):
        now, beats = sampler.now(), beats + 1
        # No two beats of one agent at the same millisecond: the store would keep the first.
        wall_ms = max(wall_ms + 1, now.wall_ms)
        moment = Moment(wall_ms, now.boottime_ns)
        beat = source.Beat(moment, series, array("d", source.values(plan.seed, plan.number, wall_ms)))
        entries = encoder.encode(beat)
        if plan.huge_one_in and beats % plan.huge_one_in == 0:
            entries.insert(0, Entry(bytes(source.HUGE_BYTES), 1, False))
        spool.append(entries, moment, layouts=encoder.layouts)
        uplink.wake()


def _drain(spool: WatchedSpool, uplink: Uplink) -> None:
    pause, deadline = threading.Event(), sampler.now().boottime_ns + int(DRAIN_SECONDS * 1e9)
    while spool.waiting() and sampler.now().boottime_ns < deadline:
        pause.wait(0.05)
    uplink.stop(5.0)
    spool.close()


def _log_to(path: Path) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.dup2(handle, sys.stderr.fileno())
    os.dup2(handle, 2)
    logging.basicConfig(level="INFO", format="%(asctime)s %(process)d %(levelname)s %(name)s %(message)s", force=True)
