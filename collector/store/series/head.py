"""A head: the rows of one host, layout and window that are not in a block yet.

The newest rows lie in a (time × series) array; every `SEAL_ROWS` they are compressed column by column, so that a head
stays small. Rows may arrive in any order; of two rows with the same time the first stays, as what was acknowledged is
never changed afterwards. Not thread-safe by itself (see `heads`); reads and writes no database.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from collector.domain.series import Times, Values
from collector.store.series import block

T = TypeVar("T", bound=np.generic)

SEAL_ROWS = 120
"""Twenty minutes at a 10 s beat. 150 series: 144 kB raw, some 30 kB sealed."""
FIRST_ROWS = 8
"""Rows that a new head has room for; it doubles up to `SEAL_ROWS`, so that a host's single late row costs little."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Sealed rows, ascending in time."""

    times: Times
    ends: NDArray[np.int32]  # of each column in the payload
    payload: bytes  # in one piece: an object for each column would take a fifth more

    @property
    def nbytes(self) -> int:
        """Memory used, object headers left out."""
        return int(self.times.nbytes + self.ends.nbytes) + len(self.payload)

    def read(self, position: int, into: Values) -> None:
        """Decompress one column into its place, which is as long as it."""
        start = int(self.ends[position - 1]) if position else 0
        block.expand_into(self.payload[start : int(self.ends[position])], into)


class Head:
    """Rows of one host, layout and window."""

    __slots__ = (
        "_chunks",
        "_count",
        "_last_ms",
        "_sealed_bytes",
        "_seen",
        "_times",
        "_values",
        "first_record",
        "opened_ms",
        "touched_ms",
    )

    def __init__(self, width: int, *, first_record: int, now_ms: int = 0) -> None:
        self.first_record = first_record  # oldest journal record with one of these rows
        self.opened_ms = self.touched_ms = now_ms
        self._chunks: list[Chunk] = []
        self._sealed_bytes = 0
        self._times = np.empty(FIRST_ROWS, dtype=np.int64)
        self._values = np.empty((FIRST_ROWS, width), dtype=np.float64)
        self._count = 0
        self._last_ms = -1
        self._seen: set[int] | None = None  # every time, once a row came out of order

    def __len__(self) -> int:
        return self._count + sum(chunk.times.size for chunk in self._chunks)

    @property
    def nbytes(self) -> int:
        """Memory used by rows."""
        return int(self._values.nbytes + self._times.nbytes) + self._sealed_bytes

    def append(self, wall_ms: int, values: bytes) -> bool:
        """Add a row; False when this time is there already."""
        if wall_ms > self._last_ms:
            self._last_ms = wall_ms
        elif not self._is_new(wall_ms):
            return False
        if self._seen is not None:
            self._seen.add(wall_ms)
        count = self._count
        if count == self._times.size:
            self._make_room()
            count = self._count
        self._times[count] = wall_ms
        self._values[count] = np.frombuffer(values, dtype="<f8")
        self._count = count + 1
        return True

    def snapshot(self) -> HeadView:
        """What is there now, to be read without a lock."""
        return HeadView(tuple(self._chunks), self._times[: self._count], self._values[: self._count])

    def _is_new(self, wall_ms: int) -> bool:
        if self._seen is None:
            self._seen = set(self._times[: self._count].tolist())
            for chunk in self._chunks:
                self._seen.update(chunk.times.tolist())
        return wall_ms not in self._seen

    def _make_room(self) -> None:
        if self._times.size < SEAL_ROWS:
            rows = min(2 * self._times.size, SEAL_ROWS)
            self._times = _grown(self._times, rows)
            self._values = _grown(self._values, rows)
            return
        order = np.argsort(self._times, kind="stable")
        columns = np.ascontiguousarray(self._values[order].T)
        packed = [block.compress(column, quick=True) for column in columns]
        ends = np.cumsum([len(each) for each in packed], dtype=np.int32)
        self._chunks.append(Chunk(self._times[order], ends, b"".join(packed)))
        self._sealed_bytes += self._chunks[-1].nbytes
        # A reader may still look at the old array, so it is replaced instead of filled anew.
        self._times = np.empty(SEAL_ROWS, dtype=np.int64)
        self._values = np.empty((SEAL_ROWS, self._values.shape[1]), dtype=np.float64)
        self._count = 0


@dataclass(frozen=True, slots=True)
class HeadView:
    """A head as it was at one moment; times in order of arrival."""

    chunks: Sequence[Chunk]
    times: Times
    values: NDArray[np.float64]

    def read(self, positions: Sequence[int]) -> tuple[Times, list[Values]]:
        """Times and the columns asked for, ascending in time."""
        times = np.concatenate([*(chunk.times for chunk in self.chunks), self.times])
        columns = [np.empty(times.size) for _ in positions]
        start = 0
        for chunk in self.chunks:
            rows = slice(start, start + chunk.times.size)
            start = rows.stop
            for position, values in zip(positions, columns, strict=True):
                chunk.read(position, values[rows])
        for position, values in zip(positions, columns, strict=True):
            values[start:] = self.values[:, position]
        if times.size > 1 and not np.all(times[1:] > times[:-1]):
            order = np.argsort(times, kind="stable")
            times, columns = times[order], [column[order] for column in columns]
        return times, columns


def _grown(array: NDArray[T], rows: int) -> NDArray[T]:
    grown = np.empty((rows, *array.shape[1:]), dtype=array.dtype)
    grown[: array.shape[0]] = array
    return grown
