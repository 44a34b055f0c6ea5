"""Ladders as teams write them down: by level, by kind of issue, and by business day; with the due times they give."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from bot.model import Level, Severity
from bot.policy import Ladder, System
from bot.policy.calendar import Calendar
from bot.policy.escalation import armed
from bot.policy.escalation import due_at as level_due_at
from bot.policy.waits import Wait, dated, due_at, held

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
BERLIN = ZoneInfo("Europe/Berlin")
TEAM = Calendar(zone="Europe/Berlin")
TUESDAY, FRIDAY = (datetime(2026, 3, day, 16, 30, tzinfo=BERLIN) for day in (3, 6))
SATURDAY_NIGHT = datetime(2026, 3, 7, 23, 0, tzinfo=BERLIN)
NOW = Wait()


def ladder(*rungs: tuple[timedelta, str]) -> Ladder:
    return Ladder(levels=tuple(Level(number=n, after=at, targets=(to,)) for n, (at, to) in enumerate(rungs, 1)))


def due_times(one: Ladder, base_at: datetime) -> list[datetime]:
    """What the engine makes of the ladder."""
    escalation = armed(System(name="shop", ladders={Severity.P2: one}), Severity.P2, base_at)
    return [level_due_at(escalation, level.number).astimezone(BERLIN) for level in escalation.levels]


# four levels of people, by time alone

FOUR_LEVELS = ladder(
    (15 * MINUTE, "oncall"), (30 * MINUTE, "role:senior"), (1 * HOUR, "role:manager"), (2 * HOUR, "role:director")
)


@pytest.mark.parametrize("base_at", [TUESDAY, FRIDAY, SATURDAY_NIGHT])
def test_four_levels_climb_at_any_hour_of_any_day(base_at: datetime) -> None:
    assert due_times(FOUR_LEVELS, base_at) == [base_at + minutes * MINUTE for minutes in (15, 30, 60, 120)]


def test_four_levels_held_until_work_climb_over_the_weekend_only_when_work_begins() -> None:
    friday_1630 = due_times(held(FOUR_LEVELS, TEAM, FRIDAY), FRIDAY)
    saturday = due_times(held(FOUR_LEVELS, TEAM, SATURDAY_NIGHT), SATURDAY_NIGHT)

    assert [f"{at:%a %H:%M}" for at in friday_1630] == ["Fri 16:45", "Fri 17:00", "Mon 09:30", "Mon 10:30"]
    assert [f"{at:%a %H:%M}" for at in saturday] == ["Mon 09:15", "Mon 09:30", "Mon 10:00", "Mon 11:00"]


# three ladders, chosen by the kind of issue: the team at once, again when its response time is over, then above it

BY_KIND = {
    "model server": ladder(
        (0 * MINUTE, "role:platform"), (15 * MINUTE, "role:platform"), (30 * MINUTE, "role:manager")
    ),
    "data and model quality": ladder((0 * HOUR, "role:ml"), (1 * HOUR, "role:ml"), (4 * HOUR, "role:manager")),
    "infrastructure outage": ladder((0 * MINUTE, "role:sre"), (5 * MINUTE, "role:sre"), (15 * MINUTE, "role:manager")),
}


@pytest.mark.parametrize(("kind", "minutes"), [
    ("model server", (0, 15, 30)),
    ("data and model quality", (0, 60, 240)),
    ("infrastructure outage", (0, 5, 15)),
])  # fmt: skip
def test_each_kind_of_issue_has_its_own_response_and_climb(kind: str, minutes: tuple[int, ...]) -> None:
    assert due_times(BY_KIND[kind], SATURDAY_NIGHT) == [SATURDAY_NIGHT + n * MINUTE for n in minutes]


# contacts by kind of issue, each with a bound: at once, 4 h, the next business day, 2 h

CONTACTS = {
    "api down": ("oncall", NOW),
    "high drift": ("role:data-science-lead", Wait(plain=4 * HOUR)),
    "model performance": ("role:ml-engineer", Wait(business_days=1)),
    "infrastructure": ("role:devops", Wait(plain=2 * HOUR)),
}


@pytest.mark.parametrize(("kind", "tuesday", "friday", "saturday"), [
    ("api down", "Tue 16:30", "Fri 16:30", "Sat 23:00"),
    ("high drift", "Tue 20:30", "Fri 20:30", "Sun 03:00"),
    ("model performance", "Wed 09:00", "Mon 09:00", "Mon 09:00"),
    ("infrastructure", "Tue 18:30", "Fri 18:30", "Sun 01:00"),
])  # fmt: skip
def test_contacts_are_paged_by_their_bound(kind: str, tuesday: str, friday: str, saturday: str) -> None:
    target, wait = CONTACTS[kind]
    one = ladder((timedelta(0), target))

    for base_at, expected in ((TUESDAY, tuesday), (FRIDAY, friday), (SATURDAY_NIGHT, saturday)):
        (at,) = due_times(dated(one, TEAM, base_at, (wait,)), base_at)
        assert f"{at:%a %H:%M}" == expected


def test_four_hours_at_work_are_not_four_hours() -> None:
    assert f"{due_at(TEAM, FRIDAY, Wait(at_work=4 * HOUR)).astimezone(BERLIN):%a %H:%M}" == "Mon 12:30"
    assert f"{due_at(TEAM, TUESDAY, Wait(at_work=4 * HOUR)).astimezone(BERLIN):%a %H:%M}" == "Wed 12:30"


def test_a_holiday_moves_the_next_business_day() -> None:
    with_monday_off = replace(TEAM, holidays=frozenset({datetime(2026, 3, 9, tzinfo=BERLIN).date()}))

    assert f"{due_at(with_monday_off, FRIDAY, Wait(business_days=1)).astimezone(BERLIN):%a %H:%M}" == "Tue 09:00"


def test_business_days_hours_at_work_and_plain_time_add_up() -> None:
    wait = Wait(business_days=2, at_work=3 * HOUR, plain=30 * MINUTE)

    assert f"{due_at(TEAM, FRIDAY, wait).astimezone(BERLIN):%a %H:%M}" == "Tue 12:30"


def test_levels_never_change_places() -> None:
    two = ladder((timedelta(0), "role:ml"), (timedelta(0), "role:manager"))

    mixed = dated(two, TEAM, SATURDAY_NIGHT, (Wait(business_days=1), Wait(plain=HOUR)))

    assert [f"{at:%a %H:%M}" for at in due_times(mixed, SATURDAY_NIGHT)] == ["Mon 09:00", "Mon 09:00"]
    with pytest.raises(ValueError, match="argument 2 is shorter"):
        dated(two, TEAM, SATURDAY_NIGHT, (NOW,))


def test_due_times_are_in_utc_and_absolute() -> None:
    at = due_at(TEAM, FRIDAY, Wait(business_days=1))

    assert (at, at.tzinfo) == (datetime(2026, 3, 9, 8, tzinfo=UTC), UTC)
