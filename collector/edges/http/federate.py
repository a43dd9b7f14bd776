"""`/federate`: the hosts' newest samples for another Prometheus, selected by `match[]`.

Samples carry their own time, as Prometheus' federation does, so a scraper sees when a host was last heard. A host that
fell silent drops out after the usual five minutes.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from aiohttp import web
from numpy.typing import NDArray

from collector.domain import selector
from collector.domain.errors import InvalidInput
from collector.domain.series import Matcher, is_absent
from collector.edges.http.context import context_of
from collector.edges.http.exposition import Format, escaped, format_of, head, number
from collector.edges.http.routing import Permission, Route
from collector.store import registers
from collector.store.series.reader import INSTANCE_LABEL, JOB, JOB_LABEL, Standing

LOOKBACK_MS = 300_000
"""How old a newest sample may be: Prometheus' own lookback."""
CHUNK = 256 * 1024
"""Characters that are written at once; a longer answer is sent while the rest of it is made."""
ROWS_AT_ONCE = 256


WORDS_MOST = 50_000
"""Remembered `Words`; some 300 bytes each."""


class Words(NamedTuple):
    """A series' text, without what differs from host to host and from beat to beat."""

    name: str
    before: str  # of its lines, up to the instance's value
    after: str  # from there to the sample's value


@dataclass(slots=True)
class Block:
    """Newest rows of which the same series are told, host by host."""

    series: dict[str, list[tuple[int, Words]]]  # metric → position in the row and text
    hosts: list[str] = field(default_factory=list)
    times: list[int] = field(default_factory=list)
    rows: list[NDArray[np.float64]] = field(default_factory=list)


async def federate(request: web.Request) -> web.StreamResponse:
    """The union of what the selectors match, one newest sample for each series."""
    selectors = request.query.getall("match[]", [])
    if not selectors:
        raise InvalidInput("Say what to federate.", hint='For example /federate?match[]={job="node"}')
    return await _answer(request, [selector.parse(text) for text in selectors])


async def federate_host(request: web.Request) -> web.StreamResponse:
    """Everything newest of one host: what service discovery points a scraper at.

    A host that is silent has nothing to tell, which is no error; one that does not exist is.
    """
    key = request.match_info["key"]
    await context_of(request).db.read(lambda connection: registers.by_key(connection, "host", key))
    return await _answer(request, [(Matcher("instance", "=", key),)])


async def _answer(request: web.Request, matchers: Sequence[Sequence[Matcher]]) -> web.StreamResponse:
    context, wanted = context_of(request), format_of(request.headers.get("Accept", ""))
    headers = {"Content-Type": wanted.content_type}

    def read() -> tuple[Iterator[bytes], bytes, bytes]:
        found = [context.series.newest(one, max_age_ms=LOOKBACK_MS) for one in matchers]
        chunks = _chunks(_texts(_blocks(found, context.words), wanted), wanted)
        return chunks, next(chunks), next(chunks, b"")

    # Beside the event loop, and piece by piece: every CPU of 500 hosts is 32,000 samples.
    chunks, chunk, following = await asyncio.to_thread(read)
    if not following:
        return web.Response(body=chunk, headers=headers)
    response = web.StreamResponse(headers=headers)
    await response.prepare(request)
    while chunk:
        await response.write(chunk)
        chunk, following = following, await asyncio.to_thread(next, chunks, b"")
    await response.write_eof()
    return response


def _chunks(texts: Iterable[str], wanted: Format) -> Iterator[bytes]:
    """The answer in pieces of some `CHUNK` characters."""
    kept: list[str] = []
    size = 0
    for text in texts:
        kept.append(text)
        size += len(text)
        if size >= CHUNK:
            yield "".join(kept).encode()
            kept, size = [], 0
    yield "".join([*kept, wanted.end]).encode()


