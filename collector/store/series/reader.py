"""Reading: heads, blocks and rollups as one history, with only the families and columns asked for.

Decides nothing and writes nothing. Safe to call from any thread.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from sqlalchemy import Connection

from collector.domain.errors import InvalidInput
from collector.domain.message import Message
from collector.domain.series import NAME_LABEL, Kind, Layout, Matcher, Point, SeriesData, Times, Values, is_absent
from collector.store.database import Database
from collector.store.series import rollup, shelf
from collector.store.series.heads import Heads, Place
from collector.store.series.layouts import Layouts
from collector.store.series.table import Columns, Table, Wanted, join, unpack
from collector.store.series.tiers import RAW_TIER, TIERS, Tier

INSTANCE_LABEL, JOB_LABEL = "instance", "job"
JOB = "node"
"""What node_exporter's dashboards and rules select by. Source: node-mixin, nodeExporterSelector."""
PLAN_LIMIT = 10_000
"""Remembered answers to "which columns of this layout match"; some hundred bytes each."""

Key = tuple[int, int]  # host id, layout id
Identity = tuple[int, str, tuple[tuple[str, str], ...]]  # host id, metric name, the agent's labels
Question = tuple[tuple[Matcher, ...], frozenset[str] | None]  # conditions on labels, and which metrics (None: any)


@dataclass(frozen=True, slots=True)
class Plan:
    """What to read: columns by layout, and of which hosts (None: all)."""

    columns: Mapping[int, tuple[int, ...]]
    hosts: frozenset[int] | None
    slots: Wanted | None = None  # of buckets; None: all

    def families(self, layouts: Layouts) -> set[str]:
        """Names of the metrics to read."""
        return {
            layout.columns[position].name
            for layout_id, positions in self.columns.items()
            if (layout := layouts.get(layout_id)) is not None
            for position in positions
        }


@dataclass(frozen=True, slots=True)
class Standing:
    """The newest row of one host and layout, and which of its columns are asked for."""

    host_id: int
    instance: str
    layout_id: int
    layout: Layout
    positions: tuple[int, ...]
    wall_ms: int
    values: Values  # of every column


