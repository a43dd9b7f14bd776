"""Lists as an address asks for them: which page, in which order. What may be in them is the lists' own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from collector.domain.errors import InvalidInput
from collector.domain.message import Message, Words
from collector.edges.http.form import is_count

PAGE_ROWS = 100
BACKWARDS = "-"
"""In front of an order's name."""
Row = TypeVar("Row")


def page_of(query: Mapping[str, str]) -> int:
    """Which page is asked for; the first for whoever asks for none that there can be."""
    wanted = query.get("page", "")
    return max(1, int(wanted)) if is_count(wanted) else 1


def rows_of(rows: Sequence[Row], page: int) -> Sequence[Row]:
    """Those of one page."""
    return rows[(page - 1) * PAGE_ROWS : page * PAGE_ROWS]


def order_of(query: Mapping[str, str], orders: Mapping[str, Any], *, usual: str, rows: Words) -> str:
    """The name of the order that is asked for.

    Args:
        query: Of the address.
        orders: Those that there are, by name.
        usual: For whoever asks for none.
        rows: What the list is of.

    Raises:
        InvalidInput: There is no such order.
    """
    sort = query.get("sort", usual)
    if sort.removeprefix(BACKWARDS) not in orders:
        known = Message("One of {known}.", known=", ".join(orders))
        message = Message("{registers} cannot be sorted by '{name}'.", registers=rows, name=sort)
        raise InvalidInput(message, fields={"sort": known})
    return sort


def put_in_order(rows: list[Row], sort: str, orders: Mapping[str, Callable[[Row], Any]]) -> None:
    """Sort the rows, backwards where `sort` says so."""
    rows.sort(key=orders[sort.removeprefix(BACKWARDS)], reverse=sort.startswith(BACKWARDS))
