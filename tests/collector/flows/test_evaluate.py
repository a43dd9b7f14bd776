"""What is decided as data arrives and as time passes, in one small world; long, since its cases share that world."""

from __future__ import annotations

import asyncio
import struct

import pytest
from sqlalchemy import Connection, update

from collector.domain.interval import Span
from collector.domain.sample import Accepted, Row, State
from collector.flows.evaluate import SILENT_AFTER_MS
from collector.flows.presence import GRACE_MS
from collector.store import agents, sla, status
from collector.store.schema import agent
from tests.collector.flows.watch import BARE_ID, SECOND, START, STEP, Watch

UP, DOWN, DEGRADED, UNKNOWN = State.UP, State.DOWN, State.DEGRADED, State.UNKNOWN


async def beats(watch: Watch, count: int, **states: State) -> None:
    for _ in range(count):
        watch.seen(**states)
        await watch.later(10)


async def test_a_failed_check_turns_its_service_and_names_itself(watch: Watch) -> None:
    watch.seen(web=UP, db=UP)
    await watch.later(10)
    watch.seen(web=DOWN, db=UP)
    assert watch.state("check", 1) is DOWN
    assert watch.state("service") is DOWN
    changes = watch.history("service")
    assert [(one.before, one.after) for one in changes] == [(UNKNOWN, UP), (UP, DOWN)]
    assert changes[-1].reason == "web: web down"
    assert changes[-1].at_ms == START + 10 * SECOND


async def test_every_change_within_one_batch_is_on_record(watch: Watch) -> None:
    watch.seen(web=UP)
    results = [
        watch.result("web", state, at_ms=START + at * SECOND)
        for at, state in ((10, DOWN), (20, DEGRADED), (30, UP), (40, UP))
    ]
    watch.now_ms += 40 * SECOND
    watch.arrive(results)
    assert [one.after for one in watch.history("check")] == [UP, DOWN, DEGRADED, UP]


async def test_a_down_check_fires_in_the_transaction_that_stores_it(watch: Watch) -> None:
    await watch.rule("check-down", "check_state", 3, comparison=">=", severity="critical", summary="{check}: {reason}")
    watch.seen(web=UP)
    await watch.later(10)
    batch = Accepted("a1", 1, watch.now_ms, True, results=(watch.result("web", DOWN, reason="refused"),))

    def failing(connection: Connection) -> None:
        watch.evaluator.absorb(connection, [batch])
        raise KeyError("power cut")

    with pytest.raises(KeyError):
        watch.database.write_now(failing)
    assert (watch.state("check"), watch.alerts(), watch.messages()) == (UP, [], [])
    watch.database.write_now(lambda c: watch.evaluator.absorb(c, [batch]))()
    (message,) = watch.messages()
    assert message.notification.labels == {
        "alertname": "check-down",
        "check": "web",
        "instance": "web-1",
        "job": "node",
        "kind": "tcp",
        "severity": "critical",
        "site": "Jakarta",
    }
    assert message.notification.annotations["summary"] == "web: refused"


async def test_a_check_that_works_again_resolves_its_alert_and_tells_who_heard_of_it(watch: Watch) -> None:
    await watch.rule("check-down", "check_state", 3, comparison=">=", summary="{check}: {reason}")
    await beats(watch, 1, web=UP)
    await beats(watch, 3, web=DOWN)
    await watch.registrar.create("test", "channel", {"key": "new", "name": "New", "url": "https://new.example/"})
    await watch.evaluator.reload()
    await beats(watch, 1, web=UP)
    assert [(one.event, one.channel_id) for one in watch.messages()] == [("firing", 1), ("resolved", 1)]
    over = watch.messages()[1].notification
    assert (over.ends_ms, over.annotations["value"]) == (START + 40 * SECOND, "up")
    assert over.annotations["summary"] == "web: web down"
    assert watch.alerts() == []


async def test_an_alert_between_two_results_of_one_batch_is_told_in_full(watch: Watch) -> None:
    await watch.rule("check-down", "check_state", 3, comparison=">=")
    watch.now_ms += 20 * SECOND
    watch.arrive(
        [watch.result("web", state, at_ms=START + at * SECOND) for at, state in ((0, UP), (10, DOWN), (20, UP))]
    )
    assert watch.told() == [("firing", "check-down"), ("resolved", "check-down")]
    assert watch.events(watch.messages()[0].alert_id or 0) == ["firing", "resolved"]


