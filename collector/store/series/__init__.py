"""The time-series store: journal → head → blocks → rollups, and `select` over all of them.

    absorb   rows of one group commit become one journal record, inside the caller's transaction; after it they are
             appended to heads, in memory
    flush    heads of closed windows become blocks; in the same transaction the journal loses what they covered
    retain   five-minute and hourly rollups are computed from whole days and weeks; old windows are deleted
    select   reads heads, blocks and rollups as one history
    open     replays the journal into heads

A kill at any point loses and doubles nothing: a row is in the journal or in a block or, at worst, in both, and of two
rows with the same host, layout and time the first stays. Does not decide who may send or ask, and when to flush.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from sqlalchemy import Connection, delete, insert, select

from collector.domain.errors import InvalidInput
from collector.domain.sample import Accepted
from collector.domain.series import LOOKBACK_MS, Matcher, Point, SeriesData
from collector.store.database import Database
from collector.store.schema import meta
from collector.store.series import compact, journal, shelf
from collector.store.series.heads import GRACE_MS, Counts, Heads, Place
from collector.store.series.layouts import Layouts
from collector.store.series.reader import INSTANCE_LABEL, JOB, JOB_LABEL, Reader, Standing
from collector.store.series.tiers import RAW, TIERS, Retention, Tier

FLUSH_HEADS = 8
"""Heads that become blocks in one transaction: some 50 ms of work at 150 series."""
_HORIZON = "series.horizon."


@dataclass(frozen=True, slots=True)
class Statistics:
    """What the store holds and what happened to it since the start."""

    hosts: int
    series: int  # with a row in the last five minutes
    heads: int
    head_rows: int
    head_bytes: int
    blocks: dict[int, int]  # by resolution in milliseconds
    journal_records: int
    journal_oldest_ms: int | None  # when the oldest record arrived
    rows: int
    samples: int
    duplicate_rows: int
    too_old_rows: int
    unreadable_rows: int
    damaged_blocks: int
    damaged_records: int


class SeriesStore:
    """Every sample of every host.

    `open` first. `absorb` runs inside an ingest transaction, its result after the commit. `flush` and `retain` are
    called on a beat and never overlap. Reading is synchronous and safe from any thread.
    """

    def __init__(
        self,
        db: Database,
        *,
        clock: Callable[[], int],
        host_key: Callable[[int], str] = str,
        retention: Retention | None = None,
    ) -> None:
        self.retention = retention or Retention()
        if problems := self.retention.problems():
            raise InvalidInput("These retention times cannot be used.", fields=problems)
        self._db = db
        self._clock = clock
        self.layouts = Layouts()
        self._heads = Heads(self.layouts)
        self._horizons: dict[int, int] = {}
        self._reader = Reader(db, self.layouts, self._heads, shelf.Damages(), host_key, self._horizons)
        self._maintenance = asyncio.Lock()

    def open(self) -> int:
        """Read the catalogue and replay the journal; return the number of rows replayed."""

        def load(connection: Connection) -> None:
            self.layouts.load(connection)
            for tier in TIERS:
                found = connection.execute(select(meta.c.value).where(meta.c.key == _horizon_key(tier))).scalar()
                self._horizons[tier.resolution_ms] = int(found or 0)
            self._heads.horizon_ms = self._horizons[RAW]
            self._heads.pairs.update(pair for pair in shelf.pairs(connection) if pair[1] in self.layouts)
            for record in journal.replay(connection):
                if record.entries is None:
                    self._reader.damages.record(record.id)
                self._heads.apply(record.id, record.entries or (), now_ms=record.received_ms)
                self._heads.applied_through = record.id

        self._db.read_now(load)
        replayed = self._heads.counts.rows
        self._heads.counts = Counts()  # these rows were counted when they arrived
        return replayed

    def absorb(self, connection: Connection, accepted: Sequence[Accepted]) -> Callable[[], None]:
        """Write the rows of some batches to the journal; the result, called after the commit, makes them readable."""
        entries = journal.entries_of(accepted)
        if not entries:
            return _nothing
        now_ms = self._clock()
        layouts = {entry.layout_id for entry in entries}
        for layout_id in layouts:
            self.layouts.ensure(connection, layout_id, now_ms=now_ms)
        record = journal.append(connection, entries, received_ms=now_ms)

        def after_commit() -> None:
            for layout_id in layouts:
                self.layouts.confirm(layout_id)
            self._heads.apply(record, entries, now_ms=now_ms)

        return after_commit

    async def flush(self, *, everything: bool = False) -> int:
        """Turn heads of closed windows (or every head) into blocks; return how many blocks were written."""
        async with self._maintenance:
            places = self._heads.due(self._clock(), everything=everything)
            written = 0
            for start in range(0, len(places), FLUSH_HEADS):
                batch = places[start : start + FLUSH_HEADS]
                drafts = await self._db.read(partial(self._drafts, batch))
                await self._db.write(partial(self._commit, batch, drafts))
                self._heads.discard(batch)
                written += len(drafts)
            return written

    async def retain(self) -> dict[int, int]:
        """Compute the rollups that are due, then delete what is too old; return deleted blocks by resolution."""
        async with self._maintenance:
            for level in range(1, len(TIERS)):
                await self._roll(level)
            now_ms = self._clock()
            return {tier.resolution_ms: await self._expire(level, now_ms) for level, tier in enumerate(TIERS)}

    def select(
        self,
        matchers: Iterable[Matcher],
        since_ms: int,
        until_ms: int,
        *,
        names: Collection[str] | None = None,
        host_ids: Collection[int] | None = None,
        resolution_ms: int | None = None,
        aggregate: str = "auto",
    ) -> list[SeriesData]:
        """Series that match, with their samples in `[since_ms, until_ms)`.

        Args:
            matchers: All must hold; `instance` and `job` can be matched like the agent's own labels.
            since_ms: Unix milliseconds.
            until_ms: Unix milliseconds, exclusive.
            names: Only these metrics, however many; None for all.
            host_ids: Only these hosts; None for all.
            resolution_ms: 0 raw, 300000 or 3600000; None chooses by the span and by what is still kept.
            aggregate: What a bucket of a rollup shows, see `rollup.AGGREGATES`. A bucket is labelled with its end.

        Returns:
            Ascending by host, name and labels; a series without samples in the span is left out, absent samples too.

        Raises:
            InvalidInput: Unknown resolution or aggregate.
        """
        return self._reader.select(
            tuple(matchers),
            since_ms,
            until_ms,
            names=None if names is None else frozenset(names),
            host_ids=host_ids,
            resolution_ms=resolution_ms,
            aggregate=aggregate,
        )

    def latest(
        self, matchers: Iterable[Matcher], *, host_ids: Collection[int] | None = None, max_age_ms: int = LOOKBACK_MS
    ) -> list[Point]:
        """The newest value of each matching series, from memory; older than `max_age_ms` or absent is left out."""
        return self._reader.latest(tuple(matchers), host_ids=host_ids, now_ms=self._clock(), max_age_ms=max_age_ms)

    def newest(
        self, matchers: Iterable[Matcher], *, host_ids: Collection[int] | None = None, max_age_ms: int = LOOKBACK_MS
    ) -> list[Standing]:
        """`latest` as whole rows with the positions that match, absent values included: for very many series."""
        return self._reader.newest(tuple(matchers), host_ids=host_ids, now_ms=self._clock(), max_age_ms=max_age_ms)

    def names(self) -> list[str]:
        """Every metric name in use, ascending."""
        return sorted({name for layout_id in self._used_layouts() for name in self._families(layout_id)})

    def label_values(self, name: str) -> list[str]:
        """Every value of a label in use, ascending."""
        if name == INSTANCE_LABEL:
            return sorted({self._reader.host_key(host_id) for host_id in self.hosts_with_data()})
        if name == JOB_LABEL:
            return [JOB] if self._heads.pairs else []
        if name == "__name__":
            return self.names()
        found: set[str] = set()
        for layout_id in self._used_layouts():
            layout = self.layouts.get(layout_id)
            for column in layout.columns if layout else ():
                found.update(value for label, value in column.labels if label == name)
        return sorted(found)

    def hosts_with_data(self) -> set[int]:
        """Ids of hosts with at least one row, now or in history."""
        return {host_id for host_id, _ in list(self._heads.pairs)}

    def has(self, host_id: int, layout_id: int) -> bool:
        """Whether this host has rows of this layout, now or in history."""
        return (host_id, layout_id) in self._heads.pairs

    def active(self, since_ms: int) -> list[tuple[int, int]]:
        """Host and layout of everything with a row since then, as far back as the journal goes."""
        return [(host, layout) for host, layout, row in self._heads.newest(None) if row.wall_ms >= since_ms]

    def statistics(self) -> Statistics:
        """Sizes and counts, for metrics; reads the database."""
        now_ms = self._clock()
        live = [(host, row) for host, _, row in self._heads.newest(None) if now_ms - row.wall_ms < LOOKBACK_MS]
        heads, rows, head_bytes = self._heads.measure()
        blocks, (records, oldest_ms) = self._db.read_now(lambda c: (shelf.count(c), journal.depth(c)))
        counts, damages = self._heads.counts, self._reader.damages
        return Statistics(
            hosts=len({host for host, _ in live}),
            series=sum(row.values.size for _, row in live),
            heads=heads,
            head_rows=rows,
            head_bytes=head_bytes,
            blocks={tier.resolution_ms: blocks.get(tier.resolution_ms, 0) for tier in TIERS},
            journal_records=records,
            journal_oldest_ms=oldest_ms,
            rows=counts.rows,
            samples=counts.samples,
            duplicate_rows=counts.duplicates,
            too_old_rows=counts.too_old,
            unreadable_rows=counts.unreadable,
            damaged_blocks=damages.blocks,
            damaged_records=damages.records,
        )

    def _drafts(self, places: Sequence[Place], connection: Connection) -> list[shelf.Draft]:
        found = []
        for place in places:
            # Retention may have passed meanwhile; a lone late row must not replace the rollup of its day.
            if place.window_ms >= self._horizons[RAW]:
                draft = compact.from_head(self._reader, connection, place, self._heads.leaving(place))
                if draft is not None:
                    found.append(draft)
        return found

    def _commit(self, places: Sequence[Place], drafts: Iterable[shelf.Draft], connection: Connection) -> None:
        for draft in drafts:
            shelf.put(draft, connection)
            for tier in TIERS[1:]:
                # Computed before these rows were known; readers use the finer tier until it is computed again.
                shelf.forget(tier, [draft.place._replace(window_ms=tier.window_of(draft.place.window_ms))], connection)
        journal.trim(connection, self._heads.oldest_needed(without=places))

    async def _roll(self, level: int) -> None:
        tier = TIERS[level]
        until_ms = tier.window_of(self._clock() - GRACE_MS)
        scope = shelf.Scope(None, None, 0, until_ms)
        for place in sorted(await self._db.read(partial(shelf.uncovered, tier, scope))):
            if place.layout_id in self.layouts:
                draft = await self._db.read(partial(compact.from_finer, self._reader, level, place))
                await self._db.write(partial(shelf.put, draft))

    async def _expire(self, level: int, now_ms: int) -> int:
        tier = TIERS[level]
        # Whole windows of the coarser tier go at once: it is computed from complete ones.
        coarser = TIERS[min(level + 1, len(TIERS) - 1)]
        before_ms = coarser.window_of(max(0, now_ms - self.retention.of(tier)))
        if before_ms > self._horizons[tier.resolution_ms]:
            await self._db.write(partial(_set_horizon, tier, before_ms))
            self._horizons[tier.resolution_ms] = before_ms
        self._heads.horizon_ms = self._horizons[RAW]
        deleted = 0
        while found := await self._db.write(partial(shelf.expire, tier, before_ms)):
            deleted += found
        return deleted

    def _used_layouts(self) -> set[int]:
        return {layout_id for _, layout_id in list(self._heads.pairs)}

    def _families(self, layout_id: int) -> Iterable[str]:
        layout = self.layouts.get(layout_id)
        return layout.families if layout else ()


def _nothing() -> None:
    """What follows a commit without rows."""


def _horizon_key(tier: Tier) -> str:
    return f"{_HORIZON}{tier.resolution_ms}"


def _set_horizon(tier: Tier, before_ms: int, connection: Connection) -> None:
    connection.execute(delete(meta).where(meta.c.key == _horizon_key(tier)))
    connection.execute(insert(meta), {"key": _horizon_key(tier), "value": str(before_ms)})
