"""The register of checks: what an agent looks at to say whether something works."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from collector.domain.registers import check_options
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
CENTRAL_INTERVAL_SECONDS = 10.0
CENTRAL_KEY_CHARACTERS = 64
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
    kind: str = field.one_of(
        "Kind",
        "Jenis",
        KINDS,
        offered=check_options.KNOWN,
        help=(
            "Process, file and ping look into the host or need a right on it: write them in the agent's own file.",
            "Proses, berkas, dan ping melihat ke dalam host atau memerlukan hak: ditulis di berkas agen.",
        ),
        need=field.CREATE,
        listed=True,
        filtered=True,
    )
    options: Mapping[str, Any] = field.settings(
        "Options",
        "Opsi",
        by="kind",
        known=check_options.KNOWN,
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


def an_agent_would_take_it(check: Check) -> Mapping[str, Words]:
    """A check defined here is one that an agent accepts from a collector."""
    if check.origin == AGENT:
        return {}
    if check.kind not in check_options.KNOWN:
        names = ", ".join(check_options.KNOWN)
        return {
            "kind": Words(
                f"must be {names}; others belong in the agent's file",
                f"harus {names}; jenis lain ditulis di berkas agen",
            )
        }
    problems = check_options.problems(check.kind, check.options)
    if check.interval_seconds < CENTRAL_INTERVAL_SECONDS:
        least = f"{CENTRAL_INTERVAL_SECONDS:g}"
        problems["interval_seconds"] = Words(f"must be at least {least} s", f"paling sedikit {least} d")
    if len(check.key) > CENTRAL_KEY_CHARACTERS:
        most = CENTRAL_KEY_CHARACTERS
        problems["key"] = Words(f"must be at most {most} characters", f"paling banyak {most} karakter")
    return problems


def attempts_fit_the_interval(check: Check) -> Mapping[str, Words]:
    """All attempts of one look end before the next look begins; the agent refuses the check otherwise."""
    pause = check.options.get("retry_interval_seconds", RETRY_PAUSE_SECONDS)
    try:
        pause_seconds = float(pause)
    except (TypeError, ValueError):
        return {}  # What is wrong with it is told already.
    longest_seconds = check.timeout_seconds * (check.retries + 1) + pause_seconds * check.retries
    if check.origin == AGENT or longest_seconds <= check.interval_seconds:
        return {}
    attempts, timeout = check.retries + 1, f"{check.timeout_seconds:g}"
    if attempts == 1:
        return {
            "interval_seconds": Words(
                f"must be at least {timeout} s, the timeout; or lower the timeout",
                f"paling sedikit {timeout} d, yaitu batas waktunya; atau kurangi batas waktu",
            )
        }
    least, pause = f"{longest_seconds:g}", f"{pause_seconds:g}"
    return {
        "interval_seconds": Words(
            f"must be at least {least} s: {attempts} attempts of up to {timeout} s, {pause} s apart, have to fit into "
            "it; or lower the timeout or the retries",
            f"paling sedikit {least} d: {attempts} percobaan masing-masing sampai {timeout} d, berjarak {pause} d, "
            "harus muat di dalamnya; atau kurangi batas waktu atau percobaan ulang",
        )
    }


def defined_by_an_agent(check: Check) -> Words | None:
    """A check of an agent's own file is changed there and nowhere else."""
    if check.origin == CENTRAL:
        return None
    return Words(
        "It is defined in the agent's own file; change it there.", "Ditentukan di berkas agen; ubahlah di sana."
    )


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
    kept=defined_by_an_agent,
    rules=(an_agent_would_take_it, attempts_fit_the_interval),
    example={
        "key": "shop.http",
        "name": "Shop answers",
        "host": "web-1",
        "kind": "http",
        "options": {"url": "https://shop.example/"},
    },
)
