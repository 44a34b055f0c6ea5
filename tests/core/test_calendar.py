"""Time at work: hours, holidays, and the next business day."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.policy.calendar import (
    MONDAY_TO_FRIDAY,
    Calendar,
    Span,
    Window,
    add_business_time,
    business_time_between,
    comes_twice,
    is_jumped_over,
    is_open,
    next_business_day,
    next_open,
    zone_named,
)
from tests.core.clock_changes import ZONES

BERLIN = ZoneInfo("Europe/Berlin")
TEAM = Calendar(zone="Europe/Berlin", holidays=frozenset({date(2026, 4, 3), date(2026, 4, 6)}))  # around Easter
HOUR = timedelta(hours=1)
NEVER = replace(TEAM, windows=())


def berlin(day: int, hour: int = 0, minute: int = 0, month: int = 3) -> datetime:
    return datetime(2026, month, day, hour, minute, tzinfo=BERLIN)


@pytest.mark.parametrize(("at", "opens"), [
    (berlin(4, 10), berlin(4, 10)),  # Wednesday, at work
    (berlin(4, 9), berlin(4, 9)),
    (berlin(4, 3), berlin(4, 9)),
    (berlin(4, 17), berlin(5, 9)),  # closing time is after work
    (berlin(6, 18), berlin(9, 9)),  # Friday evening → Monday
    (berlin(2, 18, month=4), berlin(7, 9, month=4)),  # the evening before Good Friday → Tuesday
    (berlin(28, 12), berlin(30, 9)),  # over the change of the clock
])  # fmt: skip
def test_what_comes_after_work_is_held_until_the_start(at: datetime, opens: datetime) -> None:
    assert next_open(TEAM, at) == opens
    assert is_open(TEAM, opens)
    assert is_open(TEAM, at) == (at == opens)


@pytest.mark.parametrize(("start", "hours", "end"), [
    (berlin(4, 10), 4, berlin(4, 14)),
    (berlin(4, 15), 4, berlin(5, 11)),
    (berlin(4, 13), 4, berlin(4, 17)),  # ends with the day, not on the next morning
    (berlin(6, 15), 4, berlin(9, 11)),  # over a weekend
    (berlin(7, 12), 4, berlin(9, 13)),
    (berlin(7, 12), 0, berlin(9, 9)),
    (berlin(2, 16, month=4), 2, berlin(7, 10, month=4)),  # over Easter
    (berlin(2, 9), 24, berlin(4, 17)),
    (berlin(2, 9), 400, berlin(12, 17, month=5)),  # fifty business days, two of them holidays
])  # fmt: skip
def test_hours_count_while_the_team_is_at_work(start: datetime, hours: int, end: datetime) -> None:
    assert add_business_time(TEAM, start, hours * HOUR) == end
    assert business_time_between(TEAM, start, end) == hours * HOUR


@pytest.mark.parametrize(("at", "day"), [
    (berlin(4, 10), 5),
    (berlin(5, 3), 5),  # it has not begun yet
    (berlin(5, 9), 6),
    (berlin(6, 10), 9),  # Friday → Monday
    (berlin(7, 10), 9),
    (berlin(8, 23), 9),
])  # fmt: skip
def test_the_next_business_day_is_the_first_that_has_not_begun(at: datetime, day: int) -> None:
    assert next_business_day(TEAM, at) == Span(
        start_at=berlin(day, 9).astimezone(UTC), end_at=berlin(day, 17).astimezone(UTC)
    )


def test_holidays_are_no_business_days() -> None:
    assert next_business_day(TEAM, berlin(2, 10, month=4)).start_at == berlin(7, 9, month=4)


def test_a_day_with_a_lunch_break_is_one_business_day() -> None:
    days = MONDAY_TO_FRIDAY
    split = replace(TEAM, windows=(
        Window(days=days, opens=time(13), closes=time(18)), Window(days=days, opens=time(8), closes=time(12)),
    ))  # fmt: skip

    assert next_business_day(split, berlin(6, 12)) == Span(
        start_at=berlin(9, 8).astimezone(UTC), end_at=berlin(9, 18).astimezone(UTC)
    )
    assert add_business_time(split, berlin(4, 11), 2 * HOUR) == berlin(4, 14)


def test_night_work_counts_the_hour_that_comes_twice_and_not_the_one_that_is_left_out() -> None:
    nights = replace(TEAM, windows=(Window(opens=time(22), closes=time(6)),))

    assert add_business_time(nights, berlin(24, 22, month=10), 8 * HOUR) == berlin(25, 5, month=10)
    assert add_business_time(nights, berlin(28, 22), 7 * HOUR) == berlin(29, 6)


@pytest.mark.parametrize("calendar", [NEVER, replace(TEAM, zone="Mars/Base")])
def test_a_calendar_that_never_opens_holds_nothing_back(calendar: Calendar) -> None:
    at = berlin(7, 12)

    assert next_open(calendar, at) == at
    assert add_business_time(calendar, at, 4 * HOUR) == at + 4 * HOUR
    assert next_business_day(calendar, at) == Span(start_at=at.astimezone(UTC), end_at=at.astimezone(UTC) + 24 * HOUR)
    assert not is_open(calendar, at)


def test_a_wait_longer_than_anybody_plans_ends_all_the_same() -> None:
    at = berlin(2, 9)

    assert add_business_time(TEAM, at, 5000 * HOUR) == at.astimezone(UTC) + 5000 * HOUR


@given(
    st.sampled_from(ZONES),
    st.datetimes(datetime(2024, 1, 1), datetime(2036, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    st.integers(0, 200),
    st.integers(0, 200),
)
def test_hours_at_work_add_up(zone: str, at: datetime, one_h: int, two_h: int) -> None:
    calendar = replace(TEAM, zone=zone)
    once = add_business_time(calendar, at, (one_h + two_h) * HOUR)
    twice = add_business_time(calendar, add_business_time(calendar, at, one_h * HOUR), two_h * HOUR)

    assert next_open(calendar, once) == next_open(calendar, twice)
    assert business_time_between(calendar, at, once) == (one_h + two_h) * HOUR
    assert once >= at


def test_wall_times_that_are_unclear_are_told() -> None:
    assert is_jumped_over(datetime(2026, 3, 29, 2, 30), BERLIN)  # noqa: DTZ001
    assert comes_twice(datetime(2026, 10, 25, 2, 30), BERLIN)  # noqa: DTZ001
    assert not comes_twice(datetime(2026, 3, 29, 2, 30), BERLIN)  # noqa: DTZ001
    assert not is_jumped_over(datetime(2026, 3, 29, 3), BERLIN)  # noqa: DTZ001
    assert zone_named("Europe") is None
