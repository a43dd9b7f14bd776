"""The webhook notifier: Alertmanager's body (version 4), signed the way of Standard Webhooks.

Whatever takes Alertmanager's webhooks takes ours; whoever verifies Standard Webhooks verifies ours.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping
from typing import Any

from collector.domain.calendar import rfc3339
from collector.domain.errors import DeliveryError
from collector.domain.message import Words
from collector.domain.notification import FIRING, TEST, Channel
from collector.notify import http
from collector.notify.base import Answer, Request, Told
from collector.notify.egress import Egress

BODY_VERSION = "4"
NEVER = "0001-01-01T00:00:00Z"
"""What Alertmanager writes for the end of something that goes on."""
SECRET_PREFIX = "whsec_"
SECRET_BYTES = range(24, 65)
NEW_SECRET_BYTES = 32
NO_SECRET = Words(
    "must be whsec_ and the base64 form of 24 to 64 bytes, or empty to send unsigned",
    "harus whsec_ diikuti bentuk base64 dari 24 sampai 64 byte, atau kosong untuk mengirim tanpa tanda tangan",
)


class Webhook:
    """Posts JSON to a channel's address."""

    def __init__(self, egress: Egress) -> None:
        self._egress = egress

    def problems(self, channel: Channel) -> Mapping[str, Words]:
        """An address that must not be reached, or a secret that signs nothing."""
        found: dict[str, Words] = {}
        if objection := self._egress.objection(channel.url):
            found["url"] = objection
        try:
            signature(channel.secret, "", 0, b"")
        except DeliveryError:
            found["secret"] = NO_SECRET
        return found

    def build(self, told: Told) -> Request:
        """The signed request; unsigned where the channel has no secret."""
        body = json.dumps(payload(told), ensure_ascii=False, separators=(",", ":")).encode()
        seconds = told.now_ms // 1000
        headers = {
            "content-type": "application/json",
            "webhook-id": told.message_id,
            "webhook-timestamp": str(seconds),
        }
        if told.channel.secret.strip():
            headers["webhook-signature"] = signature(told.channel.secret, told.message_id, seconds, body)
        return Request(told.channel.url, body, headers)

    async def send(self, request: Request) -> Answer:
        """Post it."""
        return await http.post(request, self._egress)


def payload(told: Told) -> dict[str, Any]:
    """Alertmanager's webhook body.

    Source:
        prometheus/alertmanager, documentation of webhook_config; version 4.
    """
    one = told.notification
    status = FIRING if one.event == TEST else one.event
    link = f"{told.external_url}/alerts/{one.alert_id}" if one.alert_id else f"{told.external_url}/alerts"
    name = one.labels.get("alertname", "")
    alert = {
        "status": status,
        "labels": dict(one.labels),
        "annotations": dict(one.annotations),
        "startsAt": rfc3339(one.starts_ms),
        "endsAt": NEVER if one.ends_ms is None else rfc3339(one.ends_ms),
        "generatorURL": link,
        "fingerprint": one.fingerprint,
    }
    return {
        "version": BODY_VERSION,
        "groupKey": f"{{}}:{{alertname={json.dumps(name)}, fingerprint={json.dumps(one.fingerprint)}}}",
        "truncatedAlerts": 0,
        "status": status,
        "receiver": told.channel.key,
        "groupLabels": {"alertname": name},
        "commonLabels": dict(one.labels),
        "commonAnnotations": dict(one.annotations),
        "externalURL": told.external_url,
        "alerts": [alert],
    }


def signature(secret: str, message_id: str, timestamp_seconds: int, body: bytes) -> str:
    """The value of `webhook-signature`: one signature for each secret, so that one can be exchanged without a gap.

    Args:
        secret: One or several `whsec_…`, apart by spaces.
        message_id: The value of `webhook-id`.
        timestamp_seconds: The value of `webhook-timestamp`.
        body: The bytes that are sent.

    Raises:
        DeliveryError: A secret is not one.

    Source:
        standard-webhooks/standard-webhooks, spec/standard-webhooks.md, symmetric signatures.
    """
    signed = f"{message_id}.{timestamp_seconds}.".encode() + body
    digests = [hmac.new(_key(one), signed, hashlib.sha256).digest() for one in secret.split()]
    return " ".join(f"v1,{base64.b64encode(digest).decode()}" for digest in digests)


def _key(secret: str) -> bytes:
    try:
        key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) not in SECRET_BYTES:
        raise DeliveryError(
            "The channel's signing secret is not valid.",
            recoverable=False,
            hint="It is whsec_ and the base64 form of 24 to 64 bytes; leave it empty to send unsigned.",
        )
    return key


def new_secret() -> str:
    """A fresh signing secret."""
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(NEW_SECRET_BYTES)).decode()
