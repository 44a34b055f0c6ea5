"""The days on which clocks change: no gap, nobody doubled, and the order of people stays."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.policy.calendar import Window, first_instant, last_instant, wall_clock
from bot.policy.rota import Layer, Override, Rota, Shift, gaps, layer_shifts, next_handover, on_call, overlaps, shifts
from tests.core.clock_changes import DAY, HOUR, MINUTE, ZONES, changes, set_by, watched

PEOPLE = ("ann", "ben", "cat")
HANDS_OVER_AT = (time(0), time(0, 30), time(1, 30), time(2), time(2, 15), time(2, 30), time(3), time(9))
CHANGING = [zone for zone in ZONES if changes(zone)]


def layer(zone: str, hand_over: time = time(9), every: timedelta = DAY, **more: object) -> Layer:
    start = Layer(name="main", people=PEOPLE, starts_on=date(2023, 12, 4), zone=zone, hand_over=hand_over, every=every)
    return replace(start, **more)  # type: ignore[arg-type]


def holder(found: tuple[Shift, ...], at: datetime) -> tuple[str, ...]:
    """Who has the instant among shifts that are in order."""
    index = bisect_right(found, at, key=lambda shift: shift.start_at) - 1
    return (found[index].person,) if index >= 0 and at < found[index].end_at else ()


def test_the_zones_change_as_often_as_they_should() -> None:
    # Twice a year as the tables stand; Casablanca more, because its Ramadan moves through the year.
    assert len(CHANGING) == 7
    assert all(len(changes(zone)) >= 24 for zone in CHANGING)
    assert {abs(set_by("Australia/Lord_Howe", change)) for change in changes("Australia/Lord_Howe")} == {HOUR / 2}


@pytest.mark.parametrize("zone", CHANGING)
@pytest.mark.parametrize("every", [DAY, 12 * HOUR, HOUR, 7 * DAY], ids=lambda one: f"every {one}")
def test_every_change_is_crossed_without_gap_double_or_swap(zone: str, every: timedelta) -> None:
    for change in changes(zone):
        start, end = change - 2 * max(every, DAY), change + 2 * max(every, DAY)
        for at in HANDS_OVER_AT:
            found = layer_shifts(layer(zone, at, every), start, end)

            assert (found[0].start_at, found[-1].end_at) == (start, end)
            assert all(one.end_at == two.start_at for one, two in pairwise(found))
            turns = [PEOPLE.index(shift.person) for shift in found]
            if every > abs(set_by(zone, change)):  # a turn that a jump swallows whole is left out
                assert all(two == (one + 1) % 3 for one, two in pairwise(turns))
                lengths = {shift.end_at - shift.start_at for shift in found[1:-1]}
                assert lengths <= {every} | {every - set_by(zone, change)} | _cut(zone, at, change, every)


def _cut(zone: str, at: time, change: datetime, every: timedelta) -> set[timedelta]:
    """Lengths of the two turns that a hand-over at a time which is jumped over makes: rule 2."""
    inside = [wall for wall in (datetime.combine(wall_clock(change, ZoneInfo(zone)).date(), at),)
              if first_instant(wall, ZoneInfo(zone)) == change]  # fmt: skip
    if every < DAY:
        inside = [wall_clock(change, ZoneInfo(zone))]
    moved = [timedelta(minutes=n) for n in range(0, 61, 15)] if inside else []
    return {every + sign * by for by in moved for sign in (1, -1)}


@pytest.mark.parametrize("zone", CHANGING)
def test_a_watcher_of_the_clock_agrees_minute_by_minute_at_every_change(zone: str) -> None:
    night = Window(opens=time(22), closes=time(2, 30))
    sunday = Window(days=frozenset({6}), opens=time(1, 15), closes=time(1, 45))
    rota = Rota(
        name="all",
        layers=(
            layer(zone, time(2, 30), windows=(night, sunday)),
            layer("Europe/Berlin", time(2), 12 * HOUR, windows=(Window(opens=time(1, 30), closes=time(14)),)),
            layer(zone, time(0), 36 * HOUR, people=("dee", "eli")),
        ),
    )  # fmt: skip
    for change in changes(zone):
        start, end = change - 4 * HOUR, change + 4 * HOUR
        found = shifts(rota, start, end)
        for at, people in watched(rota, start, end):
            assert holder(found, at) == people, at


@pytest.mark.parametrize(("zone", "day", "hand_over", "lengths_h"), [
    ("Europe/Berlin", date(2026, 3, 28), time(9), (23, 24)),
    ("Europe/Berlin", date(2026, 10, 24), time(9), (25, 24)),
    ("Europe/Berlin", date(2026, 3, 28), time(2, 30), (23.5, 23.5)),  # 02:30 → 03:00 CEST, the end of the jump
    ("Europe/Berlin", date(2026, 10, 24), time(2, 30), (24, 25)),  # the first 02:30
    ("Australia/Lord_Howe", date(2026, 4, 4), time(9), (24.5, 24)),
    ("Australia/Lord_Howe", date(2026, 10, 3), time(9), (23.5, 24)),
    ("Pacific/Apia", date(2011, 12, 29), time(9), (15, 9)),  # 30 December never was
    ("Africa/Casablanca", date(2026, 2, 14), time(9), (25, 24)),
    ("America/Santiago", date(2026, 9, 5), time(0), (24, 23)),
])  # fmt: skip
def test_turns_of_a_change_by_hand(zone: str, day: date, hand_over: time, lengths_h: tuple[float, float]) -> None:
    one = replace(layer(zone, hand_over), starts_on=day)
    start = datetime.combine(day, hand_over, ZoneInfo(zone)).astimezone(UTC)

    found = layer_shifts(one, start, start + 5 * DAY)

    assert tuple((shift.end_at - shift.start_at) / HOUR for shift in found[:2]) == lengths_h
    assert [shift.person for shift in found[:3]] == ["ann", "ben", "cat"]


def test_windows_that_touch_overlap_at_the_hour_that_comes_twice_and_leave_no_gap() -> None:
    early = layer("Europe/Berlin", windows=(Window(opens=time(14), closes=time(2, 30)),), people=("ann",))
    late = layer("Europe/Berlin", windows=(Window(opens=time(2, 30), closes=time(14)),), people=("ben",))
    rota = Rota(name="two", layers=(early, late))
    autumn, spring = datetime(2026, 10, 24, 12, tzinfo=UTC), datetime(2026, 3, 28, 13, tzinfo=UTC)

    assert gaps(rota, autumn, autumn + DAY) == gaps(rota, spring, spring + DAY) == ()
    (both,) = overlaps(rota, autumn, autumn + DAY)
    assert (both.people, both.start_at, both.end_at - both.start_at) == (
        ("ann", "ben"), datetime(2026, 10, 25, 0, 30, tzinfo=UTC), HOUR,
    )  # fmt: skip
    assert overlaps(rota, spring, spring + DAY) == ()


# any rota, any day

windows = st.builds(
    Window,
    days=st.frozensets(st.integers(0, 6), min_size=1),
    opens=st.sampled_from([*HANDS_OVER_AT, time(17), time(22)]),
    closes=st.sampled_from([*HANDS_OVER_AT, time(17), time(22)]),
)
layers = st.builds(
    Layer,
    name=st.just("some"),
    people=st.lists(st.sampled_from("abcd"), min_size=1, max_size=4).map(tuple),
    starts_on=st.dates(date(2023, 12, 1), date(2025, 6, 1)),
    zone=st.sampled_from(ZONES),
    hand_over=st.sampled_from(HANDS_OVER_AT),
    every=st.sampled_from([HOUR, 90 * MINUTE, 8 * HOUR, 12 * HOUR, DAY, 36 * HOUR, 7 * DAY, 10 * DAY]),
    windows=st.lists(windows, max_size=2).map(tuple),
)
near_a_change = st.sampled_from(CHANGING).flatmap(lambda zone: st.sampled_from(changes(zone)))
instants = st.one_of(
    st.datetimes(datetime(2024, 1, 1), datetime(2036, 12, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    st.tuples(near_a_change, st.integers(-36, 36)).map(lambda pair: pair[0] + pair[1] * HOUR),
).map(lambda at: at.replace(second=0, microsecond=0))


@st.composite
def rotas(draw: st.DrawFn, start: datetime) -> Rota:
    spans = st.tuples(st.integers(-600, 2000), st.integers(1, 900))
    overrides = [
        Override(person=person, start_at=start + begin * MINUTE, end_at=start + (begin + length) * MINUTE)
        for person, (begin, length) in draw(st.lists(st.tuples(st.sampled_from("xy"), spans), max_size=2))
    ]
    return Rota(name="any", layers=tuple(draw(st.lists(layers, max_size=3))), overrides=tuple(overrides))


@given(st.data(), instants)
def test_any_day_of_any_rota_is_as_a_watcher_of_the_clock_sees_it(data: st.DataObject, start: datetime) -> None:
    rota = data.draw(rotas(start))
    found = shifts(rota, start, start + DAY)

    for at, people in watched(rota, start, start + DAY):
        assert holder(found, at) == people, at
        if at.minute % 15 == 0:
            assert on_call(rota, at) == people, at


@given(st.data(), instants, st.integers(1, 40))
def test_shifts_and_gaps_fill_the_time_exactly(data: st.DataObject, start: datetime, days: int) -> None:
    rota, end = data.draw(rotas(start)), start + days * DAY
    found = shifts(rota, start, end)
    holes = gaps(rota, start, end)

    pieces = sorted((one.start_at, one.end_at) for one in (*found, *holes))
    assert (pieces[0][0], pieces[-1][1]) == (start, end)
    assert all(one[0] < one[1] and one[1] == two[0] for one, two in pairwise(pieces))
    assert all(one.person != two.person or one.end_at < two.start_at for one, two in pairwise(found))
    for shift in found:
        assert on_call(rota, shift.start_at) == on_call(rota, shift.end_at - MINUTE / 60) == (shift.person,)
    assert all(on_call(rota, hole.start_at) == () for hole in holes)


@given(layers, instants)
def test_a_layer_without_limits_always_has_somebody_from_its_start_on(one: Layer, start: datetime) -> None:
    start = max(start, datetime(2025, 6, 3, tzinfo=UTC))
    rota = Rota(name="one", layers=(replace(one, windows=()),))

    assert gaps(rota, start, start + 40 * DAY) == ()
    assert overlaps(rota, start, start + 40 * DAY) == ()


@given(st.data(), instants)
def test_the_next_hand_over_is_where_the_shift_ends(data: st.DataObject, start: datetime) -> None:
    rota = data.draw(rotas(start))
    coming = next_handover(rota, start)
    people = on_call(rota, start)

    if coming is None:
        assert {shift.person for shift in shifts(rota, start, start + 400 * DAY)} == set(people)
        return
    before = (coming.leaves,) if coming.leaves else ()
    after = (coming.takes,) if coming.takes else ()
    assert (people, on_call(rota, coming.at), coming.at > start) == (before, after, True)
    assert before != after
    assert len(shifts(rota, start, coming.at)) + len(gaps(rota, start, coming.at)) == 1


@given(st.sampled_from(ZONES), st.datetimes(datetime(2024, 1, 1), datetime(2036, 12, 1)))  # noqa: DTZ001
def test_an_instant_shows_its_wall_time_or_ends_the_jump_over_it(zone_name: str, wall: datetime) -> None:
    zone = ZoneInfo(zone_name)
    first, last = first_instant(wall, zone), last_instant(wall, zone)

    assert first <= last
    if wall_clock(first, zone) == wall:
        assert wall_clock(last, zone) == wall
    else:
        assert first == last
        assert wall_clock(first - timedelta(microseconds=1), zone) < wall < wall_clock(first, zone)
