from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from collector.domain.errors import InvalidInput, StoreError
from collector.domain.notification import Notification
from collector.flows.deliver import LEASE_MS, Deliverer
from collector.flows.register import Registrar
from collector.metrics import Metrics
from collector.notify import NOTIFIERS
from collector.notify.base import Answer, Request, Told
from collector.notify.egress import LOOPBACK, Egress
from collector.notify.webhook import new_secret
from collector.store import alerts, outbox
from collector.store.database import Database
from collector.store.outbox import Message
from tests.collector.clock import Clock
from tests.collector.notify.receiver import Receiver, is_signed, receiver

SECOND = 1000
SECRET = new_secret()


class Plain:
    """Keeps secrets as they are."""

    def seal(self, plain: str) -> str:
        return plain and f"sealed:{plain}"

    def unseal(self, sealed: str) -> str:
        return sealed.removeprefix("sealed:")


class Desk:
    """A channel to a real receiver, and a deliverer with a clock that can be turned."""

    def __init__(self, database: Database, taken: Receiver) -> None:
        self.database, self.taken, self.clock = database, taken, Clock(1_700_000_000_000)
        self.registrar = Registrar(database, clock=self.clock, sealing=Plain())
        self.gone: list[str] = []
        self.metrics = Metrics()
        self.channel: Any = None
        self.deliverer = self.another()

    def another(self, **changes: Any) -> Deliverer:
        settings: dict[str, Any] = {
            "clock": self.clock,
            "egress": Egress(LOOPBACK),
            "external_url": "https://sigap.example/",
            "unseal": self.registrar.unseal,
            "metrics": self.metrics,
            "chance": lambda: 0.0,
            "gone": self.note_gone,
        }
        return Deliverer(self.database, **settings | changes)

    async def note_gone(self, key: str) -> None:
        self.gone.append(key)

    async def open(self) -> None:
        data = {"key": "on-call", "name": "On call", "url": self.taken.url, "secret": SECRET}
        self.channel = await self.registrar.create("test", "channel", data)

    def post(self, event: str = "firing", alert_id: int = 1, channel_id: int | None = None) -> int:
        told = Notification(event, alert_id, "f" * 16, {"alertname": "disk", "n": str(alert_id)}, {}, 5)
        to = self.channel.id if channel_id is None else channel_id
        return self.database.write_now(lambda c: outbox.post(c, [(to, told)], now_ms=self.clock()))[0]

    def message(self, row: int) -> Message:
        found = self.database.read_now(lambda c: outbox.get(c, row))
        assert found is not None
        return found

    @property
    def statuses(self) -> list[str]:
        return [one.json["status"] for one in self.taken.received]


@pytest.fixture
async def desk(database: Database) -> AsyncIterator[Desk]:
    async with receiver() as taken:
        desk = Desk(database, taken)
        await desk.open()
        yield desk


async def test_a_message_arrives_signed_and_is_marked(desk: Desk) -> None:
    row = desk.post()
    assert await desk.deliverer.deliver_due() == 1
    assert desk.message(row).state == "delivered"
    assert is_signed(SECRET, desk.taken.received[0])
    assert desk.taken.received[0].id == desk.message(row).message_id
    assert desk.taken.received[0].json["alerts"][0]["generatorURL"] == "https://sigap.example/alerts/1"
    assert await desk.deliverer.deliver_due() == 0


