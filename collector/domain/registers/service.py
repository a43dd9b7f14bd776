"""The register of services: the portfolio from the first idea to the retired service.

States and gates G1 to G9 follow the service portfolio process (Define, Analyse, Approve, Charter, and on through design
and transition to the catalogue). A field says itself at which gate it is needed; what else a gate asks is a named
condition below. What is measured of a service is no field of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from collector.domain.registers import fields as field
from collector.domain.registers.base import Record, Register
from collector.domain.registers.lifecycle import LifeCycle, State, Transition
from collector.domain.registers.words import Words, choices

PIPELINE, CATALOGUE, RETIRED_PART = "pipeline", "catalogue", "retired"

PIPELINE_STATES = (
    State("idea", Words("Idea", "Gagasan"), tone="progress"),
    State("defined", Words("Defined", "Terdefinisi"), tone="progress"),
    State("analysed", Words("Analysed", "Teranalisis"), tone="progress"),
    State("approved", Words("Approved", "Disetujui"), tone="progress"),
    State("chartered", Words("Chartered", "Ditugaskan"), tone="progress"),
    State("designing", Words("Designing", "Dirancang"), tone="progress"),
    State("in_transition", Words("In transition", "Dalam transisi"), tone="progress"),
)
LIVE_STATES = (
    State("live", Words("Live", "Beroperasi"), tone="good"),
    State("retiring", Words("Retiring", "Akan pensiun"), tone="warn"),
)
ENDED_STATES = (
    State("retired", Words("Retired", "Pensiun"), closed=True, tone="muted"),
    State("on_hold", Words("On hold", "Ditunda"), tone="warn"),
    State("rejected", Words("Rejected", "Ditolak"), closed=True, tone="muted"),
    State("cancelled", Words("Cancelled", "Dibatalkan"), closed=True, tone="muted"),
)
BEFORE_LIVE = tuple(state.name for state in PIPELINE_STATES)


def portfolio_part(values: Mapping[str, Any]) -> str:
    """Which part of the portfolio the state belongs to."""
    if values["state"] in [state.name for state in LIVE_STATES]:
        return CATALOGUE
    return PIPELINE if values["state"] in (*BEFORE_LIVE, "on_hold") else RETIRED_PART


@dataclass(frozen=True, slots=True, kw_only=True)
class Service(Record):
    """What a customer gets. Its key is the label `service` of every metric about it."""

    name: str = field.text("Name (English)", "Nama (Inggris)", need=field.CREATE, listed=True, searched=True)
    name_id: str = field.text("Name (Indonesian)", "Nama (Indonesia)", need="go_live", searched=True)
    description: str = field.multiline("Description (English)", "Deskripsi (Inggris)", need="define", searched=True)
    description_id: str = field.multiline(
        "Description (Indonesian)", "Deskripsi (Indonesia)", need="go_live", searched=True
    )
    owner: str = field.text(
        "Service owner",
        "Pemilik Layanan",
        help=("The one person who answers for it.", "Satu orang yang bertanggung jawab."),
        need="charter",
        listed=True,
        searched=True,
        filtered=True,
    )
    criticality: str = field.one_of(
        "Criticality",
        "Kekritisan",
        choices(
            critical=("Critical", "Kritis"),
            high=("High", "Tinggi"),
            medium=("Medium", "Sedang"),
            low=("Low", "Rendah"),
        ),
        default="medium",
        help=("What is at stake when it fails.", "Yang dipertaruhkan bila layanan ini gagal."),
        listed=True,
        filtered=True,
    )
    members: tuple[int, ...] = field.refs(
        "Checks",
        "Pemeriksaan",
        "check",
        help=("What tells whether the service is up.", "Yang menentukan apakah layanan hidup."),
        need="go_live",
        filtered=True,
    )
    roll_up: str = field.one_of(
        "Up when",
        "Hidup bila",
        choices(
            worst_of=("all checks are up", "semua pemeriksaan hidup"),
            k_of_n=("at least k checks are up", "paling sedikit k pemeriksaan hidup"),
        ),
        default="worst_of",
    )
    k: int = field.integer(
        "k",
        "k",
        default=1,
        least=1,
        most=1000,
        help=(
            "How many checks must be up, for 'at least k'.",
            "Banyaknya pemeriksaan yang harus hidup, untuk 'paling sedikit k'.",
        ),
    )
    availability_objective: Decimal | None = field.decimal(  # noqa: RUF009 — a field, not a shared default
        "Availability objective",
        "Sasaran ketersediaan",
        default=None,
        least="50",
        most="100",
        unit="%",
        help=("Share of each calendar month, for example 99.9.", "Bagian dari setiap bulan kalender, misalnya 99.9."),
        need="hand_over",
        listed=True,
    )
    time_zone: str = field.time_zone(
        "Time zone",
        "Zona waktu",
        default="Asia/Jakarta",
        help=("Where the calendar month begins and ends.", "Penentu awal dan akhir bulan kalender."),
    )
    degraded_counts_as: str = field.one_of(
        "Degraded counts as",
        "Terganggu dihitung sebagai",
        choices(up=("Up", "Hidup"), down=("Down", "Mati")),
        default="up",
        help=(
            "Whether degraded time counts against the availability objective.",
            "Apakah waktu terganggu mengurangi ketersediaan.",
        ),
    )
    portfolio_part: str = field.one_of(
        "Portfolio part",
        "Bagian portofolio",
        choices(
            pipeline=("Service pipeline", "Jalur layanan (Pipeline)"),
            catalogue=("Service catalogue", "Katalog layanan"),
            retired=("Retired services", "Layanan pensiun (Retired)"),
        ),
        default=PIPELINE,
        help=("Follows from the state.", "Mengikuti status."),
        need=field.COMPUTED,
        compute=portfolio_part,
        listed=True,
        filtered=True,
    )


def k_is_possible(service: Service) -> Mapping[str, Words]:
    """At least as many checks as must be up."""
    if service.roll_up != "k_of_n" or not service.members or service.k <= len(service.members):
        return {}
    count = len(service.members)
    return {
        "k": Words(
            f"must be at most {count}, the number of checks", f"paling banyak {count}, yaitu banyaknya pemeriksaan"
        )
    }


def is_measured(service: Service) -> Words | None:
    """A service in operation is measured by at least one check."""
    if service.members:
        return None
    return Words(
        "Add at least one check that measures the service.",
        "Tambahkan paling sedikit satu pemeriksaan yang mengukur layanan ini.",
    )


def has_objective(service: Service) -> Words | None:
    """A service in operation has an availability objective to be judged by."""
    if service.availability_objective is not None:
        return None
    return Words("Set the availability objective.", "Isi sasaran ketersediaan.")


PORTFOLIO = LifeCycle(
    states=(*PIPELINE_STATES, *LIVE_STATES, *ENDED_STATES),
    transitions=(
        Transition("define", Words("Define", "Definisikan"), ("idea",), "defined"),
        Transition("analyse", Words("Analyse", "Analisis"), ("defined",), "analysed"),
        Transition(
            "approve", Words("Approve", "Setujui"), ("analysed",), "approved", permission="admin", asks_why=True
        ),
        Transition("charter", Words("Charter", "Tugaskan"), ("approved",), "chartered", permission="admin"),
        Transition("design", Words("Start design", "Mulai perancangan"), ("chartered",), "designing"),
        Transition(
            "hand_over", Words("Hand over to transition", "Serahkan ke transisi"), ("designing",), "in_transition"
        ),
        Transition(
            "go_live",
            Words("Go live", "Operasikan"),
            ("in_transition",),
            "live",
            permission="admin",
        ),
        Transition(
            "adopt",
            Words("Already in operation", "Sudah beroperasi"),
            ("idea",),
            "live",
            asks_why=True,
            conditions=(is_measured, has_objective),
        ),
        Transition(
            "start_retirement",
            Words("Start retirement", "Mulai pemensiunan"),
            ("live",),
            "retiring",
            permission="admin",
            asks_why=True,
        ),
        Transition(
            "keep",
            Words("Keep in operation", "Tetap operasikan"),
            ("retiring",),
            "live",
            permission="admin",
            asks_why=True,
            detour=True,
        ),
        Transition(
            "retire", Words("Retire", "Pensiunkan"), ("retiring",), "retired", permission="admin", asks_why=True
        ),
        Transition("hold", Words("Put on hold", "Tunda"), BEFORE_LIVE, "on_hold", asks_why=True, detour=True),
        Transition(
            "reopen", Words("Reopen as an idea", "Buka lagi sebagai gagasan"), ("on_hold",), "idea", detour=True
        ),
        Transition(
            "reject", Words("Reject", "Tolak"), ("analysed", "on_hold"), "rejected", permission="admin", asks_why=True
        ),
        Transition("cancel", Words("Cancel", "Batalkan"), (*BEFORE_LIVE, "on_hold"), "cancelled", asks_why=True),
    ),
)

REGISTER = Register(
    name="service",
    entity=Service,
    title=Words("Service", "Layanan"),
    titles=Words("Services", "Layanan"),
    about=Words(
        "The service portfolio: pipeline, catalogue and retired services.",
        "Portofolio layanan: jalur, katalog, dan layanan pensiun.",
    ),
    life=PORTFOLIO,
    rules=(k_is_possible,),
    deletable=("idea",),
    example={
        "key": "shop",
        "name": "Web shop",
        "name_id": "Toko web",
        "owner": "Sari",
        "criticality": "high",
        "members": ["shop.http"],
        "availability_objective": "99.9",
    },
)
