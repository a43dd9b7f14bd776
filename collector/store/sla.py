"""What services were made of over time, and the evaluation of a month with its evidence.

A version of a service counts from the moment it was written, so that an edit today never changes last month. The
arithmetic is `domain.sla`'s; here the spans it needs are fetched, and nothing is decided.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple

from sqlalchemy import Connection, insert, select

from collector.domain.agreement import Objective
from collector.domain.calendar import Month, month_of, month_span, zone_named
from collector.domain.interval import Span
from collector.domain.sla import Evaluation, evaluate
from collector.domain.status import Run, Segment, timeline
from collector.domain.tree import Composition, existence, service_timeline
from collector.store import registers, status
from collector.store.schema import service_composition

OPERATING = ("live", "retiring")
ENDED = ("retired", "on_hold", "rejected", "cancelled")


@dataclass(frozen=True, slots=True)
class Version:
    """A service as it was agreed from `composition.since_ms` on."""

    composition: Composition
    objective_percent: Decimal | None
    time_zone: str
    degraded_counts_as: str

    @property
    def objective(self) -> Objective | None:
        """The promise; None while none is made."""
        if self.objective_percent is None:
            return None
        return Objective(self.objective_percent, zone_named(self.time_zone), self.degraded_counts_as)


@dataclass(frozen=True, slots=True)
class Availability:
    """A service's month: what was measured, and the verdict if something was promised."""

    service_id: int
    month: Month
    period: Span  # the whole month, in the service's time zone
    is_over: bool
    segments: tuple[Segment, ...]
    evaluation: Evaluation  # against `objective`; against 100 % where nothing was promised
    promised: bool


class Material(NamedTuple):
    """What timelines of services are made of."""

    runs: Mapping[int, Sequence[Run]]  # of each check
    names: Mapping[int, str]  # its key


UNPROMISED = Decimal(100)
ZONES_MS = 2 * 86_400_000
"""A month under an older agreement may begin this much earlier, in the time zone of that."""


def record_composition(
    connection: Connection, register: str, record: Any | None, before: Any | None, now_ms: int
) -> None:
    """Keep what a service is made of from `now_ms` on; a hook for `Registrar.on_write`. Other registers are ignored."""
    if register != "service" or (record is None and before is None):
        return
    service_id = record.id if record is not None else before.id  # type: ignore[union-attr]
    body = json.dumps(_body(record), sort_keys=True)
    newest = connection.execute(
        select(service_composition.c.body)
        .where(service_composition.c.service_id == service_id)
        .order_by(service_composition.c.since_ms.desc(), service_composition.c.id.desc())
        .limit(1)
    ).scalar()
    if newest != body:
        connection.execute(insert(service_composition).values(service_id=service_id, since_ms=now_ms, body=body))


def _body(record: Any | None) -> dict[str, Any]:
    """What counts about a service. It is measured as soon as it has members, and in operation even without any."""
    if record is None:
        return {"exists": False, "members": []}
    exists = record.state in OPERATING or (bool(record.members) and record.state not in ENDED)
    percent = record.availability_objective
    return {
        "exists": exists,
        "members": list(record.members),
        "roll_up": record.roll_up,
        "k": record.k,
        "objective": None if percent is None else str(percent),
        "time_zone": record.time_zone,
        "degraded_counts_as": record.degraded_counts_as,
    }


def versions(connection: Connection, service_ids: Collection[int] | None = None) -> dict[int, list[Version]]:
    """Every version of each service, oldest first."""
    query = select(service_composition).order_by(service_composition.c.since_ms, service_composition.c.id)
    if service_ids is not None:
        query = query.where(service_composition.c.service_id.in_(service_ids))
    found: dict[int, list[Version]] = {}
    for row in connection.execute(query):
        body = json.loads(row.body)
        percent = body.get("objective")
        composition = Composition(
            row.since_ms,
            tuple(body["members"]),
            body.get("roll_up", "worst_of"),
            body.get("k", 1),
            exists=body["exists"],
        )
        found.setdefault(row.service_id, []).append(
            Version(
                composition,
                None if percent is None else Decimal(percent),
                body.get("time_zone", "UTC"),
                body.get("degraded_counts_as", "up"),
            )
        )
    return found


def gather(connection: Connection, histories: Iterable[Sequence[Version]], span: Span) -> Material:
    """The evidence about every member of some services that touches `span`, read at once."""
    checks = {check for history in histories for version in history for check in version.composition.members}
    return Material(status.runs(connection, checks, span), registers.keys_of(connection, "check", checks))


def gather_month(connection: Connection, histories: Iterable[Sequence[Version]], *, now_ms: int) -> Material:
    """`gather` for the running month and the last day of each service, whatever its time zone."""
    known = list(histories)
    begins = [month_span(month_in(one, now_ms), zone_named(one[-1].time_zone)).since_ms for one in known if one]
    return gather(connection, known, Span(min([*begins, now_ms]) - ZONES_MS, now_ms))


def segments(
    connection: Connection, history: Sequence[Version], span: Span, *, material: Material | None = None
) -> list[Segment]:
    """A service's timeline over `span`, without the time in which it did not exist.

    `material` is that of `gather` over at least `span`, for those who ask about many services.
    """
    compositions = [version.composition for version in history]
    known = gather(connection, [history], span) if material is None else material

    def lines(composition: Composition, part: Span) -> Mapping[str, Sequence[Segment]]:
        names, runs = known.names, known.runs
        return {
            names.get(check, f"check {check}"): timeline(_touching(runs[check], part), part)
            for check in composition.members
        }

    return service_timeline(compositions, lines, span=span)


def _touching(runs: Sequence[Run], part: Span) -> list[Run]:
    return [run for run in runs if run.until_ms > part.since_ms and run.since_ms < part.until_ms]


def month_in(history: Sequence[Version], at_ms: int) -> Month:
    """The calendar month of `at_ms` in the time zone the service has by now."""
    return month_of(at_ms, zone_named(history[-1].time_zone))


def availability(
    connection: Connection,
    service_id: int,
    month: Month,
    *,
    now_ms: int,
    history: Sequence[Version] | None = None,
    material: Material | None = None,
) -> Availability | None:
    """A service's month with its evidence; None for a service that never was measured.

    The promise is the one in force at the end of the month, or now while the month is running. `material` is that of
    `gather_month`, for those who ask about many services.
    """
    history = versions(connection, [service_id]).get(service_id, []) if history is None else history
    if not history:
        return None
    period = month_span(month, zone_named(history[-1].time_zone))
    agreed = [one for one in history if one.composition.since_ms < min(period.until_ms, now_ms + 1)] or history[:1]
    period = month_span(month, zone_named(agreed[-1].time_zone))
    span = Span(period.since_ms, max(period.since_ms, min(period.until_ms, now_ms)))
    compositions = [one.composition for one in history]
    promise = agreed[-1].objective
    found = segments(connection, history, span, material=material)
    evaluation = evaluate(
        found,
        promise or Objective(UNPROMISED, zone_named(agreed[-1].time_zone), agreed[-1].degraded_counts_as),
        span=span,
        existed=existence(compositions, span),
        period_existence=existence(compositions, period),
    )
    return Availability(
        service_id, month, period, now_ms >= period.until_ms, tuple(found), evaluation, promise is not None
    )
