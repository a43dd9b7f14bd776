"""The agent at work: probes → sampler → spool → uplink, until told to stop.

One thread keeps the sampler's schedule, the uplink has its own, and the caller's thread waits for orders: stop,
reload, other central checks. Composes and supervises; measures, stores and sends nothing itself.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Sequence
from functools import partial
from queue import Empty, SimpleQueue
from typing import Protocol

from agent import remembered, sampler, schedule
from agent.beat import Beat
from agent.config import Config, ConfigError
from agent.identity import Identity
from agent.probes.definition import Central, Declined, central_checks
from agent.probes.self_metrics import Source
from agent.sample import Moment, Sample
from agent.sampler import Sampler
from agent.service_manager import ServiceManager
from agent.spool import Spool
from agent.spool_file import SpoolBroken
from agent.wire import Encoder

logger = logging.getLogger(__name__)

TICK_SECONDS = 5.0
"""How often an agent without identity looks for one."""

CALM_TICK_SECONDS = 30.0
"""How often one that has everything looks after itself: the watchdog, another identity, a certificate to renew."""

STALLED_SECONDS = 60.0
"""Without a beat for so long the agent is not alive, whatever its threads do. Host probes beat every few seconds."""

DRAIN_SECONDS = 5.0
"""How long a stopping agent tries to deliver what is left; the rest stays in the spool."""

JOIN_SECONDS = 5.0
NANOSECONDS = 1_000_000_000

Receive = Callable[[Sequence[Central]], None]
Break = Callable[[str], None]
Order = Callable[[], None]


class Link(Protocol):
    """Delivery to the collector, in threads of its own."""

    def start(self) -> None:
        """Begin to deliver."""

    def wake(self) -> None:
        """There is something new in the spool."""

    def stop(self, timeout_seconds: float) -> None:
        """Deliver what can be delivered in that time, say goodbye, end."""

    def samples(self) -> Sequence[Sample]:
        """What delivery knows of itself."""


class Trust(Protocol):
    """How the agent comes by its identity; both may block for seconds and log what hinders them."""

    def identity(self) -> Identity | None:
        """The identity, enrolled for now where a token is configured; None when there is none yet."""

    def renewed(self, current: Identity, *, now_ms: int) -> Identity:
        """The identity to go on with; another one when it was time."""


class Pipeline:
    """One agent. `run` belongs to the caller's thread; `stop`, `reload` and `receive` may be called from anywhere."""

    def __init__(
        self,
        config: Config,
        spool: Spool,
        *,
        load: Callable[[], Config],
        trust: Trust,
        connect: Callable[[Config, Identity, Receive, Break], Link],
        manager: ServiceManager,
        now: Callable[[], Moment] = sampler.now,
    ) -> None:
        self._config = config
        self._spool = spool
        self._load = load
        self._trust = trust
        self._connect = connect
        self._manager = manager
        self._now = now
        self._orders: SimpleQueue[Order] = SimpleQueue()
        self._encoder = Encoder()
        self._link: Link | None = None
        self._identity: Identity | None = None
        self._central: Sequence[Central] = remembered.load(config.state_directory)
        self._declined: list[Declined] = []
        self._offers = threading.Lock()
        self._offered: Sequence[Central] | None = None  # by the collector, and not adopted yet
        self._sampler: Sampler | None = None
        self._thread: threading.Thread | None = None
        self._beat_ns = now().boottime_ns
        self._broken = ""
        self._stopped = False

    def run(self) -> int:
        """Work until `stop`; the exit code."""
        watchdog_seconds = self._manager.watchdog_seconds / 2 or CALM_TICK_SECONDS
        self._start_sampler()
        self._manager.ready(self._status())
        while not self._stopped:
            self._look_after()
            tick_seconds = min(watchdog_seconds, TICK_SECONDS if self._identity is None else CALM_TICK_SECONDS)
            try:
                self._orders.get(timeout=tick_seconds)()
            except Empty:
                continue  # Nobody wants anything: look after the agent again.
        self._end()
        return 1 if self._broken else 0

    def stop(self) -> None:
        """End soon, delivering what is left. Safe in a signal handler."""
        self._orders.put(self._stop)

    def reload(self) -> None:
        """Read the configuration again. Safe in a signal handler."""
        self._orders.put(self._reload)

    def receive(self, definitions: Sequence[Central]) -> None:
        """Run these checks for the collector from now on, as far as the agent's own file allows."""
        with self._offers:
            before, self._offered = self._offered, tuple(definitions)
        if before is None:  # else the order is there already, however often a collector changes its mind
            self._orders.put(self._adopt)

    def fail(self, why: str) -> None:
        """End with an exit code that says so, for whoever runs the agent to start it anew."""
        self._orders.put(partial(self._break, why))

    # ── the sampler ─────────────────────────────────────────────────────────────────────────────────────────────────

    def _start_sampler(self) -> None:
        sources: list[Source] = [self._spool_samples, self._link_samples]
        config = self._config
        everything = schedule.host_probes(config, sources=sources)
        everything += [schedule.discovery(config), *schedule.own_checks(config), *self._central_checks()]
        made = Sampler(everything, self._keep, rng=random.Random())  # noqa: S311 (spreads beats, guards nothing)
        sources.append(made.samples)
        self._sampler = made
        self._thread = threading.Thread(target=made.run, name="sampler", daemon=True)
        self._thread.start()

    def _stop_sampler(self) -> None:
        if self._sampler is not None and self._thread is not None:
            self._sampler.stop()
            self._thread.join(JOIN_SECONDS)

    def _keep(self, beat: Beat) -> None:
        """The sampler's sink: on disk before it returns."""
        try:
            self._spool.append(self._encoder.encode(beat), beat.moment, layouts=self._encoder.layouts)
        except SpoolBroken as error:
            self.fail(str(error))
            raise
        self._beat_ns = beat.moment.boottime_ns
        link = self._link
        if link is not None:
            link.wake()

    def _spool_samples(self) -> Sequence[Sample]:
        return self._spool.samples(self._now())

    def _link_samples(self) -> Sequence[Sample]:
        return self._link.samples() if self._link is not None else ()

    # ── orders ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _stop(self) -> None:
        self._stopped = True

    def _break(self, why: str) -> None:
        logger.critical("broken reason=%r; ending, so that the service manager starts the agent anew", why)
        self._broken = why
        self._stopped = True

    def _reload(self) -> None:
        self._manager.reloading()
        try:
            fresh = self._load()
        except ConfigError as error:
            logger.error("reload_refused; going on as before: %s", error)
        else:
            fixed = ("state", "enrolment", "collector")
            changed = [name for name in fixed if getattr(fresh.file, name) != getattr(self._config.file, name)]
            if changed:
                logger.warning("reload_partly sections=%s take effect after a restart", ",".join(changed))
            self._stop_sampler()
            reintroduce = fresh.accepts_checks != self._config.accepts_checks
            self._config = fresh
            if reintroduce and self._identity is not None:
                self._close_link(0.0)
                self._open_link(self._identity)
            self._start_sampler()
            logger.info("reloaded checks=%d", len(fresh.checks))
        self._manager.ready(self._status())

    def _adopt(self) -> None:
        with self._offers:
            offered, self._offered = self._offered, None
        if offered is not None and offered != self._central:
            self._central = offered
            remembered.save(self._config.state_directory, self._central)
        if self._sampler is not None:
            self._sampler.replace_checks([*schedule.own_checks(self._config), *self._central_checks()])

    def _central_checks(self) -> list[sampler.Scheduled]:
        checks, declined = central_checks(self._central, allowed=self._config.accepts_checks)
        if declined != self._declined:
            self._declined = declined
            for one in declined:
                logger.warning("central_check_refused check=%s reason=%r", one.name, one.why)
        return schedule.scheduled(checks) + schedule.declined(declined)

    # ── looking after itself ────────────────────────────────────────────────────────────────────────────────────────

    def _look_after(self) -> None:
        moment = self._now()
        if self._identity is None:
            self._identity = self._trust.identity()
            if self._identity is not None:
                self._open_link(self._identity)
        else:
            fresh = self._trust.renewed(self._identity, now_ms=moment.wall_ms)
            if fresh != self._identity:
                self._identity = fresh
                self._close_link(0.0)
                self._open_link(fresh)
        silent_seconds = (self._now().boottime_ns - self._beat_ns) / NANOSECONDS
        if silent_seconds < STALLED_SECONDS:
            self._manager.alive(self._status())

    def _open_link(self, identity: Identity) -> None:
        self._link = self._connect(self._config, identity, self.receive, self.fail)
        self._link.start()

    def _close_link(self, timeout_seconds: float) -> None:
        link, self._link = self._link, None
        if link is not None:
            link.stop(timeout_seconds)

    def _status(self) -> str:
        where = f"delivering to {self._identity.address}" if self._identity else "not enrolled"
        return f"{where}; {self._spool.waiting()} batches waiting"

    def _end(self) -> None:
        self._manager.stopping()
        self._stop_sampler()
        self._close_link(0.0 if self._broken else DRAIN_SECONDS)
        if not self._broken:
            self._spool.close()
