"""The register of channels: where alerts are told."""

from __future__ import annotations

from dataclasses import dataclass

from collector.domain.registers import fields as field
from collector.domain.registers.base import Record, Register
from collector.domain.registers.lifecycle import IN_USE_OR_RETIRED
from collector.domain.registers.words import SEVERITIES, Words, choices

KINDS = choices(webhook=("Webhook", "Webhook"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel(Record):
    """Where alerts are told. `secret` is sealed; only the flow that delivers opens it."""

    kind: str = field.one_of("Kind", "Jenis", KINDS, default="webhook", listed=True, filtered=True)
    url: str = field.url("Address", "Alamat", need=field.CREATE, listed=True, searched=True)
    secret: str = field.secret(
        "Signing secret",
        "Rahasia tanda tangan",
        help=(
            "Signs every message (Standard Webhooks), so that the receiver knows it is ours.",
            "Menandatangani setiap pesan (Standard Webhooks) agar penerima tahu pengirimnya.",
        ),
    )
    minimum_severity: str = field.one_of(
        "From severity",
        "Mulai tingkat",
        SEVERITIES,
        default="warning",
        help=("Less severe alerts are not sent.", "Peringatan yang lebih ringan tidak dikirim."),
        listed=True,
        filtered=True,
    )
    send_resolved: bool = field.boolean(
        "Tell the end too",
        "Kabarkan juga berakhirnya",
        default=True,
        help=("Send a message when the alert is over.", "Kirim pesan ketika peringatan berakhir."),
    )
    enabled: bool = field.boolean("Enabled", "Aktif", default=True, listed=True, filtered=True)


REGISTER = Register(
    name="channel",
    entity=Channel,
    title=Words("Channel", "Saluran"),
    titles=Words("Channels", "Saluran"),
    about=Words("Where alerts are told.", "Ke mana peringatan dikabarkan."),
    life=IN_USE_OR_RETIRED,
    permission="admin",
    deletable=("active", "retired"),
    example={"key": "on-call", "name": "On-call webhook", "url": "https://hooks.example/sigap"},
)
