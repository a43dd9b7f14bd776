"""What the store's tests share: layouts, rows, a clock to turn, and ingest without the network."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from collector.domain.sample import Accepted, Row
from collector.domain.series import Column, Kind, Layout, Matcher
from collector.store.database import Database
from collector.store.series import SeriesStore
from collector.store.series import layouts as catalogue

WINDOW_MS = 7_200_000
DAY_MS = 86_400_000
START_MS = 20_000 * DAY_MS  # a midnight, far from zero

LAYOUT = Layout(
    (
        Column("node_load1"),
        Column("node_cpu_seconds_total", (("cpu", "0"), ("mode", "idle")), Kind.COUNTER),
        Column("node_cpu_seconds_total", (("cpu", "0"), ("mode", "user")), Kind.COUNTER),
        Column("node_filesystem_avail_bytes", (("device", "/dev/sda1"), ("mountpoint", "/"))),
    ),
    10_000,
)
WIDER = Layout((*LAYOUT.columns, Column("node_filesystem_avail_bytes", (("device", "/dev/sdb1"),))), 10_000)


class Clock:
    """A clock that stands until it is turned."""

    def __init__(self, now_ms: int = START_MS) -> None:
        self.now_ms = now_ms

    def __call__(self) -> int:
        return self.now_ms


def opened(database: Database, clock: Clock, **options: object) -> SeriesStore:
    """A store as after a start: nothing in memory but what the database says."""
    store = SeriesStore(database, clock=clock, host_key=lambda host_id: f"web-{host_id}", **options)  # type: ignore[arg-type]
    store.open()
    return store


def declare(database: Database, store: SeriesStore, layout: Layout = LAYOUT) -> int:
    """Declare a layout as an agent does, and return its id."""
    body = catalogue.encode(layout)
    layout_id = catalogue.identify(body)
    database.write_now(lambda connection: store.layouts.declare(connection, layout_id, body))
    return layout_id


def packed(*values: float) -> bytes:
    return struct.pack(f"<{len(values)}d", *values)


def ingest(database: Database, store: SeriesStore, host_id: int, rows: Sequence[Row]) -> None:
    """One group commit, as the ingest flow does it."""
    batch = Accepted(agent_id=f"agent-{host_id}", host_id=host_id, received_ms=0, live=True, rows=rows)
    after_commit = database.write_now(lambda connection: store.absorb(connection, [batch]))
    after_commit()


def beats(layout_id: int, since_ms: int, count: int, *, step_ms: int = 10_000, base: float = 0.0) -> list[Row]:
    """Rows with a value per column that tells where it came from."""
    return [
        Row(layout_id, since_ms + i * step_ms, packed(base + i, 2.0 * i, 3.0 * i, 1e9 - 4096.0 * i))
        for i in range(count)
    ]


def named(name: str, **labels: str) -> list[Matcher]:
    return [Matcher("__name__", "=", name), *(Matcher(label, "=", value) for label, value in labels.items())]
