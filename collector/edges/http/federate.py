"""`/federate`: the hosts' newest samples for another Prometheus, selected by `match[]`.

Samples carry their own time, as Prometheus' federation does, so a scraper sees when a host was last heard. A host that
fell silent drops out after the usual five minutes.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from aiohttp import web
from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import CollectorRegistry
from prometheus_client.samples import Timestamp

from collector.domain import selector
from collector.domain.errors import InvalidInput
from collector.domain.series import Matcher
from collector.edges.http.context import context_of
from collector.edges.http.routing import Permission, Route

LOOKBACK_MS = 300_000
"""How old a newest sample may be: Prometheus' own lookback."""
_TYPES = {0: "gauge", 1: "counter"}


async def federate(request: web.Request) -> web.Response:
    """The union of what the selectors match, one newest sample for each series."""
    selectors = request.query.getall("match[]", [])
    if not selectors:
        raise InvalidInput("Say what to federate.", hint='For example /federate?match[]={job="node"}')
    return await _answer(request, [selector.parse(text) for text in selectors])


async def federate_host(request: web.Request) -> web.Response:
    """Everything newest of one host: what service discovery points a scraper at."""
    return await _answer(request, [(Matcher("instance", "=", request.match_info["key"]),)])


async def _answer(request: web.Request, matchers: Sequence[Sequence[Matcher]]) -> web.Response:
    series = context_of(request).series
    encode, content_type = choose_encoder(request.headers.get("Accept", ""))

    def read() -> bytes:
        latest = [series.latest(one, max_age_ms=LOOKBACK_MS) for one in matchers]
        body: bytes = encode(_Fixed(_families(sample for found in latest for sample in found)))
        return body

    # All of it beside the event loop: every CPU of 500 hosts is 32,000 samples.
    body = await asyncio.to_thread(read)
    return web.Response(body=body, headers={"Content-Type": content_type})


def _families(samples: Iterable[tuple[Mapping[str, str], int, float]]) -> list[Metric]:
    grouped: dict[str, dict[tuple[tuple[str, str], ...], tuple[int, float]]] = defaultdict(dict)
    for labels, wall_ms, value in samples:
        rest = tuple(sorted((name, text) for name, text in labels.items() if name != "__name__"))
        grouped[labels["__name__"]][rest] = (wall_ms, value)
    families = []
    for name in sorted(grouped):
        family = Metric(name, f"{name} as measured on the hosts.", "unknown")
        for rest, (wall_ms, value) in grouped[name].items():
            stamp = Timestamp(wall_ms // 1_000, wall_ms % 1_000 * 1_000_000)
            family.add_sample(name, dict(rest), value, stamp)
        families.append(family)
    return families


class _Fixed(CollectorRegistry):
    """A registry of families that are already there; the encoders take nothing simpler."""

    def __init__(self, families: Iterable[Metric]) -> None:
        super().__init__(auto_describe=False)
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


ROUTES = (
    Route("GET", "/federate", federate, Permission.VIEW, "The hosts' newest samples in Prometheus' text format."),
    Route("GET", "/federate/hosts/{key}", federate_host, Permission.VIEW, "One host's newest samples."),
)
