from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence

import pytest
from aiohttp import web

from collector.domain.errors import DeliveryError
from collector.domain.notification import Channel, Notification
from collector.notify import NOTIFIERS
from collector.notify.base import Answer, Request, Told
from collector.notify.egress import LOOPBACK, Egress
from collector.notify.http import BODY_LIMIT_BYTES, post
from collector.notify.webhook import Webhook, new_secret, signature
from tests.collector.notify.receiver import Received, is_signed, receiver

LOCAL = Egress(LOOPBACK)
LABELS = {"alertname": "disk-full", "instance": "web-1", "severity": "critical"}


def told(secret: str = "", event: str = "firing", url: str = "https://hooks.example/") -> Told:
    ends_ms = 61_000 if event == "resolved" else None
    one = Notification(event, 7, "00ff00ff00ff00ff", LABELS, {"summary": "/ is 91 % full – „penuh“"}, 1_000, ends_ms)
    channel = Channel(1, "on-call", "webhook", url, secret)
    return Told(one, channel, "msg_1", 5_999, "https://sigap.example")


def sent(request: Request) -> Received:
    return Received(dict(request.headers), request.body)


def test_the_body_is_alertmanagers_version_4() -> None:
    request = Webhook(LOCAL).build(told())
    assert sent(request).json == {
        "version": "4",
        "groupKey": '{}:{alertname="disk-full", fingerprint="00ff00ff00ff00ff"}',
        "truncatedAlerts": 0,
        "status": "firing",
        "receiver": "on-call",
        "groupLabels": {"alertname": "disk-full"},
        "commonLabels": LABELS,
        "commonAnnotations": {"summary": "/ is 91 % full – „penuh“"},
        "externalURL": "https://sigap.example",
        "alerts": [
            {
                "status": "firing",
                "labels": LABELS,
                "annotations": {"summary": "/ is 91 % full – „penuh“"},
                "startsAt": "1970-01-01T00:00:01.000Z",
                "endsAt": "0001-01-01T00:00:00Z",
                "generatorURL": "https://sigap.example/alerts/7",
                "fingerprint": "00ff00ff00ff00ff",
            }
        ],
    }


def test_an_end_says_when() -> None:
    body = sent(Webhook(LOCAL).build(told(event="resolved"))).json
    assert body["status"] == body["alerts"][0]["status"] == "resolved"
    assert body["alerts"][0]["endsAt"] == "1970-01-01T00:01:01.000Z"


def test_the_signature_is_that_of_the_published_vector() -> None:
    # Source: the test suite of standard-webhooks/standard-webhooks.
    made = signature(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330,
        b'{"test": 2432232314}',
    )
    assert made == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_receiver_can_verify_what_it_gets() -> None:
    secret = new_secret()
    request = Webhook(LOCAL).build(told(secret))
    assert request.headers["webhook-timestamp"] == "5"
    assert is_signed(secret, sent(request))
    assert not is_signed(new_secret(), sent(request))
    tampered = Received(dict(request.headers), request.body.replace(b"91", b"19"))
    assert not is_signed(secret, tampered)


def test_while_a_secret_is_exchanged_both_verify() -> None:
    old, new = new_secret(), new_secret()
    request = sent(Webhook(LOCAL).build(told(f"{new} {old}")))
    assert is_signed(old, request)
    assert is_signed(new, request)


def test_without_a_secret_nothing_pretends_to_be_signed() -> None:
    assert "webhook-signature" not in Webhook(LOCAL).build(told()).headers


@pytest.mark.parametrize("secret", ["hunter2", "whsec_", "whsec_%%%", "whsec_c2hvcnQ="])
def test_a_secret_that_is_none_is_refused_without_showing_it(secret: str) -> None:
    with pytest.raises(DeliveryError) as caught:
        Webhook(LOCAL).build(told(secret))
    assert not caught.value.recoverable
    assert secret not in caught.value.message or secret == "whsec_"


async def test_it_arrives_as_it_was_built() -> None:
    async with receiver() as taken:
        notifier = NOTIFIERS["webhook"](LOCAL)
        request = notifier.build(told(new_secret(), url=taken.url))
        answer = await notifier.send(request)
    assert answer.status == 200
    assert taken.received[0].body == request.body
    assert taken.received[0].headers["content-type"] == "application/json"
    assert taken.received[0].id == "msg_1"


async def test_a_redirect_is_an_answer_and_is_not_followed() -> None:
    async with receiver() as taken:
        taken.answers = [web.Response(status=307, headers={"location": taken.url})]
        answer = await post(Request(taken.url, b"{}"), LOCAL)
        assert answer.status == 307
        assert len(taken.received) == 1


@pytest.mark.parametrize(("text", "seconds"), [("7", 7.0), ("soon", None), ("", None)])
async def test_how_long_to_wait_is_understood(text: str, seconds: float | None) -> None:
    async with receiver() as taken:
        taken.answers = [web.Response(status=429, headers={"retry-after": text})]
        assert await post(Request(taken.url, b"{}"), LOCAL) == Answer(429, seconds)


async def test_a_date_to_wait_for_is_understood() -> None:
    async with receiver() as taken:
        taken.answers = [web.Response(status=503, headers={"retry-after": "Fri, 01 Jan 2100 00:00:00 GMT"})]
        answer = await post(Request(taken.url, b"{}"), LOCAL)
    assert (answer.retry_after_seconds or 0) > 1_000_000


async def test_a_receiver_that_does_not_answer_in_time_may_later() -> None:
    async with receiver() as taken:
        taken.delay_seconds = 2
        with pytest.raises(DeliveryError) as caught:
            await post(Request(taken.url, b"{}"), LOCAL, timeout_seconds=0.2)
    assert caught.value.recoverable


async def test_a_receiver_that_answers_without_end_does_not_hold_us() -> None:
    async with receiver() as taken:
        taken.answers = [web.Response(body=b"x" * (BODY_LIMIT_BYTES * 40))]
        async with asyncio.timeout(5):
            assert (await post(Request(taken.url, b"{}"), LOCAL)).status == 200


async def test_nobody_there_may_be_there_later() -> None:
    async with receiver() as taken:
        url = taken.url
    with pytest.raises(DeliveryError) as caught:
        await post(Request(url, b"{}"), LOCAL)
    assert caught.value.recoverable


async def test_a_name_that_changes_its_mind_leads_nowhere_else() -> None:
    asked = []

    async def rebinding(host: str, _port: int) -> Sequence[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["10.0.0.1"]

    async with receiver() as taken:
        url = taken.url.replace("127.0.0.1", "hooks.example")
        assert (await post(Request(url, b"{}"), Egress(LOOPBACK, resolve=rebinding))).status == 200
        assert taken.received[0].headers["host"].startswith("hooks.example:")
    assert asked == ["hooks.example"]


async def test_a_proxy_of_the_environment_is_not_used() -> None:
    before = {name: os.environ.get(name) for name in ("http_proxy", "HTTP_PROXY")}
    os.environ["http_proxy"] = os.environ["HTTP_PROXY"] = "http://127.0.0.1:9"
    try:
        async with receiver() as taken:
            assert (await post(Request(taken.url, b"{}"), LOCAL)).status == 200
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
