"""Who is on call: turns, layers, limits, overrides, what follows the sun, and a layer that cannot be right."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta

import pytest

from bot.policy.calendar import MONDAY_TO_FRIDAY, Window
from bot.policy.rota import (
    DAILY,
    Layer,
    Override,
    Rota,
    Row,
    Shift,
    fault,
    gaps,
    next_handover,
    on_call,
    overlaps,
    preview,
    shifts,
)

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
WEEKLY = Layer(name="week", people=("ann", "ben", "cat"), starts_on=date(2026, 3, 2), zone="UTC")
WEEK = Rota(name="main", layers=(WEEKLY,))


def utc(day: int, hour: float = 0, month: int = 3) -> datetime:
    return datetime(2026, month, day, tzinfo=UTC) + hour * HOUR


def by_person(rota: Rota, start: datetime, end: datetime) -> list[tuple[str, datetime, datetime]]:
    return [(shift.person, shift.start_at, shift.end_at) for shift in shifts(rota, start, end)]


def test_a_week_hands_over_on_the_weekday_and_hour_of_its_start() -> None:
    assert by_person(WEEK, utc(1), utc(24)) == [
        ("ann", utc(2, 9), utc(9, 9)), ("ben", utc(9, 9), utc(16, 9)), ("cat", utc(16, 9), utc(23, 9)),
        ("ann", utc(23, 9), utc(24)),
    ]  # fmt: skip
    assert on_call(WEEK, utc(2, 8.99)) == ()
    assert (on_call(WEEK, utc(2, 9)), on_call(WEEK, utc(9, 8.99)), on_call(WEEK, utc(9, 9))) == (
        ("ann",), ("ann",), ("ben",),
    )  # fmt: skip


@pytest.mark.parametrize(("every", "turns"), [
    (DAILY, "ann ben cat ann"),
    (36 * HOUR, "ann ben cat"),
    (12 * HOUR, "ann ben cat ann ben cat ann ben"),
    (10 * DAY, "ann"),
])  # fmt: skip
def test_a_turn_may_have_any_length(every: timedelta, turns: str) -> None:
    rota = Rota(name="any", layers=(replace(WEEKLY, every=every),))

    assert [shift.person for shift in shifts(rota, utc(2, 9), utc(6, 9))] == turns.split()


def test_a_person_with_two_turns_in_a_row_has_one_shift() -> None:
    rota = Rota(name="two", layers=(replace(WEEKLY, people=("ann", "ann", "ben")),))

    assert by_person(rota, utc(2, 9), utc(23, 9)) == [("ann", utc(2, 9), utc(16, 9)), ("ben", utc(16, 9), utc(23, 9))]


def test_the_layer_that_stands_higher_wins_in_its_hours_and_the_lower_shows_through() -> None:
    days = Window(days=MONDAY_TO_FRIDAY, opens=time(9), closes=time(17))
    office = Layer(
        name="office", people=("dee",), starts_on=date(2026, 3, 1), zone="Europe/Berlin", windows=(days,)
    )  # fmt: skip
    rota = Rota(name="both", layers=(office, WEEKLY))

    assert by_person(rota, utc(6, 6), utc(9, 12)) == [
        ("ann", utc(6, 6), utc(6, 8)), ("dee", utc(6, 8), utc(6, 16)),  # 09:00 to 17:00 in Berlin
        ("ann", utc(6, 16), utc(9, 8)), ("dee", utc(9, 8), utc(9, 12)),
    ]  # fmt: skip
    assert [(one.people, one.start_at, one.end_at) for one in overlaps(rota, utc(6), utc(7))] == [
        (("dee", "ann"), utc(6, 8), utc(6, 16))
    ]
    assert gaps(rota, utc(3), utc(20)) == ()


def test_hours_over_midnight_belong_to_the_day_on_which_they_begin() -> None:
    friday_night = Window(days=frozenset({4}), opens=time(22), closes=time(6))
    rota = Rota(name="night", layers=(replace(WEEKLY, windows=(friday_night,)),))

    assert by_person(rota, utc(2, 9), utc(16)) == [("ann", utc(6, 22), utc(7, 6)), ("ben", utc(13, 22), utc(14, 6))]


def test_a_hand_over_in_the_middle_of_the_hours_divides_them() -> None:
    rota = Rota(name="night", layers=(replace(WEEKLY, every=DAILY, hand_over=time(0),
                                              windows=(Window(opens=time(22), closes=time(6)),)),))  # fmt: skip

    assert by_person(rota, utc(2, 20), utc(3, 12)) == [("ann", utc(2, 22), utc(3)), ("ben", utc(3), utc(3, 6))]


def test_three_zones_follow_the_sun_without_a_gap_all_year() -> None:
    def office(name: str, zone: str, opens: int, closes: int) -> Layer:
        return Layer(
            name=name, people=(name,), starts_on=date(2025, 12, 1), zone=zone,
            windows=(Window(opens=time(opens), closes=time(closes)),),
        )  # fmt: skip

    rota = Rota(name="sun", layers=(
        office("berlin", "Europe/Berlin", 8, 17), office("denver", "America/Denver", 8, 18),
        office("sydney", "Australia/Sydney", 9, 19),
    ))  # fmt: skip

    assert gaps(rota, utc(1, month=1), utc(1, month=1) + 365 * DAY) == ()
    at_hours = [on_call(rota, utc(10, hour)) for hour in (12, 20, 23.5)]
    assert at_hours == [("berlin",), ("denver",), ("denver",)]
    assert on_call(rota, utc(10, 3)) == ("sydney",)


def test_an_override_wins_over_every_layer_and_the_later_over_the_earlier() -> None:
    rota = replace(WEEK, overrides=(
        Override(person="eve", start_at=utc(10), end_at=utc(10, 8)),
        Override(person="fay", start_at=utc(10, 4), end_at=utc(10, 6)),
    ))  # fmt: skip

    assert by_person(rota, utc(9, 9), utc(11)) == [
        ("ben", utc(9, 9), utc(10)), ("eve", utc(10), utc(10, 4)), ("fay", utc(10, 4), utc(10, 6)),
        ("eve", utc(10, 6), utc(10, 8)), ("ben", utc(10, 8), utc(11)),
    ]  # fmt: skip
    assert [one.people for one in overlaps(rota, utc(9, 9), utc(11))] == [
        ("eve", "ben"), ("fay", "eve", "ben"), ("eve", "ben"),
    ]  # fmt: skip


def test_an_override_fills_a_gap_and_works_without_layers() -> None:
    only = Rota(name="imported", overrides=(Override(person="eve", start_at=utc(3), end_at=utc(4)),))

    assert on_call(only, utc(3, 12)) == ("eve",)
    assert [(one.start_at, one.end_at) for one in gaps(only, utc(2), utc(5))] == [(utc(2), utc(3)), (utc(4), utc(5))]


def test_the_next_hand_over_names_who_leaves_and_who_takes() -> None:
    coming = next_handover(WEEK, utc(5))
    first = next_handover(WEEK, utc(1))

    assert coming is not None
    assert (coming.at, coming.leaves, coming.takes) == (utc(9, 9), "ann", "ben")
    assert first is not None
    assert (first.at, first.leaves, first.takes) == (utc(2, 9), None, "ann")


def test_a_rota_of_one_person_never_hands_over() -> None:
    assert next_handover(Rota(name="one", layers=(replace(WEEKLY, people=("ann",)),)), utc(5)) is None
    assert next_handover(Rota(name="none"), utc(5)) is None


def test_times_may_come_in_any_zone_and_go_out_in_utc() -> None:
    east = datetime.fromisoformat("2026-03-09T14:00+05:00")

    assert on_call(WEEK, east) == ("ben",)
    assert by_person(WEEK, east, east + HOUR) == [("ben", utc(9, 9), utc(9, 10))]
    assert shifts(WEEK, east, east + HOUR)[0].start_at.tzinfo is UTC


BROKEN = [
    (replace(WEEKLY, people=()), "nobody is in it"),
    (replace(WEEKLY, zone="Europe/Berln"), 'the zone "Europe/Berln" is not known'),
    (replace(WEEKLY, zone="Europe"), 'the zone "Europe" is not known'),
    (replace(WEEKLY, zone="../../etc/passwd"), "is not known"),
    (replace(WEEKLY, zone=""), "is not known"),
    (replace(WEEKLY, every=timedelta(0)), "a turn has no length"),
    (replace(WEEKLY, every=-DAY), "a turn has no length"),
    (replace(WEEKLY, every=timedelta(seconds=1)), "less than an hour"),
    (replace(WEEKLY, every=timedelta.max), "more than ten years"),
    (replace(WEEKLY, starts_on=date.min), "it starts in the year 1"),
    (replace(WEEKLY, starts_on=date.max), "it starts in the year 9999"),
    (replace(WEEKLY, windows=(Window(days=frozenset()),)), "names no day of the week"),
    (replace(WEEKLY, windows=(Window(days=frozenset({7})),)), "names no day of the week"),
]


@pytest.mark.parametrize(("layer", "words"), BROKEN)
def test_a_layer_that_cannot_be_right_covers_nobody_and_the_lower_one_is_on_call(layer: Layer, words: str) -> None:
    below = replace(WEEKLY, people=("zoe",))

    assert words in fault(layer)
    assert "; " in fault(layer)
    assert on_call(Rota(name="x", layers=(layer, below)), utc(5)) == ("zoe",)
    assert on_call(Rota(name="x", layers=(layer,)), utc(5)) == ()
    assert fault(WEEKLY) == ""


def test_the_preview_has_a_row_for_overrides_each_layer_and_the_result() -> None:
    rota = replace(WEEK, overrides=(Override(person="eve", start_at=utc(10), end_at=utc(11)),))

    rows = preview(rota, utc(9, 9), days=7)

    assert [row.name for row in rows] == ["overrides", "week", "on call"]
    assert rows[1] == Row(name="week", shifts=(Shift(person="ben", start_at=utc(9, 9), end_at=utc(16, 9)),))
    assert [shift.person for shift in rows[2].shifts] == ["ben", "eve", "ben"]
    assert [row.name for row in preview(WEEK, utc(9), days=1)] == ["week", "on call"]
