"""The pages of the manual about the agent are true: their examples load, and nothing that exists is left out."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from agent import config
from agent.probes import CHECKS
from agent.probes.check import DURATION, SUCCESS

MANUAL = Path(__file__).parents[3] / "web/docs"
LANGUAGES = ("en", "id")


def page(language: str, name: str) -> str:
    return (MANUAL / language / f"{name}.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", ["checks", "agent-configuration"])
def test_every_example_is_a_configuration(language: str, name: str, tmp_path: Path) -> None:
    examples = re.findall(r"^```(yaml|toml)\n(.*?)^```", page(language, name), re.MULTILINE | re.DOTALL)
    assert examples
    for suffix, text in examples:
        path = tmp_path / f"agent.{suffix}"
        path.write_text(text)
        assert config.load(path, {}).checks


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", sorted(CHECKS))
def test_every_kind_option_and_series_has_its_place(language: str, kind: str) -> None:
    text = page(language, "checks")
    assert f"\n## {kind}\n" in text
    wanted = {*CHECKS[kind].__struct_fields__, *(m.name for m in (SUCCESS, DURATION, *CHECKS[kind].MEASURES))}
    assert {name for name in wanted if f"`{name}`" not in text} == set()


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_setting_is_explained(language: str) -> None:
    text = page(language, "agent-configuration")
    for field in msgspec.structs.fields(config.File):
        section = config.section_of(field.type)
        keys = [f"{field.name}.{each.name}" for each in msgspec.structs.fields(section)] if section else [field.name]
        assert [key for key in keys if f"`{key}" not in text] == []
