"""Everything that is decided as data arrives or as time passes: states, silence, rules, and so whom to tell.

Check results are judged inside the transaction that stores them, so a state, its alert and the message about it exist
together or not at all. Rows are judged right after their commit, silence once a second. Delivering is `deliver`'s.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from time import perf_counter
from typing import Any

from collector.domain.alert import AlertState, Rule
from collector.domain.message import Message
from collector.domain.sample import Accepted, State
from collector.domain.series import Layout
from collector.flows import agenda, events, observe, results, tally
from collector.flows import alert as telling
from collector.flows import catalogue as catalogues
from collector.flows.agenda import Agenda, Looked
from collector.flows.alert import Change
from collector.flows.bindings import Bindings, Bound
from collector.flows.catalogue import Catalogue
from collector.flows.expiry import Expiries
from collector.flows.presence import GRACE_MS, SAID, SILENT, Presence
from collector.flows.results import Taken
from collector.flows.rows import Arrived, RowJudge
from collector.metrics import Metrics
from collector.protocol import Gap
from collector.store import alerts, status, unbound
from collector.store.alerts import Kept
from collector.store.database import Connection, Database
from collector.store.status import Transition

log = logging.getLogger(__name__)

SILENT_AFTER_MS = 30_000
"""Three beats without a sign of life: the host is no longer known to be up."""
TICK_SECONDS = 1.0
COALESCE_SECONDS = 0.05
"""Rows that arrive within this time are judged together."""
SWEEP_MS = 60_000
"""How often alerts are looked for whose series is gone."""


class Evaluator:
    """A sink of ingest, and a timer.

    Args:
        db: Where the record is.
        clock: Unix milliseconds, UTC.
        layouts: Gives the layout of an id, or None.
        posted: Called on the event loop when messages may be waiting.
        metrics: Counts what was decided.
        silent_after_ms: When a host without signs of life is silent.
        grace_ms: After a start nobody is called silent for this long.
    """

    name = "evaluate"

    def __init__(
        self,
        db: Database,
        *,
        clock: Callable[[], int],
        layouts: Callable[[int], Layout | None],
        posted: Callable[[], None] = lambda: None,
        metrics: Metrics | None = None,
        silent_after_ms: int = SILENT_AFTER_MS,
        grace_ms: int = GRACE_MS,
    ) -> None:
        self.db, self.clock, self.posted, self.metrics = db, clock, posted, metrics
        self.silent_after_ms = silent_after_ms
        self.catalogue = Catalogue()
        self.judge = RowJudge(layouts)
        self.agenda = Agenda()
        self.presence = Presence(started_ms=clock(), grace_ms=grace_ms)
        self._up: set[int] = set()
        self._called_silent: set[int] = set()  # hosts with an open alert about their silence
        self._expiries = Expiries()
        self._bindings = Bindings()
        self._rows: list[Arrived] = []
        self._arrived = asyncio.Event()
        self._stale = False
        self._unjudged: set[int] = set()  # checks with results that came before the catalogue knew them
        self._swept_ms = self.presence.started_ms
        self._turn = asyncio.Lock()  # rows, ticks and reloads share the open alerts
        self._listeners: list[Callable[[Sequence[Transition]], None]] = []

    async def start(self) -> None:
        """Load what was known; before the first agent is let in."""
        self.presence.started_ms = self.clock()
        reaches, up = await self.db.read(lambda c: (status.reaches(c), status.present(c, "host")))
        self._expiries.recall(reaches)
        self._bindings.recall(await self.db.read(unbound.pairs))
        self._up = {host_id for host_id, now in up.items() if now.state is State.UP}
        await self.reload()

    async def run(self) -> None:
        """Judge rows as they come and silence once a second, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._repeat(self._next_rows))
            group.create_task(self._repeat(self._next_tick))

    def on_change(self, _register: str, _record: Any, _before: Any) -> None:
        """A listener for `Registrar.on_change`: the registers are read anew at the next tick."""
        self._stale = True

    def on_transition(self, callback: Callable[[Sequence[Transition]], None]) -> None:
        """Call `callback` on the event loop after changes of state are committed."""
        self._listeners.append(callback)

    def heard(self, host_id: int, now_ms: int, *, goodbye: str = "") -> None:
        """Note a sign of life that is no batch: a stream that opened, a ping, a goodbye with its reason."""
        self.presence.note(host_id, now_ms, goodbye=goodbye)

    def silent_ms(self, host_id: int, now_ms: int) -> int | None:
        """How long a host has given no sign of life; None when it never did."""
        heard_ms = self.presence.heard_ms.get(host_id)
        return None if heard_ms is None else max(0, now_ms - heard_ms)

    async def reload(self) -> None:
        """Read the registers anew, and end alerts that are about nothing any more."""
        async with self._turn:
            await self._reload()

    async def _reload(self) -> None:
        self._stale = False
        now_ms, unjudged = self.clock(), frozenset(self._unjudged)

        self.presence.recall(await self.db.read(status.heard))

        def work(connection: Connection) -> tuple[Catalogue, Bound, Taken, list[Change], list[Transition]]:
            catalogue = catalogues.load(connection)
            bound = self._bindings.bind(connection, (), catalogue)
            late = results.take_late(connection, bound, now_ms=now_ms)
            changes = telling.orphans(alerts.load_open(connection), catalogue, now_ms=now_ms)
            changes += self._belated(connection, catalogue, unjudged, now_ms=now_ms)
            telling.record(connection, changes, catalogue, now_ms=now_ms)
            observe.closed(connection, catalogue, now_ms=now_ms)
            return catalogue, bound, late, changes, observe.refresh(connection, catalogue, now_ms=now_ms)

        self.catalogue, bound, late, changes, transitions = await self.db.write(work)
        self._unjudged -= unjudged
        self._adopt(bound, late)
        kept = await self.db.read(lambda c: alerts.load_open(c))
        self.judge.opened.by_key.clear()
        self.judge.opened.by_host.clear()
        for one in kept:
            self.judge.opened.put(None, one)
        self.agenda.note(kept, self.catalogue)
        about_silence = {rule.id for rule in self.catalogue.rules if rule.measure == catalogues.AGENT_SILENT}
        self._called_silent = {one.subject_id for one in kept if one.rule_id in about_silence}
        self._happened([*late.transitions, *transitions], [*late.changes, *changes])

    def _belated(
        self, connection: Connection, catalogue: Catalogue, unjudged: Collection[int], *, now_ms: int
    ) -> list[Change]:
        """What results mean by rules and checks that were not known when they came."""
        is_rule_new = any(rule not in self.catalogue.rules for rule in catalogue.rules)
        counts_until = {
            check_id: at_ms
            for check_id, at_ms in self._expiries.counting(now_ms).items()
            if is_rule_new or check_id in unjudged
        }
        return events.judge_present(connection, counts_until, catalogue, unjudged=unjudged)

    # ── in the transaction of ingest ────────────────────────────────────────────────────────────────────────────────

    def absorb(self, connection: Connection, accepted: Sequence[Accepted]) -> Callable[[], None]:
        """Store results with all that follows from them; the callable takes over into memory after the commit."""
        now_ms = max((one.received_ms for one in accepted), default=0)
        catalogue = self.catalogue
        bound = self._bindings.bind(connection, accepted, catalogue)
        late = results.take_late(connection, bound, now_ms=now_ms)
        taken = results.take(connection, bound.seen, catalogue, now_ms=now_ms)
        hosts = {one.host_id: one.received_ms for one in accepted}
        back = {host_id: (State.UP, at_ms, "heard") for host_id, at_ms in hosts.items() if host_id not in self._up}
        returned = observe.hosts(connection, back, now_ms=now_ms) if back else []

        def after() -> None:
            self._up |= back.keys()
            self._stale = self._stale or not hosts.keys() <= self.catalogue.watched
            for host_id, at_ms in hosts.items():
                self.heard(host_id, at_ms)
            self._adopt(bound, late, taken)
            changes = [*late.changes, *taken.changes]
            self.agenda.follow(changes, self.catalogue)
            self._rows += [
                Arrived(batch.host_id, row, batch.live, batch.received_ms) for batch in accepted for row in batch.rows
            ]
            if self._rows:
                self._arrived.set()
            self._happened([*late.transitions, *taken.transitions, *returned], changes)

        return after

    def _adopt(self, bound: Bound, *every: Taken) -> None:
        self._bindings.adopt(bound)
        for taken in every:
            self._expiries.extend(taken.seen, taken.newest)
            unknown = {one.check_id for one in taken.seen} - bound.catalogue.checks.keys() - bound.catalogue.stopped
            self._unjudged |= unknown
            self._stale = self._stale or bool(unknown)
        self._count([*bound.lost, *(gap for taken in every for gap in taken.lost)])

    # ── after the commit ────────────────────────────────────────────────────────────────────────────────────────────

    async def judge_rows(self) -> None:
        """Judge the rows that wait."""
        async with self._turn:
            if self._stale and any(one.host_id not in self.catalogue.hosts for one in self._rows):
                # A host that just came in: its first alert is to have its name, or the next one is another alert.
                await self._reload()
            await self._judge_rows()

    async def _judge_rows(self) -> None:
        arrived, self._rows = self._rows, []
        self._arrived.clear()
        await self._keep(self.judge.judge(arrived, self.catalogue) if arrived else [])

    async def _keep(self, changes: Sequence[Change]) -> None:
        if not changes:
            return
        catalogue, now_ms = self.catalogue, self.clock()
        stored = await self.db.write(lambda c: telling.record(c, changes, catalogue, now_ms=now_ms))
        for change, kept in zip(changes, stored, strict=True):
            self.judge.opened.put(change.before, kept)
        self.agenda.follow(changes, self.catalogue)
        self._happened((), changes)

    async def tick(self) -> None:
        """Find out what silence means by now, and what has held for long enough."""
        async with self._turn:
            if self._stale:
                await self._reload()
            await self._tick()
            await self._ripen()
            if self.clock() - self._swept_ms >= SWEEP_MS:
                self._swept_ms = self.clock()
                await self._keep(self.judge.vanished(self.catalogue))
                await self._give_up()

    async def _give_up(self) -> None:
        """Wait no longer for checks that will not come."""
        if self._bindings.waits:
            now_ms = self.clock()
            over, lost = await self.db.write(lambda c: self._bindings.expire(c, now_ms=now_ms))
            self._bindings.forget(over)
            self._count(lost)

    def _count(self, lost: Sequence[Gap]) -> None:
        if lost and self.metrics is not None:
            tally.count_gaps(self.metrics, lost)

    async def _tick(self) -> None:
        now_ms = self.clock()
        heard_ms, watched = self.presence.heard_ms, self.presence.watched(now_ms)
        silent = {
            host_id: heard_ms[host_id]
            for host_id in watched
            if host_id in self._up and now_ms - heard_ms[host_id] >= self.silent_after_ms
        }
        lapsed = {} if self.presence.in_grace(now_ms) else self._expiries.lapsed(now_ms)
        rules = [rule for rule in self.catalogue.rules if rule.measure == catalogues.AGENT_SILENT]
        quiet = self._quiet(rules, watched, now_ms)
        if not (silent or lapsed or quiet):
            return
        catalogue = self.catalogue

        def work(connection: Connection) -> tuple[list[Transition], list[Change], dict[int, int]]:
            transitions, alive = self._silence(connection, silent, now_ms)
            if lapsed:
                transitions += observe.lapse(connection, lapsed, catalogue, now_ms=now_ms)
                opened = alerts.load_open(connection, subject="check", subject_ids=lapsed)
                telling.freeze(
                    connection, opened, at_ms=now_ms, now_ms=now_ms, why=Message("no evidence from the check")
                )
            changes = events.judge_silence(connection, rules, quiet, catalogue, now_ms=now_ms)
            telling.record(connection, changes, catalogue, now_ms=now_ms)
            return transitions, changes, alive

        transitions, changes, alive = await self.db.write(work)
        heard_ms |= alive
        self._note_called(changes)
        self._up -= {host_id for host_id in silent if heard_ms[host_id] == silent[host_id]}
        self._expiries.forget(lapsed)
        self._happened(transitions, changes)

    def _note_called(self, changes: Iterable[Change]) -> None:
        """Remember which hosts an alert calls silent."""
        for change in changes:
            about = change.after or change.before
            is_open = change.after is not None and change.after.alert.state is not AlertState.RESOLVED
            if about is not None:
                (self._called_silent.add if is_open else self._called_silent.discard)(about.subject_id)

    async def _ripen(self) -> None:
        now_ms, catalogue = self.clock(), self.catalogue
        due = self.agenda.due(
            now_ms, is_watched=lambda host: host in self._up and self.presence.has_settled(host, now_ms)
        )
        if not due:
            return

        def work(connection: Connection) -> tuple[Looked, list[Kept | None]]:
            looked = agenda.judge(connection, due, catalogue, now_ms=now_ms)
            return looked, telling.record(connection, looked.changes, catalogue, now_ms=now_ms)

        looked, stored = await self.db.write(work)
        self.agenda.looked_at(looked, catalogue, now_ms=now_ms)
        for change, kept in zip(looked.changes, stored, strict=True):
            self.judge.opened.put(change.before, kept)
        self._happened((), looked.changes)

    def _silence(
        self, connection: Connection, silent: Mapping[int, int], now_ms: int
    ) -> tuple[list[Transition], dict[int, int]]:
        """What silence changes, and which hosts gave a sign of life after all: host → when."""
        known = {one.host_id: one for one in status.heard(connection)} if silent else {}
        states: dict[int, tuple[State, int, str]] = {}
        alive: dict[int, int] = {}
        for host_id, heard_ms in silent.items():
            seen = known.get(host_id)
            if seen is not None and now_ms - seen.last_seen_ms < self.silent_after_ms:
                alive[host_id] = seen.last_seen_ms
                continue
            goodbye = self.presence.goodbye(host_id) or (seen.goodbye if seen else "")
            why = SAID.get(goodbye, SILENT)
            states[host_id] = (State.UNKNOWN, heard_ms, why)
            opened = alerts.load_open(connection, host_ids=[host_id])
            telling.freeze(connection, opened, at_ms=heard_ms, now_ms=now_ms, why=why)
        return (observe.hosts(connection, states, now_ms=now_ms) if states else []), alive

    def _quiet(self, rules: Sequence[Rule], watched: Collection[int], now_ms: int) -> dict[int, float]:
        """Seconds of silence of hosts about which a rule has something to say, or has said something."""
        if not rules:
            return {}
        lowest = min(min(rule.level, rule.level if rule.clear_level is None else rule.clear_level) for rule in rules)
        seconds = {host_id: (now_ms - self.presence.heard_ms[host_id]) / 1000 for host_id in watched}
        return {
            host_id: value
            for host_id, value in seconds.items()
            if host_id in self.catalogue.hosts
            and host_id in self.catalogue.watched
            and not self.catalogue.hosts[host_id].ephemeral
            and (value >= lowest or host_id in self._called_silent)
        }

    def _happened(self, transitions: Sequence[Transition], changes: Sequence[Change]) -> None:
        for one in transitions:
            log.info(
                "%s %s id=%d before=%s reason=%s",
                one.subject,
                one.after.word,
                one.subject_id,
                one.before.word,
                one.reason,
            )
            if self.metrics is not None:
                self.metrics.transitions.labels(subject=one.subject, state=one.after.word).inc()
        telling.count(self.metrics, changes)
        if transitions:
            for listener in self._listeners:
                listener(transitions)
        if any(change.event for change in changes):
            self.posted()

    async def _next_rows(self) -> None:
        await self._arrived.wait()
        await asyncio.sleep(COALESCE_SECONDS)
        await self._timed(self.judge_rows)

    async def _next_tick(self) -> None:
        await asyncio.sleep(TICK_SECONDS)
        await self._timed(self.tick)

    async def _timed(self, work: Callable[[], Any]) -> None:
        began = perf_counter()
        await work()
        if self.metrics is not None:
            self.metrics.evaluate_seconds.observe(perf_counter() - began)

    async def _repeat(self, work: Callable[[], Any]) -> None:
        failing = False
        while True:
            try:
                await work()
                failing = False
            except Exception:
                # One bad row or a full disk must not end all judging; the next round tries again.
                if self.metrics is not None:
                    self.metrics.evaluate_failures.inc()
                if not failing:
                    log.exception("evaluation failed")
                failing = True
                await asyncio.sleep(TICK_SECONDS)
