"""Check that the manual is whole, in both languages: `python -m tests.meta.manual`.

Every page exists in English and in Indonesian and is linked from the first one, links lead somewhere, and everything
that can be registered – checks, probes, notifiers, registers, measures, settings, metrics, commands – is mentioned.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from agent import probes
from collector import config
from collector.__main__ import cli
from collector.domain.measure import MEASURES
from collector.domain.registers import REGISTERS
from collector.edges.http.docs import INDEX
from collector.metrics import Metrics
from collector.notify import NOTIFIERS

DOCS = Path(__file__).resolve().parents[2] / "web" / "docs"
LANGUAGES = ("en", "id")
_LINK = re.compile(r"\]\(([^)\s]+)\)")


def main() -> int:
    """Print what is wrong; 0 when nothing is."""
    pages = {
        language: {path.name: path.read_text() for path in DOCS.glob(f"{language}/*.md")} for language in LANGUAGES
    }
    problems = [*unpaired(pages), *unlinked(pages), *dead_links(pages), *unmentioned(pages)]
    for problem in problems:
        print(problem)
    print(f"{len(problems)} problems" if problems else f"{len(pages['en'])} pages in two languages, whole")
    return 1 if problems else 0


Pages = Mapping[str, Mapping[str, str]]


def unpaired(pages: Pages) -> Iterator[str]:
    """Pages that one language lacks."""
    for name in sorted(set(pages["en"]) ^ set(pages["id"])):
        yield f"{name}: only in {'en' if name in pages['en'] else 'id'}"


def unlinked(pages: Pages) -> Iterator[str]:
    """Pages that the first page does not lead to."""
    for language, texts in pages.items():
        linked = set(_LINK.findall(texts[f"{INDEX}.md"]))
        yield from (
            f"{language}/{name}: the index does not link to it"
            for name in sorted(set(texts) - linked - {f"{INDEX}.md"})
        )


def dead_links(pages: Pages) -> Iterator[str]:
    """Links to pages of the manual that do not exist."""
    for language, texts in pages.items():
        for name, text in sorted(texts.items()):
            for target in _LINK.findall(text):
                file = target.partition("#")[0]
                if file.endswith(".md") and "://" not in file and file not in texts:
                    yield f"{language}/{name}: leads to {target}, which does not exist"


def registered() -> Iterator[tuple[str, str]]:
    """(what it is, its name as the manual writes it) of everything that can be registered."""
    yield from (("check", name) for name in probes.CHECKS)
    yield from (("probe", name) for name in probes.HOST_PROBES)
    yield from (("notifier", name) for name in NOTIFIERS)
    yield from (("register", name) for name in REGISTERS)
    yield from (("measure", name) for name in MEASURES)
    yield from (("setting", f"{row.section}.{row.name}") for row in config.table())
    yield from (("command", f"sigap {name}") for name in cli.commands)
    yield from (("metric", name) for name in metrics())


def metrics() -> Iterator[str]:
    """Names as they are exposed."""
    for family in Metrics().registry.collect():
        if family.name.startswith("sigap_"):
            yield f"{family.name}_total" if family.type == "counter" else family.name


def unmentioned(pages: Pages) -> Iterator[str]:
    """What is registered and not written about."""
    for language, texts in pages.items():
        everything = "\n".join(texts.values())
        for kind, name in registered():
            if not _mentions(everything, kind, name):
                yield f"{language}: no page mentions the {kind} {name}"


def _mentions(text: str, kind: str, name: str) -> bool:
    if kind == "setting":
        section, _, field = name.partition(".")
        under = re.search(rf"^#+ .*\b{re.escape(section)}\b.*?`{re.escape(field)}`", text, re.MULTILINE | re.DOTALL)
        return f"`{name}`" in text or under is not None
    if kind == "command":
        return name in text
    return re.search(rf"`[^`]*\b{re.escape(name)}\b[^`]*`|\b{re.escape(name)}:", text) is not None


if __name__ == "__main__":
    sys.exit(main())
