"""The register of rules: which measured value, at what level and for how long, is worth telling somebody."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from collector.domain.alert import COMPARISONS
from collector.domain.measure import MEASURES
from collector.domain.registers import fields as field
from collector.domain.registers.base import Record, Register
from collector.domain.registers.lifecycle import IN_USE_OR_RETIRED
from collector.domain.registers.words import SEVERITIES, Option, Words, choices

# Named here rather than where they are computed: what people call them is the register's business.
LABELS = choices(
    filesystem_used_ratio=("Filesystem used (ratio)", "Filesystem terpakai (rasio)"),
    memory_used_ratio=("Memory used (ratio)", "Memori terpakai (rasio)"),
    memory_pressure_ratio=("Memory pressure (ratio)", "Tekanan memori (rasio)"),
    swap_used_ratio=("Swap used (ratio)", "Swap terpakai (rasio)"),
    cpu_busy_ratio=("CPU busy (ratio)", "CPU sibuk (rasio)"),
    load_per_cpu=("Load per CPU", "Beban per CPU"),
    clock_skew_seconds=("Clock skew (seconds)", "Selisih jam (detik)"),
    certificate_days_left=("Certificate days left", "Sisa hari sertifikat"),
    agent_silent_seconds=("Agent silent (seconds)", "Agen diam (detik)"),
    check_state=("Check state (1 up, 2 degraded, 3 down)", "Status pemeriksaan (1 hidup, 2 terganggu, 3 mati)"),
)
UNITS: Mapping[str, Words] = {
    "ratio": Words("0 to 1; 95 % is 0.95", "0 sampai 1; 95 % adalah 0.95"),
    "seconds": Words("seconds", "detik"),
    "days": Words("days", "hari"),
    "count": Words("per CPU", "per CPU"),
    "state": Words("1 up, 2 degraded, 3 down", "1 hidup, 2 terganggu, 3 mati"),
}
"""Unit of a measure → how a level is written in it."""
UNIT_OF: Mapping[str, Words] = {measure.name: UNITS[measure.unit] for measure in MEASURES.values()}
BETWEEN = Words("must be between {0} and {1} ({2})", "harus antara {0} dan {1} ({2})")
NEVER = Words("is never reached: no value is {0} {1}", "tidak pernah tercapai: tidak ada nilai {0} {1}")
OPTIONS = tuple(
    next((option for option in LABELS if option.value == name), Option(name, Words(name))) for name in MEASURES
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule(Record):
    """Fires when `measure` compares to `level` for `for_seconds`; ends when it no longer compares to `clear_level`."""

    measure: str = field.one_of("Measure", "Ukuran", OPTIONS, need=field.CREATE, listed=True, filtered=True)
    selector: Mapping[str, str] = field.pairs(
        "Only where",
        "Hanya bila",
        regex=True,
        help=(
            "One label=regular expression a line; all must match. Empty: everywhere.",
            "Satu label=ekspresi reguler per baris; semua harus cocok. Kosong: di mana saja.",
        ),
    )
    comparison: str = field.one_of(
        "Fires when the value is",
        "Menyala bila nilainya",
        choices(
            **{
                ">": ("above (>)", "di atas (>)"),
                ">=": ("at or above (>=)", "sama atau di atas (>=)"),
                "<": ("below (<)", "di bawah (<)"),
                "<=": ("at or below (<=)", "sama atau di bawah (<=)"),
            }
        ),
        default=">",
        listed=True,
    )
    level: float = field.number(
        "Level", "Ambang", default=0.0, need=field.CREATE, unit_by="measure", units=UNIT_OF, listed=True
    )
    clear_level: float | None = field.number(
        "Level at which it ends",
        "Ambang berakhir",
        default=None,
        unit_by="measure",
        units=UNIT_OF,
        help=(
            "A level further on the good side keeps a value near the limit from flapping. Empty: the level itself.",
            "Ambang di sisi baik mencegah peringatan naik-turun. Kosong: sama dengan ambang.",
        ),
    )
    for_seconds: float = field.seconds(
        "For",
        "Selama",
        default=0.0,
        most=7 * 86_400,
        help=("How long it must hold before it fires.", "Lama kondisi berlangsung sebelum menyala."),
        listed=True,
    )
    severity: str = field.one_of(
        "Severity", "Tingkat keparahan", SEVERITIES, default="warning", listed=True, filtered=True
    )
    enabled: bool = field.boolean("Enabled", "Aktif", default=True, listed=True, filtered=True)
    summary: str = field.text(
        "Summary (English)",
        "Ringkasan (Inggris)",
        longest=300,
        help=(
            "{host}, {value}, {level} and labels such as {mountpoint} stand for what they say.",
            "{host}, {value}, {level}, dan label seperti {mountpoint} diganti dengan isinya.",
        ),
        searched=True,
    )
    summary_id: str = field.text("Summary (Indonesian)", "Ringkasan (Indonesia)", longest=300, searched=True)
    advice: str = field.multiline("What to do (English)", "Yang perlu dilakukan (Inggris)")
    advice_id: str = field.multiline("What to do (Indonesian)", "Yang perlu dilakukan (Indonesia)")


def clears_on_the_good_side(rule: Rule) -> Mapping[str, Words]:
    """Where it ends lies on the good side of where it fires, or an alert would end while its rule still holds."""
    if rule.clear_level is None:
        return {}
    bad = rule.clear_level > rule.level if rule.comparison.startswith(">") else rule.clear_level < rule.level
    if not bad:
        return {}
    side = ("at most", "paling tinggi") if rule.comparison.startswith(">") else ("at least", "paling rendah")
    return {
        "clear_level": Words(
            f"must be {side[0]} the level, {rule.level:g}", f"harus {side[1]} sama dengan ambang, {rule.level:g}"
        )
    }


def its_level_can_be_reached(rule: Rule) -> Mapping[str, Words]:
    """There are values of the measure at which the rule fires; one above 95 would never, where 0.95 is meant."""
    measure = MEASURES.get(rule.measure)
    if measure is None:
        return {}
    lowest, highest = measure.bounds
    given = {"level": rule.level} | ({} if rule.clear_level is None else {"clear_level": rule.clear_level})
    problems = {
        name: BETWEEN.fill(f"{lowest:.15g}", f"{highest:.15g}", UNITS[measure.unit])
        for name, level in given.items()
        if not lowest <= level <= highest
    }
    furthest = highest if rule.comparison.startswith(">") else lowest
    if not problems and not COMPARISONS[rule.comparison](furthest, rule.level):
        problems["level"] = NEVER.fill(rule.comparison, f"{rule.level:g}")
    return problems


REGISTER = Register(
    name="rule",
    entity=Rule,
    title=Words("Rule", "Aturan"),
    titles=Words("Rules", "Aturan"),
    about=Words("When a measured value is worth an alert.", "Kapan nilai terukur perlu diperingatkan."),
    life=IN_USE_OR_RETIRED,
    rules=(its_level_can_be_reached, clears_on_the_good_side),
    deletable=("active", "retired"),
    example={
        "key": "disk-full",
        "name": "Filesystem nearly full",
        "measure": "filesystem_used_ratio",
        "level": 0.9,
        "clear_level": 0.85,
    },
)
