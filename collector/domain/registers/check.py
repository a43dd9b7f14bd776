"""The register of checks: what an agent looks at to say whether something works."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from collector.domain.registers import fields as field
from collector.domain.registers.base import Record, Register
from collector.domain.registers.lifecycle import ACTIVE, REACTIVATE, RETIRED, LifeCycle, State, Transition
from collector.domain.registers.words import Words, choices

KINDS = choices(
    http=("HTTP", "HTTP"),
    tcp=("TCP", "TCP"),
    dns=("DNS", "DNS"),
    tls=("TLS certificate", "Sertifikat TLS"),
    process=("Process", "Proses"),
    systemd=("systemd unit", "Unit systemd"),
    file=("File age and size", "Umur dan ukuran berkas"),
    ping=("Ping", "Ping"),
)
TARGET_OPTION: Mapping[str, str] = {"http": "url", "tcp": "address", "tls": "address"}
"""The option that says what a check of a kind looks at; the agent refuses the check without it."""
RETRY_PAUSE_SECONDS = 1.0
"""How long an agent waits between two attempts unless the options say otherwise."""

AGENT, CENTRAL = "agent", "central"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check(Record):
    """What an agent looks at. Fields mean what they mean in the agent's own file."""

    host: int = field.ref(
        "Host",
        "Host",
        "host",
        help=("Whose agent looks.", "Agen host ini yang memeriksa."),
        need=field.CREATE,
        listed=True,
        filtered=True,
    )
    kind: str = field.one_of("Kind", "Jenis", KINDS, need=field.CREATE, listed=True, filtered=True)
    options: Mapping[str, Any] = field.settings(
        "Options",
        "Opsi",
        help=(
            "What this kind of check needs, one name=value a line, for example url=https://shop.example/ or "
            "address=db.example:5432.",
            "Yang dibutuhkan jenis pemeriksaan ini, satu nama=nilai per baris, misalnya url=https://toko.example/ atau "
            "address=db.example:5432.",
        ),
    )
    interval_seconds: float = field.seconds(
        "Interval",
        "Jarak pemeriksaan",
        default=30.0,
        least=1,
        help=("Time between two looks.", "Waktu antara dua pemeriksaan."),
        listed=True,
    )
    timeout_seconds: float = field.seconds(
        "Timeout",
        "Batas waktu",
        default=5.0,
        least=0.01,
        most=600,
        help=("How long one attempt may take.", "Lama satu percobaan."),
    )
    retries: int = field.integer(
        "Retries",
        "Percobaan ulang",
        default=1,
        most=10,
        help=("Attempts after the first before it counts as down.", "Percobaan tambahan sebelum dianggap mati."),
    )
    degraded_seconds: float | None = field.seconds(
        "Degraded above",
        "Terganggu di atas",
        default=None,
        least=0.001,
        help=(
            "An answer slower than this counts as degraded.",
            "Jawaban yang lebih lambat dari ini dianggap terganggu.",
        ),
    )
    origin: str = field.one_of(
        "Defined in",
        "Ditentukan di",
        choices(agent=("Agent's file", "Berkas agen"), central=("Here", "Di sini")),
        default=CENTRAL,
        need=field.SYSTEM,
        listed=True,
        filtered=True,
    )


def target_is_given(check: Check) -> Mapping[str, Words]:
    """A central check says what it looks at."""
    name = TARGET_OPTION.get(check.kind)
    if check.origin == AGENT or name is None or check.options.get(name):
        return {}
    return {
        "options": Words(
            f"'{name}' is required for a check of kind {check.kind}",
            f"'{name}' wajib diisi untuk pemeriksaan jenis {check.kind}",
        )
    }


def attempts_fit_the_interval(check: Check) -> Mapping[str, Words]:
    """All attempts of one look end before the next look begins; the agent refuses the check otherwise."""
    pause = check.options.get("retry_interval_seconds", RETRY_PAUSE_SECONDS)
    pause_seconds = float(pause) if isinstance(pause, int | float) else RETRY_PAUSE_SECONDS
    longest_seconds = check.timeout_seconds * (check.retries + 1) + pause_seconds * check.retries
    if check.origin == AGENT or longest_seconds <= check.interval_seconds:
        return {}
    return {
        "interval_seconds": Words(
            f"is too short: with {check.retries} retries one look may take {longest_seconds:g} s",
            f"terlalu pendek: dengan {check.retries} percobaan ulang satu putaran dapat memakan {longest_seconds:g} d",
        )
    }


PAUSED = State("paused", Words("Paused", "Dijeda"), tone="warn")

REGISTER = Register(
    name="check",
    entity=Check,
    title=Words("Check", "Pemeriksaan"),
    titles=Words("Checks", "Pemeriksaan"),
    about=Words(
        "What agents look at to say whether something works.",
        "Yang diperiksa agen untuk mengetahui apakah sesuatu berfungsi.",
    ),
    life=LifeCycle(
        states=(ACTIVE, PAUSED, RETIRED),
        transitions=(
            Transition("pause", Words("Pause", "Jeda"), ("active",), "paused", asks_why=True),
            Transition("resume", Words("Resume", "Lanjutkan"), ("paused",), "active"),
            Transition("retire", Words("Retire", "Pensiunkan"), ("active", "paused"), "retired", asks_why=True),
            REACTIVATE,
        ),
    ),
    rules=(target_is_given, attempts_fit_the_interval),
    example={
        "key": "shop.http",
        "name": "Shop answers",
        "host": "web-1",
        "kind": "http",
        "options": {"url": "https://shop.example/"},
    },
)