async def test_it_is_tried_again_after_growing_pauses_under_the_same_identity(desk: Desk) -> None:
    row = desk.post()
    pauses = []
    for status in (500, 503, 429, 408, 502, 500, 500):
        desk.taken.answers = [web.Response(status=status)]
        assert await desk.deliverer.deliver_due() == 1
        pauses.append((desk.message(row).due_ms - desk.clock.now_ms) // SECOND)
        assert await desk.deliverer.deliver_due() == 0
        desk.clock.now_ms = desk.message(row).due_ms
    await desk.deliverer.deliver_due()
    assert pauses == [5, 15, 30, 60, 120, 300, 300]
    assert desk.message(row).state == "delivered"
    assert len({one.id for one in desk.taken.received}) == 1
    log = desk.database.read_now(lambda c: outbox.attempts(c, row))
    assert [one.status for one in log] == [500, 503, 429, 408, 502, 500, 500, 200]


async def test_a_receiver_may_ask_for_patience(desk: Desk) -> None:
    row = desk.post()
    desk.taken.answers = [web.Response(status=503, headers={"retry-after": "42"})]
    await desk.deliverer.deliver_due()
    assert desk.message(row).due_ms - desk.clock.now_ms == 42 * SECOND


@pytest.mark.parametrize("status", [400, 401, 404, 301])
async def test_a_refusal_is_a_dead_letter_that_the_alert_tells_of(desk: Desk, status: int) -> None:
    row = desk.post()
    desk.taken.answers = [web.Response(status=status)]
    await desk.deliverer.deliver_due()
    assert desk.message(row).state == "dead"
    assert str(status) in desk.message(row).last_error
    assert [one.kind for one in desk.database.read_now(lambda c: alerts.events(c, 1))] == ["undelivered"]
    assert desk.gone == []


async def test_a_receiver_that_is_gone_is_reported_to_be_switched_off(desk: Desk) -> None:
    row = desk.post()
    desk.taken.answers = [web.Response(status=410)]
    await desk.deliverer.deliver_due()
    assert (desk.message(row).state, desk.gone) == ("dead", ["on-call"])


async def test_after_three_days_it_is_given_up_and_shown(desk: Desk) -> None:
    row = desk.post()
    desk.clock.now_ms += 72 * 3600 * SECOND
    desk.taken.answers = [web.Response(status=500)]
    await desk.deliverer.deliver_due()
    assert desk.message(row).state == "dead"
    assert await desk.deliverer.revive(row)
    await desk.deliverer.deliver_due()
    assert desk.message(row).state == "delivered"


async def test_an_end_never_arrives_before_its_beginning(desk: Desk) -> None:
    desk.post("firing")
    desk.post("resolved")
    desk.taken.answers = [web.Response(status=500)]
    await desk.deliverer.deliver_due()
    await desk.deliverer.deliver_due()
    assert desk.statuses == ["firing"]
    desk.clock.now_ms += 5 * SECOND
    await desk.deliverer.deliver_due()
    await desk.deliverer.deliver_due()
    assert desk.statuses == ["firing", "firing", "resolved"]


async def test_what_a_dead_sender_had_claimed_is_sent_by_the_next(desk: Desk) -> None:
    row = desk.post()
    claimed = desk.database.write_now(lambda c: outbox.lease(c, now_ms=desk.clock(), lease_ms=LEASE_MS, limit=1))
    successor = desk.another()
    assert await successor.deliver_due() == 0
    desk.clock.now_ms += LEASE_MS
    assert await successor.deliver_due() == 1
    assert desk.taken.received[0].id == claimed[0].message_id == desk.message(row).message_id


async def test_a_network_that_is_not_allowed_is_never_reached(desk: Desk) -> None:
    row = desk.post()
    await desk.another(egress=Egress()).deliver_due()
    assert desk.message(row).state == "dead"
    assert "not public" in desk.message(row).last_error
    assert desk.taken.received == []


async def test_a_test_message_is_sent_once_and_told_of(desk: Desk) -> None:
    attempt = await desk.deliverer.test("on-call")
    assert (attempt.ok, attempt.status) == (True, 200)
    assert desk.taken.received[0].json["alerts"][0]["labels"]["alertname"] == "test"
    desk.taken.answers = [web.Response(status=500)]
    attempt = await desk.deliverer.test("on-call")
    assert (attempt.ok, attempt.status) == (False, 500)
    assert [one.event for one in desk.database.read_now(lambda c: outbox.messages(c, state="dead"))] == ["test"]


async def test_a_channel_that_was_deleted_leaves_a_dead_letter(desk: Desk) -> None:
    row = desk.post(channel_id=999)
    await desk.deliverer.deliver_due()
    assert desk.message(row).state == "dead"


async def test_one_notifier_that_fails_holds_up_no_other_message(desk: Desk) -> None:
    class Broken:
        def build(self, told: Told) -> Request:
            raise KeyError("bug") if told.notification.alert_id == 1 else AssertionError

        async def send(self, request: Request) -> Answer:
            raise AssertionError

    broken = {"webhook": lambda egress: Broken()}
    first = desk.post(alert_id=1)
    await desk.another(notifiers=broken).deliver_due()
    assert desk.message(first).state == "waiting"
    assert desk.message(first).last_error == "The notifier failed: KeyError."


async def test_a_new_notifier_is_one_class_and_one_line(desk: Desk) -> None:
    sent = []

    class Pigeon:
        def __init__(self, _egress: Egress) -> None:
            pass

        def build(self, told: Told) -> Request:
            return Request("pigeon://roof", told.notification.labels["alertname"].encode())

        async def send(self, request: Request) -> Answer:
            sent.append(request.body)
            return Answer(200)

    row = desk.post()
    await desk.another(notifiers={**NOTIFIERS, "webhook": Pigeon}).deliver_due()
    assert sent == [b"disk"]
    assert desk.message(row).state == "delivered"


async def test_running_it_delivers_as_messages_come_and_a_slow_receiver_holds_up_only_itself(desk: Desk) -> None:
    async with receiver() as slow:
        slow.delay_seconds = 3
        data = {"key": "slow", "name": "Slow", "url": slow.url}
        other = await desk.registrar.create("test", "channel", data)
        for alert_id in range(100, 120):
            desk.post(alert_id=alert_id, channel_id=other.id)
        running = asyncio.create_task(desk.deliverer.run())
        async with asyncio.timeout(10):
            while not slow.received:
                await asyncio.sleep(0.01)
        row = desk.post()
        desk.deliverer.wake()
        async with asyncio.timeout(2):
            while not desk.taken.received:
                await asyncio.sleep(0.01)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert desk.taken.received[0].id == desk.message(row).message_id


async def test_attempts_are_counted(desk: Desk) -> None:
    desk.post()
    desk.taken.answers = [web.Response(status=500)]
    await desk.deliverer.deliver_due()
    desk.clock.now_ms += 5 * SECOND
    await desk.deliverer.deliver_due()
    value = desk.metrics.registry.get_sample_value
    assert value("sigap_deliveries_total", {"kind": "webhook", "result": "failed"}) == 1
    assert value("sigap_deliveries_total", {"kind": "webhook", "result": "delivered"}) == 1


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("url", "http://169.254.169.254/"),
        ("url", "https://[fd00::1]/hook"),
        ("url", "http://hooks.example:25/"),
        ("url", "https://ana:hush@hooks.example/"),
        ("secret", "short"),
        ("secret", f"whsec_{24 * 'A'} whsec_{12 * 'A'}"),
    ],
)
async def test_a_channel_that_could_never_deliver_is_not_saved(desk: Desk, field: str, wrong: str) -> None:
    guarded = desk.another(egress=Egress())
    desk.registrar.on_review("channel", guarded.review)
    whole = {"key": "pager", "name": "Pager", "url": "https://hooks.example/", "secret": SECRET}
    with pytest.raises(InvalidInput) as refused:
        await desk.registrar.create("test", "channel", whole | {field: wrong})
    assert set(refused.value.fields) == {field}
    assert wrong not in str(refused.value)
    await desk.registrar.create("test", "channel", whole)
    with pytest.raises(InvalidInput):
        await desk.registrar.edit("test", "channel", "pager", {field: wrong})


async def test_what_is_on_record_already_is_not_held_against_other_changes(desk: Desk) -> None:
    desk.registrar.on_review("channel", desk.another(egress=Egress(), unseal=fails_to_open).review)
    off = await desk.registrar.edit("test", "channel", "on-call", {"enabled": False})
    assert not off.enabled
    assert off.url == desk.taken.url


def fails_to_open(_sealed: str) -> str:
    raise StoreError("no key")
