"""The composition root: builds every part of a collector once, starts them in order and stops them in reverse.

The only place that knows all concrete parts. Decides nothing itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import ssl
import time
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web

from collector import directory
from collector.config import CONTROL_SOCKET, PORT_MOST, PREFIX, Settings
from collector.domain.access import Lifetime
from collector.domain.errors import CollectorError, InvalidInput, StoreBroken, StoreError
from collector.edges import enrolment, rpc
from collector.edges.http import ROUTES
from collector.edges.http.access import authenticator
from collector.edges.http.context import Context
from collector.edges.http.frame import build
from collector.edges.http.security import is_worth_a_line
from collector.edges.timer import Job, Timer
from collector.edges.wire import CentralCheck
from collector.flows import alert, retain, stopped
from collector.flows.access import Access
from collector.flows.accounts import Accounts
from collector.flows.authority import Authority
from collector.flows.checks import DeclaredChecks, handed
from collector.flows.deliver import GONE_WHY, Deliverer
from collector.flows.enrol import Enroller
from collector.flows.evaluate import Evaluator
from collector.flows.ingest import Ingest
from collector.flows.live import Live
from collector.flows.quota import Quota
from collector.flows.register import Registrar
from collector.metrics import Metrics
from collector.notify.egress import Egress
from collector.store import lanes, outbox, registers, sla
from collector.store.database import Database
from collector.store.documents import Documents
from collector.store.migrations import migrate
from collector.store.seal import Seal
from collector.store.series import SeriesStore
from collector.store.vault import Vault

log = logging.getLogger(__name__)

MINUTE_MS = 60_000
HOUSEKEEPING_SECONDS = 600.0
MESSAGES_KEPT_MS = 90 * 86_400_000
"""How long delivered notifications stay in the delivery log; dead ones stay until somebody looks after them."""
GRACE_SECONDS = 5.0
"""How long open streams and requests get to end when the collector stops."""


def wall_ms() -> int:
    """Now, in Unix milliseconds, UTC."""
    return time.time_ns() // 1_000_000


class Collector:
    """One running collector.

    Args:
        settings: As loaded by `config.load`.
        clock: Unix milliseconds, UTC.
        simulated: The demo: every page says that its numbers are made up.
    """

    def __init__(self, settings: Settings, *, clock: Callable[[], int] = wall_ms, simulated: bool = False) -> None:
        self.settings = settings
        self.clock = clock
        self.broken: asyncio.Future[StoreBroken] = asyncio.get_running_loop().create_future()
        self.metrics = Metrics()
        self.metrics.build.labels(version("sigap")).set(1)
        self._undo: list[Callable[[], Awaitable[Any]]] = []
        self._endless: list[asyncio.Task[Any]] = []
        self._keys: dict[int, str] = {}
        # Whoever tries again in this process must not find the directory taken.
        with contextlib.ExitStack() as held:
            held.callback(os.close, directory.take(settings.data))
            self.db = Database(settings.store.database_url)
            held.callback(self.db.close)
            self._compose(simulated=simulated)
            self._held = held.pop_all()

    def _compose(self, *, simulated: bool) -> None:
        settings, clock = self.settings, self.clock
        migrate(self.db.engine)
        lifetime = Lifetime(settings.web.session_idle_minutes * MINUTE_MS, settings.web.session_minutes * MINUTE_MS)
        self.access = Access(self.db, clock=clock, lifetime=lifetime, metrics=self.metrics)
        self.accounts = Accounts(self.db, clock=clock, passwords=self.access.passwords)
        self.registrar = Registrar(self.db, clock=clock, sealing=Seal.kept_in(Vault(settings.data / "keys")))
        self.series = SeriesStore(self.db, clock=clock, host_key=self._host_key, retention=_retention(settings))
        self.live = Live(self.series.layouts.get)
        self._compose_decisions()
        self._compose_edges(simulated=simulated)

    def _compose_decisions(self) -> None:
        settings = self.settings
        self.deliverer = Deliverer(
            self.db,
            clock=self.clock,
            unseal=self.registrar.unseal,
            egress=Egress(settings.alerts.allowed_networks, names=[urlsplit(settings.url).hostname or ""]),
            external_url=settings.url,
            metrics=self.metrics,
            gone=self._receiver_gone,
        )
        self.evaluator = Evaluator(
            self.db,
            clock=self.clock,
            layouts=self.series.layouts.get,
            posted=self.deliverer.wake,
            metrics=self.metrics,
            grace_ms=settings.alerts.start_grace_seconds * 1_000,
        )
        self.evaluator.on_transition(lambda _: self.live.publish())
        self.registrar.on_change(self.evaluator.on_change)
        self.registrar.on_write(sla.record_composition)
        self.registrar.on_review("channel", self.deliverer.review)
        self.registrar.on_review("rule", alert.review)
        self.registrar.on_step("check", stopped.in_use)
        self.registrar.on_write(stopped.record_end)
        self.registrar.on_change(lambda *_: self.live.publish())
        self.ingest = Ingest(
            self.db,
            layouts=self.series.layouts,
            journal=self.series,
            sinks=(DeclaredChecks(self.registrar), self.evaluator, Documents(), self.live),
            clock=self.clock,
            metrics=self.metrics,
            quota=Quota(self.series, self.series.layouts),
            linger_seconds=settings.telemetry.linger_milliseconds / 1_000,
            on_broken=self._store_broke,
        )

    async def _receiver_gone(self, channel: str) -> None:
        await self.registrar.edit("sigap", "channel", channel, {"enabled": False}, why=GONE_WHY)

    def _compose_edges(self, *, simulated: bool) -> None:
        settings = self.settings
        told = [one.advertise or one.address for one in (settings.telemetry, settings.enrolment)]
        names = [socket.gethostname(), *settings.enrolment.names]
        names += [address.rpartition(":")[0].strip("[]") for address in told]
        self.authority = Authority(settings.data / "trust", names=names, clock=self.clock)
        self.enroller = Enroller(
            self.db,
            self.authority,
            self.registrar,
            clock=self.clock,
            enrolment_address=settings.enrolment.advertise or settings.enrolment.address,
            telemetry_address=settings.telemetry.advertise or settings.telemetry.address,
            metrics=self.metrics,
        )
        self.telemetry = rpc.Telemetry(self.ingest, checks=self._central_checks)
        self.context = self._context(simulated=simulated)
        self.timer = Timer(
            (
                Job("flush", retain.FLUSH_SECONDS, lambda: retain.flush(self.series)),
                Job("retain", retain.RETAIN_SECONDS, lambda: retain.retain(self.series)),
                Job("housekeeping", HOUSEKEEPING_SECONDS, self._housekeeping),
            ),
            metrics=self.metrics,
            clock=self.clock,
        )

    def _context(self, *, simulated: bool) -> Context:
        settings = self.settings
        return Context(
            self.db,
            authenticate=authenticator(self.access, open_on_loopback=settings.web.open_on_loopback),
            clock=self.clock,
            series=self.series,
            registrar=self.registrar,
            access=self.access,
            accounts=self.accounts,
            enroller=self.enroller,
            evaluator=self.evaluator,
            deliverer=self.deliverer,
            live=self.live,
            settings=settings,
            metrics=self.metrics,
            public_url=settings.web.public_url.rstrip("/"),
            simulated=simulated,
        )

    async def start(self) -> None:
        """Open the store, then the decisions, then the ports: nobody is let in before everything behind is ready.

        Raises:
            InvalidInput: A port is taken or an address is not this host's.
        """
        try:
            replayed = await asyncio.to_thread(self.series.open)
            log.info("store opened replayed_rows=%d", replayed)
            await asyncio.to_thread(self._remember)
            await seed(self.registrar)
            await self.evaluator.start()
            self._run_forever(self.evaluator.run(), "evaluate")
            self._run_forever(self.deliverer.run(), "deliver")
            self.registrar.on_change(self._checks_changed)
            self.enroller.on_revoked(self._agent_revoked)
            self.ingest.start()
            self._undo.append(self.ingest.stop)
            await self._open_ports()
            self.timer.start()
            self._undo.append(self.timer.stop)
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stop in reverse order; what is acknowledged is on disk already."""
        while self._undo:
            with contextlib.suppress(asyncio.CancelledError):
                await self._undo.pop()()
        self._held.close()

    async def is_alive(self) -> bool:
        """Whether judging and delivering go on and the database's writer answers; an error is an answer."""
        with contextlib.suppress(StoreError):
            await self.db.write(_nothing)
        return not any(task.done() for task in self._endless)

    async def _open_ports(self) -> None:
        settings = self.settings
        telemetry, _ = await _listening(
            "telemetry.address",
            settings.telemetry.address,
            rpc.telemetry_server(self.telemetry, self.authority, settings.telemetry.address),
        )
        enrolment.add_renewal(telemetry, self.enroller)
        await telemetry.start()
        self._undo.append(lambda: telemetry.stop(GRACE_SECONDS))
        self.telemetry.start()
        self._undo.append(self.telemetry.stop)
        enrolling, _ = await _listening("enrolment.address", settings.enrolment.address, self._enrolment_server())
        await enrolling.start()
        self._undo.append(lambda: enrolling.stop(GRACE_SECONDS))
        await self._open_web()

    async def _enrolment_server(self) -> tuple[Any, int]:
        return enrolment.enrolment_server(self.enroller, self.settings.enrolment.address)

    async def _open_web(self) -> None:
        logging.getLogger("aiohttp.server").addFilter(is_worth_a_line)
        runner = web.AppRunner(build(self.context, ROUTES), access_log=None, shutdown_timeout=GRACE_SECONDS)
        await runner.setup()
        self._undo.append(runner.cleanup)
        host, _, port = self.settings.web.address.rpartition(":")
        site = web.TCPSite(runner, host.strip("[]"), int(port), ssl_context=_tls(self.settings))
        await _listening("web.address", self.settings.web.address, site.start())
        control = self.settings.data / CONTROL_SOCKET
        control.unlink(missing_ok=True)
        await web.UnixSite(runner, control).start()
        control.chmod(0o600)

    def _run_forever(self, work: Any, name: str) -> None:
        task = asyncio.create_task(work, name=name)
        task.add_done_callback(_logged)
        self._endless.append(task)

        async def cancel() -> None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        self._undo.append(cancel)

    async def _central_checks(self, host_id: int) -> list[CentralCheck]:
        found = await self.db.read(lambda connection: list(handed(connection, host_id)))
        return [CentralCheck(*one) for one in found]

    def _checks_changed(self, register: str, record: Any, before: Any) -> None:
        if register != "check":
            return
        for host_id in {one.host for one in (record, before) if one is not None}:
            task = asyncio.ensure_future(self.telemetry.refresh_checks(host_id))
            task.add_done_callback(_logged)

    def _remember(self) -> None:
        """Give the lists of hosts their last hour back, before anything new arrives."""
        now_ms = self.clock()
        for host_id in self.series.hosts_with_data():
            self.live.last_hour.recall(self.series.select, host_id, now_ms)

    async def _housekeeping(self) -> None:
        await self.access.forget_expired()
        now_ms = self.clock()
        await self.db.write(lambda connection: outbox.forget(connection, before_ms=now_ms - MESSAGES_KEPT_MS))
        await self.db.write(lambda connection: lanes.forget_ended(connection, now_ms))

    def _agent_revoked(self, _agent_id: str) -> None:
        task = asyncio.ensure_future(self.ingest.sweep())
        task.add_done_callback(_logged)
        self.evaluator.on_change("agent", None, None)

    def _host_key(self, host_id: int) -> str:
        if host_id not in self._keys:
            self._keys[host_id] = self.db.read_now(lambda c: str(registers.get(c, "host", host_id).key))
        return self._keys[host_id]

    def _store_broke(self, error: StoreBroken) -> None:
        if not self.broken.done():
            self.broken.set_result(error)