async def test_late_results_correct_history_and_page_nobody(watch: Watch) -> None:
    await watch.rule("check-down", "check_state", 3, comparison=">=")
    watch.now_ms = START + 3_600 * SECOND
    watch.seen(web=UP)
    late = [watch.result("web", DOWN, at_ms=START + at * SECOND) for at in range(0, 600, 10)]
    watch.arrive(late, live=False)
    assert watch.told() == []
    assert watch.state("check") is UP
    assert len(watch.history("check")) == 1
    runs = watch.database.read_now(lambda c: status.runs(c, [1], Span(START, watch.now_ms + 1)))[1]
    assert [(run.since_ms - START, run.state) for run in runs] == [(0, DOWN), (3_600_000, UP)]


async def test_a_check_that_failed_while_nobody_listened_pages_with_its_first_live_result(watch: Watch) -> None:
    await watch.rule("check-down", "check_state", 3, comparison=">=")
    watch.now_ms += 300 * SECOND
    watch.arrive([watch.result("web", DOWN, at_ms=watch.now_ms - 5 * SECOND)], live=False)
    assert watch.told() == []
    watch.now_ms += 5 * SECOND
    watch.seen(web=DOWN)
    assert watch.told() == [("firing", "check-down")]


async def test_a_silent_agent_makes_its_host_and_checks_unknown_and_not_down(watch: Watch) -> None:
    watch.now_ms += GRACE_MS
    watch.seen(web=UP, db=UP)
    heard_ms = watch.now_ms
    await watch.later(SILENT_AFTER_MS / SECOND - 1)
    assert watch.state("host") is UP
    await watch.later(1)
    assert (watch.state("host"), watch.state("check", 1), watch.state("service")) == (UNKNOWN, UNKNOWN, UNKNOWN)
    (host,) = [one for one in watch.history("host") if one.after is UNKNOWN]
    assert (host.at_ms, host.known_ms) == (heard_ms, heard_ms + SILENT_AFTER_MS)
    (check,) = [one for one in watch.history("check") if one.after is UNKNOWN and one.subject_id == 1]
    assert check.at_ms == heard_ms + 2 * STEP + 2 * SECOND
    watch.seen(web=UP, db=UP)
    assert (watch.state("host"), watch.state("service")) == (UP, UP)


async def test_an_agent_that_leaves_says_why_it_is_silent(watch: Watch) -> None:
    watch.seen(web=UP)
    watch.evaluator.heard(1, watch.now_ms, goodbye="upgrade")
    await watch.later(60)
    assert watch.history("host")[-1].reason == "the agent left: upgrade"


async def test_a_sign_of_life_without_data_keeps_the_host_up(watch: Watch) -> None:
    watch.seen(web=UP)
    await watch.later(25)
    watch.evaluator.heard(1, watch.now_ms)
    await watch.later(25)
    assert watch.state("host") is UP


async def test_a_stream_that_is_open_but_quiet_is_no_silence(watch: Watch) -> None:
    watch.seen(web=UP)
    await watch.later(25)
    watch.database.write_now(lambda c: c.execute(update(agent).values(last_seen_ms=watch.now_ms)))
    await watch.later(25)
    assert watch.state("host") is UP


async def test_what_an_agent_said_when_it_left_is_found_on_record(watch: Watch) -> None:
    watch.seen(web=UP)
    watch.database.write_now(lambda c: c.execute(update(agent).values(goodbye="reboot")))
    await watch.later(60)
    assert watch.history("host")[-1].reason == "the agent left: reboot"


async def test_silence_freezes_alerts_and_is_an_alert_of_its_own(watch: Watch) -> None:
    await watch.rule("check-down", "check_state", 3, comparison=">=")
    await watch.rule("agent-silent", "agent_silent_seconds", 60, for_seconds=30)
    watch.now_ms += GRACE_MS
    await watch.evaluator.tick()
    watch.seen(web=DOWN)
    for _ in range(120):
        await watch.later(1)
    assert watch.told() == [("firing", "check-down"), ("firing", "agent-silent")]
    down, silent = watch.alerts()
    assert watch.events(down.id) == ["firing", "frozen"]
    assert silent.alert.fired_ms is not None
    assert silent.alert.fired_ms - START - GRACE_MS == pytest.approx(91 * SECOND, abs=2 * SECOND)
    watch.seen(web=DOWN)
    await watch.later(1)
    assert watch.told()[2:] == [("resolved", "agent-silent")]


