"""What is said about a rota that is wrong, and that nothing is said about one that is right."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta

import pytest

from bot.policy.calendar import MONDAY_TO_FRIDAY, Window
from bot.policy.rota import DAILY, Layer, Override, Rota
from bot.policy.rota_check import problems

T0 = datetime(2026, 3, 2, tzinfo=UTC)
HOUR = timedelta(hours=1)
KNOWN = ("ann", "ben")
BASE = Layer(name="base", people=KNOWN, starts_on=date(2026, 2, 2), zone="Europe/Berlin")
RIGHT = Rota(name="main", layers=(BASE,))
OFFICE = Window(days=MONDAY_TO_FRIDAY, opens=time(9), closes=time(17))


def test_nothing_is_said_about_a_rota_that_is_right() -> None:
    assert problems(RIGHT, KNOWN, T0) == ()


@pytest.mark.parametrize(("layer", "sentence"), [
    (replace(BASE, people=("ann", "bob")),
     'unknown person "bob"; list them under `people`, or take them out of the layer'),
    (replace(BASE, people=()), "nobody is in it; list at least one person under `people`"),
    (replace(BASE, zone="Mars/Base"),
     'the zone "Mars/Base" is not known; use an IANA name such as Europe/Berlin or UTC'),
    (replace(BASE, every=timedelta(0)),
     "a turn has no length; set `every` to 1d, 7d, or another length of at least 1h"),
    (replace(BASE, every=DAILY, hand_over=time(2, 30)),
     ("the hand-over at 02:30 does not exist on Sun 29 Mar 2026 and comes twice on Sun 25 Oct 2026 in Europe/Berlin, "
     "where the clock changes; choose an hour at which it does not, such as 09:00")),
    (replace(BASE, starts_on=date(2026, 2, 1), hand_over=time(2, 30), every=14 * DAILY),
     ("the hand-over at 02:30 does not exist on Sun 29 Mar 2026 and comes twice on Sun 25 Oct 2026 in Europe/Berlin, "
     "where the clock changes; choose an hour at which it does not, such as 09:00")),
])  # fmt: skip
def test_each_fault_of_a_layer_is_said_with_advice(layer: Layer, sentence: str) -> None:
    assert problems(replace(RIGHT, layers=(layer,)), KNOWN, T0) == (f'rotation "main", layer "base": {sentence}',)


def test_a_weekly_hand_over_on_monday_at_half_past_two_is_never_unclear() -> None:
    assert problems(replace(RIGHT, layers=(replace(BASE, hand_over=time(2, 30)),)), KNOWN, T0) == ()


def test_people_whose_turns_the_hours_never_meet_are_named() -> None:
    week = ("ann", "ben", "cat", "dee", "eli", "fay", "gus")
    daily = replace(BASE, people=week, every=DAILY, hand_over=time(0), windows=(OFFICE,))
    office = Rota(name="office", layers=(daily,), may_have_gaps=True)

    assert problems(office, week, T0) == (
        (
            'rotation "office", layer "base": the hours it is limited to never meet the turns of fay, gus; '
            "change the length of a turn, the number of people, or the hours"
        ),
    )
    assert problems(replace(office, layers=(replace(daily, people=(*week, "hal")),)), (*week, "hal"), T0) == ()


def test_gaps_are_said_once_with_the_first_and_the_sum() -> None:
    office = Rota(name="office", layers=(replace(BASE, windows=(OFFICE,)),))

    assert problems(office, KNOWN, T0, days=7) == (
        (
            'rotation "office": nobody is on call from Mon 2 Mar 2026 01:00 to 09:00 (Europe/Berlin), and 5 more times '
            "in the next 7 days (128 h in all); add a layer below, widen the hours, or say `gaps: allowed`"
        ),
    )
    assert problems(replace(office, may_have_gaps=True), KNOWN, T0) == ()


def test_a_rota_that_begins_later_has_a_gap_until_then() -> None:
    later = replace(RIGHT, layers=(replace(BASE, starts_on=date(2026, 3, 9)),))

    (said,) = problems(later, KNOWN, T0)

    assert "from Mon 2 Mar 2026 01:00 to Mon 9 Mar 2026 09:00 (Europe/Berlin) in the next 14 days (176 h" in said


def test_an_empty_rota_and_wrong_overrides_are_said() -> None:
    assert problems(Rota(name="x"), KNOWN, T0) == (
        'rotation "x": it has no layer, so nobody is ever on call; add one under `layers`',
    )
    wrong = (
        Override(person="eve", start_at=T0, end_at=T0 + HOUR), Override(person="ann", start_at=T0 + HOUR, end_at=T0)
    )  # fmt: skip
    assert problems(replace(RIGHT, overrides=wrong), KNOWN, T0) == (
        'rotation "main": an override names the unknown person "eve"; list them under `people`, or remove it',
        'rotation "main": the override of ann ends before it begins; swap its two times',
    )
