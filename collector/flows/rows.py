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
from numpy.typing import NDArray

from collector.domain.alert import COMPARISONS, AlertState, Observation, Rule, fingerprint, step
from collector.domain.measure import MEASURES, Compiled, Labels, Matrix, Rows
from collector.domain.sample import Row
from collector.domain.series import GAP_FACTOR, Layout
from collector.flows.alert import Change, about, worded
from collector.flows.catalogue import Catalogue
from collector.store.alerts import Kept

REFRESH_MS = 60_000
"""How often a firing alert's newest value is written down while nothing else changes."""
MILLISECONDS = 1000.0
Key = tuple[int, str]  # rule, fingerprint


class Arrived(NamedTuple):
    """A committed row."""

    host_id: int
    row: Row
    live: bool


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
    _before: dict[tuple[int, int, bool], tuple[int, NDArray[np.float64]]] = field(default_factory=dict)

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
        rows = self._rows(layout_id, arrived)
        values = {
            name: one.evaluate(rows) for name, one in plan.compiled.items() if any(r.measure == name for r in rules)
        }
        changes: list[Change] = []
        for rule in rules:
            if rule.measure not in values:
                continue
            targets = plan.compiled[rule.measure].targets
            for at, target in self._candidates(rule, values[rule.measure], arrived, standing):
                value = float(values[rule.measure][at, target])
                change = self._step(rule, arrived[at], value, targets[target], plan, catalogue, standing)
                if change is not None:
                    changes.append(change)
        return changes

    def _rows(self, layout_id: int, arrived: Sequence[Arrived]) -> Rows:
        width = len(arrived[0].row.values) // 8
        now = np.frombuffer(b"".join(one.row.values for one in arrived), dtype="<f8").reshape(-1, width)
        before, seconds = np.full_like(now, np.nan), np.full((len(arrived), 1), np.nan)
        for i, one in enumerate(arrived):
            place = (one.host_id, layout_id, one.live)
            known = self._before.get(place)
            if known is not None and known[0] < one.row.wall_ms:
                before[i], seconds[i] = known[1], (one.row.wall_ms - known[0]) / MILLISECONDS
            if known is None or known[0] < one.row.wall_ms:
                self._before[place] = (one.row.wall_ms, now[i].copy())
        walls = np.array([[one.row.wall_ms / MILLISECONDS] for one in arrived])
        return Rows(now, before, seconds, walls)

    def _candidates(
        self, rule: Rule, values: Matrix, arrived: Sequence[Arrived], standing: Mapping[Key, Kept | None]
    ) -> Iterable[tuple[int, int]]:
        """Where there is something to say: a bad value, or any value of a host with an open alert of this rule."""
        with np.errstate(invalid="ignore"):
            wanted = np.asarray(COMPARISONS[rule.comparison](values, rule.level))  # type: ignore[arg-type]
        touched = {kept.host_id for (rule_id, _), kept in standing.items() if kept and rule_id == rule.id}
        for i, one in enumerate(arrived):
            if one.host_id in touched or self.opened.by_host.get((rule.id, one.host_id)):
                wanted[i] = True
        wanted &= ~np.isnan(values)
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
        gap_ms = round(GAP_FACTOR * plan.layout.interval_ms)
        seen = Observation(one.row.wall_ms, value, gap_ms, one.live)
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
