"""Stand-ins and calendars joined with rotations: one person has it, and all hear the truth."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from bot.model import Level, Severity, Who
from bot.policy import Issue, Ladder, Person, Policy, System
from bot.policy.roster import Entry, StandIn, laid_out, manned, users_of
from bot.policy.rota import Layer, Rota, on_call
from bot.roster import handed_over

START = datetime(2026, 10, 24, 6, tzinfo=UTC)  # the day before the clocks change in Berlin
HOUR = timedelta(hours=1)
KEYS = ("alice", "bob", "mia")
WEEK = Layer(name="week", people=("alice", "bob"), starts_on=date(2026, 10, 19), zone="Europe/Berlin", every=24 * HOUR)
PEOPLE = tuple(Person(key=key, who=Who(team_id="T1", user_id=f"U{key}", name=key)) for key in KEYS)
POLICY = Policy(people=PEOPLE, rotas={"main": Rota(name="main", layers=(WEEK,))})

spans = st.tuples(st.integers(0, 60), st.integers(1, 30), st.sampled_from((*KEYS, "left")))


def stand_ins(made: list[tuple[int, int, str]]) -> list[StandIn]:
    return [
        StandIn(
            id=f"OVR-{number}", rotation="main", person=key, start_at=START + begin * HOUR,
            end_at=START + (begin + length) * HOUR, by=PEOPLE[0].who, made_at=START,
        )
        for number, (begin, length, key) in enumerate(made)
    ]  # fmt: skip


@given(st.lists(spans, max_size=6), st.integers(0, 95))
def test_the_one_made_last_has_it_and_whoever_left_counts_for_nothing(
    made: list[tuple[int, int, str]], at: int
) -> None:
    moment = START + at * HOUR
    rota = manned(POLICY, stand_ins(made), {}).rotas["main"]

    over = [key for begin, length, key in made if begin <= at < begin + length and key != "left"]
    below = on_call(POLICY.rotas["main"], moment)
    assert on_call(rota, moment) == ((over[-1],) if over else below)


@given(st.lists(spans, max_size=4), spans, st.integers(0, 95))
def test_each_person_hears_of_the_hours_that_changed_and_of_no_others(
    made: list[tuple[int, int, str]], last: tuple[int, int, str], at: int
) -> None:
    before = manned(POLICY, stand_ins(made), {}).rotas["main"]
    after = manned(POLICY, stand_ins([*made, last]), {}).rotas["main"]
    end = START + 96 * HOUR
    moment = START + at * HOUR
    old, new = next(iter(on_call(before, moment)), ""), next(iter(on_call(after, moment)), "")

    told = [
        (key, gained) for key, gained, span, _ in handed_over(before, after, START, end)
        if span.start_at <= moment < span.end_at
    ]  # fmt: skip
    assert sorted(told) == sorted([] if old == new else [(new, True), (old, False)])


@given(st.lists(spans, max_size=8), st.integers(0, 95))
def test_events_of_a_calendar_never_overlap_and_the_one_that_began_last_has_it(
    made: list[tuple[int, int, str]], at: int
) -> None:
    found = laid_out([
        (key, Entry(title=key, emails=(), start_at=START + begin * HOUR, end_at=START + (begin + length) * HOUR))
        for begin, length, key in made
    ])  # fmt: skip
    layer = replace(WEEK, calendar=True, people=(), entries=found)
    moment = START + at * HOUR
    here = [(-begin, begin + length, key) for begin, length, key in made if begin <= at < begin + length]

    assert all(one.end_at <= two.start_at for one, two in pairwise(found))
    assert on_call(Rota(name="x", layers=(layer,)), moment) == ((min(here)[2],) if here else ())


def test_a_rotation_is_for_every_system_that_would_page_it() -> None:
    """On call, in a ladder, in the ladder of a kind of issue, or as the last resort; a gap is told in its channel."""
    ladders = {Severity.P1: Ladder(levels=(Level(number=1, after=HOUR, targets=("rota:main",)),))}
    systems = {
        "first": System(name="first", oncall=("rota:main",)), "second": System(name="second", ladders=ladders),
        "third": System(name="third", issues=(Issue(name="infra", ladders=ladders),)),
        "fourth": System(name="fourth", catch_all=("rota:main",)), "fifth": System(name="fifth", oncall=("alice",)),
    }  # fmt: skip

    assert users_of(replace(POLICY, systems=systems), "main") == ("first", "second", "third", "fourth")