@dataclass(slots=True)
class Reader:
    """Answers questions about series."""

    db: Database
    layouts: Layouts
    heads: Heads
    damages: shelf.Damages
    host_key: Callable[[int], str]
    horizons: dict[int, int]  # by resolution: history before this moment was deleted
    _plans: dict[tuple[Question, int], tuple[int, ...]] = field(default_factory=dict)

    def select(
        self,
        matchers: Sequence[Matcher],
        since_ms: int,
        until_ms: int,
        *,
        names: frozenset[str] | None,
        host_ids: Collection[int] | None,
        resolution_ms: int | None,
        aggregate: str,
    ) -> list[SeriesData]:
        """Series that match, each with at least one sample in `[since_ms, until_ms)`."""
        if aggregate not in rollup.AGGREGATES:
            raise InvalidInput(
                Message("Unknown aggregate “{name}”.", name=aggregate),
                fields={"aggregate": Message("one of {allowed}", allowed=", ".join(rollup.AGGREGATES))},
            )
        level = self._level(since_ms, until_ms, resolution_ms)
        plan = self._plan(matchers, host_ids, names=names)
        if not plan.columns or plan.hosts == frozenset() or until_ms <= since_ms:
            return []
        if level and aggregate in rollup.NEEDED:
            plan = replace(plan, slots=rollup.NEEDED[aggregate])
        # A bucket is labelled with its end, and a counter's growth needs the bucket before.
        first = since_ms - 2 * TIERS[level].resolution_ms
        tables = self.db.read_now(lambda connection: self.read(connection, level, plan, (first, until_ms)))
        return self._assemble(tables, level, aggregate, (since_ms, until_ms))

    def newest(
        self, matchers: Sequence[Matcher], *, host_ids: Collection[int] | None, now_ms: int, max_age_ms: int
    ) -> list[Standing]:
        """The newest row of each host and layout with columns that match, unless older than `max_age_ms`."""
        plan = self._plan(matchers, host_ids)
        found = []
        for host_id, layout_id, row in self.heads.newest(plan.hosts):
            positions, layout = plan.columns.get(layout_id), self.layouts.get(layout_id)
            if positions and layout is not None and now_ms - row.wall_ms < max_age_ms:
                instance = self.host_key(host_id)
                found.append(Standing(host_id, instance, layout_id, layout, positions, row.wall_ms, row.values))
        return found

    def latest(
        self, matchers: Sequence[Matcher], *, host_ids: Collection[int] | None, now_ms: int, max_age_ms: int
    ) -> list[Point]:
        """The newest value of each series that matches and is not older than `max_age_ms`."""
        newest: dict[Identity, Point] = {}
        for one in self.newest(matchers, host_ids=host_ids, now_ms=now_ms, max_age_ms=max_age_ms):
            values = one.values[list(one.positions)]
            for position, value, absent in zip(one.positions, values.tolist(), is_absent(values).tolist(), strict=True):
                column = one.layout.columns[position]
                identity = (one.host_id, column.name, column.labels)
                known = newest.get(identity)
                if not absent and (known is None or known.wall_ms < one.wall_ms):
                    newest[identity] = Point(_labels(one.layout, position, one.instance), one.wall_ms, value)
        return list(newest.values())

    def _columns(self, layout_id: int, layout: Layout, question: Question) -> tuple[int, ...]:
        """Positions of the columns that match; remembered, as layouts never change."""
        known = self._plans.get((question, layout_id))
        if known is None:
            matchers, names = question
            known = tuple(
                p
                for p, column in enumerate(layout.columns)
                if (names is None or column.name in names) and _matches(matchers, column.name, column.labels)
            )
            if len(self._plans) >= PLAN_LIMIT:
                self._plans.clear()
            self._plans[question, layout_id] = known
        return known

    def _level(self, since_ms: int, until_ms: int, resolution_ms: int | None) -> int:
        if resolution_ms is None:
            for level, tier in enumerate(TIERS):
                if until_ms - since_ms <= tier.reach_ms and since_ms >= self.horizons.get(tier.resolution_ms, 0):
                    return level
            return len(TIERS) - 1
        for level, tier in enumerate(TIERS):
            if tier.resolution_ms == resolution_ms:
                return level
        allowed = ", ".join(str(tier.resolution_ms) for tier in TIERS)
        raise InvalidInput(
            Message("No resolution of {resolution} ms is kept.", resolution=resolution_ms),
            fields={"resolution_ms": Message("one of {allowed}", allowed=allowed)},
        )

    def _plan(
        self, matchers: Sequence[Matcher], host_ids: Collection[int] | None, *, names: frozenset[str] | None = None
    ) -> Plan:
        on_host = [matcher for matcher in matchers if matcher.name in (INSTANCE_LABEL, JOB_LABEL)]
        on_column = tuple(matcher for matcher in matchers if matcher.name not in (INSTANCE_LABEL, JOB_LABEL))
        pairs = list(self.heads.pairs)
        hosts = None if host_ids is None else frozenset(host_ids)
        if on_host:
            known = {host_id for host_id, _ in pairs} if hosts is None else hosts
            hosts = frozenset(host_id for host_id in known if self._host_matches(on_host, host_id))
        columns = {}
        for layout_id in {layout_id for host_id, layout_id in pairs if hosts is None or host_id in hosts}:
            layout = self.layouts.get(layout_id)
            if layout is not None and (positions := self._columns(layout_id, layout, (on_column, names))):
                columns[layout_id] = positions
        return Plan(columns, hosts)

    def _host_matches(self, matchers: Iterable[Matcher], host_id: int) -> bool:
        labels = {INSTANCE_LABEL: self.host_key(host_id), JOB_LABEL: JOB}
        return all(matcher.accepts(labels[matcher.name]) for matcher in matchers)

    def read(self, connection: Connection, level: int, plan: Plan, span: tuple[int, int]) -> dict[Key, Table]:
        """Rows or buckets of one tier with samples in the half-open span, by host and layout."""
        return self._raw(connection, plan, span) if level == 0 else self._rolled(connection, level, plan, span)

    def _raw(self, connection: Connection, plan: Plan, span: tuple[int, int]) -> dict[Key, Table]:
        # Heads first: whatever becomes a block in between is then seen twice, never not at all.
        views = self.heads.views(*span, layouts=plan.columns, hosts=plan.hosts)
        parts: dict[Key, list[Table]] = defaultdict(list)
        for key, table in self._stored(connection, RAW_TIER, plan, span):
            parts[key].append(table.clip(*span))
        for place, view in views:
            positions = plan.columns[place.layout_id]
            times, columns = view.read(positions)
            table = Table(times, {p: {"value": values} for p, values in zip(positions, columns, strict=True)})
            parts[place[:2]].append(table.clip(*span))
        return {key: join(tables) for key, tables in parts.items()}

    def _rolled(self, connection: Connection, level: int, plan: Plan, span: tuple[int, int]) -> dict[Key, Table]:
        tier = TIERS[level]
        span = (span[0] - span[0] % tier.resolution_ms, span[1] + -span[1] % tier.resolution_ms)
        scope = self._scope(tier, plan, span)
        heads = self.heads.views(scope.since_ms, scope.until_ms, layouts=plan.columns, hosts=plan.hosts)
        open_windows = {Place(p.host_id, p.layout_id, tier.window_of(p.window_ms)) for p, _ in heads}
        missing = shelf.uncovered(tier, scope, connection) | open_windows
        parts: dict[Key, list[Table]] = defaultdict(list)
        for key, table in self._stored(connection, tier, plan, span, without=missing):
            parts[key].append(table)
        for window_ms in sorted({place.window_ms for place in missing}):
            hosts = frozenset(place.host_id for place in missing if place.window_ms == window_ms)
            inside = (max(window_ms, span[0]), min(window_ms + tier.window_ms, span[1]))
            finer = self.read(connection, level - 1, replace(plan, hosts=hosts), inside)
            for key, table in finer.items():
                if Place(*key, window_ms) in missing:
                    parts[key].append(self.roll(table, key[1], level, slots=plan.slots))
        return {key: join(tables) for key, tables in parts.items()}

    def roll(self, table: Table, layout_id: int, level: int, *, slots: Wanted | None = None) -> Table:
        """Rows of the next finer tier as buckets of this one, with only the slots that are asked for."""
        layout = self.layouts.get(layout_id)
        assert layout is not None
        if table.times.size == 0:
            return Table(table.times, {})
        resolution_ms = TIERS[level].resolution_ms
        times, starts = rollup.edges(table.times if level == 1 else table.times - 1, resolution_ms)
        columns: Columns = {}
        for position, found in table.columns.items():
            kind = layout.columns[position].kind
            wanted = rollup.SLOTS[kind] if slots is None else slots[kind]
            if level == 1:
                columns[position] = rollup.from_samples(found["value"], starts, wanted)
            else:
                columns[position] = rollup.from_buckets(found, starts, wanted)
        return Table(times, columns)

    def _scope(self, tier: Tier, plan: Plan, span: tuple[int, int]) -> shelf.Scope:
        last = span[1] - 1
        return shelf.Scope(plan.columns, plan.hosts, tier.window_of(span[0]), tier.window_of(last) + tier.window_ms)

    def _stored(
        self, connection: Connection, tier: Tier, plan: Plan, span: tuple[int, int], *, without: Collection[Place] = ()
    ) -> Iterator[tuple[Key, Table]]:
        """What is in blocks, each host and layout as one table."""
        scope, families = self._scope(tier, plan, span), plan.families(self.layouts)
        found: dict[Key, list[shelf.Stored]] = defaultdict(list)
        for stored in shelf.find(connection, tier, scope, families=families, damages=self.damages):
            if stored.place not in without:
                found[stored.place[:2]].append(stored)
        for key, blocks in found.items():
            layout = self.layouts.get(key[1])
            assert layout is not None
            slots = None if tier is RAW_TIER else plan.slots
            yield key, unpack(blocks, layout, tier, plan.columns[key[1]], slots=slots)

    def _assemble(
        self, tables: Mapping[Key, Table], level: int, aggregate: str, span: tuple[int, int]
    ) -> list[SeriesData]:
        parts: dict[Identity, list[tuple[Times, Values]]] = defaultdict(list)
        labels = {}
        for (host_id, layout_id), table in sorted(tables.items(), key=lambda item: item[0]):
            layout = self.layouts.get(layout_id)
            assert layout is not None
            low, high = np.searchsorted(table.times, span)
            common = table.times[low:high]
            for position, slots in table.columns.items():
                column = layout.columns[position]
                times, values = _values(table.times, slots, column.kind, level, aggregate)
                if times is table.times:
                    # Whoever computes with series can see that these have their times in common.
                    times, values = common, values[low:high]
                else:
                    own = slice(*np.searchsorted(times, span).tolist())
                    times, values = times[own], values[own]
                if times.size:
                    identity = (host_id, column.name, column.labels)
                    parts[identity].append((times, values))
                    labels[identity] = (layout, position)
        return [
            SeriesData(_labels(*labels[identity], self.host_key(identity[0])), *_merge(found))
            for identity, found in sorted(parts.items(), key=lambda item: item[0])
        ]


