"""Every part of the design language on one page, with made-up content: where a template author looks first.

Shows parts only; no data of this collector.
"""

from __future__ import annotations

import math
from typing import Any

from aiohttp import web

from collector.edges.http.context import context_of
from collector.edges.http.routing import Page, Permission, Route

DAY_MS = 86_400_000
HOUR_MS = 3_600_000
POINTS = 240


def _wave(index: int, *, phase: float, height: float) -> float:
    return height * (0.6 + 0.3 * math.sin(index / 17 + phase) + 0.1 * math.sin(index / 3 + phase * 2))


def _sample(now_ms: int) -> dict[str, Any]:
    day = now_ms - DAY_MS
    return {
        "since_ms": day,
        "until_ms": now_ms,
        "segments": [
            (day, day + 7 * HOUR_MS, "up", ""),
            (day + 7 * HOUR_MS, day + 7 * HOUR_MS + 1_500_000, "down", "connect: refused"),
            (day + 7 * HOUR_MS + 1_500_000, day + 15 * HOUR_MS, "up", ""),
            (day + 15 * HOUR_MS, day + 16 * HOUR_MS, "degraded", "1.8 s, above 1 s"),
            (day + 16 * HOUR_MS, day + 20 * HOUR_MS, "up", ""),
            (day + 20 * HOUR_MS, day + 21 * HOUR_MS, "unknown", "no evidence"),
            (day + 21 * HOUR_MS, now_ms, "up", ""),
        ],
        "wave": [_wave(index, phase=1, height=1) for index in range(60)],
        "states": ["up", "degraded", "down", "unknown", "paused", "maintenance"],
    }


async def show(request: web.Request) -> Page:
    """The styleguide."""
    return Page("styleguide.html", _sample(context_of(request).clock()))


async def series(request: web.Request) -> web.Response:
    """Made-up series for its charts."""
    until = context_of(request).clock()
    times = [until - (POINTS - index) * 15_000 for index in range(POINTS)]
    modes = (("user", 0.2), ("system", 0.08), ("iowait", 0.04), ("steal", 0.01))
    stack = [
        {"label": name, "values": [_wave(index, phase=2 + place, height=height) for index in range(POINTS)]}
        for place, (name, height) in enumerate(modes)
    ]
    gap = range(POINTS // 2, POINTS // 2 + 20)
    line = [
        {
            "label": device,
            "values": [
                None if index in gap else _wave(index, phase=place * 1.7, height=9e6 / (place + 1))
                for index in range(POINTS)
            ],
        }
        for place, device in enumerate(("eth0", "eth1"))
    ]
    drawn = {"stack": {"times": times, "series": stack}, "line": {"times": times, "series": line}}
    charts = {f"{kind}-{theme}": answer for kind, answer in drawn.items() for theme in ("light", "dark")}
    return web.json_response({"charts": charts})


ROUTES = (
    Route("GET", "/styleguide", show, Permission.PUBLIC, "Every part of the design language on one page."),
    Route("GET", "/styleguide/series", series, Permission.PUBLIC, "Made-up series for the styleguide's charts."),
)
