"""Making blocks: a head's rows joined with what its window already holds, and rollups from finer tiers.

Computes drafts; committing them, and what goes with them in one transaction, is the store's.
"""

from __future__ import annotations

import numpy as np
from sqlalchemy import Connection

from collector.domain.series import Layout
from collector.store.series import block, rollup, shelf
from collector.store.series.head import HeadView
from collector.store.series.heads import Place
from collector.store.series.reader import Plan, Reader
from collector.store.series.table import Table, join, unpack
from collector.store.series.tiers import RAW_TIER, TIERS, Tier


def from_head(reader: Reader, connection: Connection, place: Place, view: HeadView) -> shelf.Draft | None:
    """The block of a window once a head is added to it; None when the head has nothing new.

    Rows that are stored already win over rows with the same time in the head, so replaying a journal whose rows became
    blocks before the crash changes nothing.
    """
    layout = _layout(reader, place)
    positions = tuple(range(len(layout.columns)))
    times, columns = view.read(positions)
    fresh = Table(times, {p: {"value": values} for p, values in zip(positions, columns, strict=True)})
    scope = shelf.Scope([place.layout_id], [place.host_id], place.window_ms, place.window_ms + 1)
    stored = shelf.find(connection, RAW_TIER, scope, families=None, damages=reader.damages)
    if not stored:
        return draft(RAW_TIER, place, layout, fresh) if fresh.times.size else None
    old = unpack(stored[:1], layout, RAW_TIER, positions)
    if np.isin(fresh.times, old.times).all():
        return None
    return draft(RAW_TIER, place, layout, join([old, fresh]))


def from_finer(reader: Reader, level: int, place: Place, connection: Connection) -> shelf.Draft:
    """The rollup of one window."""
    layout = _layout(reader, place)
    tier = TIERS[level]
    plan = Plan({place.layout_id: tuple(range(len(layout.columns)))}, frozenset([place.host_id]))
    span = (place.window_ms, place.window_ms + tier.window_ms)
    finer = reader.read(connection, level - 1, plan, span).get((place.host_id, place.layout_id))
    if finer is None or finer.times.size == 0:
        # Nothing readable in this window: an empty block says so, instead of trying again for ever.
        return shelf.Draft(tier, place, 0, block.encode_times(np.empty(0, dtype=np.int64)), ())
    return draft(tier, place, layout, reader.roll(finer, place.layout_id, level))


def draft(tier: Tier, place: Place, layout: Layout, table: Table) -> shelf.Draft:
    """The bytes of a block."""
    families = []
    for name, positions in layout.families.items():
        present = [position for position in positions if position in table.columns]
        if len(present) == len(positions):
            arrays = [table.columns[p][slot] for p in positions for slot in _slots(tier, layout, p)]
            families.append((name, block.encode_family(arrays, statistics=tier is RAW_TIER)))
    return shelf.Draft(tier, place, int(table.times.size), block.encode_times(table.times), families)


def _slots(tier: Tier, layout: Layout, position: int) -> tuple[str, ...]:
    return ("value",) if tier is RAW_TIER else rollup.SLOTS[layout.columns[position].kind]


def _layout(reader: Reader, place: Place) -> Layout:
    layout = reader.layouts.get(place.layout_id)
    assert layout is not None, "a head or block without its layout was refused before"
    return layout
