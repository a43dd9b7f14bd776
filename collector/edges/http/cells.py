"""Table rows whose cells say which column they are of, so that a narrow screen can show each row as a card.

Done once here, for every list, instead of by hand at each cell of each template. Works on rows that our own templates
made: every foreign character in them is escaped.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from markupsafe import Markup, escape

_OPENING = re.compile(r"<(tr|td)\b([^>]*)>")
_SPANS = re.compile(r'colspan="(\d+)"')


def labelled(rows: str, columns: Iterable[str | Mapping[str, str]]) -> Markup:
    """The rows with `data-label` at each cell, and roles that stay when a style sheet makes cards of them.

    Args:
        rows: Markup of `<tr>` and `<td>` elements.
        columns: Labels in order, or mappings with a `label`; its `short` is what a card says, where room is little.
    """
    labels = [column if isinstance(column, str) else column.get("short") or column["label"] for column in columns]
    return Markup("".join(_parts(rows, labels)))  # noqa: S704 - what is added is escaped


def _parts(rows: str, labels: list[str]) -> Iterator[str]:
    at = reached = 0
    for opening in _OPENING.finditer(rows):
        yield rows[reached : opening.start()]
        reached = opening.end()
        element, attributes = opening.groups()
        if element == "tr":
            at = 0
            yield f'<tr role="row"{attributes}>'
            continue
        spans = _SPANS.search(attributes)
        # A cell over several columns is of none of them.
        label = labels[at] if at < len(labels) and not spans else ""
        at += int(spans[1]) if spans else 1
        named = f' data-label="{escape(label)}"' if label else ""
        yield f'<td role="cell"{named}{attributes}>'
    yield rows[reached:]
