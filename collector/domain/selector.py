r"""PromQL instant selectors as text → matchers: `node_load1{instance=~"web-.*"}`, `{__name__=~"node_.*"}`.

Only selectors: no functions, ranges or arithmetic. Grammar: prometheus.io/docs/prometheus/latest/querying/basics.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from collector.domain.errors import InvalidInput
from collector.domain.message import Message
from collector.domain.series import Matcher

_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL = re.compile(r"\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*(=~|!~|!=|=)\s*")
_STRING = re.compile(r'"((?:[^"\\]|\\.)*)"|\'((?:[^\'\\]|\\.)*)\'|`([^`]*)`')
_ESCAPES = {"n": "\n", "t": "\t", "\\": "\\", '"': '"', "'": "'"}
LONGEST_SELECTOR = 2_000


def parse(text: str) -> tuple[Matcher, ...]:
    """The matchers of one selector; the metric's name is the matcher of `__name__`.

    Raises:
        InvalidInput: Not a selector, or one that would match everything; says where.
    """
    if len(text) > LONGEST_SELECTOR:
        raise InvalidInput(Message("A selector is at most {count} characters long.", count=LONGEST_SELECTOR))
    matchers: list[Matcher] = []
    position = 0
    stripped = text.strip()
    if name := _NAME.match(stripped):
        matchers.append(Matcher("__name__", "=", name.group()))
        position = name.end()
    rest = stripped[position:].strip()
    if rest:
        if not (rest.startswith("{") and rest.endswith("}")):
            raise InvalidInput(
                Message('{text} is not a selector: expected {label="value",…} after the name.', text=repr(text))
            )
        matchers.extend(_matchers(rest[1:-1], text))
    if not any(matcher.value for matcher in matchers if matcher.op in ("=", "=~") and matcher.value != ".*"):
        raise InvalidInput(Message("{text} would match everything; name a metric or a label.", text=repr(text)))
    return tuple(matchers)


def _matchers(inside: str, text: str) -> Iterator[Matcher]:
    position = 0
    while inside[position:].strip():
        label = _LABEL.match(inside, position)
        value = _STRING.match(inside, label.end()) if label else None
        if label is None or value is None:
            raise InvalidInput(
                Message(
                    '{text} is not a selector: expected label="value" near {place}.',
                    text=repr(text),
                    place=repr(inside[position:][:20]),
                )
            )
        yield Matcher(label[1], label[2], _unquoted(value))
        rest = inside[value.end() :].lstrip()
        if rest and not rest.startswith(","):
            raise InvalidInput(
                Message(
                    "{text} is not a selector: expected a comma near {rest}.", text=repr(text), rest=repr(rest[:20])
                )
            )
        position = len(inside) - len(rest) + (1 if rest else 0)


def _unquoted(match: re.Match[str]) -> str:
    if match[3] is not None:
        return match[3]
    quoted = match[1] if match[1] is not None else match[2]
    return re.sub(r"\\(.)", lambda escape: _ESCAPES.get(escape[1], escape[0]), quoted)
