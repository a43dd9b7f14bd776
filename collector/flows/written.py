"""Documents as text: YAML (or JSON) in, each knowing where it stands; YAML out.

What the documents mean is `manifest`'s.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from collector.domain.errors import InvalidInput
from collector.domain.message import Message, mark

DOCUMENTS_MOST = 5000
NOTHING = mark("Nothing was applied.")
ALIASES = Message("aliases (*name) are not supported")
PLAIN = Message("a key must be plain text")


class _Loader(yaml.SafeLoader):
    """Plain data only: no aliases, which can grow without bound, and no key twice, of which one would be lost."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.composer.ComposerError(None, None, ALIASES, self.get_mark())
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str | int | float | bool | None):
                raise yaml.constructor.ConstructorError(None, None, PLAIN, key_node.start_mark)
            if key in seen:
                twice = Message("'{key}' is given twice", key=str(key))
                raise yaml.constructor.ConstructorError(None, None, twice, key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a document stands: lines and documents are counted from 1, and `lines` has the one of each field."""

    file: str = ""
    line: int = 0
    number: int = 0
    lines: Mapping[str, int] = field(default_factory=dict)

    def of(self, name: str = "", record: str = "") -> Message:
        """In words, for a field and with the record's name: `shop.yaml:12 (document 3, service shop)`."""
        start = _start(self.file, self.lines.get(name, self.line))
        if not record:
            return Message("{start} (document {number})", start=start, number=self.number)
        return Message("{start} (document {number}, {record})", start=start, number=self.number, record=record)


class Document(dict[str, Any]):
    """The fields of one document, and its place."""

    def __init__(self, fields: Mapping[str, Any], place: Place) -> None:
        super().__init__(fields)
        self.place = place


def read(text: str, file: str = "") -> list[Document]:
    """The documents of a text; empty ones are left out, and a list stands for one document for each item.

    Args:
        text: YAML or JSON.
        file: How errors call it.

    Raises:
        InvalidInput: Not YAML, or not made of mappings; says file and line.
    """
    documents: list[Document] = []
    try:
        loader = _Loader(text)
        for node in _nodes(loader):
            place = Place(file, node.start_mark.line + 1, len(documents) + 1, _lines(node))
            documents.append(_document(loader, node, place))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        why = Message.joined(", ", [part for part in (error.problem, error.context) if part])
        where = _start(file, mark.line + 1 if mark else 1)
        raise InvalidInput(_unreadable(where, why), hint=NOTHING) from error
    except (yaml.YAMLError, RecursionError) as error:
        words = " ".join(str(error).split()) or type(error).__name__
        raise InvalidInput(_unreadable(file or Message("the text"), words), hint=NOTHING) from error
    if len(documents) > DOCUMENTS_MOST:
        many = Message("At most {count} documents can be applied at once.", count=DOCUMENTS_MOST)
        raise InvalidInput(many, hint="Split the file.")
    return documents


def _start(file: str, line: int) -> Message:
    place = Message("{file}:{line}", file=file, line=line)
    return place if file else Message("line {line}", line=line)


def _unreadable(place: str, error: str) -> Message:
    return Message("The documents cannot be read: {place}: {error}.", place=place, error=error)


def _document(loader: _Loader, node: yaml.Node, place: Place) -> Document:
    try:
        made = loader.construct_document(node)
    except ValueError as error:
        # What looks like a date and is none.
        raise InvalidInput(_unreadable(place.of(), str(error)), hint=NOTHING) from error
    if not isinstance(made, dict) or not all(isinstance(name, str) for name in made):
        message = Message("{place} is not a mapping of fields.", place=place.of())
        raise InvalidInput(message, hint="Write name: value, one a line.")
    return Document(made, place)


def _nodes(loader: _Loader) -> Iterator[yaml.Node]:
    while loader.check_node():
        node = loader.get_node()
        assert node is not None
        if isinstance(node, yaml.SequenceNode):
            yield from node.value
        elif node.tag != "tag:yaml.org,2002:null":
            yield node


def _lines(node: yaml.Node) -> dict[str, int]:
    pairs = node.value if isinstance(node, yaml.MappingNode) else ()
    return {key.value: key.start_mark.line + 1 for key, _ in pairs if isinstance(key, yaml.ScalarNode)}


def write(documents: Sequence[Mapping[str, Any]]) -> str:
    """YAML text of the documents; `read` gives them back."""
    return "".join(
        "---\n" + yaml.safe_dump(dict(each), sort_keys=False, allow_unicode=True, width=100) for each in documents
    )
