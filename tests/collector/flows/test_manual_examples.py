"""The manual's YAML is applied as it stands: an example that does not work is worse than none."""

from __future__ import annotations

import re

import pytest

import web
from collector.domain.registers import NAMES
from collector.flows import manifest
from collector.flows.register import Registrar
from collector.store.database import Database


@pytest.mark.parametrize("language", ["en", "id"])
async def test_the_examples_of_the_yaml_page_work(sqlite: Database, language: str) -> None:
    registrar = Registrar(sqlite, clock=lambda: 1_760_000_000_000)
    page = (web.DOCS / language / "yaml.md").read_text()
    examples = re.findall(r"```yaml\n(.*?)```", page, flags=re.DOTALL)
    assert examples
    for text in examples:
        plan = await registrar.apply("test", manifest.read(text))
        assert plan.changes == plan.steps


@pytest.mark.parametrize("language", ["en", "id"])
@pytest.mark.parametrize("page", ["registers", "rest-api"])
def test_the_manual_names_every_register(language: str, page: str) -> None:
    text = (web.DOCS / language / f"{page}.md").read_text()
    assert all(f"`{name}`" in text for name in NAMES)
