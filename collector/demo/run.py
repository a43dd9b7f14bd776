"""`sigap demo`: a collector that fills itself, says where to look, and stays alive until it is stopped."""

from __future__ import annotations

import asyncio
import contextlib
import webbrowser
from collections.abc import Coroutine
from typing import Any, TypeVar

from collector.app import Collector
from collector.demo.flow import DAYS, fill, live
from collector.demo.terminal import Terminal
from collector.up import LOCAL_ACCOUNT, stopped_by_signals

T = TypeVar("T")


async def run(
    collector: Collector, *, days: int = DAYS, browser: bool = False, stopping: asyncio.Event | None = None
) -> None:
    """Start, fill, and go on until SIGINT or SIGTERM, or until the database fails.

    Args:
        collector: Not started, simulated, with `SETTINGS`, on an empty data directory.
        days: How much history.
        browser: Open the page.
        stopping: Set it to stop, for those who do not send signals.

    Raises:
        CollectorError: A port is taken, the instance has hosts already, or the database failed.
    """
    stopping = stopped_by_signals(stopping)
    await collector.start()
    try:
        with Terminal() as terminal:
            filling = fill(collector, now_ms=collector.clock(), progress=terminal.advance, days=days)
            summary = await _unless(stopping, collector, filling)
        if summary is None:
            return
        await collector.access.ensure_local_account(LOCAL_ACCOUNT)
        link = f"{collector.settings.url}/sign-in?link={await collector.access.sign_in_link(LOCAL_ACCOUNT)}"
        terminal.summary(summary, link)
        if browser:
            with contextlib.suppress(webbrowser.Error):
                await asyncio.to_thread(webbrowser.open, link)
        await _unless(stopping, collector, live(collector, summary.fleet))
    finally:
        await collector.stop()


async def _unless(stopping: asyncio.Event, collector: Collector, work: Coroutine[Any, Any, T]) -> T | None:
    """What `work` gives; None when it was told to stop before."""
    working, waiting = asyncio.ensure_future(work), asyncio.ensure_future(stopping.wait())
    both: tuple[asyncio.Future[Any], ...] = (working, waiting, collector.broken)
    try:
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()
        if not working.done():
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)
    if collector.broken.done():
        raise collector.broken.result()
    return None if working.cancelled() else working.result()
