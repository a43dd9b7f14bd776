"""Limits on series: what is new is bounded by host, by hour and in all, what exists goes on."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from collector.domain.series import Column, Layout
from collector.flows.quota import ACTIVE_MS, RENEW_MS, Limits, Quota
from collector.store.database import Database
from collector.store.series.layouts import Layouts, encode, identify
from protos.telemetry.v1 import telemetry_pb2 as pb
from tests.collector.delivery import DECLARATION, Lane, now_ms, receiver, rows

NOW_MS = 1_790_000_000_000
LIMITS = Limits(of_host=20, new_per_hour=4, of_all=30)


class Memory:
    """A store that knows what it is told."""

    def __init__(self) -> None:
        self.pairs: set[tuple[int, int]] = set()
        self.since_ms = 0

    def has(self, host_id: int, layout_id: int) -> bool:
        return (host_id, layout_id) in self.pairs

    def active(self, since_ms: int) -> Iterable[tuple[int, int]]:
        self.since_ms = since_ms
        return self.pairs


def layout(first: int, last: int) -> Layout:
    return Layout(tuple(Column("m", (("n", str(number)),)) for number in range(first, last)), 10_000)


def limit_of(quota: Quota, host_id: int, columns: Layout, *, at_ms: int = NOW_MS) -> str:
    refused = quota.refusal(host_id, identify(encode(columns)), columns, now_ms=at_ms)
    return refused.limit if refused else ""


def test_a_new_host_brings_all_its_series_at_once_and_then_some_an_hour() -> None:
    quota = Quota(Memory(), Layouts(), limits=LIMITS._replace(of_host=20))
    assert limit_of(quota, 1, layout(0, 18)) == ""
    assert limit_of(quota, 1, layout(0, 20)) == ""  # only two of them are new
    again = Quota(Memory(), Layouts(), limits=LIMITS)
    assert limit_of(again, 1, layout(0, 10)) == ""
    assert limit_of(again, 1, layout(10, 21)) == "of_host"


def test_series_that_come_and_go_are_slowed_down_to_the_hourly_number() -> None:
    quota = Quota(Memory(), Layouts(), limits=LIMITS)
    assert limit_of(quota, 1, layout(0, 20)) == ""
    later = NOW_MS + RENEW_MS  # none of them was ever written, so none is active
    assert limit_of(quota, 1, layout(100, 105), at_ms=later) == "new_per_hour"
    assert limit_of(quota, 1, layout(100, 104), at_ms=later) == ""


def test_what_a_host_has_written_before_goes_on_when_everything_is_full() -> None:
    memory, layouts = Memory(), Layouts()
    quota = Quota(memory, layouts, limits=LIMITS)
    assert limit_of(quota, 1, layout(0, 20)) == ""
    assert limit_of(quota, 2, layout(0, 10)) == ""
    assert limit_of(quota, 3, layout(0, 1)) == "of_all"
    memory.pairs.add((3, identify(encode(layout(0, 1)))))
    assert limit_of(quota, 3, layout(0, 1)) == ""


def test_what_is_active_in_the_store_counts_after_a_restart(sqlite: Database) -> None:
    memory, layouts, body = Memory(), Layouts(), encode(layout(0, 20))
    sqlite.write_now(lambda c: layouts.declare(c, identify(body), body))
    memory.pairs.add((1, identify(body)))
    quota = Quota(memory, layouts, limits=LIMITS)
    assert limit_of(quota, 1, layout(20, 21)) == "of_host"
    assert memory.since_ms == NOW_MS - ACTIVE_MS
    assert limit_of(quota, 2, layout(0, 11)) == "of_all"


async def test_rows_over_a_limit_are_left_out_and_the_rest_of_the_batch_is_stored(
    sqlite: Database, tmp_path: Path
) -> None:
    async with receiver(sqlite, tmp_path / "trust", limits=Limits(of_host=3)) as stand:
        stream = await stand.open(stand.enrol())
        await stream.hear("welcome")
        body = encode(layout(0, 2))
        many = identify(body) % 2**64
        await stream.send(layout=DECLARATION)  # two series
        await stream.send(layout=pb.LayoutDeclaration(id=many, layout=body))
        payload = rows(1, 2)
        payload.rows.append(pb.Row(layout_id=many, wall_ms=now_ms(), values=bytes(16)))
        lane = Lane()
        await stream.send(batch=lane.batch(payload))
        assert (await stream.hear("ack")).acked_seq == 1
        (stored,) = stand.collected.accepted
        assert len(stored.rows) == 1
        sample = stand.ingest.metrics.registry.get_sample_value
        assert sample("sigap_ingest_refused_layouts_total", {"limit": "of_host"}) == 1
        assert sample("sigap_ingest_refused_rows_total") == 1
        await stream.close()
