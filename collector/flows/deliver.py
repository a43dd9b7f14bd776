"""The outbox emptied: claim what is due, send it, keep how it went; try again, or give up where people can see it.

At least once: a crash between sending and keeping sends again under the same identity. Of one alert nothing overtakes,
which the claim sees to. What a message looks like is the notifier's business.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import replace
from time import perf_counter
from typing import Any

from collector.domain.errors import CollectorError, DeliveryError, NotFound
from collector.domain.message import Message, Words, mark
from collector.domain.notification import (
    GIVE_UP_MS,
    GONE,
    TEST,
    Channel,
    Notification,
    is_recoverable,
    retry_ms,
)
from collector.flows.catalogue import channel_of
from collector.metrics import Metrics
from collector.notify import NOTIFIERS
from collector.notify.base import Notifier, Told
from collector.notify.egress import Egress
from collector.store import alerts, outbox, registers
from collector.store.alerts import Event
from collector.store.database import Connection, Database
from collector.store.outbox import Attempt

log = logging.getLogger(__name__)

LEASE_MS = 60_000
"""How long a claim lasts; well above the longest attempt, so that nobody sends what is still on its way."""
AT_ONCE = 32
AT_ONCE_PER_CHANNEL = 8
LONGEST_NAP_SECONDS = 30.0
SHORTEST_NAP_SECONDS = 1.0
SUCCESS = range(200, 300)
GONE_WHY = mark("the receiver answered 410 Gone")
"""What the history of a channel says when it was switched off for that."""


class Deliverer:
    """Sends what waits in the outbox.

    Args:
        db: Where the outbox is.
        clock: Unix milliseconds, UTC.
        egress: Where notifications may go.
        external_url: Where people find us, for the links in messages.
        unseal: Opens a channel's secret; `Registrar.unseal`.
        metrics: Counts attempts.
        chance: 0..1, for the jitter between attempts.
        gone: Called with a channel's key when its receiver says that it is gone for good (410); to switch it off.
        notifiers: Kind of channel → how its notifier is made.
    """

    def __init__(
        self,
        db: Database,
        *,
        clock: Callable[[], int],
        egress: Egress,
        external_url: str = "",
        unseal: Callable[[str], str] = lambda sealed: sealed,
        metrics: Metrics | None = None,
        chance: Callable[[], float] = random.random,
        gone: Callable[[str], Awaitable[object]] | None = None,
        notifiers: Mapping[str, Callable[[Egress], Notifier]] = NOTIFIERS,
    ) -> None:
        self.db, self.clock, self.metrics, self.chance, self.gone = db, clock, metrics, chance, gone
        self.external_url = external_url.rstrip("/")
        self._unseal = unseal
        self._notifiers = {kind: make(egress) for kind, make in notifiers.items()}
        self._wake = asyncio.Event()
        self._failing: set[int] = set()

    def wake(self) -> None:
        """Look into the outbox now; meant for `Evaluator(posted=…)`."""
        self._wake.set()

    async def run(self) -> None:
        """Deliver until cancelled; what was being sent is sent again by the next to run, under the same identity."""
        sending: dict[asyncio.Task[Attempt], int] = {}
        try:
            while True:
                self._wake.clear()
                nap_seconds = await self._begin(sending)
                if nap_seconds:
                    await self._sleep(nap_seconds)
        finally:
            for task in sending:
                task.cancel()
            await asyncio.gather(*sending, return_exceptions=True)

    async def _begin(self, sending: dict[asyncio.Task[Attempt], int]) -> float:
        """Claim what may be on its way at once, so a slow receiver holds up only itself; returns how long to rest."""
        used = Counter(sending.values())
        busy = [channel_id for channel_id, count in used.items() if count >= AT_ONCE_PER_CHANNEL]
        try:
            claimed = await self._claim(AT_ONCE - len(sending), busy) if len(sending) < AT_ONCE else []
            for message in claimed:
                task = asyncio.create_task(self._deliver(message))
                sending[task] = message.channel_id
                task.add_done_callback(lambda done: self._finished(sending, done))
            return 0.0 if claimed else await self._nap_seconds()
        except CollectorError as error:
            log.error("outbox cannot be read error=%s", error.message)
            return SHORTEST_NAP_SECONDS

    def _finished(self, sending: dict[asyncio.Task[Attempt], int], task: asyncio.Task[Attempt]) -> None:
        sending.pop(task, None)
        self._wake.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            # The claim runs out by itself, and the message is sent again.
            log.error("delivery not kept error=%s", error)

    async def _sleep(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _nap_seconds(self) -> float:
        due_ms = await self.db.read(outbox.next_due_ms)
        if due_ms is None:
            return LONGEST_NAP_SECONDS
        return min(LONGEST_NAP_SECONDS, max(SHORTEST_NAP_SECONDS, (due_ms - self.clock()) / 1000))

    async def deliver_due(self) -> int:
        """Send what is due by now, once; returns how many messages were claimed."""
        claimed = await self._claim(AT_ONCE, ())
        await asyncio.gather(*(self._deliver(message) for message in claimed))
        return len(claimed)

    async def _claim(self, limit: int, busy: Collection[int]) -> list[outbox.Message]:
        now_ms = self.clock()
        return await self.db.write(
            lambda c: outbox.lease(c, now_ms=now_ms, lease_ms=LEASE_MS, limit=limit, not_channels=busy)
        )

    def review(self, _connection: Connection, record: Any, before: Any) -> Mapping[str, Words]:
        """What about a channel's changed fields can never be delivered; meant for `Registrar.on_review`.

        What is on record already is not held against other changes, such as switching the channel off.
        """
        notifier = self._notifiers.get(record.kind)
        changed = [name for name in ("url", "secret") if getattr(record, name) != getattr(before, name, "")]
        if notifier is None or not changed:
            return {}
        # What is not changed may not open any more, and is not looked at.
        secret = self._unseal(record.secret) if "secret" in changed else ""
        found = notifier.problems(replace(channel_of(record), secret=secret))
        return {name: words for name, words in found.items() if name in changed}

    async def test(self, channel_key: str) -> Attempt:
        """Send a test message to a channel, now and once; it is in the outbox like any other, and not tried again.

        Raises:
            NotFound: There is no such channel.
        """
        now_ms = self.clock()

        def work(connection: Connection) -> outbox.Message:
            channel = registers.by_key(connection, "channel", channel_key)
            labels = {"alertname": "test", "severity": "info"}
            words = {"summary": "This is a test message from Sigap.", "summary_id": "Ini pesan uji dari Sigap."}
            told = Notification(TEST, 0, "0" * 16, labels, words, now_ms, None)
            (row,) = outbox.post(connection, [(channel.id, told)], now_ms=now_ms, held_until_ms=now_ms + LEASE_MS)
            message = outbox.get(connection, row)
            assert message is not None
            return message

        return await self._deliver(await self.db.write(work))

    async def revive(self, outbox_id: int) -> bool:
        """Try a given-up message again; False when there is none of that id."""
        now_ms = self.clock()
        done = await self.db.write(lambda c: outbox.revive(c, outbox_id, now_ms=now_ms))
        self.wake()
        return done

    async def _deliver(self, message: outbox.Message) -> Attempt:
        began, at_ms = perf_counter(), self.clock()
        channel: Channel | None = None
        error: DeliveryError | None = None
        status = None
        try:
            channel = await self._channel(message.channel_id)
            status = await self._send(message, channel, at_ms)
        except DeliveryError as failure:
            error, status = failure, failure.status
        except Exception as failure:
            # A notifier that cannot cope with one message must not hold up the others.
            log.exception("notifier failed message=%s", message.message_id)
            error = DeliveryError(
                Message("The notifier failed: {error}.", error=type(failure).__name__), recoverable=True
            )
        took_seconds = perf_counter() - began
        detail = error.message if error else ""
        attempt = Attempt(at_ms, round(took_seconds * 1000), error is None, status, detail)
        retry_at_ms = self._retry_at_ms(message, error) if error else None
        await self.db.write(lambda c: self._settle(c, message, attempt, retry_at_ms))
        self._tell(message, channel, attempt, retry_at_ms, took_seconds)
        if status == GONE and channel is not None and self.gone is not None:
            await self.gone(channel.key)
        return attempt

    async def _channel(self, channel_id: int) -> Channel:
        try:
            channel = channel_of(await self.db.read(lambda c: registers.get(c, "channel", channel_id)))
            secret = self._unseal(channel.secret)
        except NotFound as error:
            raise DeliveryError("The channel does not exist any more.", recoverable=False) from error
        except CollectorError as error:
            raise DeliveryError(error.message, recoverable=True, hint=error.hint) from error
        return Channel(channel.id, channel.key, channel.kind, channel.url, secret)

    async def _send(self, message: outbox.Message, channel: Channel, now_ms: int) -> int:
        notifier = self._notifiers.get(channel.kind)
        if notifier is None:
            raise DeliveryError(
                Message("There is no notifier of the kind {kind}.", kind=repr(channel.kind)), recoverable=False
            )
        told = Told(message.notification, channel, message.message_id, now_ms, self.external_url)
        answer = await notifier.send(notifier.build(told))
        if answer.status in SUCCESS:
            return answer.status
        raise DeliveryError(
            Message("The receiver answered {status}.", status=answer.status),
            recoverable=is_recoverable(answer.status),
            retry_after_seconds=answer.retry_after_seconds,
            status=answer.status,
        )

    def _retry_at_ms(self, message: outbox.Message, error: DeliveryError) -> int | None:
        if message.event == TEST or not error.recoverable:
            return None
        pause_ms = retry_ms(message.attempts + 1, chance=self.chance(), retry_after_seconds=error.retry_after_seconds)
        at_ms = self.clock() + pause_ms
        return at_ms if at_ms - message.created_ms <= GIVE_UP_MS else None

    def _settle(
        self, connection: Connection, message: outbox.Message, attempt: Attempt, retry_at_ms: int | None
    ) -> None:
        outbox.settle(connection, message, attempt, retry_at_ms=retry_at_ms)
        if not attempt.ok and retry_at_ms is None and message.alert_id is not None:
            detail = f"{message.event} {message.message_id}: {attempt.detail}"
            alerts.note(connection, [Event(message.alert_id, "undelivered", attempt.at_ms, attempt.at_ms, detail)])

    def _tell(
        self,
        message: outbox.Message,
        channel: Channel | None,
        attempt: Attempt,
        retry_at_ms: int | None,
        took_seconds: float,
    ) -> None:
        name, kind = (channel.key, channel.kind) if channel else (str(message.channel_id), "unknown")
        if self.metrics is not None:
            result = "delivered" if attempt.ok else "dead" if retry_at_ms is None else "failed"
            self.metrics.deliveries.labels(kind=kind, result=result).inc()
            self.metrics.delivery_seconds.observe(took_seconds)
        if attempt.ok and message.channel_id in self._failing:
            self._failing.discard(message.channel_id)
            log.info("channel works again channel=%s", name)
        elif not attempt.ok and retry_at_ms is None:
            log.error("message given up channel=%s message=%s error=%s", name, message.message_id, attempt.detail)
        elif not attempt.ok and message.channel_id not in self._failing:
            self._failing.add(message.channel_id)
            log.warning("channel fails channel=%s error=%s", name, attempt.detail)
