"""The agent's half of the protocol, step by step."""

from __future__ import annotations

from agent import dialogue as say
from agent.batch import GENESIS, Batch, Cursor, Lane
from agent.protocol import REFUSED_MS, RETRY_LAST_MS, SILENCE_MS, Core

LIVE, OLD = b"l" * 16, b"o" * 16


def lane(epoch: bytes = LIVE, *, base: int = 0, last: int = 0, live: bool = True, overtaken: bool = False) -> Lane:
    return Lane(epoch, base, last, GENESIS, live, overtaken=overtaken)


def batch(seq: int, epoch: bytes = LIVE, *, layouts: tuple[int, ...] = ()) -> Batch:
    return Batch(epoch, seq, 0, 0, "", b"x", GENESIS, GENESIS, layouts)


def opened(*lanes: Lane, cursors: tuple[Cursor, ...] = ()) -> tuple[Core, list[say.Effect]]:
    core = Core(lambda: 0.5)
    assert core.step(say.Tick(), 0) == [say.Connect()]
    assert core.step(say.Connected(lanes), 0) == [say.SayHello(lanes)]
    assert core.step(say.Welcomed(1, cursors, say.Limits()), 0) == [say.Reconcile(cursors)]
    return core, core.step(say.Reconciled(lanes), 0)


def test_a_short_backlog_is_sent_in_its_own_lane() -> None:
    _, effects = opened(lane(last=2))
    assert effects == [say.SayPing(), say.Fetch(LIVE, 1, 8)]


def test_a_long_backlog_gets_out_of_the_way() -> None:
    core, effects = opened(lane(last=3))
    assert say.OpenLane() in effects
    changed = core.step(say.LanesChanged([lane(last=3, live=False), lane(OLD)]), 100)
    assert changed == []
    core.step(say.Fetched(LIVE, [batch(seq) for seq in (1, 2, 3)]), 100)
    assert core.step(say.Acked(LIVE, 3), 200) == [say.Acknowledge(LIVE, 3), say.SayLaneEnd(LIVE, 3, GENESIS)]


def test_what_a_restored_collector_lacks_is_declared_in_its_lane_and_is_no_backlog() -> None:
    _, effects = opened(lane(base=20, last=22), cursors=(Cursor(LIVE, 10, GENESIS),))
    assert effects == [say.SayPing(), say.Fetch(LIVE, 11, 8)]


def test_a_layout_is_declared_once_per_stream_before_its_first_row() -> None:
    core, _ = opened(lane(last=2))
    effects = core.step(say.Fetched(LIVE, [batch(1, layouts=(7,)), batch(2, layouts=(7,))]), 0)
    assert [type(effect) for effect in effects] == [say.SayLayout, say.SayBatch, say.SayBatch]


def test_the_window_holds_eight_live_batches() -> None:
    core, _ = opened(lane(last=2))
    core.step(say.Fetched(LIVE, [batch(1), batch(2)]), 0)
    assert core.step(say.Appended(LIVE, 30), 0) == [say.Fetch(LIVE, 3, 6)]
    assert core.step(say.Fetched(LIVE, [batch(seq) for seq in range(3, 9)]), 0)[-1] == say.SayBatch(batch(8), False)
    assert core.step(say.Acked(LIVE, 1), 0) == [say.Acknowledge(LIVE, 1), say.Fetch(LIVE, 9, 1)]


def test_an_acknowledgement_of_what_was_not_sent_deletes_nothing_more() -> None:
    core, _ = opened(lane(last=2))
    core.step(say.Fetched(LIVE, [batch(1)]), 0)
    assert core.step(say.Acked(LIVE, 99), 0)[0] == say.Acknowledge(LIVE, 1)


def test_a_nack_goes_back_and_waits_as_long_as_it_is_told() -> None:
    core, _ = opened(lane(last=2))
    core.step(say.Fetched(LIVE, [batch(1), batch(2)]), 0)
    assert core.step(say.Nacked(LIVE, 1, 5000), 0) == []
    assert core.wake_ms(0) == 5000
    assert core.step(say.Tick(), 5000) == [say.Fetch(LIVE, 1, 8)]


def test_a_resync_moves_the_lane() -> None:
    core, _ = opened(lane(last=2))
    assert core.step(say.Resynced(LIVE, 5), 0) == [say.MoveLane(LIVE, 5)]
    assert core.step(say.Resynced(LIVE, 5), 0) == []


def test_a_lane_that_the_collector_has_more_of_gets_no_more_numbers() -> None:
    _, effects = opened(lane(last=1, overtaken=True), cursors=(Cursor(LIVE, 9, GENESIS),))
    assert say.OpenLane() in effects


def test_retries_are_spread_and_grow_to_a_minute() -> None:
    core, now_ms, waits = Core(lambda: 0.999), 0, []
    for _ in range(10):
        core.step(say.Tick(), now_ms)
        core.step(say.Lost(), now_ms)
        waits.append(core.wake_ms(now_ms) - now_ms)
        now_ms = core.wake_ms(now_ms)
    assert waits[:4] == [999, 1998, 3996, 7992]
    assert max(waits) <= RETRY_LAST_MS


def test_a_refused_certificate_is_not_tried_every_minute() -> None:
    core, _ = opened(lane())
    assert core.step(say.Refused("revoked", 0), 0) == [say.Disconnect()]
    assert core.wake_ms(0) == REFUSED_MS * 3 // 4


def test_the_collectors_own_retry_time_wins() -> None:
    core, _ = opened(lane())
    core.step(say.Refused("unavailable", 8000), 0)
    assert core.wake_ms(0) == 6000


def test_a_fenced_agent_does_not_fight() -> None:
    core, _ = opened(lane())
    assert core.step(say.Fenced(), 0) == [say.Disconnect()]
    assert core.wake_ms(0) >= RETRY_LAST_MS // 2


def test_a_silent_connection_is_given_up() -> None:
    core, _ = opened(lane())
    assert core.step(say.Tick(), SILENCE_MS) == [say.Disconnect()]


def test_a_stop_says_goodbye() -> None:
    core, _ = opened(lane())
    assert core.step(say.Stop(), 0) == [say.SayGoodbye(), say.Disconnect()]
    assert core.stopped
