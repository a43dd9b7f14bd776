"""Blocks in the database: found, put, replaced, deleted.

Does not know where rows come from or what is asked of them. A damaged block is counted, logged once and never served.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from sqlalchemy import ColumnElement, Connection, FromClause, and_, delete, exists, func, insert, select

from collector.domain.series import Times
from collector.store.schema import block as block_table
from collector.store.schema import block_family
from collector.store.series import block
from collector.store.series.heads import Place
from collector.store.series.tiers import TIERS, Tier

_log = logging.getLogger(__name__)

DELETE_ROWS = 500
"""Blocks deleted in one transaction: bounds how long ingest waits."""


@dataclass(slots=True)
class Damages:
    """What was found damaged since the start."""

    blocks: int = 0
    records: int = 0
    _logged: set[tuple[int, str]] = field(default_factory=set)

    def block(self, block_id: int, family: str, why: object) -> None:
        """Count a damaged part of a block and say so the first time."""
        self.blocks += 1
        if (block_id, family) not in self._logged:
            self._logged.add((block_id, family))
            _log.error("series_block_damaged block=%d family=%s why=%s served=no", block_id, family or "-", why)

    def record(self, record_id: int) -> None:
        """Count a damaged journal record and say so."""
        self.records += 1
        _log.error("series_journal_damaged record=%d served=no hint=%s", record_id, "check the disk, restore a backup")


@dataclass(frozen=True, slots=True)
class Stored:
    """A block as it was found, with those of the families asked for that are intact."""

    id: int
    place: Place
    times: Times
    families: dict[str, block.Family]


@dataclass(frozen=True, slots=True)
class Draft:
    """A block to be written; replaces the one at the same place."""

    tier: Tier
    place: Place
    rows: int
    times: bytes
    families: Sequence[tuple[str, bytes]]


@dataclass(frozen=True, slots=True)
class Scope:
    """Which blocks: of these hosts and layouts (None: all), with windows in `[since_ms, until_ms)`."""

    layouts: Collection[int] | None
    hosts: Collection[int] | None
    since_ms: int
    until_ms: int


def find(
    connection: Connection, tier: Tier, scope: Scope, *, families: Collection[str] | None, damages: Damages
) -> list[Stored]:
    """Blocks in scope, ascending by host, window and layout. Without `families` every family is read."""
    wanted = block_family.c.block_id == block_table.c.id
    if families is not None:
        wanted = and_(wanted, block_family.c.family.in_(families))
    # One statement sees one state of the database on every dialect; a block without these families still counts.
    statement = (
        select(
            block_table.c.id,
            block_table.c.host_id,
            block_table.c.layout_id,
            block_table.c.window_ms,
            block_table.c.body,
            block_family.c.family,
            block_family.c.body,
        )
        .select_from(block_table.outerjoin(block_family, wanted))
        .where(block_table.c.resolution_ms == tier.resolution_ms, *_in_scope(block_table, scope))
        .order_by(block_table.c.host_id, block_table.c.window_ms, block_table.c.layout_id)
    )
    found: dict[int, Stored | None] = {}
    for block_id, host_id, layout_id, window_ms, times, family, body in connection.execute(statement):
        if block_id not in found:
            found[block_id] = _open(block_id, Place(host_id, layout_id, window_ms), bytes(times), damages)
        stored = found[block_id]
        if stored is not None and family is not None:
            _open_family(stored, family, bytes(body), damages)
    return [stored for stored in found.values() if stored is not None]


def uncovered(tier: Tier, scope: Scope, connection: Connection) -> set[Place]:
    """Windows of `tier` for which there are finer blocks, but no block of this tier."""
    finer, own = block_table.alias(), block_table.alias()
    window = (finer.c.window_ms - finer.c.window_ms % tier.window_ms).label("window")
    covering = exists().where(
        own.c.resolution_ms == tier.resolution_ms,
        own.c.host_id == finer.c.host_id,
        own.c.layout_id == finer.c.layout_id,
        own.c.window_ms == finer.c.window_ms - finer.c.window_ms % tier.window_ms,
    )
    statement = (
        select(finer.c.host_id, finer.c.layout_id, window)
        # Named one by one, so that the index by resolution and host is of use.
        .where(finer.c.resolution_ms.in_(_finer(tier)), *_in_scope(finer, scope), ~covering)
        .distinct()
    )
    return {Place(*row) for row in connection.execute(statement)}


def put(draft: Draft, connection: Connection) -> None:
    """Write a block in place of whatever was there."""
    forget(draft.tier, [draft.place], connection)
    place = draft.place
    block_id = connection.execute(
        insert(block_table).returning(block_table.c.id),
        {
            "resolution_ms": draft.tier.resolution_ms,
            "host_id": place.host_id,
            "layout_id": place.layout_id,
            "window_ms": place.window_ms,
            "row_count": draft.rows,
            "body": draft.times,
        },
    ).scalar_one()
    if draft.families:
        connection.execute(
            insert(block_family),
            [{"block_id": block_id, "family": name, "body": body} for name, body in draft.families],
        )


def forget(tier: Tier, places: Iterable[Place], connection: Connection) -> None:
    """Delete the blocks at these places, if there are any."""
    ids = []
    for place in places:
        statement = select(block_table.c.id).where(
            block_table.c.resolution_ms == tier.resolution_ms,
            block_table.c.host_id == place.host_id,
            block_table.c.window_ms == place.window_ms,
            block_table.c.layout_id == place.layout_id,
        )
        ids += [found for (found,) in connection.execute(statement)]
    _delete(connection, ids)


def expire(tier: Tier, before_ms: int, connection: Connection) -> int:
    """Delete up to `DELETE_ROWS` blocks whose window starts before a moment; return how many."""
    old = (
        select(block_table.c.id)
        .where(block_table.c.resolution_ms == tier.resolution_ms, block_table.c.window_ms < before_ms)
        .limit(DELETE_ROWS)
    )
    ids = [found for (found,) in connection.execute(old)]
    _delete(connection, ids)
    return len(ids)


def pairs(connection: Connection) -> set[tuple[int, int]]:
    """Every host and layout with a block."""
    statement = select(block_table.c.host_id, block_table.c.layout_id).distinct()
    return {(host_id, layout_id) for host_id, layout_id in connection.execute(statement)}


def count(connection: Connection) -> dict[int, int]:
    """Number of blocks by resolution in milliseconds."""
    statement = select(block_table.c.resolution_ms, func.count()).group_by(block_table.c.resolution_ms)
    return {int(resolution_ms): int(found) for resolution_ms, found in connection.execute(statement)}


def _finer(tier: Tier) -> list[int]:
    return [one.resolution_ms for one in TIERS if one.resolution_ms < tier.resolution_ms]


def _in_scope(table: FromClause, scope: Scope) -> list[ColumnElement[bool]]:
    columns = table.c
    conditions = [
        columns.window_ms >= scope.since_ms,
        columns.window_ms < scope.until_ms,
    ]
    if scope.layouts is not None:
        conditions.append(columns.layout_id.in_(scope.layouts))
    if scope.hosts is not None:
        conditions.append(columns.host_id.in_(scope.hosts))
    return conditions


def _open(block_id: int, place: Place, times: bytes, damages: Damages) -> Stored | None:
    try:
        return Stored(block_id, place, block.decode_times(times), {})
    except block.Damaged as error:
        damages.block(block_id, "", error)
        return None


def _open_family(stored: Stored, family: str, body: bytes, damages: Damages) -> None:
    try:
        opened = block.decode_family(body)
        if opened.rows != stored.times.size:
            raise block.Damaged("number of rows differs from the block's")
    except block.Damaged as error:
        damages.block(stored.id, family, error)
        return
    stored.families[family] = opened


def _delete(connection: Connection, ids: Sequence[int]) -> None:
    if ids:
        connection.execute(delete(block_family).where(block_family.c.block_id.in_(ids)))
        connection.execute(delete(block_table).where(block_table.c.id.in_(ids)))
