"""Filling an instance with the made-up organisation, and keeping it alive afterwards.

Registers first, then every host enrols, tells a month of history over its stream, and goes on with a row every ten
seconds. Everything passes through the doors that real agents and people use.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Coroutine, Sequence
from typing import Any, NamedTuple, Protocol

from collector.config import Settings
from collector.demo import organisation
from collector.demo.fleet import LOCAL_CHECKS, MACHINES
from collector.demo.host import LIVE_BEAT_MS, SimulatedHost, amount
from collector.demo.identity import enrol
from collector.demo.machine import Machine
from collector.demo.story import DAY_MS, Story, tell
from collector.demo.stream import RETRY_SECONDS, DeliveryError, Stream
from collector.domain.errors import CollectorError, Conflict
from collector.flows.enrol import Enroller
from collector.flows.register import Registrar
from collector.store import registers

LOG = logging.getLogger(__name__)

DAYS = 29
"""Whole days of history: the collector takes nothing that is older than thirty."""

Progress = Callable[[int, int], None]
"""(rows and results delivered, of how many)."""


def _unseen(_done: int, _total: int) -> None:
    """Nobody looks."""


class Instance(Protocol):
    """What the demo needs of a started collector: `collector.app.Collector`."""

    settings: Settings
    clock: Callable[[], int]
    registrar: Registrar
    enroller: Enroller


class Summary(NamedTuple):
    """What an instance was filled with."""

    hosts: int
    checks: int
    services: int
    days: int
    delivered: int  # rows and results
    seconds: float
    fleet: Sequence[SimulatedHost]  # for `live`


class Beat(NamedTuple):
    """When a host measures: every `every_ms`, `offset_ms` after the round times, so that hosts do not march in step."""

    every_ms: int
    offset_ms: int

    def wait_ms(self, now_ms: int) -> int:
        """Until the next time."""
        return self.every_ms - (now_ms - self.offset_ms) % self.every_ms


async def fill(
    collector: Instance,
    *,
    now_ms: int,
    progress: Progress = _unseen,
    days: int = DAYS,
    only: Collection[str] | None = None,
) -> Summary:
    """Fill a started, empty instance.

    Args:
        collector: Started; its `store.raw_days` must reach back as far as the history does (see `SETTINGS`).
        now_ms: Where history ends.
        progress: Told as parts are acknowledged.
        days: How much history.
        only: Names of hosts, for a smaller organisation; None for all.

    Raises:
        Conflict: It has hosts already.
        CollectorError: A host was not let in or its data not taken.
    """
    began = time.perf_counter()
    await _require_empty(collector.registrar)
    machines = [one for one in MACHINES if only is None or one.name in only]
    start_ms = now_ms - days * DAY_MS
    records = organisation.documents({one.name for one in machines})
    services = [one for one in records if one["register"] == "service"]
    past = organisation.registrar_as_of(collector.registrar, start_ms)
    await organisation.apply(past, [one for one in records if one["register"] != "service"])
    fleet = await _bring_in(collector, machines, records, tell(start_ms, now_ms))
    try:
        await organisation.apply(past, services)
        delivered = await _deliver(fleet, now_ms, progress)
    except BaseException:
        await hang_up(fleet)
        raise
    checks = sum(len(host.watches) for host in fleet)
    return Summary(len(fleet), checks, len(services), days, delivered, time.perf_counter() - began, fleet)


async def live(collector: Instance, fleet: Sequence[SimulatedHost], *, beat_ms: int = LIVE_BEAT_MS) -> None:
    """Go on measuring, every host on its own beat, until cancelled; then say goodbye."""
    try:
        async with asyncio.TaskGroup() as group:
            for number, host in enumerate(fleet):
                beat = Beat(beat_ms, number * beat_ms // len(fleet))
                group.create_task(_go_on(collector.clock, host, beat), name=f"demo live {host.machine.name}")
    finally:
        await hang_up(fleet)


async def hang_up(fleet: Sequence[SimulatedHost]) -> None:
    """Every host says goodbye."""
    await asyncio.gather(*(host.stream.close() for host in fleet), return_exceptions=True)


async def _require_empty(registrar: Registrar) -> None:
    known = await registrar.db.read(lambda connection: registers.all_of(connection, "host"))
    if known:
        raise Conflict(
            f"This instance has hosts already, such as '{known[0].key}'; simulated ones are not mixed with them.",
            hint="Choose an empty directory with --data.",
        )


async def _bring_in(
    collector: Instance,
    machines: Sequence[Machine],
    records: Collection[organisation.Document],
    story: Story,
) -> list[SimulatedHost]:
    watches = organisation.watches(records)

    async def one(machine: Machine) -> SimulatedHost:
        identity = await enrol(collector.enroller, machine.name)
        skew_ms = round(machine.skew_seconds * 1000)
        stream = Stream(
            identity,
            collector.settings.telemetry.address,
            clock=lambda: collector.clock() + skew_ms,
            boot_id=f"simulated-{machine.name}",
        )
        await stream.connect()
        local = [check for check in LOCAL_CHECKS if check.host == machine.name]
        host = SimulatedHost(machine, stream, story, local, watches[machine.name])
        await host.introduce(collector.clock())
        await stream.drain(stream.live)
        return host

    return list(await asyncio.gather(*map(one, machines)))


async def _deliver(fleet: Sequence[SimulatedHost], until_ms: int, progress: Progress) -> int:
    beats = sum(amount(host, until_ms) for host in fleet)
    done = 0

    def note(count: int) -> None:
        nonlocal done
        done += count
        progress(min(done, beats), beats)

    async with asyncio.TaskGroup() as group:
        for host in fleet:
            group.create_task(host.tell_rows(until_ms, note))
        group.create_task(_tell_results(fleet, until_ms, note))
    progress(beats, beats)
    return done


async def _tell_results(fleet: Sequence[SimulatedHost], until_ms: int, note: Callable[[int], None]) -> None:
    """All hosts together, from one turn of the story to the next: so the record shows each as it came about."""
    for turn_ms in fleet[0].story.turns(until_ms) if fleet else ():
        for count in await asyncio.gather(*(host.tell_results(turn_ms) for host in fleet)):
            note(count)


async def _whole(work: Coroutine[Any, Any, None]) -> None:
    """Do not leave `work` half done when cancelled: gRPC ends a stream whose write is cancelled."""
    working = asyncio.ensure_future(work)
    try:
        await asyncio.shield(working)
    except asyncio.CancelledError:
        await asyncio.wait({working}, timeout=RETRY_SECONDS)
        working.cancel()
        raise


async def _go_on(clock: Callable[[], int], host: SimulatedHost, beat: Beat) -> None:
    while True:
        await asyncio.sleep(beat.wait_ms(clock()) / 1000)
        try:
            if not host.stream.is_connected:
                await host.stream.connect()
                LOG.info("demo host is back host=%s", host.machine.name)
            await _whole(host.beat(clock()))
        except DeliveryError as error:
            LOG.info("demo host waits host=%s error=%s", host.machine.name, error.message)
            await asyncio.sleep(RETRY_SECONDS)
        except CollectorError as error:
            LOG.warning("demo host skipped a beat host=%s error=%s", host.machine.name, error.message)
