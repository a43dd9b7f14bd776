"""The checks of manual and translations find what they are there to find."""

from __future__ import annotations

from babel.messages import Catalog

from agent.probes import CHECKS, HOST_PROBES
from tests.meta import locales, manual, reference, texts


def test_a_link_to_no_page_or_no_heading_is_found() -> None:
    found = {
        "index": "# Manual\n\n[a](gone.md) [b](there.md#no) [c](there.md#a-heading) [d](#no)",
        "there": "## A heading",
    }
    problems = list(manual.links(found))
    assert [line.rpartition(" ")[2] for line in problems] == ["gone.md", "there.md#no", "#no"]


def test_a_page_that_the_index_forgets_is_found() -> None:
    found = {"index": "[a](there.md)", "there": "", "lost": ""}
    assert list(manual.reach(found)) == ["index.md: does not link to lost.md"]


def test_languages_that_are_built_differently_are_found() -> None:
    english, indonesian = {"a": "# A\n\n## B", "b": ""}, {"a": "# A"}
    problems = list(manual.alike({"en": english, "id": indonesian}))
    assert len(problems) == 2
    assert "b.md: missing" in problems[0]
    assert "headings" in problems[1]


def test_a_probe_or_check_that_nobody_wrote_about_is_found() -> None:
    problems = "\n".join(manual.unsaid({}))
    assert all(f"host probe `{name}`" in problems for name in HOST_PROBES)
    assert all(f"check `{name}`" in problems for name in CHECKS)


def test_generated_pages_name_every_setting_and_command() -> None:
    written = {page.name: page.written("en", lambda text: text) for page in reference.PAGES}
    assert "`SIGAP_WEB__ADDRESS" in written["settings"]
    assert "`store.raw_days`" in written["settings"]
    assert "### sigap apply" in written["command-line"]
    assert "### sigap-agent once" in written["command-line"]
    assert "`sigap_ingest_samples_total`" in written["metrics"]


def test_every_text_of_the_generated_pages_has_its_indonesian() -> None:
    assert list(texts.findings()) == []


def test_a_translation_that_loses_a_placeholder_is_found() -> None:
    known = Catalog(locale="id")
    known.add("%(used)s of %(whole)s", "%(used)s saja")
    known.add("Up", "Hidup")
    assert len(list(locales.broken(known))) == 1
