"""The navigation, as data: labels are translated where they are shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from collector.edges.http.i18n import mark
from collector.edges.http.routing import Permission


class Item(NamedTuple):
    """One entry: `key` is what follows `g` on the keyboard."""

    label: str
    href: str
    icon: str
    key: str = ""
    permission: Permission = Permission.VIEW


class Section(NamedTuple):
    """A group of entries; the first has no heading."""

    label: str
    items: Sequence[Item]


MENU: Sequence[Section] = (
    Section(
        "",
        (
            Item(mark("Overview"), "/", "overview", "o"),
            Item(mark("Services"), "/services", "service", "s"),
            Item(mark("Hosts"), "/hosts", "host", "h"),
            Item(mark("Alerts"), "/alerts", "alert", "a"),
        ),
    ),
    Section(
        mark("Set up"),
        (
            Item(mark("Agents"), "/agents", "agent", "n"),
            Item(mark("Checks"), "/registers/check", "check", "c"),
            Item(mark("Rules"), "/registers/rule", "rule"),
            Item(mark("Channels"), "/registers/channel", "channel"),
            Item(mark("Registers"), "/registers", "register", "r"),
            Item(mark("Settings"), "/settings", "settings", ","),
            Item(mark("Manual"), "/docs", "manual", "d", Permission.PUBLIC),
        ),
    ),
)
