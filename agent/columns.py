"""The columns of a row: which series a probe has, kept as still as can be.

Everything downstream recognises a layout by the identity of its tuple, so a value that is missing for a while is
absent in its column instead of changing the columns. Pure; runs nothing.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from agent.sample import ABSENT, Sample, Series

FORGET_BEATS = 60  # a series that stayed away this long loses its column
ABSENT_BITS = struct.pack("<d", ABSENT)


def is_absent(value: float) -> bool:
    """Whether a value says that there was none; a measured NaN is not absent."""
    return value != value and struct.pack("<d", value) == ABSENT_BITS


class Columns:
    """The series of one probe, in the order of their columns."""

    __slots__ = ("_index", "_missing_beats", "series")

    def __init__(self) -> None:
        self.series: tuple[Series, ...] = ()
        self._index: dict[Series, int] = {}
        self._missing_beats = 0

    def place(self, samples: Sequence[Sample]) -> Sequence[float]:
        """The values in column order; `series` is another tuple afterwards only if the columns had to change."""
        keys, values = zip(*samples, strict=True) if samples else ((), ())
        if keys == self.series:  # compares by identity first, so this costs nothing for probes that keep their series
            self._missing_beats = 0
            return values
        if not self._has_all(keys) or self._missing_beats >= FORGET_BEATS:
            self.series = tuple(dict.fromkeys(keys))
            self._index = {series: position for position, series in enumerate(self.series)}
        placed = self.absent()
        for series, value in samples:
            placed[self._index[series]] = value
        self._missing_beats = self._missing_beats + 1 if len(keys) < len(self.series) else 0
        return placed

    def absent(self) -> list[float]:
        """A row in which nothing was there."""
        return [ABSENT] * len(self.series)

    def _has_all(self, keys: Sequence[Series]) -> bool:
        return all(series in self._index for series in keys)
