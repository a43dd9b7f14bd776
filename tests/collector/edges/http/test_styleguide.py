"""The styleguide: every part, in both themes, and nothing that stands in somebody's way."""

from __future__ import annotations

import re
from collections import Counter

import pytest

import web
from collector.edges.http import styleguide
from tests.collector.edges.http.conftest import Open

FILES = ("ui", "status", "form", "table", "chart")
WITHIN_OTHERS = {
    "ui.icon",
    "ui.switch",
    "status.word",
    "status.measured",
    "status.mark",
    "status.checks",
    "form.token",
    "form.row",
    "form.attributes",
    "table.link",
}
THEMES = ("light", "dark")


@pytest.fixture
async def page(open_browser: Open) -> str:
    client = await open_browser(styleguide.ROUTES, clock=lambda: 1_795_564_805_000)
    return await (await client.get("/styleguide")).text()


def test_every_macro_is_on_it() -> None:
    shown = (web.TEMPLATES / "styleguide.html").read_text()
    for name in FILES:
        text = (web.TEMPLATES / "macros" / f"{name}.html").read_text()
        public = {f"{name}.{macro}" for macro in re.findall(r"{% macro ([a-z]\w*)\(", text)} - WITHIN_OTHERS
        assert {macro for macro in public if f"{macro}(" not in shown} - {f"{name}.scripts"} == set()


async def test_both_themes_show_the_same_parts_beside_each_other(page: str) -> None:
    assert re.findall(r'<section class="themed" data-theme="(\w+)"', page) == list(THEMES)
    _, light, rest = page.split('<section class="themed"')
    dark = rest.split('<dialog id="sample-dialog"')[0]
    assert _classes(light) == _classes(dark)
    for part in ("<dialog", 'class="toast"', "notice tone-down", "data-chart", "<table", "<form", 'class="loading"'):
        assert part in light, part


def _classes(text: str) -> Counter[str]:
    return Counter(re.findall(r'class="([^"]*)"', text))


async def test_an_id_is_given_once_and_the_focus_is_left_alone(page: str) -> None:
    twice = [name for name, times in Counter(re.findall(r'\sid="([^"]+)"', page)).items() if times > 1]
    assert twice == []
    assert "data-focus" not in page
    assert "--token" not in page
