"""Checks the manual: both languages alike, every link leads somewhere, and everything that the code has is in it.

`python -m tests.meta.manual` prints one line for each finding and exits with 1 if there are any; with `--write` it
writes the generated pages (settings, metrics, command line) anew.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
from markdown_it import MarkdownIt

from agent.config import File
from agent.probes import CHECKS, HOST_PROBES
from agent.probes.definition import mapped_type, section_of
from collector.domain.measure import MEASURES
from collector.domain.registers import REGISTERS
from collector.domain.shipped import RULES
from collector.edges.http import ROUTES, openapi
from collector.edges.http.docs import INDEX
from collector.notify import NOTIFIERS
from tests.meta import reference, texts

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "web" / "docs"
LANGUAGES = ("en", "id")
LINK = re.compile(r"^([a-z0-9-]+)\.md(?:#(.+))?$")
ELSEWHERE = re.compile(r"^(https?://|/)")
SLUG = re.compile(r"[^\w]+")
PLACE = re.compile(r"\{(\w+)\}")
STANDS_FOR = {"key": "<key>", "transition": "<step>", "id": "<id>"}
PROBES_PAGE, CHECKS_PAGE, AGENT_PAGE = "host-metrics", "checks", "agent-configuration"
REGISTERS_PAGE, ALERTS_PAGE, REST_PAGE, CHANNELS_PAGE = "registers", "alerts", "rest-api", "webhooks"
PROMISED = (
    *("tutorial", "glossary", "command-line", "settings", "metrics", "postgresql", "tls-and-reverse-proxy", "backup"),
    *("troubleshooting", "architecture", "availability", "alerts", "webhooks", "wire-format", "delivery", "demo"),
    *("prometheus", "agent-cost", "enrolment", "security", "storage", "registers", "yaml", "rest-api"),
    *("host-metrics", "checks", "agent-configuration"),
)
"""Pages that must not get lost: other places point to them, or a person would look for them."""

Pages = Mapping[str, str]


def pages(language: str) -> Pages:
    """The text of every page in one language, by name."""
    return {path.stem: path.read_text(encoding="utf-8") for path in sorted((DOCS / language).glob("*.md"))}


def main() -> int:
    """Check, or with --write bring the generated pages up to date."""
    if "--write" in sys.argv:
        texts.save(texts.updated())
        for path, content in generated():
            path.write_text(content, encoding="utf-8")
        return 0
    manual = {language: pages(language) for language in LANGUAGES}
    lines = [*alike(manual), *current(), *texts.findings()]
    for language, found in manual.items():
        problems = (*missing(found), *links(found), *reach(found), *unsaid(found))
        lines += [f"web/docs/{language}/{line}" for line in problems]
    for line in lines:
        print(line, file=sys.stderr)
    return 1 if lines else 0


def generated() -> Iterator[tuple[Path, str]]:
    """Path and content of each page that is written from the code."""
    for page in reference.PAGES:
        for language in LANGUAGES:
            yield DOCS / language / f"{page.name}.md", page.written(language, texts.translator(language))


def current() -> Iterator[str]:
    """Generated pages that are not what the code says."""
    for path, content in generated():
        if not path.exists() or path.read_text(encoding="utf-8") != content:
            yield f"{path.relative_to(ROOT)}: not what the code says: run `python -m tests.meta.manual --write`"


def alike(manual: Mapping[str, Pages]) -> Iterator[str]:
    """Pages that one language lacks, and pages that are not built alike in both."""
    english, indonesian = (manual[language] for language in LANGUAGES)
    for name in sorted(english.keys() ^ indonesian.keys()):
        language = "id" if name in english else "en"
        yield f"web/docs/{language}/{name}.md: missing; the other language has it"
    for name in sorted(english.keys() & indonesian.keys()):
        for what, shape in (("headings", _levels), ("blocks of code", _fences), ("rows of tables", _rows)):
            ours, theirs = shape(english[name]), shape(indonesian[name])
            if ours != theirs:
                yield f"web/docs/id/{name}.md: other {what} than in English: {theirs} instead of {ours}"


def missing(found: Pages) -> Iterator[str]:
    """Pages that there must be."""
    yield from (f"{name}.md: missing" for name in (INDEX, *PROMISED) if name not in found)


def links(found: Pages) -> Iterator[str]:
    """Links inside the manual that lead nowhere."""
    anchors = {name: {_anchor(text) for _, text in _headings(page)} for name, page in found.items()}
    for name, page in found.items():
        for target in _targets(page):
            match = LINK.match(f"{name}.md{target}" if target.startswith("#") else target)
            if match is None:
                if not ELSEWHERE.match(target):
                    yield f"{name}.md: {target} is neither a page of the manual nor a whole address"
            elif match[1] not in found:
                yield f"{name}.md: there is no page {match[1]}.md"
            elif match[2] and match[2] not in anchors[match[1]]:
                yield f"{name}.md: there is no heading for {target}"


def reach(found: Pages) -> Iterator[str]:
    """Pages that the first page does not lead to: its list is also the order of the menu."""
    linked = {match[1] for target in _targets(found.get(INDEX, "")) if (match := LINK.match(target))}
    yield from (f"{INDEX}.md: does not link to {name}.md" for name in found if name not in linked | {INDEX})


# ── what the code has ───────────────────────────────────────────────────────────────────────────────────────────────


def unsaid(found: Pages) -> Iterator[str]:
    """What the code has and the page about it does not mention."""
    for page, kind, names in _inventory():
        text = found.get(page, "")
        yield from (f"{page}.md: does not mention the {kind} `{name}`" for name in names if not _mentions(text, name))


def _inventory() -> Iterator[tuple[str, str, Iterable[str]]]:
    yield PROBES_PAGE, "host probe", HOST_PROBES
    yield CHECKS_PAGE, "check", CHECKS
    for kind, settings in CHECKS.items():
        yield CHECKS_PAGE, f"option of {kind}", [field.encode_name for field in msgspec.structs.fields(settings)]
    yield CHANNELS_PAGE, "kind of channel", NOTIFIERS
    yield REGISTERS_PAGE, "register", REGISTERS
    yield ALERTS_PAGE, "measure", MEASURES
    yield ALERTS_PAGE, "shipped rule", [str(rule["key"]) for rule in RULES]
    yield AGENT_PAGE, "setting", agent_settings(File)
    yield REST_PAGE, "address", sorted(set(rest_paths()))


def agent_settings(section: Any, path: str = "") -> Iterator[str]:
    """Every key of the agent's file, with dots; `<name>` where the reader chooses the name."""
    for field in msgspec.structs.fields(section):
        name = f"{path}{field.encode_name}"
        if (inner := section_of(field.type)) is not None:
            yield from agent_settings(inner, f"{name}.")
        elif (each := mapped_type(field.type)) is None:
            yield name
        elif (inside := section_of(each)) is not None:
            yield from agent_settings(inside, f"{name}.<name>.")
        else:
            yield f"{name}.<name>"


