"""A collector as a process: the whole of `collector.app`, and on demand its flush much more often than in life.

Runs until it is killed, or until SIGTERM.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import event

from collector import config
from collector.app import Collector

TOKENS_FILE = "tokens"
FOREVER_SECONDS = 1e6


@dataclass(frozen=True, slots=True)
class Plan:
    """One collector; where it is is the same for each of its lives."""

    data: Path
    web: int
    telemetry: int
    enrolment: int
    log: Path
    flush_seconds: float = 0.0  # 0: only when windows close, as in life
    commit_seconds: float = 0.0  # a slow disk: every commit takes this much longer
    tokens: int = 0  # issue so many before serving

    @property
    def database(self) -> Path:
        """The SQLite file."""
        return self.data / "sigap.db"


def main(plan: Plan) -> None:
    """One life."""
    handle = os.open(plan.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    form = "%(asctime)s %(process)d %(levelname)s %(name)s %(message)s"
    logging.basicConfig(level="INFO", format=form, force=True)
    sys.exit(asyncio.run(_serve(plan)))


async def _serve(plan: Plan) -> int:
    settings = config.load(
        None,
        store__data=str(plan.data),
        web__address=f"127.0.0.1:{plan.web}",
        telemetry__address=f"127.0.0.1:{plan.telemetry}",
        enrolment__address=f"127.0.0.1:{plan.enrolment}",
    )
    collector = Collector(settings)
    if plan.commit_seconds:
        event.listen(collector.db.engine, "commit", lambda _: time.sleep(plan.commit_seconds))
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    await collector.start()
    if plan.tokens:
        issued = [await collector.enroller.issue("test") for _ in range(plan.tokens)]
        (plan.data / TOKENS_FILE).write_text("\n".join(one.secret for one in issued) + "\n")
    flushing = asyncio.create_task(_flush(collector, plan.flush_seconds))
    waiting = asyncio.create_task(stopping.wait())
    try:
        await asyncio.wait((waiting, flushing, collector.broken), return_when=asyncio.FIRST_COMPLETED)
        return 70 if collector.broken.done() else int(not waiting.done())
    finally:
        flushing.cancel()
        await asyncio.gather(flushing, return_exceptions=True)
        await collector.stop()


async def _flush(collector: Collector, seconds: float) -> None:
    """Make blocks of everything again and again, so that a kill meets a flush as often as a commit."""
    while True:
        await asyncio.sleep(seconds or FOREVER_SECONDS)
        await collector.series.flush(everything=True)
