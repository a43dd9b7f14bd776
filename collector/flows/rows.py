"""Rules against rows as they arrive: all hosts of one layout in one array operation, alerts only where one is due.

Keeps the newest row of each host, for rates, and the open alerts, so that a quiet row costs no query. Computes changes;
writing them and taking them over into memory is the evaluator's.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from collector.domain.alert import COMPARISONS, AlertState, Observation, Rule, fingerprint, step
from collector.domain.measure import MEASURES, Compiled, Labels, Matrix, Rows
from collector.domain.message import Message
from collector.domain.sample import Row
from collector.domain.series import GAP_FACTOR, Layout
from collector.flows.alert import Change, about, ended, worded
from collector.flows.catalogue import Catalogue
from collector.store.alerts import Kept

VANISHED_AFTER_MS = 600_000
"""How long a host must send rows without a series before its alert ends: an unmounted disk, not a silent agent."""
FORGET_AFTER_MS = 3_600_000
REFRESH_MS = 60_000
"""How often a firing alert's newest value is written down while nothing else changes."""
MILLISECONDS = 1000.0
Key = tuple[int, str]  # rule, fingerprint


class Arrived(NamedTuple):
    """A committed row."""

    host_id: int
    row: Row
    live: bool
    received_ms: int  # by the collector's clock


@dataclass(slots=True)
class OpenAlerts:
    """The open alerts of row measures, by what they are about."""

    by_key: dict[Key, Kept] = field(default_factory=dict)
    by_host: dict[tuple[int, int], set[str]] = field(default_factory=lambda: defaultdict(set))  # (rule, host)

    def put(self, before: Kept | None, after: Kept | None) -> None:
        """Take over a change that has been written."""
        if before is not None:
            self.by_key.pop((before.rule_id, before.fingerprint), None)
            self.by_host[before.rule_id, before.host_id or 0].discard(before.fingerprint)
        if after is not None and after.alert.state is not AlertState.RESOLVED:
            self.by_key[after.rule_id, after.fingerprint] = after
            self.by_host[after.rule_id, after.host_id or 0].add(after.fingerprint)


@dataclass(slots=True)
class Plan:
    """A layout with the measures that can be told from it."""

    layout: Layout
    compiled: Mapping[str, Compiled]


