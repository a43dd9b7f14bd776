"""The catalogue of layouts: which columns a row has. Shared by every host that declares the same columns.

Does not keep rows. Layouts are content-addressed, so an entry never changes and can be kept for good.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterator, Sequence

from google.protobuf.message import DecodeError
from sqlalchemy import Connection, insert, select

from collector.domain.errors import InvalidInput
from collector.domain.message import Message
from collector.domain.series import NAME_LABEL, Column, Kind, Layout
from collector.store.schema import series_layout
from protos.telemetry.v1 import telemetry_pb2 as pb

COLUMN_LIMIT = 2_000
LABEL_LIMIT = 16
NAME_LIMIT = 128
VALUE_LIMIT = 256
_METRIC_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


class Layouts:
    """Every layout ever declared, in memory."""

    def __init__(self) -> None:
        self._known: dict[int, Layout] = {}
        self._bodies: dict[int, bytes] = {}
        self._stored: set[int] = set()

    def __len__(self) -> int:
        return len(self._known)

    def __contains__(self, layout_id: int) -> bool:
        return layout_id in self._known

    def __iter__(self) -> Iterator[tuple[int, Layout]]:
        return iter(list(self._known.items()))

    def load(self, connection: Connection) -> None:
        """Read every stored layout."""
        for layout_id, body in connection.execute(select(series_layout.c.id, series_layout.c.body)):
            self._known[layout_id] = decode(bytes(body))
            self._bodies[layout_id] = bytes(body)
            self._stored.add(layout_id)

    def get(self, layout_id: int) -> Layout | None:
        """The layout, or None when nobody declared it."""
        return self._known.get(layout_id)

    def declare(self, connection: Connection, layout_id: int, body: bytes, *, now_ms: int = 0) -> Layout:
        """Remember a layout; declaring it again changes nothing.

        Raises:
            InvalidInput: The id is not the body's digest, or the body is no valid layout.
        """
        if identify(body) != layout_id:
            raise InvalidInput(
                "The layout's id is not the digest of its body.", hint="Update the agent; its data is damaged."
            )
        layout = self._known.get(layout_id) or decode(body)
        _store(connection, layout_id, body, now_ms)
        self._known[layout_id] = layout
        self._bodies[layout_id] = body
        return layout

    def ensure(self, connection: Connection, layout_id: int, *, now_ms: int) -> None:
        """Store a layout again unless a commit with it is known: its declaration may have been rolled back."""
        if layout_id not in self._stored and (body := self._bodies.get(layout_id)) is not None:
            _store(connection, layout_id, body, now_ms)

    def confirm(self, layout_id: int) -> None:
        """A transaction that stored this layout was committed."""
        if layout_id in self._bodies:
            self._stored.add(layout_id)


def identify(body: bytes) -> int:
    """A layout's id: the first eight bytes of its BLAKE2b-256 digest, little-endian, as a signed integer."""
    return int.from_bytes(hashlib.blake2b(body, digest_size=32).digest()[:8], "little", signed=True)


def encode(layout: Layout) -> bytes:
    """The layout as an agent declares it."""
    message = pb.Layout(interval_ms=layout.interval_ms)
    for column in layout.columns:
        message.series.add(
            name=column.name,
            labels=[text for pair in column.labels for text in pair],
            unit=column.unit,
            kind=pb.Kind.ValueType(column.kind),
            help=column.help,
        )
    return message.SerializeToString(deterministic=True)


def decode(body: bytes) -> Layout:
    """The layout that an agent declared.

    Raises:
        InvalidInput: Not a layout, too large, or with names that Prometheus would not take.
    """
    try:
        message = pb.Layout.FromString(body)
    except DecodeError as error:
        raise InvalidInput(Message("This is no layout: {error}", error=str(error))) from error
    if not 0 < len(message.series) <= COLUMN_LIMIT:
        raise InvalidInput(
            Message(
                "A layout has 1 to {most} series; this one has {count}.", most=COLUMN_LIMIT, count=len(message.series)
            )
        )
    columns = tuple(_column(series) for series in message.series)
    if len({(column.name, column.labels) for column in columns}) != len(columns):
        raise InvalidInput("A layout names the same series twice.")
    return Layout(columns, message.interval_ms)


def _column(series: pb.Series) -> Column:
    if not _METRIC_NAME.fullmatch(series.name) or len(series.name) > NAME_LIMIT:
        raise InvalidInput(
            Message(
                "“{name}” is no metric name of at most {most} characters.",
                name=series.name[:NAME_LIMIT],
                most=NAME_LIMIT,
            )
        )
    if len(series.labels) % 2 or len(series.labels) > 2 * LABEL_LIMIT:
        raise InvalidInput(
            Message(
                "{series} has more than {most} labels, or a label without a value.",
                series=series.name,
                most=LABEL_LIMIT,
            )
        )
    # One form of each character (NFC), that of keyboards: nobody would find what a file system wrote in another.
    values = [unicodedata.normalize("NFC", value) for value in series.labels[1::2]]
    labels = tuple(sorted(zip(series.labels[::2], values, strict=True)))
    _check_labels(series.name, labels)
    kind = Kind.COUNTER if series.kind == pb.COUNTER else Kind.GAUGE
    return Column(series.name, labels, kind, series.unit, series.help)


def _check_labels(series: str, labels: Sequence[tuple[str, str]]) -> None:
    for name, value in labels:
        if not _LABEL_NAME.fullmatch(name) or name == NAME_LABEL or len(name) > NAME_LIMIT:
            raise InvalidInput(
                Message(
                    "{series} has a label with the unusable name “{label}”.",
                    series=series,
                    label=name[:NAME_LIMIT],
                )
            )
        if len(value) > VALUE_LIMIT or any(unicodedata.category(each) == "Cc" for each in value):
            raise InvalidInput(
                Message(
                    "{series}: label {name} is over {most} characters or has control characters.",
                    series=series,
                    name=name,
                    most=VALUE_LIMIT,
                )
            )
    if len({name for name, _ in labels}) != len(labels):
        raise InvalidInput(Message("{series} has a label twice.", series=series))


def _store(connection: Connection, layout_id: int, body: bytes, now_ms: int) -> None:
    # One writer only, so that looking first is safe on every dialect.
    if connection.execute(select(series_layout.c.id).where(series_layout.c.id == layout_id)).first() is None:
        connection.execute(insert(series_layout), {"id": layout_id, "body": body, "first_seen_ms": now_ms})
