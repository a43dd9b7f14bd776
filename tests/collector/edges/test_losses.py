"""What is refused or missing is on record, with its reason, and on the page of the agent that it concerns."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from collector.domain.interval import Span
from collector.domain.sample import State
from collector.domain.status import Run
from collector.flows.evaluate import Evaluator
from collector.flows.quota import Limits
from collector.languages import in_language
from collector.store import agents, lanes, schema, status
from collector.store.database import Database
from collector.store.lanes import LostSpan
from collector.store.series.layouts import encode, identify
from protos.telemetry.v1 import telemetry_pb2 as pb
from tests.collector.delivery import DECLARATION, Lane, Receiver, Stream, now_ms, receiver, rows
from tests.collector.flows.test_quota import layout

STEP_MS = 10_000
CHECK = 1
OTHER = b"o" * 16


@pytest.fixture
async def stand(database: Database, tmp_path: Path) -> AsyncIterator[Receiver]:
    evaluator = Evaluator(database, clock=now_ms, layouts=lambda _: None)
    await evaluator.start()
    async with receiver(database, tmp_path / "trust", limits=Limits(of_host=3), sinks=(evaluator,)) as running:
        yield running


def lost(stand: Receiver, agent_id: str) -> list[LostSpan]:
    return stand.db.read_now(lambda c: lanes.gaps_of(c, agent_id, limit=10))


async def deliver(stream: Stream, lane: Lane, payload: pb.Payload, *, wall_ms: int = 0) -> None:
    await stream.send(batch=lane.batch(payload, wall_ms=wall_ms))
    assert (await stream.hear("ack")).acked_seq == lane.seq


def result(at_ms: int, state: str = "STATE_UP") -> pb.Payload:
    found = pb.CheckResult(
        check_id="local:web", wall_ms=at_ms, state=state, since_ms=at_ms, interval_ms=STEP_MS, timeout_ms=1_000
    )
    return pb.Payload(results=[found])


async def watched(stand: Receiver) -> tuple[Stream, Lane, int]:
    """An agent's open stream, after its check was up a minute ago."""
    identity = stand.enrol()
    stand.db.write_now(lambda c: status.bind(c, identity.agent_id, "local:web", check_id=CHECK))
    stream = await stand.open(identity)
    await stream.hear("welcome")
    lane, start_ms = Lane(), now_ms() - 60_000
    await deliver(stream, lane, result(start_ms), wall_ms=start_ms)
    return stream, lane, start_ms


def runs_of_the_check(stand: Receiver) -> list[Run]:
    return stand.db.read_now(lambda c: status.runs(c, [CHECK], Span(0, 1 << 60)))[CHECK]


async def test_rows_over_a_limit_are_one_growing_gap_with_its_reason(stand: Receiver) -> None:
    identity = stand.enrol()
    stream = await stand.open(identity)
    await stream.hear("welcome")
    body = encode(layout(0, 2))
    many = identify(body) % 2**64
    await stream.send(layout=DECLARATION)
    await stream.send(layout=pb.LayoutDeclaration(id=many, layout=body))
    lane = Lane()
    start_ms = now_ms()
    for beat in range(3):
        payload = rows(1, 2, wall_ms=start_ms + beat)
        payload.rows.append(pb.Row(layout_id=many, wall_ms=start_ms + beat, values=bytes(16)))
        await deliver(stream, lane, payload, wall_ms=start_ms + beat)
    (gap,) = lost(stand, identity.agent_id)
    assert (gap.reason, gap.samples, gap.batches) == ("left_out", 6, 3)
    assert (gap.from_ms, gap.to_ms) == (start_ms, start_ms + 2)
    assert gap.detail == "4 series of one host; 3 are allowed"
    assert in_language(gap.detail, "id") == "4 deret dari satu host; paling banyak 3"
    (agent,) = stand.db.read_now(lambda c: agents.list_agents(c))
    assert (agent.gaps, agent.gap_samples) == (1, 6)
    await stream.close()


async def test_a_layout_that_cannot_be_used_is_a_gap_with_its_reason(stand: Receiver) -> None:
    identity = stand.enrol()
    stream = await stand.open(identity)
    await stream.hear("welcome")
    body = pb.Layout(series=[pb.Series(name="no metric name!")], interval_ms=10_000).SerializeToString()
    bad = identify(body) % 2**64
    await stream.send(layout=pb.LayoutDeclaration(id=bad, layout=body))
    lane = Lane()
    for _ in range(2):
        await deliver(stream, lane, pb.Payload(rows=[pb.Row(layout_id=bad, wall_ms=now_ms(), values=bytes(8))]))
    (gap,) = lost(stand, identity.agent_id)
    assert (gap.reason, gap.samples, gap.batches) == ("refused", 2, 2)
    assert "no metric name" in gap.detail
    await stream.close()


