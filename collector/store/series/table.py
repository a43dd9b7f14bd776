"""Some columns of one host and layout as arrays: unpacked from blocks, cut, put together.

Reads no database and knows no question; what a slot of a rollup means is `rollup`'s.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from collector.domain.series import ABSENT, Kind, Layout, Times
from collector.store.series import rollup
from collector.store.series.shelf import Stored
from collector.store.series.tiers import RAW_TIER, Tier

Columns = dict[int, rollup.Slots]
"""Position in the layout → slots; raw values are the slot "value"."""
Wanted = Mapping[Kind, tuple[str, ...]]
"""The slots of buckets that are asked for, by kind of column."""


@dataclass(frozen=True, slots=True)
class Table:
    """Some columns of one host and layout, ascending in time."""

    times: Times
    columns: Columns

    def clip(self, since_ms: int, until_ms: int) -> Table:
        """Only the rows in `[since_ms, until_ms)`."""
        low, high = np.searchsorted(self.times, (since_ms, until_ms))
        if low == 0 and high == self.times.size:
            return self
        return self.keep(slice(low, high))

    def keep(self, rows: slice | NDArray[np.int64]) -> Table:
        """Only some rows."""
        return Table(self.times[rows], {p: {n: v[rows] for n, v in s.items()} for p, s in self.columns.items()})


def unpack(
    blocks: Sequence[Stored], layout: Layout, tier: Tier, positions: Iterable[int], *, slots: Wanted | None = None
) -> Table:
    """Columns of a host's blocks, which ascend in time, decompressed into one table.

    A family that is damaged or missing has no values: it is left out, or absent where other blocks have it.
    """
    times = blocks[0].times if len(blocks) == 1 else np.concatenate([stored.times for stored in blocks])
    bounds = [0, *accumulate(stored.times.size for stored in blocks)]
    by_name: dict[str, list[int]] = {}
    for position in positions:
        by_name.setdefault(layout.columns[position].name, []).append(position)
    columns: Columns = {}
    for name, places in by_name.items():
        parts = [
            (family, slice(start, end))
            for stored, start, end in zip(blocks, bounds, bounds[1:], strict=False)
            if (family := stored.families.get(name)) is not None
        ]
        firsts = _first_arrays(layout, tier, name) if parts else {}
        is_whole = len(parts) == len(blocks)
        for position in places if parts else ():
            kind = layout.columns[position].kind
            found = {}
            for array, slot in enumerate(_slots(tier, kind), firsts[position]):
                if slots is None or slot in slots[kind]:
                    values = found[slot] = np.empty(times.size) if is_whole else np.full(times.size, _fill(slot))
                    for family, rows in parts:
                        family.read(array, values[rows])
            columns[position] = found
    return Table(times, columns)


def join(tables: Sequence[Table]) -> Table:
    """Several tables as one; of two rows with the same time the one in the earlier table stays."""
    if len(tables) == 1:
        return tables[0]
    times = np.concatenate([table.times for table in tables])
    columns: Columns = {}
    for position in sorted({position for table in tables for position in table.columns}):
        columns[position] = _stack(tables, position)
    if times.size > 1 and not np.all(times[1:] > times[:-1]):
        _, rows = np.unique(times, return_index=True)
        return Table(times, columns).keep(rows)
    return Table(times, columns)


def _stack(tables: Sequence[Table], position: int) -> rollup.Slots:
    example = next(table.columns[position] for table in tables if position in table.columns)
    return {
        name: np.concatenate(
            [
                table.columns[position][name] if position in table.columns else np.full(table.times.size, _fill(name))
                for table in tables
            ]
        )
        for name in example
    }


def _fill(slot: str) -> float:
    """What stands where nothing is known: no samples, or an absent value."""
    return 0.0 if slot in ("count", "sum", "increase") else ABSENT


def _slots(tier: Tier, kind: Kind) -> tuple[str, ...]:
    return ("value",) if tier is RAW_TIER else rollup.SLOTS[kind]


def _first_arrays(layout: Layout, tier: Tier, name: str) -> dict[int, int]:
    """Position in the layout → where the arrays of that column begin in its family."""
    positions = layout.families[name]
    sizes = [len(_slots(tier, layout.columns[position].kind)) for position in positions]
    return dict(zip(positions, accumulate(sizes, initial=0), strict=False))
