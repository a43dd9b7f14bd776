"""The web: pages, JSON and event streams. One file is one noun, and `ROUTES` is everything that answers.

To add a page: its file with `ROUTES`, its template, one line here.
"""

from __future__ import annotations

from collector.edges.http import (
    access,
    account_api,
    accounts,
    agents,
    alerts,
    checks,
    deliveries,
    discovery,
    docs,
    federate,
    health,
    hosts,
    live,
    metrics,
    openapi,
    operate,
    overview,
    preferences,
    profile,
    register_api,
    registers,
    series,
    services,
    settings,
    static,
    status_api,
    styleguide,
)
from collector.edges.http.routing import Route

ROUTES: tuple[Route, ...] = (
    *static.ROUTES,
    *overview.ROUTES,
    *hosts.ROUTES,
    *services.ROUTES,
    *alerts.ROUTES,
    *checks.ROUTES,
    *deliveries.ROUTES,
    *agents.ROUTES,
    *settings.ROUTES,
    *profile.ROUTES,
    *accounts.ROUTES,
    *account_api.ROUTES,
    *docs.ROUTES,
    *live.ROUTES,
    *series.ROUTES,
    *status_api.ROUTES,
    *access.ROUTES,
    *health.ROUTES,
    *metrics.ROUTES,
    *federate.ROUTES,
    *discovery.ROUTES,
    *preferences.ROUTES,
    *operate.ROUTES,
    *registers.ROUTES,
    *register_api.ROUTES,
    *openapi.ROUTES,
    *styleguide.ROUTES,
)
