from __future__ import annotations

from datetime import UTC, date, datetime, time
from zoneinfo import ZoneInfo

import pytest

from collector.domain.calendar import (
    ALWAYS,
    Month,
    ServiceHours,
    instant,
    month_of,
    month_span,
    rfc3339,
    unix_ms,
    zone_named,
)
from collector.domain.errors import InvalidInput
from collector.domain.interval import Span, total

HOUR = 3_600_000
DAY = 24 * HOUR
JAKARTA, BERLIN = ZoneInfo("Asia/Jakarta"), ZoneInfo("Europe/Berlin")
WEEKDAYS = {day: ((time(8), time(17)),) for day in range(5)}


def utc(*parts: int) -> int:
    return unix_ms(datetime(*parts, tzinfo=UTC))  # type: ignore[misc, arg-type]


@pytest.mark.parametrize(
    ("month", "zone", "hours"),
    [
        (Month(2026, 3), BERLIN, 31 * 24 - 1),
        (Month(2026, 10), BERLIN, 31 * 24 + 1),
        (Month(2026, 2), JAKARTA, 28 * 24),
        (Month(2028, 2), JAKARTA, 29 * 24),
        (Month(2026, 4), ZoneInfo("Australia/Sydney"), 30 * 24 + 1),
        (Month(2026, 10), ZoneInfo("Australia/Sydney"), 31 * 24 - 1),
    ],
)
def test_a_month_has_the_length_its_clock_changes_give_it(month: Month, zone: ZoneInfo, hours: int) -> None:
    assert month_span(month, zone).milliseconds == hours * HOUR


def test_months_follow_each_other_without_gap_in_every_zone_with_midnight_changes() -> None:
    for name in ("America/Havana", "Asia/Beirut", "America/Asuncion", "Africa/Cairo", "Pacific/Apia", "Asia/Jakarta"):
        zone, month = ZoneInfo(name), Month(2010, 1)
        while month < Month(2031, 1):
            assert month_span(month, zone).until_ms == month_span(month.following, zone).since_ms
            assert month_of(month_span(month, zone).since_ms, zone) == month
            assert month_of(month_span(month, zone).since_ms - 1, zone) == month.preceding
            month = month.following


def test_a_month_begins_at_local_midnight_not_at_midnight_in_utc() -> None:
    assert month_span(Month(2026, 11), JAKARTA).since_ms == utc(2026, 10, 31, 17)


def test_service_hours_stay_at_the_wall_clock_after_daylight_saving_begins() -> None:
    hours = ServiceHours(BERLIN, {0: ((time(9), time(17)),)})
    monday = Span(utc(2026, 3, 30), utc(2026, 3, 31))
    assert hours.within(monday) == [Span(utc(2026, 3, 30, 7), utc(2026, 3, 30, 15))]


def test_nights_across_a_clock_change_last_an_hour_less_or_more() -> None:
    nights = ServiceHours(BERLIN, {5: ((time(22), time(6)),)})
    assert total(nights.within(Span(utc(2026, 3, 28, 12), utc(2026, 3, 29, 12)))) == 7 * HOUR
    assert total(nights.within(Span(utc(2026, 10, 24, 12), utc(2026, 10, 25, 12)))) == 9 * HOUR


def test_an_opening_hour_that_the_clock_skips_begins_when_the_skip_ends() -> None:
    hours = ServiceHours(BERLIN, {6: ((time(2, 30), time(4)),)})
    assert total(hours.within(Span(utc(2026, 3, 29), utc(2026, 3, 30)))) == HOUR


def test_office_hours_of_october_2026_are_11880_minutes() -> None:
    assert total(ServiceHours(JAKARTA, WEEKDAYS).within(month_span(Month(2026, 10), JAKARTA))) == 11_880 * 60_000


def test_around_the_clock_is_the_whole_span_and_nothing_of_an_empty_one() -> None:
    assert ALWAYS.within(Span(5, 9)) == [Span(5, 9)]
    assert ALWAYS.within(Span(5, 5)) == []


def test_an_unknown_time_zone_is_refused_with_its_field() -> None:
    with pytest.raises(InvalidInput) as caught:
        zone_named("Asia/Atlantis")
    assert "time_zone" in caught.value.fields


def test_instants_are_written_in_utc() -> None:
    assert rfc3339(instant(date(2026, 11, 1), time(7, 30), JAKARTA)) == "2026-11-01T00:30:00.000Z"
