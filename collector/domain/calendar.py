"""When a promise counts: months in a place's own time, and the hours in which a service is agreed to work.

Everything is asked for and answered in UTC milliseconds; wall clocks are only read through the IANA time zone, so days
of 23 and 25 hours have the length they have. Holidays and maintenance are further calendars of the same shape.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple, Protocol
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from collector.domain.errors import InvalidInput
from collector.domain.interval import Span, clip, union
from collector.domain.message import Message

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)
DECEMBER = 12


class Month(NamedTuple):
    """A calendar month; its instants depend on the time zone."""

    year: int
    month: int  # 1..12

    @property
    def following(self) -> Month:
        """The next one."""
        return Month(self.year + 1, 1) if self.month == DECEMBER else Month(self.year, self.month + 1)

    @property
    def preceding(self) -> Month:
        """The one before."""
        return Month(self.year - 1, DECEMBER) if self.month == 1 else Month(self.year, self.month - 1)

    def __str__(self) -> str:
        return f"{self.year:04d}-{self.month:02d}"


class Calendar(Protocol):
    """Agreed service time."""

    def within(self, span: Span) -> list[Span]:
        """The agreed parts of `span`: sorted, apart, UTC milliseconds."""
        ...


class Always:
    """Around the clock, every day."""

    def within(self, span: Span) -> list[Span]:
        """The whole span."""
        return [span] if span.milliseconds > 0 else []


ALWAYS = Always()


@dataclass(frozen=True, slots=True)
class ServiceHours:
    """Hours by the local wall clock: weekday (0 = Monday) to [opens, closes) pairs; closing at 00:00 means midnight.

    The wall clock decides, never a number of elapsed seconds: after a daylight saving change 09:00 is still 09:00.
    """

    zone: ZoneInfo
    hours: Mapping[int, Sequence[tuple[time, time]]]

    def within(self, span: Span) -> list[Span]:
        """The agreed parts of `span`; an opening hour that a clock change skips begins when the skip ends."""
        open_spans = [Span(since, until) for since, until in self._days(span) if since < until]
        return clip(union(open_spans), span)

    def _days(self, span: Span) -> Iterator[tuple[int, int]]:
        day = local(span.since_ms, self.zone).date() - timedelta(days=1)
        last = local(span.until_ms, self.zone).date()
        while day <= last:
            for opens, closes in self.hours.get(day.weekday(), ()):
                end = day if closes > opens else day + timedelta(days=1)
                yield instant(day, opens, self.zone), instant(end, closes, self.zone)
            day += timedelta(days=1)


def zone_named(name: str) -> ZoneInfo:
    """The IANA time zone.

    Raises:
        InvalidInput: There is none of that name.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise InvalidInput(
            Message("{name} is not a time zone.", name=repr(name)),
            fields={"time_zone": "not an IANA time zone"},
            hint="Use a name such as Asia/Jakarta.",
        ) from error


def instant(day: date, clock: time, zone: ZoneInfo) -> int:
    """Unix milliseconds of a wall-clock time; of two equal ones the first, of a skipped one the instant of the skip."""
    wanted = datetime.combine(day, clock, tzinfo=zone)
    at_ms = unix_ms(wanted)
    if local(at_ms, zone).replace(tzinfo=None) == wanted.replace(tzinfo=None):
        return at_ms
    # Skipped: the change lies between the readings by the offset after it and by the one before it.
    early, late = unix_ms(wanted.replace(fold=1)), at_ms
    before = local(early, zone).utcoffset()
    while late - early > 1:
        middle = (early + late) // 2
        early, late = (middle, late) if local(middle, zone).utcoffset() == before else (early, middle)
    return late


def unix_ms(moment: datetime) -> int:
    """Unix milliseconds of an aware time, by way of UTC: subtracting within one zone ignores its clock changes."""
    return (moment.astimezone(UTC) - EPOCH) // MILLISECOND


def local(at_ms: int, zone: ZoneInfo) -> datetime:
    """The wall clock at that instant."""
    return (EPOCH + at_ms * MILLISECOND).astimezone(zone)


def month_of(at_ms: int, zone: ZoneInfo) -> Month:
    """The calendar month that the instant lies in, over there."""
    there = local(at_ms, zone)
    return Month(there.year, there.month)


def month_span(month: Month, zone: ZoneInfo) -> Span:
    """From local midnight of the first to local midnight of the next first."""
    first, after = date(month.year, month.month, 1), date(*month.following, 1)
    return Span(instant(first, time(), zone), instant(after, time(), zone))


def rfc3339(at_ms: int) -> str:
    """The instant in UTC as RFC 3339 with milliseconds."""
    return (EPOCH + at_ms * MILLISECOND).isoformat(timespec="milliseconds").replace("+00:00", "Z")
