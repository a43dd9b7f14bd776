"""Rules against what is no series: the state a check is in, and how long an agent has been silent.

Judged inside a transaction, against the alerts on record. Rows are `rows`' business.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from collector.domain.alert import MILLISECONDS, AlertState, Observation, Rule, lost_sight, step
from collector.domain.interval import Span
from collector.domain.sample import State
from collector.domain.status import Run, evidence, reach_ms
from collector.flows.alert import Change, about, worded
from collector.flows.catalogue import Catalogue
from collector.flows.observe import Seen
from collector.store import alerts, status
from collector.store.alerts import Kept
from collector.store.database import Connection

CHECK_STATE = "check_state"
ALWAYS_WATCHED_MS = 1 << 62
"""Silence is measured by our own clock, so there is no gap between two looks at it."""


def judge_results(connection: Connection, seen: Sequence[Seen], catalogue: Catalogue) -> list[Change]:
    """What results of checks change, in order of time."""
    rules = [rule for rule in catalogue.rules if rule.measure == CHECK_STATE]
    if not rules or not seen:
        return []
    standing = _standing(connection, rules, "check", {one.check_id for one in seen})
    changes: list[Change] = []
    for one in sorted(seen, key=lambda one: one.result.wall_ms):
        for rule in rules:
            key = (rule.id, one.check_id)
            change = _judge_result(rule, one, standing.get(key), catalogue)
            if change is None:
                continue
            changes.append(change)
            standing.pop(key, None)
            if change.after is not None and change.after.alert.state is not AlertState.RESOLVED:
                standing[key] = change.after
    return changes


def judge_present(
    connection: Connection, counts_until: Mapping[int, int], catalogue: Catalogue, *, unjudged: Collection[int]
) -> list[Change]:
    """What checks' states mean by rules that have no alert about them; the next result may be an hour away.

    Args:
        connection: In a transaction.
        counts_until: Check → until when its newest result counts, by our clock.
        catalogue: Rules and checks, some of which are younger than those results.
        unjudged: Checks whose results came before the check was known: what they show began when they say. For the
            others it is a rule that is younger, and it counts from the newest result.
    """
    rules = [rule for rule in catalogue.rules if rule.measure == CHECK_STATE]
    now = status.present(connection, "check", counts_until.keys() & catalogue.checks.keys() if rules else ())
    bad = {check_id: one for check_id, one in now.items() if any(rule.holds(one.state, firing=False) for rule in rules)}
    told = _standing(connection, rules, "check", set(bad))
    oldest_ms = min((one.since_ms for one in bad.values()), default=0)
    runs = status.runs(connection, bad, Span(oldest_ms, max(counts_until.values(), default=0)))
    changes: list[Change | None] = []
    for check_id, one in bad.items():
        if not runs[check_id]:
            continue  # what was seen last speaks of another time than ours: the next result decides
        seen = _observed_before(
            catalogue.checks[check_id], float(one.state), runs[check_id][-1], counts_until[check_id]
        )
        if check_id in unjudged:
            seen = replace(seen, since_ms=min(one.since_ms, seen.at_ms))
        changes += [
            _judge(rule, check_id, seen, one.reason, None, catalogue)
            for rule in rules
            if (rule.id, check_id) not in told
        ]
    return [change for change in changes if change is not None]


def _observed_before(check: Any, value: float, newest: Run, counts_until_ms: int) -> Observation:
    gap_ms = newest.until_ms - newest.last_ms
    step_ms = round(check.interval_seconds * MILLISECONDS)
    return Observation(newest.last_ms, value, gap_ms, heard_ms=counts_until_ms - gap_ms, step_ms=step_ms)


def _standing(
    connection: Connection, rules: Sequence[Rule], subject: str, ids: set[int]
) -> dict[tuple[int, int], Kept]:
    opened = alerts.load_open(connection, rule_ids=[rule.id for rule in rules], subject=subject, subject_ids=ids)
    return {(one.rule_id, one.subject_id): one for one in opened}


def _judge_result(rule: Rule, one: Seen, before: Kept | None, catalogue: Catalogue) -> Change | None:
    result, value = one.result, float(one.result.state)
    if result.state is State.UNKNOWN and not rule.holds(value, firing=False):
        return _unseen(one, before)
    return _judge(rule, one.check_id, _observed(one, value), result.reason, before, catalogue)


def _judge(
    rule: Rule, check_id: int, seen: Observation, reason: str, before: Kept | None, catalogue: Catalogue
) -> Change | None:
    check = catalogue.checks.get(check_id)
    if check is None or (before is None and not rule.holds(seen.value, firing=False)):
        return None
    identity = {"check": check.key, **catalogue.host_labels(check.host)}
    context = {**catalogue.host_context(check.host), "kind": check.kind}
    if not rule.selects({**context, **identity}):
        return None
    alert = step(rule, before.alert if before else None, seen)
    words = {**context, "reason": reason}
    if before is None:
        if alert is None:
            return None
        kept = about(rule, identity, alert, context=context, words=words)
        return Change(None, replace(kept, subject="check", subject_id=check.id, host_id=check.host))
    if alert is None:
        return Change(before, None)
    if alert is before.alert:
        return None
    if alert.state is before.alert.state:
        return Change(before, replace(before, alert=alert))
    told = worded(rule, {**words, **before.labels}, alert)
    if alert.state is AlertState.RESOLVED:
        # What had failed is still what the message is about; that it works now is its value.
        told = {**before.annotations, "value": told["value"]}
    return Change(before, replace(before, alert=alert, annotations=told))


def _observed(one: Seen, value: float) -> Observation:
    result = one.result
    return Observation(
        result.wall_ms,
        value,
        reach_ms(result.interval_ms, result.timeout_ms),
        one.live,
        since_ms=evidence(result).since_ms,
        heard_ms=one.received_ms,
        step_ms=result.interval_ms,
    )


def _unseen(one: Seen, before: Kept | None) -> Change | None:
    """Not known is not well: the alert stays, but time proves nothing from here on."""
    alert = lost_sight(before.alert, one.result.wall_ms) if before else None
    if before is None or alert is None or alert is before.alert:
        return None
    return Change(before, replace(before, alert=alert))


def judge_silence(
    connection: Connection, rules: Sequence[Rule], quiet: Mapping[int, float], catalogue: Catalogue, *, now_ms: int
) -> list[Change]:
    """What silence changes: host → seconds since it was heard."""
    if not quiet:
        return []
    standing = _standing(connection, rules, "host", set(quiet))
    changes: list[Change] = []
    for host_id, seconds in quiet.items():
        identity, context = catalogue.host_labels(host_id), catalogue.host_context(host_id)
        for rule in rules:
            if not rule.selects({**context, **identity}):
                continue
            before = standing.get((rule.id, host_id))
            alert = step(rule, before.alert if before else None, Observation(now_ms, seconds, ALWAYS_WATCHED_MS))
            if alert is None:
                changes += [Change(before, None)] if before else []
            elif before is None:
                kept = about(rule, identity, alert, context=context)
                changes.append(Change(None, replace(kept, subject="host", subject_id=host_id, host_id=host_id)))
            elif alert.state is not before.alert.state:
                # How long it has been silent grows by the second; only what it means is written down.
                words = worded(rule, before.labels, alert)
                changes.append(Change(before, replace(before, alert=alert, annotations=words)))
    return changes
