"""What happened in the made-up month: outages, slow hours, silence – told relative to now, exact to the millisecond.

Pure; the same now gives the same story. A result is made wherever a state changes, so that the record has the very
spans that are written here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from collector.demo.machine import Stress
from collector.domain.interval import Span
from collector.domain.message import Message
from collector.domain.sample import State

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
WESTERN_TIME_MS = 7 * HOUR_MS

At = Callable[[int, str, float], Span]
"""(days ago, local time of day, seconds it lasts) → when."""


TO_COME = 160
"""Small incidents while somebody looks: enough for a day."""


def _answered(status: int) -> Message:
    took = Message("{milliseconds} ms", milliseconds=210)
    return Message("HTTP {status} instead of {wanted} after {took}", status=status, wanted="200–299", took=took)


def _slow(took_seconds: float) -> Message:
    found = Message("HTTP {status} after {took}", status=200, took=Message("{seconds} s", seconds=took_seconds))
    return Message("{finding}: slower than {limit}", finding=found, limit=Message("{seconds} s", seconds=2.0))


def _silent(address: str) -> Message:
    return Message("{address} did not answer within {seconds} s", address=address, seconds=5.0)


def _closed(address: str) -> Message:
    return Message("Connection to {address} refused: nothing listens there", address=address)


def _no_route(address: str) -> Message:
    return Message("Connection to {address} failed: {error}", address=address, error="No route to host")


def _old(path: str, *, hours: int, most: int) -> Message:
    age, limit = Message("{count} h", count=hours), Message("{count} h", count=most)
    return Message("{path} is {age} old, more than {limit}", path=path, age=age, limit=limit)


SURABAYA = "192.0.2.62:7443"
TROUBLE = (
    ("loyalty.page", _answered(503)),
    ("pos.surabaya", _no_route(SURABAYA)),
    ("cache.redis", _closed("cache-1.nusantara.example:6379")),
    ("shop.page", _answered(502)),
)
"""What agents would say of it, in their own sentences."""


class Incident(NamedTuple):
    """Some checks were not up for a while."""

    checks: tuple[str, ...]
    span: Span
    state: State
    reason: Message


class Silence(NamedTuple):
    """Some hosts said nothing at all and started anew afterwards, as after a power cut."""

    hosts: tuple[str, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class Story:
    """A month that never was."""

    start_ms: int
    now_ms: int
    incidents: Sequence[Incident] = field(default_factory=tuple)
    silences: Sequence[Silence] = field(default_factory=tuple)
    stresses: Sequence[tuple[str, Stress]] = field(default_factory=tuple)

    def incidents_of(self, check: str) -> list[Incident]:
        """What happened to a check, in order of time."""
        return sorted((one for one in self.incidents if check in one.checks), key=lambda one: one.span)

    def turns(self, until_ms: int) -> list[int]:
        """Just after each change of a state, and at least once a day; the last one is `until_ms`."""
        changes = {at + 1 for one in self.incidents for at in one.span}
        days = set(range(self.start_ms + DAY_MS, until_ms, DAY_MS))
        return sorted(at for at in {*changes, *days, until_ms} if self.start_ms < at <= until_ms)

    def silences_of(self, host: str) -> list[Span]:
        """When a host was silent."""
        return sorted(one.span for one in self.silences if host in one.hosts)

    def stress_of(self, host: str) -> list[Stress]:
        """When a host worked too hard."""
        return [stress for name, stress in self.stresses if name == host]


def tell(start_ms: int, now_ms: int) -> Story:
    """The story as of now, for a history that begins at `start_ms`."""
    midnight_ms = now_ms - (now_ms + WESTERN_TIME_MS) % DAY_MS

    def at(days_ago: int, clock: str, seconds: float) -> Span:
        hours, minutes, rest = clock.split(":")
        since_ms = midnight_ms - days_ago * DAY_MS + int(hours) * HOUR_MS + int(minutes) * MINUTE_MS
        since_ms += round(float(rest) * 1000)
        return Span(since_ms, since_ms + round(seconds * 1000))

    slow = at(16, "13:31:12.400", 3 * 3600 + 840)
    return Story(
        start_ms,
        now_ms,
        (*_past(at), *_flapping(at), *_present(now_ms), Incident(*_slow_afternoon(slow))),
        (Silence(("mks-pos-1", "mks-wms-1"), at(21, "13:05:00", 3 * 3600)),),
        tuple((host, Stress(slow, busy)) for host, busy in (("app-1", 0.93), ("app-2", 0.9), ("db-1", 0.82))),
    )


def _past(at: At) -> Iterable[Incident]:
    down, degraded = State.DOWN, State.DEGRADED
    told = (
        (("shop.page",), 27, "10:14:03.120", 95.25, down, _answered(502)),
        (("mail.smtp", "mail.imap"), 24, "01:00:00", 5070.0, down, _closed("mail-1.nusantara.example:25")),
        (
            ("database.primary",),
            19,
            "10:21:40.500",
            47 * 60.0,
            down,
            _closed("db-1.nusantara.example:5432"),
        ),
        (("shop.checkout",), 19, "10:22:05", 2830.5, down, _answered(503)),
        (("dns.inside", "mail.mx"), 9, "09:02:30.750", 41.5, down, _silent("192.0.2.53:53")),
        (
            ("backup-1.nightly-database",),
            8,
            "03:00:00",
            22_320.0,
            down,
            _old("/srv/backup/latest.dump", hours=27, most=26),
        ),
        (("intranet.page",), 6, "11:40:18.900", 7984.0, down, _answered(500)),
        (("shop.page",), 4, "20:07:44.610", 132.4, down, _silent("https://toko.nusantara.example/")),
        (("pos.jakarta", "pos.makassar"), 14, "12:00:20", 412.0, down, _closed("192.0.2.60:7443")),
        (("pos.makassar",), 3, "09:26:10", 1563.0, down, _closed("192.0.2.63:7443")),
        (("warehouse.page",), 2, "16:12:00", 1975.0, degraded, _slow(3.4)),
        (("payments.gateway",), 1, "08:03:27.330", 688.21, down, _answered(504)),
        (("loyalty.page",), 1, "10:15:00", 2400.0, down, _answered(503)),
    )
    for checks, days_ago, clock, seconds, state, reason in told:
        yield Incident(checks, at(days_ago, clock, seconds), state, reason)


def _flapping(at: At) -> Iterable[Incident]:
    """The line to Surabaya on a bad day."""
    for clock, seconds in (("14:02:11", 64.0), ("14:31:40.2", 118.7), ("15:05:05", 75.3), ("15:58:20", 201.0)):
        span = at(12, clock, seconds)
        yield Incident(("branch.surabaya", "pos.surabaya"), span, State.DOWN, _no_route(SURABAYA))


def _slow_afternoon(span: Span) -> tuple[tuple[str, ...], Span, State, Message]:
    return ("shop.page", "shop.checkout"), span, State.DEGRADED, _slow(4.1)


def _present(now_ms: int) -> Iterable[Incident]:
    """What is wrong just now, and what will be while somebody looks."""
    intranet = Span(now_ms - 22 * MINUTE_MS, now_ms + 14 * MINUTE_MS)
    yield Incident(("intranet.page",), intranet, State.DOWN, _answered(500))
    warehouse = Span(now_ms - 126 * MINUTE_MS, now_ms + 40 * MINUTE_MS)
    yield Incident(("warehouse.page",), warehouse, State.DEGRADED, _slow(3.1))
    for number in range(TO_COME):
        since_ms = now_ms + (2 + number * 9) * MINUTE_MS
        check, reason = TROUBLE[number % len(TROUBLE)]
        yield Incident((check,), Span(since_ms, since_ms + 95_000), State.DOWN, reason)