def _values(times: Times, slots: rollup.Slots, kind: Kind, level: int, aggregate: str) -> tuple[Times, Values]:
    if level == 0:
        values = slots["value"]
        gone = is_absent(values)
        return (times[~gone], values[~gone]) if gone.any() else (times, values)
    values = rollup.AGGREGATES[aggregate][kind](slots)
    # Where a bucket has no sample, its last one is NaN; so the counts need not be decoded only to see that.
    there = slots["count"] > 0 if "count" in slots else ~np.isnan(values)
    return (times, values) if there.all() else (times[there], values[there])


def _merge(found: Sequence[tuple[Times, Values]]) -> tuple[Times, Values]:
    if len(found) == 1:
        return found[0]
    times = np.concatenate([each for each, _ in found])
    values = np.concatenate([each for _, each in found])
    times, rows = np.unique(times, return_index=True)
    return times, values[rows]


def _labels(layout: Layout, position: int, instance: str) -> dict[str, str]:
    column = layout.columns[position]
    return {NAME_LABEL: column.name, **dict(column.labels), INSTANCE_LABEL: instance, JOB_LABEL: JOB}


def _matches(matchers: Iterable[Matcher], name: str, labels: tuple[tuple[str, str], ...]) -> bool:
    known = dict(labels)
    known[NAME_LABEL] = name
    return all(matcher.accepts(known.get(matcher.name, "")) for matcher in matchers)
