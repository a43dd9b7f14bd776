"""Numbers, amounts and times as a person of either language writes them.

Pure: the language, the time zone and the present are given. Sentences are translated in the templates.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from decimal import Decimal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

NOTHING = "–"
Number = float | int | Decimal | None

_SEPARATORS: Mapping[str, tuple[str, str]] = {"en": (",", "."), "id": (".", ",")}  # thousands, decimals
_MONTHS: Mapping[str, Sequence[str]] = {
    "en": ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"),
    "id": ("Jan", "Feb", "Mar", "Apr", "Mei", "Jun", "Jul", "Agu", "Sep", "Okt", "Nov", "Des"),
}
_LONG_MONTHS: Mapping[str, Sequence[str]] = {
    "en": (
        "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
        "December",
    ),
    "id": (
        "Januari", "Februari", "Maret", "April", "Mei", "Juni", "Juli", "Agustus", "September", "Oktober", "November",
        "Desember",
    ),
}  # fmt: skip
_DURATIONS: Mapping[str, Sequence[tuple[int, str]]] = {
    "en": ((86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1000, "s")),
    "id": ((86_400_000, "hari"), (3_600_000, "jam"), (60_000, "mnt"), (1000, "dtk")),
}
DAY_MS = 86_400_000
_BINARY = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_STEP = 1024


def _missing(value: Number) -> bool:
    return value is None or (isinstance(value, float) and not math.isfinite(value))


def number(value: Number, language: str, digits: int | None = None) -> str:
    """A number with its separators; without `digits`, three significant ones at most."""
    if value is None or _missing(value):
        return NOTHING
    if digits is None:
        size = abs(float(value))
        digits = 0 if size >= 100 or float(value).is_integer() else 1 if size >= 10 else 2
    thousands, point = _SEPARATORS.get(language, _SEPARATORS["en"])
    text = f"{value:,.{digits}f}"
    return text.translate({ord(","): thousands, ord("."): point})


def percent(ratio: Number, language: str, digits: int = 1) -> str:
    """A ratio of 0..1 in percent. Rounds towards zero, so that 99.9996 % is never shown as 100 %."""
    if ratio is None or _missing(ratio):
        return NOTHING
    scale = 10**digits
    cut = math.floor(Decimal(str(ratio)) * 100 * scale) / scale
    return f"{number(cut, language, digits)}%"


def exact(percentage: str, language: str) -> str:
    """A percentage that was cut to its digits before, such as "99.94", with the language's separator."""
    if not percentage:
        return NOTHING
    return f"{percentage.replace('.', _SEPARATORS.get(language, _SEPARATORS['en'])[1])}%"


def amount(value: Number, language: str) -> str:
    """Bytes in binary steps: 1.5 GiB."""
    if value is None or _missing(value):
        return NOTHING
    size, step = float(value), 0
    while abs(size) >= _STEP and step < len(_BINARY) - 1:
        size, step = size / _STEP, step + 1
    return f"{number(size, language, None if step else 0)} {_BINARY[step]}"


def duration(milliseconds: Number, language: str, parts: int = 2) -> str:
    """A stretch of time in its largest `parts` units: 4 min 10 s."""
    if milliseconds is None or _missing(milliseconds):
        return NOTHING
    rest = round(abs(float(milliseconds)))
    units = _DURATIONS.get(language, _DURATIONS["en"])
    if rest < units[-1][0]:
        return f"{rest} ms" if rest else f"0 {units[-1][1]}"
    words: list[str] = []
    for size, unit in units:
        count, rest = divmod(rest, size)
        if count or words:
            words.append(f"{count} {unit}" if count else "")
        if len(words) == parts:
            break
    return " ".join(filter(None, words))


def seconds(milliseconds: Number, language: str, digits: int = 3) -> str:
    """A stretch of time in seconds, exact to the millisecond with three digits: for what is added up by hand."""
    if milliseconds is None or _missing(milliseconds):
        return NOTHING
    units = _DURATIONS.get(language, _DURATIONS["en"])
    return f"{number(Decimal(str(milliseconds)) / 1000, language, digits)} {units[-1][1]}"


def level(value: Number, unit: str, language: str) -> str:
    """What a rule compares with, in the unit of its measure: a ratio in percent, seconds and days as stretches."""
    if value is None or _missing(value):
        return NOTHING
    if unit == "ratio":
        # As it was typed: 0.925 is 92.5 %, where floats would say 92.49999.
        cent = (Decimal(str(value)) * 100).normalize()
        return f"{number(cent, language, max(-int(cent.as_tuple().exponent), 0))}%"
    if unit == "seconds":
        return duration(float(value) * 1000, language)
    text = number(value, language)
    return f"{text} {_DURATIONS.get(language, _DURATIONS['en'])[0][1]}" if unit == "days" else text


def span(milliseconds: int, language: str) -> str:
    """A range that one can choose, in the unit it is usually told in: 15 min, 24 h, 7 d."""
    units = dict(_DURATIONS.get(language, _DURATIONS["en"]))
    unit = next(size for size in units if milliseconds >= size and (size < DAY_MS or milliseconds > DAY_MS))
    return f"{milliseconds // unit} {units[unit]}"


def zone(name: str) -> tzinfo:
    """The time zone of that name, UTC when this machine does not know it."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        return UTC


def moment(unix_ms: Number, language: str, time_zone: str, *, seconds: bool = False) -> str:
    """A point in time: 24 Nov 2026 14:05 (id: 14.05)."""
    if unix_ms is None or _missing(unix_ms):
        return NOTHING
    at = _local(unix_ms, time_zone)
    return f"{_day(at, language)} {at.year} {_clock(at, language, seconds)}"


def day(unix_ms: Number, language: str, time_zone: str) -> str:
    """The date of a point in time: 24 Nov 2026."""
    if unix_ms is None or _missing(unix_ms):
        return NOTHING
    at = _local(unix_ms, time_zone)
    return f"{_day(at, language)} {at.year}"


def month(text: str, language: str) -> str:
    """A month written as 2026-11 in words: November 2026."""
    year, _, number = text.partition("-")
    return f"{_LONG_MONTHS.get(language, _LONG_MONTHS['en'])[int(number) - 1]} {year}"


def clock(unix_ms: Number, language: str, time_zone: str, *, seconds: bool = True) -> str:
    """The time of day of a point in time: 14:05:09 (id: 14.05.09)."""
    if unix_ms is None or _missing(unix_ms):
        return NOTHING
    return _clock(_local(unix_ms, time_zone), language, seconds)


def iso(unix_ms: Number) -> str:
    """RFC 3339 in UTC, for machines."""
    if unix_ms is None or _missing(unix_ms):
        return ""
    return datetime.fromtimestamp(float(unix_ms) / 1000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _local(unix_ms: float | int | Decimal, time_zone: str) -> datetime:
    return datetime.fromtimestamp(float(unix_ms) / 1000, zone(time_zone))


def _day(at: datetime, language: str) -> str:
    return f"{at.day} {_MONTHS.get(language, _MONTHS['en'])[at.month - 1]}"


def _clock(at: datetime, language: str, seconds: bool) -> str:
    text = at.strftime("%H:%M:%S" if seconds else "%H:%M")
    return text.replace(":", ".") if language == "id" else text