async def seed(registrar: Registrar) -> None:
    """Put the shipped rules into an empty register; afterwards they belong to the people here."""
    from collector.domain.shipped import RULES

    known = await registrar.db.read(lambda connection: registers.all_of(connection, "rule"))
    if not known:
        await registrar.apply("sigap", RULES, why="shipped with Sigap")


async def _listening(setting: str, address: str, opening: Awaitable[Any]) -> Any:
    try:
        return await opening
    except OSError as error:
        port = int(address.rpartition(":")[2])
        other = port + 1_000 if port + 1_000 <= PORT_MOST else port - 1_000
        raise InvalidInput(
            f"Cannot listen on {address}: {os.strerror(error.errno) if error.errno else error}.",
            hint=f"Is another collector running? Stop it, or choose another port. Set {setting}, for example with "
            f"{PREFIX}{setting.replace('.', '__').upper()}=127.0.0.1:{other}.",
        ) from error


def _tls(settings: Settings) -> ssl.SSLContext | None:
    if not settings.web.certificate:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(settings.web.certificate, settings.web.key)
    except (OSError, ssl.SSLError) as error:
        raise InvalidInput(
            f"web.certificate and web.key cannot be used: {error}.", hint="Both must be PEM files that belong together."
        ) from error
    return context


def _retention(settings: Settings) -> Any:
    store = settings.store
    return retain.retention_of(
        raw_days=store.raw_days, five_minutes_days=store.five_minute_days, one_hour_days=store.hour_days
    )


def _nothing(_: Any) -> None:
    """The least that the writer can be asked for."""


def _logged(task: asyncio.Future[Any]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        level = logging.WARNING if isinstance(error, CollectorError) else logging.ERROR
        log.log(level, "follow-up failed error=%r", str(error))
