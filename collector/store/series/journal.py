"""The journal: everything accepted since the last flush, one record per group commit.

A record holds the rows of all agents that were committed together:

    4  magic "SGJ1"
    4  CRC-32 of everything after this field
    4  number of rows
    per row
      4  host id, signed
      8  layout id, signed
      8  wall clock, Unix milliseconds, signed
      4  length of the values in bytes
      …  values: packed little-endian doubles

All integers are little-endian. Record ids have no holes and the newest record is never deleted, so an id is never used
twice. Does not know what a column is.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from sqlalchemy import Connection, delete, func, insert, select

from collector.domain.sample import Accepted
from collector.store.schema import journal

MAGIC = b"SGJ1"
PAGE = 8
"""Records read at once while replaying: 600 kB each with 500 hosts, and what is read once stays with the process."""
_COUNT = struct.Struct("<I")
_ROW = struct.Struct("<iqqI")
_CRC_OFFSET, _BODY_OFFSET = 4, 8

_APPEND = (
    insert(journal)
    .values(id=select(func.coalesce(func.max(journal.c.id), 0) + 1).scalar_subquery())
    .returning(journal.c.id)
)


class Entry(NamedTuple):
    """One row as the journal holds it."""

    host_id: int
    layout_id: int
    wall_ms: int
    values: bytes


class Record(NamedTuple):
    """One journal record; `entries` is None when it is damaged."""

    id: int
    received_ms: int
    entries: list[Entry] | None


def entries_of(accepted: Sequence[Accepted]) -> list[Entry]:
    """All rows of some batches, in order of arrival."""
    return [Entry(batch.host_id, row.layout_id, row.wall_ms, row.values) for batch in accepted for row in batch.rows]


def encode(entries: Sequence[Entry]) -> bytes:
    """The record's bytes."""
    parts = [_COUNT.pack(len(entries))]
    pack = _ROW.pack
    for host_id, layout_id, wall_ms, values in entries:
        parts.append(pack(host_id, layout_id, wall_ms, len(values)))
        parts.append(values)
    body = b"".join(parts)
    return b"".join((MAGIC, _COUNT.pack(zlib.crc32(body)), body))


def decode(record: bytes) -> list[Entry] | None:
    """The rows of a record, or None when it is damaged."""
    if len(record) < _BODY_OFFSET + _COUNT.size or record[:4] != MAGIC:
        return None
    if _COUNT.unpack_from(record, _CRC_OFFSET)[0] != zlib.crc32(memoryview(record)[_BODY_OFFSET:]):
        return None
    (count,) = _COUNT.unpack_from(record, _BODY_OFFSET)
    offset = _BODY_OFFSET + _COUNT.size
    entries = []
    for _ in range(count):
        host_id, layout_id, wall_ms, length = _ROW.unpack_from(record, offset)
        offset += _ROW.size
        entries.append(Entry(host_id, layout_id, wall_ms, record[offset : offset + length]))
        offset += length
    return entries


def append(connection: Connection, entries: Sequence[Entry], *, received_ms: int) -> int:
    """Write one record and return its id."""
    found = connection.execute(_APPEND, {"received_ms": received_ms, "body": encode(entries)}).scalar_one()
    return int(found)


def replay(connection: Connection) -> Iterator[Record]:
    """Every record, oldest first; damaged ones without entries."""
    after = -1
    while True:
        page = connection.execute(
            select(journal.c.id, journal.c.received_ms, journal.c.body)
            .where(journal.c.id > after)
            .order_by(journal.c.id)
            .limit(PAGE)
        ).all()
        for found, received_ms, body in page:
            yield Record(found, received_ms, decode(bytes(body)))
            after = found
        if len(page) < PAGE:
            return


def trim(connection: Connection, before_id: int) -> int:
    """Delete records older than `before_id`, except the newest of all; return how many."""
    newest = select(func.max(journal.c.id)).scalar_subquery()
    return connection.execute(delete(journal).where(journal.c.id < before_id, journal.c.id < newest)).rowcount


def depth(connection: Connection) -> tuple[int, int | None]:
    """Number of records, and when the oldest was received; ids have no holes, so nothing is counted."""
    first, last = connection.execute(select(func.min(journal.c.id), func.max(journal.c.id))).one()
    if first is None:
        return 0, None
    oldest = connection.execute(select(journal.c.received_ms).where(journal.c.id == first)).scalar_one()
    return int(last) - int(first) + 1, int(oldest)
