"""Stories of planned work and of nights: pages wait, none is lost, and each says what it waited for."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta

import pytest

from bot import events as ev
from bot.decide import decide
from bot.effects import Page
from bot.model import EscalationState, Incident, Severity, Subject
from bot.policy import Hold, Maintenance, Policy, System
from bot.policy.calendar import Calendar, Window
from tests.core.script import alerts, level, opened
from tests.core.stage import BOB, POLICY, SUBJECT, T0, minutes
from tests.core.transcript import at, play

HELD = replace(POLICY, holds=(Hold(system="shop", until=at(40), why="moving the database"),))


def test_planned_work_holds_every_page_and_loses_none() -> None:
    """Incidents are opened and shown; at its end every level that fell due in it goes out and says why so late."""
    last = play([
        (0, alerts("B"), "opened", ["record opened", "headline", "timer escalate 1 at 40", "diagnose"]),
        (20, level(1), "too_early", ["timer escalate 1 at 40"]),
    ], policy=HELD)  # fmt: skip
    assert (last.escalation.held_until, last.escalation.held_why) == (at(40), "moving the database")
    over = "held back: moving the database"
    nobody = "role:manager reaches nobody now"

    play([
        (40, level(1), "level_paged", [
            f"page user:UALICE: level 1, {over}, late by 35", "record paged",
            f"page channel:CALL: level 2 ({nobody}), {over}, late by 10", "record paged",
            "page user:UBOB: level 3", "page user:UCAROL: level 3", "record paged", "timer repeat 1 at 70", "headline",
        ]),
    ], last, policy=HELD)  # fmt: skip


def test_work_that_is_announced_while_the_ladder_climbs_moves_the_next_level_and_gives_it_back() -> None:
    play([
        (2, ev.HoldsChanged(), "held", ["record held", "timer escalate 1 at 40", "headline"]),
        (2, ev.HoldsChanged(), "not_held", []),
    ], opened(), policy=HELD)  # fmt: skip
    held = play([(2, ev.HoldsChanged(), "held", ["record held", "timer escalate 1 at 40", "headline"])], opened(),
                policy=HELD)  # fmt: skip

    released = play([
        (3, ev.HoldsChanged(), "released", ["record released", "timer escalate 1 at 5", "headline"]),
        (5, level(1), "level_paged",
         ["page user:UALICE: level 1", "record paged", "timer escalate 2 at 30", "headline"]),
    ], held)  # fmt: skip
    assert released.escalation.held_until is None


def test_work_that_ends_late_pages_at_once_when_it_is_over() -> None:
    held = play([(2, ev.HoldsChanged(), "held", ["record held", "timer escalate 1 at 40", "headline"])], opened(),
                policy=HELD)  # fmt: skip

    play([
        (20, ev.HoldsChanged(), "released", ["record released", "timer escalate 1 at 5", "headline"]),
        (20, level(1), "level_paged",
         ["page user:UALICE: level 1, held back: moving the database, late by 15", "record paged",
          "timer escalate 2 at 30", "headline"]),
    ], held)  # fmt: skip


def test_a_person_who_asks_for_the_next_level_gets_it_in_planned_work_too() -> None:
    play([
        (0, alerts("A"), "opened", ["record opened", "headline", "timer escalate 1 at 40", "diagnose"]),
        (1, ev.EscalateClicked(by=BOB), "escalated",
         ["record escalated", "page user:UALICE: level 1", "record paged", "timer escalate 2 at 40", "headline"]),
    ], policy=HELD)  # fmt: skip


def test_nobody_is_called_because_of_a_raise_in_planned_work() -> None:
    play([
        (0, alerts("A"), "opened", ["record opened", "headline", "timer escalate 1 at 40", "diagnose"]),
        (2, alerts("B", firing=2, total=2), "severity",
         ["record alerts_fired", "record severity", "timer escalate 1 at 40", "post note", "headline"]),
    ], policy=HELD)  # fmt: skip


@pytest.mark.parametrize(("part", "is_held"), [("", True), ("api", True), ("intent", True), ("other", False)])
def test_work_on_another_part_holds_nothing(part: str, is_held: bool) -> None:
    policy = replace(POLICY, holds=(Hold(system="shop", part=part, until=at(40)),))

    assert (policy.hold_for(SUBJECT, at(1)) is not None) is is_held
    assert policy.hold_for(Subject(system="bank", service="api"), at(1)) is None
    assert policy.hold_for(SUBJECT, at(40)) is None


def test_a_weekly_window_counts_in_its_own_zone_and_of_several_the_last_one_ends_it() -> None:
    night = Maintenance(zone="Europe/Berlin", window=Window(days=frozenset({6}), opens=time(2), closes=time(4)))
    policy = Policy(systems={"shop": System(name="shop", maintenance=(night,))})
    inside = datetime(2026, 3, 8, 1, 30, tzinfo=UTC)  # Sunday 02:30 in Berlin
    one = policy.hold_for(SUBJECT, inside)

    assert one is not None
    assert one.until == datetime(2026, 3, 8, 3, 0, tzinfo=UTC)
    assert policy.hold_for(SUBJECT, inside - timedelta(hours=1)) is None
    longer = replace(policy, holds=(Hold(system="shop", until=inside + timedelta(hours=5)),))
    both = longer.hold_for(SUBJECT, inside)
    assert both is not None
    assert both.until == inside + timedelta(hours=5)


# at work only


def at_work() -> Policy:
    shop = POLICY.systems["shop"]
    ladders = {severity: replace(one, at_work=True) for severity, one in shop.ladders.items()}
    calendar = Calendar(zone="UTC", windows=(Window(days=frozenset(range(5)), opens=time(8), closes=time(9, 40)),))
    return replace(POLICY, systems={"shop": replace(shop, ladders=ladders, calendar=calendar)})


def test_what_is_due_after_hours_waits_for_the_morning() -> None:
    """T0 is a Monday, 09:00; work ends at 09:40 and begins again on Tuesday at 08:00, 23 hours after T0."""
    tuesday = 23 * 60
    last = play([
        (0, alerts("A"), "opened", ["record opened", "headline", "timer escalate 1 at 15", "diagnose"]),
        (15, level(1), "level_paged",
         ["page user:UALICE: level 1", "record paged", "timer escalate 2 at 30", "headline"]),
        (30, level(2), "level_paged",
         ["page user:UBOB: level 2", "page user:UCAROL: level 2", "record paged", f"timer repeat 1 at {tuesday}",
          "headline"]),
    ], policy=at_work())  # fmt: skip

    assert (last.escalation.state, last.escalation.held_why) == (EscalationState.REPEATING, "nobody is at work")


def test_an_outage_of_ours_pages_nobody_at_night_for_what_can_wait() -> None:
    policy = at_work()
    incident = decide(None, alerts("A"), T0, policy).incident
    assert incident is not None

    night = decide(incident, level(1), at(300), policy)  # 14:00: due at 09:15, and the bot was away
    assert night.why.code == "held"
    assert not [one for one in night.effects if isinstance(one, Page)]
    assert night.incident is not None
    morning = decide(night.incident, level(1), at(23 * 60), policy)
    assert next(one.target for one in morning.effects if isinstance(one, Page)) == "user:UALICE"


def test_a_minute_late_after_closing_still_counts_as_in_time() -> None:
    policy = at_work()
    incident: Incident | None = decide(None, alerts("A"), T0 + minutes(10), policy).incident
    assert incident is not None
    assert incident.severity is Severity.P1
    again = decide(incident, level(1), at(25), policy).incident
    assert again is not None

    decision = decide(again, level(2), at(41), policy)  # due at 09:40, when work ends; the tick came a minute later

    assert decision.why.code == "level_paged"