def rest_paths() -> Iterator[str]:
    """Every address of the REST interface; those that all registers have once, with `<register>`."""
    names = "|".join(map(re.escape, REGISTERS))
    every = openapi.document(ROUTES)["paths"]
    generic = {
        path: re.sub(rf"^{openapi.API}/({names})(?=$|[/.])", f"{openapi.API}/<register>", path) for path in every
    }
    shared = Counter(generic.values())
    for path, common in generic.items():
        told = common if shared[common] == len(REGISTERS) else path
        yield PLACE.sub(lambda match: STANDS_FOR.get(match[1], f"<{match[1]}>"), told)


def _mentions(text: str, name: str) -> bool:
    """Whether `name` stands in the text as a word of its own; a placeholder may have any name there."""
    wanted = r"<\w+>".join(map(re.escape, re.split(r"<\w+>", name)))
    return re.search(rf"(?<![\w.]){wanted}(?![\w</])", text) is not None


# ── Markdown ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _tokens(page: str) -> list[Any]:
    return list(MarkdownIt("commonmark", {"html": False}).enable("table").parse(page))


def _headings(page: str) -> Iterator[tuple[int, str]]:
    tokens = _tokens(page)
    for position, token in enumerate(tokens):
        if token.type == "heading_open":
            yield int(token.tag[1]), tokens[position + 1].content


def _levels(page: str) -> list[int]:
    return [level for level, _ in _headings(page)]


def _fences(page: str) -> list[str]:
    return [token.info for token in _tokens(page) if token.type == "fence"]


def _rows(page: str) -> list[int]:
    counts: list[int] = []
    for token in _tokens(page):
        if token.type == "table_open":
            counts.append(0)
        elif token.type == "tr_open":
            counts[-1] += 1
    return counts


def _anchor(heading: str) -> str:
    return SLUG.sub("-", heading.replace("`", "").lower()).strip("-")


def _targets(page: str) -> Iterator[str]:
    for token in _tokens(page):
        for child in token.children or ():
            if child.type == "link_open":
                yield str(child.attrGet("href"))


if __name__ == "__main__":
    raise SystemExit(main())
