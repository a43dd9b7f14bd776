"""The manual: pages of `web/docs/<language>` as HTML, with a search over all of them.

Read once. Raw HTML in a page is shown as text, so a page cannot carry a script.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from aiohttp import web
from markdown_it import MarkdownIt
from markdown_it.token import Token

import web as assets
from collector.domain.errors import NotFound
from collector.edges.http.i18n import DEFAULT
from collector.edges.http.render import look_of
from collector.edges.http.routing import Page, Permission, Route

INDEX = "index"
EXCERPT_LENGTH = 160
RESULTS_MOST = 20
_LINK = re.compile(r"^([a-z0-9_-]+)\.md(#.*)?$")
_SLUG = re.compile(r"[^\w]+")
_MARKS = re.compile(r"^# .*\n|[#*`>|\[\]]|\([a-z0-9_./#-]+\)")


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading of a page, for its table of contents."""

    level: int
    id: str
    text: str


@dataclass(frozen=True, slots=True)
class Article:
    """One page of the manual."""

    name: str
    title: str
    html: str
    text: str  # as it was written, for the search
    headings: tuple[Heading, ...]


@cache
def manual(language: str) -> Mapping[str, Article]:
    """Every page in one language by its name, in the order in which the index links to them."""
    folder = assets.DOCS / language
    found = {path.stem: _article(path.stem, path.read_text()) for path in sorted(folder.glob("*.md"))}
    order = re.findall(r"\(([a-z0-9_-]+)\.md", found[INDEX].text) if INDEX in found else []
    names = dict.fromkeys([INDEX, *order, *found])
    return {name: found[name] for name in names if name in found}


def _article(name: str, text: str) -> Article:
    reader = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = reader.parse(text)
    headings = _prepare(tokens)
    title = next((one.text for one in headings if one.level == 1), name)
    html = reader.renderer.render(tokens, reader.options, {})
    return Article(name, title, html, text, tuple(one for one in headings if one.level == 2))


def _prepare(tokens: Sequence[Token]) -> list[Heading]:
    """Give headings an anchor and lead links between files to our addresses; return the headings."""
    headings = []
    for position, token in enumerate(tokens):
        if token.type == "heading_open":
            text = tokens[position + 1].content.replace("`", "")
            anchor = _SLUG.sub("-", text.lower()).strip("-")
            token.attrSet("id", anchor)
            headings.append(Heading(int(token.tag[1]), anchor, text))
        for child in token.children or ():
            target = child.attrGet("href") if child.type == "link_open" else None
            if isinstance(target, str) and (found := _LINK.match(target)):
                child.attrSet("href", f"/docs/{found[1]}{found[2] or ''}")
    return headings


async def index(request: web.Request) -> Page:
    """The manual's first page, or what the search found."""
    pages = manual(look_of(request).language) or manual(DEFAULT)
    if text := request.query.get("q", "").strip():
        return Page("docs.html", {"article": None, "search": text, "results": search(pages, text), **_contents(pages)})
    return _show(pages, INDEX)


async def article(request: web.Request) -> Page:
    """One page of the manual."""
    pages, name = manual(look_of(request).language), request.match_info["name"]
    return _show(pages if name in pages else manual(DEFAULT), name)


def _show(pages: Mapping[str, Article], name: str) -> Page:
    if name not in pages:
        raise NotFound("The manual has no such page.", hint="Its first page lists all of them.")
    return Page("docs.html", {"article": pages[name], "search": "", "results": [], **_contents(pages)})


def _contents(pages: Mapping[str, Article]) -> dict[str, list[dict[str, str]]]:
    under = _sections(pages[INDEX].text) if INDEX in pages else {}
    return {
        "pages": [{"name": one.name, "title": one.title, "section": under.get(one.name, "")} for one in pages.values()]
    }


def _sections(text: str) -> dict[str, str]:
    """Page → the heading under which the first page of the manual links to it."""
    under: dict[str, str] = {}
    for part in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        title, _, body = part.partition("\n")
        for name in re.findall(r"\(([a-z0-9_-]+)\.md", body):
            under.setdefault(name, title.strip())
    return under


def search(pages: Mapping[str, Article], text: str) -> list[dict[str, str]]:
    """Pages that hold every word, those with the words in their title first."""
    words = text.lower().split()
    found = []
    for one in pages.values():
        lower = one.text.lower()
        if all(word in lower for word in words):
            score = sum(lower.count(word) + 50 * (word in one.title.lower()) for word in words)
            found.append((-score, one.title, {"name": one.name, "title": one.title, "excerpt": _excerpt(one, words)}))
    return [each for _, _, each in sorted(found, key=lambda item: item[:2])][:RESULTS_MOST]


def _excerpt(one: Article, words: Sequence[str]) -> str:
    """Whole words around the first one that was looked for; the title is told beside it."""
    plain = " ".join(_MARKS.sub("", one.text).split())
    wanted = max(plain.lower().find(words[0]) - EXCERPT_LENGTH // 3, 0)
    since = plain.rfind(" ", 0, wanted) + 1
    until = plain.find(" ", since + EXCERPT_LENGTH)
    return f"{'…' if since else ''}{plain[since:] if until < 0 else plain[since:until] + '…'}"


ROUTES = (
    Route("GET", "/docs", index, Permission.PUBLIC, "The manual, or a search in it."),
    Route("GET", "/docs/{name}", article, Permission.PUBLIC, "One page of the manual."),
)