async def test_silence_of_what_comes_and_goes_is_no_alert(watch: Watch) -> None:
    await watch.registrar.edit("test", "host", "web-1", {"ephemeral": True})
    await watch.rule("agent-silent", "agent_silent_seconds", 60)
    watch.now_ms += GRACE_MS
    watch.seen(web=UP)
    await watch.later(600)
    assert watch.told() == []
    assert watch.state("host") is UNKNOWN


async def test_a_revoked_agent_is_not_missed(watch: Watch) -> None:
    await watch.rule("agent-silent", "agent_silent_seconds", 60)
    watch.now_ms += GRACE_MS
    watch.seen(web=UP)
    await watch.later(200)
    assert watch.told() == [("firing", "agent-silent")]
    watch.database.write_now(lambda c: agents.revoke(c, "a1", now_ms=watch.now_ms, who="siti", why="gone"))
    watch.evaluator.on_change("agent", None, None)
    await watch.later(100)
    assert watch.told() == [("firing", "agent-silent"), ("resolved", "agent-silent")]


async def test_a_collector_that_was_away_calls_nobody_silent_until_agents_had_time_to_return(watch: Watch) -> None:
    await watch.rule("agent-silent", "agent_silent_seconds", 60)
    watch.seen(web=UP, db=UP)
    watch.now_ms += 3_600 * SECOND
    watch.evaluator = watch.another()
    await watch.evaluator.start()
    for _ in range(GRACE_MS // SECOND - 1):
        await watch.later(1)
    assert (watch.told(), watch.state("host"), watch.state("check")) == ([], UP, UP)
    await watch.later(1)
    assert (watch.told(), watch.state("host"), watch.state("check")) == ([("firing", "agent-silent")], UNKNOWN, UNKNOWN)


async def test_time_in_which_the_collector_was_away_is_unmeasured(watch: Watch) -> None:
    watch.seen(web=UP, db=UP)
    watch.now_ms += 3_600 * SECOND
    watch.evaluator = watch.another()
    await watch.evaluator.start()
    watch.seen(web=UP, db=UP)
    await watch.later(10)
    history = watch.database.read_now(lambda c: sla.versions(c))[1]
    found = watch.database.read_now(lambda c: sla.availability(c, 1, sla.month_in(history, START), now_ms=watch.now_ms))
    assert found is not None
    assert found.evaluation.down_ms == 0
    assert found.evaluation.unknown_ms == 3_600 * SECOND - 22 * SECOND
    assert found.evaluation.up_ms == 32 * SECOND


async def test_a_full_filesystem_fires_after_its_time_and_ends_past_the_clear_level(watch: Watch) -> None:
    await watch.rule(
        "disk-full", "filesystem_used_ratio", 0.9, clear_level=0.85, for_seconds=30, summary="{mountpoint} {value} full"
    )
    for used in (0.95, 0.95, 0.95):
        await watch.disk(used)
        await watch.later(10)
    assert watch.told() == []
    await watch.disk(0.95)
    assert watch.told() == [("firing", "disk-full")]
    assert watch.messages()[0].notification.labels["mountpoint"] == "/"
    assert watch.messages()[0].notification.annotations["summary"] == "/ 95 % full"
    for used in (0.88, 0.86):
        await watch.later(10)
        await watch.disk(used)
    assert len(watch.alerts()) == 1
    await watch.later(10)
    await watch.disk(0.84)
    assert watch.told()[1:] == [("resolved", "disk-full")]


async def test_a_restart_keeps_how_long_a_condition_held(watch: Watch) -> None:
    await watch.rule("disk-full", "filesystem_used_ratio", 0.9, for_seconds=30)
    for _ in range(2):
        await watch.disk(0.95)
        await watch.later(10)
    watch.evaluator = watch.another()
    await watch.evaluator.start()
    for _ in range(2):
        assert watch.told() == []
        await watch.disk(0.95)
        await watch.later(10)
    assert watch.told() == [("firing", "disk-full")]
    watch.evaluator = watch.another()
    await watch.evaluator.start()
    await watch.disk(0.5)
    assert watch.told()[1:] == [("resolved", "disk-full")]


async def test_late_rows_page_nobody_and_prove_what_was_pending(watch: Watch) -> None:
    await watch.rule("disk-full", "filesystem_used_ratio", 0.9, for_seconds=60)
    await watch.disk(0.95)
    watch.now_ms += 70 * SECOND
    await watch.disk(0.95)
    assert watch.told() == []
    for at in range(10, 70, 10):
        await watch.disk(0.95, at_ms=START + at * SECOND, live=False)
    assert watch.told() == [("firing", "disk-full")]
    assert watch.messages()[0].notification.starts_ms == START + 60 * SECOND


async def test_rows_that_come_late_alone_never_fire(watch: Watch) -> None:
    await watch.rule("disk-full", "filesystem_used_ratio", 0.9)
    await watch.disk(0.95, live=False)
    assert (watch.told(), watch.alerts()) == ([], [])


async def test_a_series_that_disappears_leaves_its_alert_firing(watch: Watch) -> None:
    await watch.rule("disk-full", "filesystem_used_ratio", 0.9)
    await watch.disk(0.95)
    for _ in range(60):
        watch.seen(web=UP)
        await watch.later(10)
    assert len(watch.alerts()) == 1


async def test_a_disk_that_was_unmounted_ends_its_alert_and_forgets_what_was_pending(watch: Watch) -> None:
    await watch.rule("disk-full", "filesystem_used_ratio", 0.9)
    await watch.rule("disk-filling", "filesystem_used_ratio", 0.8, for_seconds=3600)
    await watch.disk(0.95)
    assert len(watch.alerts()) == 2
    for _ in range(70):
        await watch.later(10)
        watch.arrive(rows=[Row(BARE_ID, watch.now_ms, struct.pack("<d", 0.1))])
        await watch.evaluator.judge_rows()
    assert watch.alerts() == []
    assert watch.told() == [("firing", "disk-full"), ("resolved", "disk-full")]


async def test_a_disk_that_cannot_be_read_keeps_its_alert(watch: Watch) -> None:
    await watch.rule("disk-full", "filesystem_used_ratio", 0.9)
    await watch.disk(0.95)
    for _ in range(70):
        await watch.later(10)
        await watch.disk(float("nan"))
    assert [one.alert.state for one in watch.alerts()] == ["firing"]


async def test_many_rows_of_one_host_in_one_batch_are_judged_in_order(watch: Watch) -> None:
    await watch.rule("disk-full", "filesystem_used_ratio", 0.9)
    for used in (0.95, 0.5, 0.95):
        await watch.disk(used)
        watch.now_ms += 10 * SECOND
    assert watch.told() == [("firing", "disk-full"), ("resolved", "disk-full"), ("firing", "disk-full")]


async def test_a_selector_keeps_a_rule_to_what_it_names(watch: Watch) -> None:
    await watch.rule("elsewhere", "filesystem_used_ratio", 0.9, selector={"site": "Bandung"})
    await watch.rule("here", "filesystem_used_ratio", 0.9, selector={"site": "Jak.*", "mountpoint": "/"})
    await watch.disk(0.95)
    assert watch.told() == [("firing", "here")]


async def test_a_rule_that_is_switched_off_ends_its_alerts(watch: Watch) -> None:
    await watch.rule("disk-full", "filesystem_used_ratio", 0.9)
    await watch.disk(0.95)
    await watch.registrar.edit("test", "rule", "disk-full", {"enabled": False})
    await watch.later(1)
    assert watch.told() == [("firing", "disk-full"), ("resolved", "disk-full")]
    await watch.disk(0.95)
    assert watch.alerts() == []


async def test_a_channel_hears_only_what_is_severe_enough_for_it(watch: Watch) -> None:
    await watch.registrar.edit("test", "channel", "on-call", {"minimum_severity": "critical", "send_resolved": False})
    await watch.rule("minor", "filesystem_used_ratio", 0.8, severity="warning")
    await watch.rule("major", "filesystem_used_ratio", 0.9, severity="critical")
    await watch.disk(0.95)
    await watch.disk(0.1)
    assert watch.told() == [("firing", "major")]


async def test_results_of_a_check_that_is_not_registered_yet_are_kept_for_it(watch: Watch) -> None:
    watch.arrive([watch.result("new", DOWN)])
    data = {"key": "new", "name": "new", "host": "web-1", "kind": "tcp", "options": {"address": "x:1"}}
    check = await watch.registrar.create("test", "check", data)
    watch.database.write_now(lambda c: status.bind(c, "a1", "local:new", check_id=check.id))
    await watch.evaluator.reload()
    watch.arrive()
    assert watch.state("check", check.id) is DOWN


async def test_a_centrally_defined_check_is_recognised_by_its_key(watch: Watch) -> None:
    watch.arrive([watch.result("x", UP)._replace(wire_id="central:web")])
    assert watch.state("check", 1) is UP
    assert watch.database.read_now(lambda c: status.bindings(c, ["a1"]))["a1", "central:web"] == 1


async def test_a_service_follows_when_its_members_are_edited(watch: Watch) -> None:
    watch.seen(web=UP, db=DOWN)
    assert watch.state("service") is DOWN
    await watch.registrar.edit("test", "service", "shop", {"members": ["web"]})
    await watch.later(1)
    assert watch.state("service") is UP


async def test_listeners_hear_of_changes_after_the_commit(watch: Watch) -> None:
    heard: list[tuple[str, State]] = []
    watch.evaluator.on_transition(lambda changes: heard.extend((one.subject, one.after) for one in changes))
    watch.seen(web=UP, db=UP)
    assert heard == [("check", UP), ("check", UP), ("service", UP), ("host", UP)]


async def test_running_it_judges_rows_within_a_second(watch: Watch) -> None:
    await watch.rule("disk-full", "filesystem_used_ratio", 0.9)
    posted = asyncio.Event()
    watch.evaluator.posted = posted.set
    running = asyncio.create_task(watch.evaluator.run())
    await asyncio.sleep(0)
    watch.evaluator.heard(1, watch.now_ms)
    watch.arrive(rows=[Row(5, watch.now_ms, struct.pack("<2d", 100.0, 1.0))])
    async with asyncio.timeout(1):
        await posted.wait()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert watch.told() == [("firing", "disk-full")]


async def test_the_newest_reason_of_a_check_that_is_not_up_is_kept_and_is_no_transition(watch: Watch) -> None:
    def said(subject: str) -> str:
        return watch.database.read_now(lambda c: status.present(c, subject, [1])[1].reason)

    watch.arrive([watch.result("web", State.UNKNOWN, reason="no permission to look")])
    assert (watch.state("check"), said("check")) == (State.UNKNOWN, "no permission to look")
    assert said("service").startswith("web: no permission to look")
    assert watch.history("check") == []
    watch.now_ms += STEP
    watch.arrive([watch.result("web", State.UNKNOWN, reason="the resolver does not answer")])
    assert said("check") == "the resolver does not answer"
    assert said("service").startswith("web: the resolver does not answer")
    watch.now_ms += STEP
    watch.arrive([watch.result("web", State.DOWN, reason="refused")])
    watch.now_ms += STEP
    watch.arrive([watch.result("web", State.DOWN, reason="HTTP 500")])
    assert said("check") == "HTTP 500"
    assert [one.reason for one in watch.history("check")] == ["refused"]
    late = watch.result("web", State.DOWN, at_ms=watch.now_ms - 2 * STEP, reason="long ago")
    watch.arrive([late], live=False)
    assert said("check") == "HTTP 500"


async def test_a_check_for_an_agent_that_takes_none_says_so(watch: Watch) -> None:
    await watch.evaluator.reload()
    now = watch.database.read_now(lambda c: status.present(c, "check"))
    assert {one.reason.partition(" (")[0] for one in now.values()} == {
        "The agent's own file does not allow checks from here"
    }
    watch.seen(web=State.UP)
    await watch.evaluator.reload()
    assert watch.database.read_now(lambda c: status.present(c, "check", [1]))[1].reason == "web up"
    assert watch.history("check")[0].before is State.UNKNOWN
