"""Numbers, times and colours: as each language writes them, and readable in both themes."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path

import pytest

import web
from collector.edges.http import docs, format, svg

TOKENS = (web.ROOT / "source" / "tokens.css").read_text()
AT_MS = 1_795_564_805_000
LARGE_TEXT = 3.0
TEXT = 4.5


@pytest.mark.parametrize(
    ("value", "english", "indonesian"),
    [(1234567.0, "1,234,567", "1.234.567"), (12.345, "12.3", "12,3"), (0.5, "0.50", "0,50"), (None, "–", "–")],
)
def test_numbers_have_the_separators_of_the_language(value: float | None, english: str, indonesian: str) -> None:
    assert (format.number(value, "en"), format.number(value, "id")) == (english, indonesian)


@pytest.mark.parametrize(
    ("ratio", "text"), [(0.999996, "99.9%"), (1, "100.0%"), (Decimal("0.99899"), "99.8%"), (float("nan"), "–")]
)
def test_a_share_is_cut_and_never_rounded_up(ratio: float | Decimal, text: str) -> None:
    assert format.percent(ratio, "en") == text


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [(0, "0 s"), (250, "250 ms"), (61_000, "1 min 1 s"), (3_600_000, "1 h"), (90_061_000, "1 d 1 h"), (None, "–")],
)
def test_durations_have_their_two_largest_units(milliseconds: int | None, text: str) -> None:
    assert format.duration(milliseconds, "en") == text


@pytest.mark.parametrize(
    ("milliseconds", "english", "indonesian"),
    [(5_826, "5.826 s", "5,826 dtk"), (2_098_800_001, "2,098,800.001 s", "2.098.800,001 dtk"), (None, "–", "–")],
)
def test_seconds_that_one_adds_up_are_exact_to_the_millisecond(
    milliseconds: int | None, english: str, indonesian: str
) -> None:
    assert (format.seconds(milliseconds, "en"), format.seconds(milliseconds, "id")) == (english, indonesian)


def test_times_are_those_of_the_reader() -> None:
    assert format.moment(AT_MS, "en", "Asia/Jakarta") == "25 Nov 2026 07:00"
    assert format.moment(AT_MS, "id", "Asia/Jakarta", seconds=True) == "25 Nov 2026 07.00.05"
    assert format.moment(AT_MS, "en", "No/Where") == "25 Nov 2026 00:00"
    assert format.month("2026-08", "id") == "Agustus 2026"


@pytest.mark.parametrize(
    ("value", "unit", "english", "indonesian"),
    [
        (0.95, "ratio", "95%", "95%"), (0.925, "ratio", "92.5%", "92,5%"), (1.0, "ratio", "100%", "100%"),
        (60.0, "seconds", "1 min", "1 mnt"), (0.5, "seconds", "500 ms", "500 ms"), (14.0, "days", "14 d", "14 hari"),
        (-1.0, "days", "-1 d", "-1 hari"), (2.0, "count", "2", "2"), (None, "ratio", "–", "–"),
    ],
)  # fmt: skip
def test_a_level_is_told_in_its_unit(value: float | None, unit: str, english: str, indonesian: str) -> None:
    assert (format.level(value, unit, "en"), format.level(value, unit, "id")) == (english, indonesian)


def test_sizes_are_binary() -> None:
    assert format.amount(1536, "en") == "1.50 KiB"
    assert format.amount(8 * 1024**3, "id") == "8 GiB"


def test_a_strip_covers_its_whole_span_and_a_short_outage_is_seen() -> None:
    bars = svg.strip([(10, 20, "up", ""), (20, 21, "down", "x"), (30, 100_000, "up", "")], 0, 100_000)
    assert [bar.state for bar in bars] == ["absent", "up", "down", "absent", "up"]
    assert all(bar.width >= svg.MINIMUM_WIDTH for bar in bars)
    assert all(bar.x + bar.width <= 100.001 for bar in bars)


def test_a_sparkline_has_a_gap_where_nothing_is_known() -> None:
    assert svg.spark([0.1, None, 0.3, 0.4]).line.count("M") == 2
    assert svg.spark([None]).line == ""


def _themes() -> dict[str, dict[str, str]]:
    light, dark, system = re.findall(r"\{([^{}]*--bg:[^{}]*)\}", TOKENS)
    return {name: dict(re.findall(r"--([a-z0-9-]+): (#[0-9a-f]{6})", text)) for name, text in
            (("light", light), ("dark", dark), ("system", system))}  # fmt: skip


def test_dark_is_the_same_by_hand_and_by_system() -> None:
    themes = _themes()
    assert themes["dark"] == themes["system"]
    assert set(themes["dark"]) == set(themes["light"])


def _luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(one: str, other: str) -> float:
    high, low = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_and_signs_can_be_told_from_their_ground(theme: str) -> None:
    tokens = _themes()[theme]
    for ground in ("bg", "surface", "sunken", "hover"):
        for text in ("text", "muted", "faint", "accent-text", "up-text", "degraded-text", "down-text", "unknown-text"):
            assert _contrast(tokens[text], tokens[ground]) >= TEXT, (text, ground)
    for tone in ("up", "degraded", "down"):
        assert _contrast(tokens[f"{tone}-text"], tokens[f"{tone}-soft"]) >= TEXT, tone
    for sign in ("up", "down", "unknown", "accent", "control-line"):
        assert _contrast(tokens[sign], tokens["surface"]) >= LARGE_TEXT, sign
    assert _contrast(tokens["on-accent"], tokens["accent"]) >= TEXT


def test_scripts_stay_under_a_hundred_kilobytes() -> None:
    scripts = list(web.STATIC.glob("*.js"))
    assert scripts
    assert sum(path.stat().st_size for path in scripts) < 100_000


def test_the_manual_shows_no_markup_of_its_own(tmp_path: Path) -> None:
    article = docs._article("x", "# T\n\n<script>alert(1)</script>\n\n[a](other.md#part) `b`\n")
    assert "<script" not in article.html
    assert 'href="/docs/other#part"' in article.html


def test_the_search_finds_pages_by_every_word() -> None:
    pages = docs.manual("en")
    found = docs.search(pages, "enrol agent")
    assert "enrolment" in [one["name"] for one in found]
    assert docs.search(pages, "zzzz") == []


def test_the_search_tells_whole_words_and_not_the_title_again() -> None:
    text = "# Enrolment\n\nA token [works](alerts.md) once. " + "Then it ends and another one is made. " * 9
    pages = {"x": docs._article("x", text)}
    assert docs.search(pages, "token")[0]["excerpt"].startswith("A token works once. Then")
    middle = docs._article("x", "one two three " * 40 + "needle " + "four five six " * 40)
    words = docs.search({"x": middle}, "needle")[0]["excerpt"].strip("…").split()
    assert set(words) <= {"one", "two", "three", "needle", "four", "five", "six"}


@pytest.mark.parametrize("language", ["en", "id"])
def test_every_page_of_the_manual_stands_under_a_heading_of_the_first(language: str) -> None:
    listed = docs._contents(docs.manual(language))["pages"]
    assert [one["name"] for one in listed if not one["section"]] == ["index"]
    sections = [one["section"] for one in listed]
    assert sections == sorted(sections, key=sections.index), "a section is in one piece"
