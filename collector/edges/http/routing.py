"""Routes as data: each names its permission, and a route without one cannot be written down.

A page handler returns a `Page`; the frame around it renders the template as HTML, or the same data as JSON when the
path ends in `.json` or the client asks for it. Handlers raise domain errors; `errors.py` maps them by one table.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from aiohttp import web


class Permission(StrEnum):
    """What a request needs. Roles: viewer has VIEW and SELF, operator also OPERATE, admin all.

    SELF is about one's own account – its password, its tokens – and for people only: whoever got hold of a token must
    not be able to make more of it.
    """

    PUBLIC = "public"
    VIEW = "view"
    SELF = "self"
    OPERATE = "operate"
    ADMIN = "admin"


ROLE_PERMISSIONS: Mapping[str, frozenset[Permission]] = {
    "viewer": frozenset({Permission.PUBLIC, Permission.VIEW, Permission.SELF}),
    "operator": frozenset({Permission.PUBLIC, Permission.VIEW, Permission.SELF, Permission.OPERATE}),
    "admin": frozenset(Permission),
}


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who asks: a signed-in person or an API token; nobody has the empty role."""

    name: str = ""
    role: str = ""
    account_id: int | None = None
    language: str = "en"
    time_zone: str = "UTC"
    theme: str = "auto"
    by_token: bool = False

    def may(self, permission: Permission) -> bool:
        """Whether the role includes `permission`."""
        if permission is Permission.SELF and self.by_token:
            return False
        return permission is Permission.PUBLIC or permission in ROLE_PERMISSIONS.get(self.role, frozenset())


@dataclass(frozen=True, slots=True)
class Page:
    """What a page shows: the template's name and the data that its JSON twin returns unchanged."""

    template: str
    data: Mapping[str, Any]
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


Handler = Callable[[web.Request], Awaitable[Page | web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Route:
    """One path. `path` is aiohttp's pattern; a GET route that returns a Page also answers at `path + ".json"`."""

    method: str
    path: str
    handler: Handler
    permission: Permission
    summary: str = ""  # one line, for OpenAPI and the manual
    body: type | None = None  # the shape of the JSON that it takes, for OpenAPI
    status: int = 200  # when it is done, for OpenAPI
    answer: Any = None  # the shape of the JSON that it answers, for OpenAPI
