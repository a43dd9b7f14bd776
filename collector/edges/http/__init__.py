"""The web: pages, JSON and event streams. One file is one noun, and `ROUTES` is everything that answers.

To add a page: its file with `ROUTES`, its template, one line here.
"""

from __future__ import annotations

from collector.edges.http import (
    access,
    discovery,
    federate,
    health,
    openapi,
    preferences,
    register_api,
    registers,
    static,
    styleguide,
)
from collector.edges.http.routing import Route

ROUTES: tuple[Route, ...] = (
    *static.ROUTES,
    *access.ROUTES,
    *health.ROUTES,
    *federate.ROUTES,
    *discovery.ROUTES,
    *preferences.ROUTES,
    *registers.ROUTES,
    *register_api.ROUTES,
    *openapi.ROUTES,
    *styleguide.ROUTES,
)
