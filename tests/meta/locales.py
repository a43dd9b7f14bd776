"""Check that everything a page says has an Indonesian translation: `python -m tests.meta.locales`.

That is the text of templates, what `mark` marks, every `Message` and every `Reason` of an agent's check, and the
constant messages, hints and fields of our errors, wherever they are raised; texts of registers carry both languages
themselves. With `--update` the catalogue gets new message ids, without translations, and loses those that nothing says
any more.
"""

from __future__ import annotations

import ast
import io
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract
from babel.messages.pofile import read_po, write_po

ROOT = Path(__file__).resolve().parents[2]
TEMPLATES = ROOT / "web" / "templates"
SOURCE = ROOT / "web" / "source"
SPEAKERS = (
    ROOT / "agent",
    *(ROOT / "collector" / name for name in ("edges", "flows", "domain", "store", "notify", "demo")),
    ROOT / "collector" / "protocol.py",
)
SENTENCES = frozenset({"mark", "Message", "Reason"})
CATALOGUE = ROOT / "web" / "locales" / "id" / "LC_MESSAGES" / "messages.po"
LANGUAGE = "id"
HEADERS = [
    ("Language", LANGUAGE),
    ("Plural-Forms", "nplurals=1; plural=0;"),
    ("MIME-Version", "1.0"),
    ("Content-Type", "text/plain; charset=utf-8"),
    ("Content-Transfer-Encoding", "8bit"),
]
_PLACEHOLDER = re.compile(r"%\(\w+\)[sd]|%s|\{\w+\}")
_NAMED = re.compile(r"\{\w+\}")
_WORD = re.compile(r"""\bword\(\s*["'](\w+)["']\s*\)""")
_MESSAGES = re.compile(r'id="messages">\{\{ \{(.*?)\}\|json', re.DOTALL)


def main(arguments: list[str]) -> int:
    """Print what is missing; 0 when nothing is."""
    wanted = list(messages())
    found = load()
    if "--update" in arguments:
        write(wanted, found)
        found = load()
    problems = [*missing(wanted, found), *stale(wanted, found), *broken(found), *unknown_words()]
    for problem in problems:
        print(problem)
    print(
        f"{len(problems)} problems in {len(found)} messages" if problems else f"{len(found)} messages, all translated"
    )
    return 1 if problems else 0


def messages() -> Iterator[tuple[str, str | tuple[str, ...]]]:
    """(place, message id) of everything that is said; a pair where it has a plural."""
    for path in sorted(TEMPLATES.rglob("*.html")):
        options = {"trimmed": "true", "extensions": "jinja2.ext.do", "silent": "false"}
        with path.open("rb") as stream:
            for line, text, _, _ in extract("jinja2.ext:babel_extract", stream, options=options):
                yield f"{path.relative_to(ROOT)}:{line}", text
    for path in speaking():
        for line, text in _marked(path):
            yield f"{path.relative_to(ROOT)}:{line}", text


def speaking() -> Iterator[Path]:
    """The modules whose texts people read."""
    for place in SPEAKERS:
        yield from sorted(place.rglob("*.py")) if place.is_dir() else (place,)


def _marked(path: Path) -> Iterator[tuple[int, str]]:
    """Strings marked for translation, and the constant texts of errors."""
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
            continue
        if node.func.id in SENTENCES or node.func.id in _errors():
            yield from ((node.lineno, text) for text in _constants(node))


def _constants(node: ast.Call) -> Iterator[str]:
    given: list[ast.expr] = list(node.args[:1])
    for keyword in node.keywords:
        if keyword.arg == "hint":
            given.append(keyword.value)
        elif keyword.arg == "fields" and isinstance(keyword.value, ast.Dict):
            given += keyword.value.values
    for one in given:
        text = one.value if isinstance(one, ast.Constant) else None
        # What is nothing but placeholders is the same in every language.
        if isinstance(text, str) and any(map(str.isalpha, _NAMED.sub("", text))):
            yield text


def _errors() -> frozenset[str]:
    from collector.domain import errors

    return frozenset(name for name, kind in vars(errors).items() if isinstance(kind, type))


def load() -> Catalog:
    """The catalogue as it is."""
    with CATALOGUE.open("rb") as stream:
        return read_po(stream, locale=LANGUAGE)


def missing(wanted: list[tuple[str, str | tuple[str, ...]]], found: Catalog) -> Iterator[str]:
    """Message ids without a translation, or with one that is marked as doubtful."""
    for place, text in wanted:
        entry = found.get(_first(text))
        strings = (entry.string if isinstance(entry.string, tuple) else (entry.string,)) if entry else ()
        if entry is None or not all(strings) or entry.fuzzy:
            yield f"{place}: not translated: {_first(text)!r}"


def stale(wanted: list[tuple[str, str | tuple[str, ...]]], found: Catalog) -> Iterator[str]:
    """Translations of what nothing says any more."""
    said = {_first(text) for _, text in wanted}
    for entry in found:
        if entry.id and _first(entry.id) not in said:
            yield f"{CATALOGUE.relative_to(ROOT)}: nothing says {_first(entry.id)!r} any more; run with --update"


def broken(found: Catalog) -> Iterator[str]:
    """Translations with other placeholders than the message; Indonesian has one form, so it answers the plural."""
    for entry in found:
        strings = entry.string if isinstance(entry.string, tuple | list) else (entry.string,)
        wanted = sorted(_PLACEHOLDER.findall(entry.id[-1] if isinstance(entry.id, tuple | list) else entry.id))
        for text in filter(None, strings):
            if entry.id and sorted(_PLACEHOLDER.findall(text)) != wanted:
                yield f"{CATALOGUE.relative_to(ROOT)}: {text!r} has other placeholders than {_first(entry.id)!r}"


def unknown_words() -> Iterator[str]:
    """Words that scripts ask for and the layout does not hand them."""
    table = _MESSAGES.search((TEMPLATES / "layout.html").read_text())
    assert table is not None
    handed = set(re.findall(r'"(\w+)": _\(', table[1]))
    for path in sorted(SOURCE.glob("*.ts")):
        for name in _WORD.findall(path.read_text()):
            if name not in handed:
                yield f"{path.relative_to(ROOT)}: the layout does not hand over {name!r}"


def write(wanted: list[tuple[str, str | tuple[str, ...]]], found: Catalog) -> None:
    """Bring the catalogue's message ids up to date, translations kept."""
    fresh = Catalog(locale=LANGUAGE, header_comment="# Indonesian.", fuzzy=False, charset="utf-8")
    fresh.mime_headers = HEADERS
    for place, text in sorted(wanted, key=lambda item: (item[0].partition(":")[0], _first(item[1]))):
        before = found.get(_first(text))
        plural = isinstance(text, tuple)
        string = before.string if before is not None and isinstance(before.string, tuple) == plural else ""
        message = fresh.get(_first(text))
        locations = [(place.partition(":")[0], 0)]
        if message is None or (plural and not isinstance(message.id, tuple)):
            fresh[text] = Message(text, string or (("",) if plural else ""), locations=locations)
    stream = io.BytesIO()
    write_po(stream, fresh, width=118, omit_header=False, include_lineno=False, sort_by_file=True)
    # Times of writing are noise in a repository.
    lines = [
        line for line in stream.getvalue().split(b"\n") if not line.startswith((b'"POT-Creation', b'"PO-Revision'))
    ]
    CATALOGUE.write_bytes(b"\n".join(lines))


def _first(text: str | tuple[str, ...] | list[str]) -> str:
    return text if isinstance(text, str) else text[0]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
