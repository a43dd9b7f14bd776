"""Services: their state, their availability in a month, and the evidence it rests on."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from aiohttp import web

from collector.domain.calendar import Month
from collector.domain.errors import InvalidInput, NotFound
from collector.domain.interval import Span
from collector.domain.message import Message
from collector.domain.outage import Outage
from collector.domain.sample import State
from collector.domain.sla import Evaluation, truncated
from collector.domain.status import Segment
from collector.edges.http.context import context_of
from collector.edges.http.routing import Page, Permission, Route
from collector.store import board, registers, sla, status
from collector.store.sla import Availability

DAY_MS = 86_400_000
WINDOWS = {"24h": DAY_MS, "7d": 7 * DAY_MS, "30d": 30 * DAY_MS}
TRANSITIONS_SHOWN = 20
YEARS = (1970, 2999)
"""Whose months can be asked for: a calendar has an end, and nothing was measured before Unix time began."""
_MONTH = re.compile(r"(\d{4})-(0[1-9]|1[0-2])")


class Strip(NamedTuple):
    """A piece of a timeline as pages draw it."""

    since_ms: int
    until_ms: int
    state: str
    reason: str


def strip_of(segments: Iterable[Segment], created_ms: int = 0) -> list[Strip]:
    """A timeline in words, without what is unknown of the time before something was created: it did not exist then."""
    pieces = [Strip(one.since_ms, one.until_ms, one.state.word, one.reason) for one in segments]
    first = pieces[0] if pieces else None
    if first is None or first.state != State.UNKNOWN.word or first.since_ms >= created_ms:
        return pieces
    kept = first._replace(since_ms=min(created_ms, first.until_ms))
    return [kept, *pieces[1:]] if kept.since_ms < kept.until_ms else pieces[1:]


def figures(found: Availability | None) -> dict[str, Any] | None:
    """An evaluation as numbers: exact milliseconds, ratios cut off and never rounded up."""
    if found is None:
        return None
    one: Evaluation = found.evaluation
    target = one.objective.percent
    allowance = one.budget.allowance_ms
    return {
        "month": str(found.month),
        "since_ms": one.span.since_ms,
        "until_ms": one.span.until_ms,
        "period_until_ms": found.period.until_ms,
        "is_over": found.is_over,
        "is_partial": one.is_partial,
        "promised": found.promised,
        "objective": str(target) if found.promised else None,
        "time_zone": one.objective.zone.key,
        "verdict": one.verdict.value if found.promised else "none",
        "agreed_ms": one.agreed_ms,
        "ahead_ms": one.ahead_ms,
        "up_ms": one.up_ms,
        "down_ms": one.down_ms,
        "degraded_ms": one.degraded_ms,
        "unknown_ms": one.unknown_ms,
        "excluded_ms": one.excluded_ms,
        "measured": truncated(one.measured, target),
        "strict": truncated(one.strict, target),
        "lenient": truncated(one.lenient, target),
        "coverage": truncated(one.coverage),
        "allowance_ms": allowance,
        "budget_used": one.budget.spent_ms / allowance if allowance else None,
        "budget_left_ms": one.budget.left_ms,
        "forecast_ms": int(one.forecast_ms) if one.forecast_ms is not None else None,
        "outages": [_outage(each) for each in one.outages],
        "gaps": [_outage(each) for each in one.gaps],
        "count": one.statistics.count,
        "longest_ms": one.statistics.longest_ms,
        "mtrs_ms": float(one.statistics.mtrs_ms) if one.statistics.mtrs_ms is not None else None,
        "mtbf_ms": float(one.statistics.mtbf_ms) if one.statistics.mtbf_ms is not None else None,
    }


def _outage(one: Outage) -> dict[str, Any]:
    return {
        "since_ms": one.since_ms,
        "until_ms": one.until_ms,
        "counted_ms": one.counted_ms,
        "state": one.state.word,
        "reason": one.reason,
        "is_open": one.is_open,
    }


async def show_all(request: web.Request) -> Page:
    """Every service with its state, the last day and its month so far."""
    now_ms = context_of(request).clock()

    def read(connection: Any) -> dict[str, Any]:
        lines = board.service_lines(connection)
        versions = sla.versions(connection, [line.id for line in lines])
        day = Span(now_ms - DAY_MS, now_ms)
        material = sla.gather_month(connection, versions.values(), now_ms=now_ms)
        rows = [
            {
                "service": line,
                "strip": strip_of(sla.segments(connection, versions.get(line.id, []), day, material=material)),
                "month": _month(connection, line.id, versions.get(line.id, []), now_ms, material),
            }
            for line in lines
        ]
        return {"services": rows, "since_ms": day.since_ms, "until_ms": day.until_ms}

    return Page("services.html", await context_of(request).db.read(read))


def _month(
    connection: Any, service_id: int, history: Sequence[sla.Version], now_ms: int, material: sla.Material
) -> dict[str, Any] | None:
    if not history:
        return None
    month = sla.month_in(history, now_ms)
    found = sla.availability(connection, service_id, month, now_ms=now_ms, history=history, material=material)
    return figures(found)


async def show(request: web.Request) -> Page:
    """One service: timelines, the month with its evidence, outages and what it is made of."""
    now_ms = context_of(request).clock()
    key, window = request.match_info["key"], request.query.get("window", "24h")
    wanted = _wanted_month(request.query.get("month", ""))
    if window not in WINDOWS:
        raise InvalidInput(
            "There is no such window.", fields={"window": Message("One of {known}.", known=", ".join(WINDOWS))}
        )

    def read(connection: Any) -> dict[str, Any]:
        record = registers.by_key(connection, "service", key)
        now = status.present(connection, "service", [record.id]).get(record.id)
        history = sla.versions(connection, [record.id]).get(record.id, [])
        span = Span(now_ms - WINDOWS[window], now_ms)
        month = wanted or (sla.month_in(history, now_ms) if history else None)
        found = (
            sla.availability(connection, record.id, month, now_ms=now_ms, history=history)
            if month is not None and history
            else None
        )
        if wanted and found is not None and found.period.since_ms > now_ms:
            raise NotFound("That month has not begun.", hint="Choose this month or an earlier one.")
        return {
            "service": board.service_line(record, now),
            "roll_up": record.roll_up,
            "k": record.k,
            "window": window,
            "ranges": WINDOWS,
            "since_ms": span.since_ms,
            "until_ms": span.until_ms,
            "strip": strip_of(sla.segments(connection, history, span)),
            "month": figures(found),
            "month_strip": strip_of(found.segments) if found else [],
            "previous": str(month.preceding) if month and _existed_before(history, found) else None,
            "next": str(month.following) if month and found and found.is_over else None,
            "checks": board.check_lines(connection, ids=record.members),
            "transitions": [
                {"at_ms": one.at_ms, "before": one.before.word, "after": one.after.word, "reason": one.reason}
                for one in status.transitions(
                    connection, subject="service", subject_id=record.id, limit=TRANSITIONS_SHOWN
                )
            ],
        }

    return Page("service.html", await context_of(request).db.read(read))


def _existed_before(history: Sequence[sla.Version], found: Availability | None) -> bool:
    return found is not None and history[0].composition.since_ms < found.period.since_ms


def _wanted_month(text: str) -> Month | None:
    if not text:
        return None
    found = _MONTH.fullmatch(text)
    if found is None or not YEARS[0] <= int(found[1]) <= YEARS[1]:
        raise InvalidInput("That is no month.", fields={"month": "Year and month, such as 2026-11."})
    return Month(int(found[1]), int(found[2]))


ROUTES = (
    Route("GET", "/services", show_all, Permission.VIEW, "Every service with its state and its month so far."),
    Route("GET", "/services/{key}", show, Permission.VIEW, "One service: timeline, availability and its evidence."),
)