async def test_a_batch_from_the_future_is_a_gap_with_its_reason_in_either_language(stand: Receiver) -> None:
    identity = stand.enrol()
    stream = await stand.open(identity)
    await stream.hear("welcome")
    await stream.send(layout=DECLARATION)
    await deliver(stream, Lane(), rows(1, 2), wall_ms=now_ms() + 3_600_000)
    (gap,) = lost(stand, identity.agent_id)
    assert (gap.reason, gap.detail) == ("refused", "its time lies more than five minutes in the future")
    assert in_language(gap.detail, "id") == "waktunya lebih dari lima menit di masa depan"
    await stream.close()


async def test_measurements_that_are_refused_say_nothing_about_checks(stand: Receiver) -> None:
    stream, lane, start_ms = await watched(stand)
    foreign = pb.Payload(rows=[pb.Row(layout_id=5, wall_ms=start_ms + 9_000, values=bytes(8))])
    await deliver(stream, lane, foreign, wall_ms=start_ms + 9_000)
    await deliver(stream, lane, result(start_ms + STEP_MS), wall_ms=start_ms + STEP_MS)
    (agent,) = stand.db.read_now(agents.list_agents)
    assert [one.reason for one in lost(stand, agent.id)] == ["refused"]
    runs = runs_of_the_check(stand)
    assert [(run.since_ms, run.state) for run in runs] == [(start_ms, State.UP)]
    await stream.close()


async def test_a_refused_result_is_not_bridged_by_its_neighbours(stand: Receiver) -> None:
    stream, lane, start_ms = await watched(stand)
    broken = result(start_ms + STEP_MS, "STATE_DOWN")
    broken.results[0].check_id = ""
    await deliver(stream, lane, broken, wall_ms=start_ms + STEP_MS)
    await deliver(stream, lane, result(start_ms + 2 * STEP_MS), wall_ms=start_ms + 2 * STEP_MS)
    runs = runs_of_the_check(stand)
    assert [(run.since_ms, run.until_ms) for run in runs][:1] == [(start_ms, start_ms + STEP_MS)]
    assert runs[1].since_ms == start_ms + 2 * STEP_MS
    await stream.close()


async def test_a_greeting_beyond_the_record_is_a_gap_and_delivery_goes_on(stand: Receiver) -> None:
    identity = stand.enrol()
    stream = await stand.open(identity)
    await stream.hear("welcome")
    await stream.send(layout=DECLARATION)
    lane, start_ms = Lane(), now_ms()
    await deliver(stream, lane, rows(1, 2), wall_ms=start_ms)
    await stream.close()
    for _ in range(3):  # acknowledged by the collector whose database is lost
        lane.batch(rows(1, 2))
    waiting = pb.Lane(epoch=lane.epoch, first_seq=5, last_seq=5, oldest_wall_ms=start_ms + 40_000, live=True)
    over = pb.Lane(epoch=OTHER, first_seq=8, last_seq=7, last_digest=b"d" * 32, newest_wall_ms=start_ms + 20_000)
    hello = pb.Hello(protocol_min=1, protocol_max=1, agent_id=identity.agent_id, lanes=[waiting], drained=[over])
    for _ in range(2):  # Said again and again, it is one loss.
        stream = await stand.open(identity, hello=hello)
        assert [one.acked_seq for one in (await stream.hear("welcome")).cursors] == [1]
        (gap,) = lost(stand, identity.agent_id)
        assert (gap.reason, gap.batches, gap.to_ms) == ("restored", 7, start_ms + 20_000)
    hole = pb.Gap(epoch=lane.epoch, from_seq=2, to_seq=4, reason="GAP_RESYNC", last_digest=lane.last)
    await stream.send(gap=hole)
    assert (await stream.hear("ack")).acked_seq == 4
    newest, _ = lost(stand, identity.agent_id)
    assert (newest.reason, newest.batches) == ("restored", 3)
    assert (newest.from_ms, newest.to_ms) == (start_ms, start_ms + 40_000)
    await stream.send(layout=DECLARATION)
    await deliver(stream, lane, rows(1, 2))
    assert stand.rows(schema.quarantine) == []
    counted = stand.ingest.metrics.registry.get_sample_value
    assert counted("sigap_ingest_gaps_total", {"reason": "restored"}) == 2
    await stream.close()


async def test_what_another_collector_acknowledged_is_no_loss_of_ours(stand: Receiver) -> None:
    identity = stand.enrol()
    over = pb.Lane(epoch=OTHER, first_seq=8, last_seq=7, last_digest=b"d" * 32, newest_wall_ms=now_ms())
    hello = pb.Hello(protocol_min=1, protocol_max=1, agent_id=identity.agent_id, drained=[over])
    stream = await stand.open(identity, hello=hello)
    await stream.hear("welcome")
    await stream.send(layout=DECLARATION)
    await deliver(stream, Lane(), rows(1, 2))
    await stream.close()
    stream = await stand.open(identity, hello=hello)
    await stream.hear("welcome")
    assert lost(stand, identity.agent_id) == []
    await stream.close()
