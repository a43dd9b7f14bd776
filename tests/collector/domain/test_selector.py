"""Selectors as text."""

from __future__ import annotations

import pytest

from collector.domain.errors import InvalidInput
from collector.domain.selector import parse
from collector.domain.series import Matcher

CASES = {
    "node_load1": [("__name__", "=", "node_load1")],
    'node_load1{instance="web-1"}': [("__name__", "=", "node_load1"), ("instance", "=", "web-1")],
    '{job="node",device!~"lo|dummy.*",}': [("job", "=", "node"), ("device", "!~", "lo|dummy.*")],
    ' { a = "x, y}" , b !=\'q"\' } ': [("a", "=", "x, y}"), ("b", "!=", 'q"')],
    r'{path=`C:\d`, text="a\"b\\c\n"}': [("path", "=", r"C:\d"), ("text", "=", 'a"b\\c\n')],
}


@pytest.mark.parametrize("text", CASES)
def test_a_selector_becomes_its_matchers(text: str) -> None:
    assert list(parse(text)) == [Matcher(*case) for case in CASES[text]]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        '{a=""}',
        '{__name__=~".*"}',
        "rate(x[5m])",
        "a{b}",
        'a{b="c" d="e"}',
        'a{b="c"',
        "a b",
        'a{b=="c"}',
        "x" * 3000,
    ],
)
def test_anything_else_is_refused_with_a_reason(text: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse(text)
    assert refused.value.message
