"""The Indonesian of the generated pages: `reference.po`, beside the catalogue that pages of the product read.

A file of its own, since nothing at run time needs it: only whoever writes the pages anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from babel.messages import Catalog
from babel.messages.pofile import read_po, write_po

from tests.meta import reference

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "web" / "locales" / "id" / "LC_MESSAGES" / "reference.po"
HEADER = "# What settings, metrics and commands mean. `python -m tests.meta.manual --write` takes in new texts."
# Fixed: the time of writing is noise in a repository.
BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)


@cache
def known() -> Catalog:
    """What is translated so far."""
    if not FILE.exists():
        return Catalog(locale="id")
    with FILE.open("rb") as stream:
        return read_po(stream, locale="id")


def translator(language: str) -> Callable[[str], str]:
    """Translates what the code says; English stays, and so does what has no translation yet."""
    if language == "en":
        return lambda text: text
    return lambda text: _translation(text) or text


def _translation(text: str) -> str:
    entry = known().get(text)
    return str(entry.string) if entry is not None else ""


def wanted() -> dict[str, str]:
    """Each English text and the page on which it first stands."""
    found: dict[str, str] = {}
    for page in reference.PAGES:
        for text in page.texts():
            found.setdefault(text, page.name)
    return found


def findings() -> Iterator[str]:
    """Texts without a translation, and translations of what nothing says any more."""
    name, texts = FILE.relative_to(ROOT), wanted()
    yield from (f"{name}: not translated: {text!r}" for text in texts if not _translation(text))
    yield from (f"{name}: nothing says this any more: {one.id!r}" for one in known() if one.id and one.id not in texts)


def updated() -> Catalog:
    """The catalogue with exactly the texts that are said; translations that still apply are kept."""
    fresh = Catalog(
        locale="id",
        project="Sigap",
        version="0",
        header_comment=HEADER,
        creation_date=BEGINNING,
        revision_date=BEGINNING,
        last_translator="Sigap",
        language_team="Sigap",
        charset="utf-8",
        fuzzy=False,
    )
    for text, page in wanted().items():
        fresh.add(text, _translation(text), locations=[(f"web/docs/id/{page}.md", 0)])
    return fresh


def save(catalogue: Catalog) -> None:
    """Write it; what `known` holds is read anew."""
    with FILE.open("wb") as stream:
        write_po(stream, catalogue, width=120, include_lineno=False)
    known.cache_clear()