def _blocks(found: Sequence[Sequence[Standing]], remembered: dict[tuple[int, int], Words]) -> list[Block]:
    """Rows with all that any selector asks of them, each series of a host once."""
    positions: dict[tuple[int, int], set[int]] = defaultdict(set)
    by_host: dict[int, dict[int, Standing]] = defaultdict(dict)
    for one in (one for standing in found for one in standing):
        positions[one.host_id, one.layout_id].update(one.positions)
        by_host[one.host_id][one.layout_id] = one
    blocks: dict[tuple[int, tuple[int, ...]], Block] = {}
    for host_id, standing in by_host.items():
        told: set[Words] = set()
        # A series goes on in another layout when its host's columns change: the newer row has its newest sample.
        for one in sorted(standing.values(), key=lambda one: -one.wall_ms):
            wanted = tuple(sorted(positions[host_id, one.layout_id]))
            if len(standing) > 1:
                wanted = _untold(one, wanted, told, remembered)
            block = blocks.get((one.layout_id, wanted))
            if block is None:
                block = blocks[one.layout_id, wanted] = Block(_by_name(one, wanted, remembered))
            block.hosts.append(escaped(one.instance))
            block.times.append(one.wall_ms)
            block.rows.append(one.values)
    return list(blocks.values())


def _untold(
    one: Standing, positions: tuple[int, ...], told: set[Words], remembered: dict[tuple[int, int], Words]
) -> tuple[int, ...]:
    """The positions with a sample of a series that no newer row had one of."""
    present = ~is_absent(one.values)
    fresh = [(position, _words(one, position, remembered)) for position in positions if present[position]]
    fresh = [(position, words) for position, words in fresh if words not in told]
    told.update(words for _, words in fresh)
    return tuple(position for position, _ in fresh)


def _by_name(
    one: Standing, positions: Iterable[int], remembered: dict[tuple[int, int], Words]
) -> dict[str, list[tuple[int, Words]]]:
    found: dict[str, list[tuple[int, Words]]] = defaultdict(list)
    for position in positions:
        words = _words(one, position, remembered)
        found[words.name].append((position, words))
    return found


def _words(one: Standing, position: int, remembered: dict[tuple[int, int], Words]) -> Words:
    known = remembered.get((one.layout_id, position))
    if known is None:
        if len(remembered) >= WORDS_MOST:
            remembered.clear()
        column = one.layout.columns[position]
        labels = dict(column.labels) | {INSTANCE_LABEL: "\0", JOB_LABEL: JOB}
        pairs = ",".join(f'{name}="{escaped(value)}"' for name, value in sorted(labels.items()))
        # No label's value has a control character in it, see `store.series.layouts`.
        known = remembered[one.layout_id, position] = Words(column.name, *f"{column.name}{{{pairs}}} ".split("\0"))
    return known


def _texts(blocks: Sequence[Block], wanted: Format) -> Iterator[str]:
    """Metric by metric, since all lines of one must stand together."""
    for name in sorted({name for block in blocks for name in block.series}):
        title = head(name, f"{name} as measured on the hosts.", wanted.unknown)
        for block in blocks:
            for start in range(0, len(block.rows) if name in block.series else 0, ROWS_AT_ONCE):
                if lines := _lines(block, name, slice(start, start + ROWS_AT_ONCE), wanted):
                    yield title + lines
                    title = ""


def _lines(block: Block, name: str, some: slice, wanted: Format) -> str:
    positions = [position for position, _ in block.series[name]]
    values = np.stack([row[positions] for row in block.rows[some]])
    around = [(words.before, words.after) for _, words in block.series[name]]
    hosts = [
        (host, f" {wanted.stamp(wall_ms)}\n")
        for host, wall_ms in zip(block.hosts[some], block.times[some], strict=True)
    ]
    if np.isfinite(values).all():
        texts = [list(map(repr, row)) for row in values.tolist()]
    else:
        gone = is_absent(values)
        texts = [
            ["" if absent else number(value) for value, absent in zip(*row, strict=True)]
            for row in zip(values.tolist(), gone.tolist(), strict=True)
        ]
    return "".join(
        [
            f"{before}{host}{after}{text}{end}"
            for (host, end), row in zip(hosts, texts, strict=True)
            for (before, after), text in zip(around, row, strict=True)
            if text
        ]
    )


ROUTES = (
    Route("GET", "/federate", federate, Permission.VIEW, "The hosts' newest samples in Prometheus' text format."),
    Route("GET", "/federate/hosts/{key}", federate_host, Permission.VIEW, "One host's newest samples."),
)