@dataclass(slots=True)
class RowJudge:
    """Judges rows against the rules of a catalogue.

    Args:
        layouts: Gives the layout of an id, or None.
    """

    layouts: Callable[[int], Layout | None]
    opened: OpenAlerts = field(default_factory=OpenAlerts)
    _plans: dict[int, Plan] = field(default_factory=dict)
    _before: dict[tuple[int, int, bool], Row] = field(default_factory=dict)

    def judge(self, arrived: Sequence[Arrived], catalogue: Catalogue) -> list[Change]:
        """What the rows change, in order of time; an alert may change several times."""
        rules = [rule for rule in catalogue.rules if not MEASURES[rule.measure].by_event]
        changes: list[Change] = []
        standing: dict[Key, Kept | None] = {}
        for wave in _waves(arrived):
            for layout_id, rows in wave.items():
                plan = self._plan(layout_id)
                if plan is not None:
                    changes += self._judge_layout(plan, layout_id, rows, rules, catalogue, standing)
        return changes

    def vanished(self, catalogue: Catalogue) -> list[Change]:
        """Ends for alerts about series that their host does not have any more, although it goes on sending rows."""
        recent: dict[int, dict[int, int]] = defaultdict(dict)  # host → layout → newest row
        for (host_id, layout_id, live), row in self._before.items():
            if live:
                recent[host_id][layout_id] = row.wall_ms
        changes = []
        for kept in self.opened.by_key.values():
            rule, sent = catalogue.rule(kept.rule_id), recent.get(kept.host_id or 0, {})
            newest_ms = max(sent.values(), default=0)
            since_ms = newest_ms - VANISHED_AFTER_MS
            if rule is None or MEASURES[rule.measure].by_event or kept.alert.last_ms >= since_ms:
                continue
            layouts = [layout_id for layout_id, at_ms in sent.items() if at_ms >= since_ms]
            if not any(self._has(layout_id, rule, kept, catalogue) for layout_id in layouts):
                changes.append(ended(kept, at_ms=newest_ms, why=Message("the host does not report it any more")))
        self._forget({host_id: max(sent.values()) for host_id, sent in recent.items()})
        return changes

    def _forget(self, newest_ms: Mapping[int, int]) -> None:
        """Let go of rows of layouts that are not sent any more."""
        gone = [
            place for place, row in self._before.items() if row.wall_ms < newest_ms.get(place[0], 0) - FORGET_AFTER_MS
        ]
        for place in gone:
            del self._before[place]

    def _has(self, layout_id: int, rule: Rule, kept: Kept, catalogue: Catalogue) -> bool:
        plan = self._plan(layout_id)
        compiled = plan.compiled.get(rule.measure) if plan else None
        identity = {"alertname": rule.key, **catalogue.host_labels(kept.host_id or 0)}
        targets = compiled.targets if compiled else ()
        return any(fingerprint({**target, **identity}) == kept.fingerprint for target in targets)

    def _plan(self, layout_id: int) -> Plan | None:
        if layout_id not in self._plans:
            layout = self.layouts(layout_id)
            if layout is None:
                return None
            found = {name: measure.compile(layout) for name, measure in MEASURES.items()}
            self._plans[layout_id] = Plan(layout, {name: one for name, one in found.items() if one is not None})
        return self._plans[layout_id]

    def _judge_layout(
        self,
        plan: Plan,
        layout_id: int,
        arrived: Sequence[Arrived],
        rules: Sequence[Rule],
        catalogue: Catalogue,
        standing: dict[Key, Kept | None],
    ) -> list[Change]:
        arrived = [one for one in arrived if len(one.row.values) == plan.layout.row_bytes]
        if not arrived:
            return []
        if not plan.compiled:  # as with most checks
            self._remember(layout_id, arrived)
            return []
        rows = self._rows(layout_id, arrived)
        changes: list[Change] = []
        with np.errstate(all="ignore"):  # entered once: for a single row it costs as much as a comparison
            values = {
                name: plan.compiled[name].formula(rows)
                for name in {rule.measure for rule in rules} & plan.compiled.keys()
            }
            found = [
                (rule, at, target)
                for rule in rules
                if rule.measure in values
                for at, target in self._candidates(rule, values[rule.measure], arrived, standing)
            ]
        for rule, at, target in found:
            value = float(values[rule.measure][at, target])
            labels = plan.compiled[rule.measure].targets[target]
            change = self._step(rule, arrived[at], value, labels, plan, catalogue, standing)
            if change is not None:
                changes.append(change)
        return changes

    def _rows(self, layout_id: int, arrived: Sequence[Arrived]) -> Rows:
        width = len(arrived[0].row.values) // 8
        nothing = Row(layout_id, 0, b"\xff" * 8 * width)  # all bits set is a NaN
        known = [self._before.get((one.host_id, layout_id, one.live), nothing) for one in arrived]
        self._remember(layout_id, arrived)
        walls = np.array([one.row.wall_ms for one in arrived], dtype=float).reshape(-1, 1)
        since = np.array([before.wall_ms for before in known], dtype=float).reshape(-1, 1)
        seconds = np.where((since > 0) & (since < walls), (walls - since) / MILLISECONDS, np.nan)
        return Rows(_matrix((one.row for one in arrived), width), _matrix(known, width), seconds, walls / MILLISECONDS)

    def _remember(self, layout_id: int, arrived: Iterable[Arrived]) -> None:
        for one in arrived:
            place = (one.host_id, layout_id, one.live)
            before = self._before.get(place)
            if before is None or before.wall_ms < one.row.wall_ms:
                self._before[place] = one.row

    def _candidates(
        self, rule: Rule, values: Matrix, arrived: Sequence[Arrived], standing: Mapping[Key, Kept | None]
    ) -> list[tuple[int, int]]:
        """Where there is something to say: a bad value, or any value of a host with an open alert of this rule."""
        wanted = np.asarray(COMPARISONS[rule.comparison](values, rule.level))  # type: ignore[arg-type]
        if standing or self.opened.by_key:
            touched = {kept.host_id for (rule_id, _), kept in standing.items() if kept and rule_id == rule.id}
            for i, one in enumerate(arrived):
                if one.host_id in touched or self.opened.by_host.get((rule.id, one.host_id)):
                    wanted[i] = ~np.isnan(values[i])
        return [(int(at), int(target)) for at, target in np.argwhere(wanted)] if wanted.any() else []

    def _step(
        self,
        rule: Rule,
        one: Arrived,
        value: float,
        target: Labels,
        plan: Plan,
        catalogue: Catalogue,
        standing: dict[Key, Kept | None],
    ) -> Change | None:
        identity = {**target, **catalogue.host_labels(one.host_id)}
        context = catalogue.host_context(one.host_id)
        if not rule.selects({**context, **identity}):
            return None
        key = (rule.id, fingerprint({"alertname": rule.key, **identity}))
        before = standing[key] if key in standing else self.opened.by_key.get(key)
        step_ms = plan.layout.interval_ms
        seen = Observation(
            one.row.wall_ms,
            value,
            round(GAP_FACTOR * step_ms),
            one.live,
            heard_ms=one.received_ms,
            step_ms=step_ms,
        )
        alert = step(rule, before.alert if before else None, seen)
        if alert is None and before is None:
            return None
        if alert is None:
            standing[key] = None
            return Change(before, None)
        if before is None:
            after = about(rule, identity, alert, context=context)
            after = replace(after, subject="host", subject_id=one.host_id, host_id=one.host_id)
        elif alert is before.alert or _is_quiet(before, alert.last_ms, alert.state):
            return None
        else:
            after = replace(before, alert=alert, annotations=worded(rule, before.labels, alert))
        standing[key] = None if alert.state is AlertState.RESOLVED else after
        return Change(before, after)


def _matrix(rows: Iterable[Row], width: int) -> Matrix:
    return np.frombuffer(b"".join([row.values for row in rows]), dtype="<f8").reshape(-1, width)


def _is_quiet(before: Kept, last_ms: int, state: AlertState) -> bool:
    firing = before.alert.state is state is AlertState.FIRING
    return firing and last_ms - before.alert.last_ms < REFRESH_MS


def _waves(arrived: Iterable[Arrived]) -> list[dict[int, list[Arrived]]]:
    """Rows in order of time, at most one per host, layout and wave, grouped by layout."""
    depth: dict[tuple[int, int, bool], int] = defaultdict(int)
    waves: list[dict[int, list[Arrived]]] = []
    for one in sorted(arrived, key=lambda one: one.row.wall_ms):
        place = (one.host_id, one.row.layout_id, one.live)
        if depth[place] == len(waves):
            waves.append(defaultdict(list))
        waves[depth[place]][one.row.layout_id].append(one)
        depth[place] += 1
    return waves
