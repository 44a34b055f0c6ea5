"""Planned work, owners who are asked, listeners and edited rules, with a real database and the local Slack."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta

import pytest

from bot.desk import Asker
from bot.model import IncidentState, Level, Severity
from bot.policy import Ladder, Maintenance, Policy, System
from bot.policy.calendar import Window
from bot.store import Store
from playground.slack import Workspace
from tests.engine.conftest import NewOffice
from tests.engine.office import ALICE, BOB, CHANNEL, MIA, Clock, Office, at_once, policy, posts, system, text_of

MINUTE = timedelta(minutes=1)


def rules(**changes: object) -> Policy:
    """One system: on call at 15 minutes, senior people at 30; owners are asked after 20 minutes, with 5 to answer."""
    levels = (
        Level(number=1, after=15 * MINUTE, targets=("oncall",)),
        Level(number=2, after=30 * MINUTE, targets=("role:senior",)),
        Level(number=3, after=60 * MINUTE, targets=("role:manager",), until_resolved=True),
    )
    ladder = replace(Ladder(levels=levels, ack_timeout=20 * MINUTE, answer_within=5 * MINUTE), **changes)  # type: ignore[arg-type]
    return policy(replace(system(catch_all=(f"channel:{CHANNEL}",)), ladders=dict.fromkeys(Severity, ladder)))


@pytest.fixture
def here(file_store: Store, new_office: NewOffice) -> Office:
    return new_office(file_store, rules=rules())


def told(ws: Workspace, person: str) -> list[str]:
    """What a person got in their own conversation with the bot."""
    return [message.text for message in ws.as_(person).dms()]


def later(here: Office, minutes: float) -> None:
    here.clock.advance(minutes=minutes)
    here.engine.tick()
    here.settle(3)


def test_planned_work_holds_pages_and_its_end_lets_them_go(here: Office, ws: Workspace) -> None:
    said = here.say("silence shop 2h moving the database", BOB)
    assert "wait until" in said.text
    here.alert()
    here.settle(3)
    later(here, 40)
    assert told(ws, "alice") == []
    assert here.incident.escalation.held_why == "moving the database"
    headline = ws.as_("alice").sees("intent", channel=CHANNEL)
    assert "Nobody is paged before" in headline.text
    assert any("holds pages about shop" in text_of(call) for call in posts(ws))

    assert "1 open incident goes on" in here.say("unsilence shop", BOB).text
    here.engine.tick()
    here.settle(3)

    assert len(told(ws, "alice")) == 1
    assert "late by 25 min" in told(ws, "alice")[0]
    assert "held back: moving the database" in told(ws, "alice")[0]
    assert len(told(ws, "bob")) == 1  # the second level became due in the meantime too
    assert {"silenced", "unsilenced"} <= {line.kind for line in here.store.audit_lines()}
    assert "released" in here.kinds()


def test_planned_work_that_ends_by_itself_pages_what_it_held(here: Office, ws: Workspace) -> None:
    here.alert()
    here.settle(2)
    here.say("silence intent 20m new weights", BOB)
    later(here, 16)
    assert told(ws, "alice") == []

    later(here, 5)

    assert ["held back: new weights" in text for text in _pages(ws, "alice")] == [True]
    assert here.engine.policy.holds == ()


def _pages(ws: Workspace, person: str) -> list[str]:
    """A person's pages with their small print."""
    return [str(message) for message in ws.as_(person).dms()]


@pytest.mark.parametrize(("words", "answer"), [
    ("silence", "What, for how long, and why?"),
    ("silence shop 2h", "What, for how long, and why?"),
    ("silence bank 2h x", "What, for how long, and why?"),
    ("silence shop 25h x", "24h at most"),
    ("unsilence", "What?"),
    ("unsilence shop", "Nobody holds pages about shop."),
])  # fmt: skip
def test_what_is_wrong_with_a_silence_is_said(here: Office, words: str, answer: str) -> None:
    reply = here.say(words, BOB)

    assert reply.refused
    assert answer in reply.text


def test_only_who_may_change_a_system_may_silence_it(here: Office) -> None:
    assert here.say("silence shop 1h because", MIA).refused
    assert here.store.holds(here.clock()) == ()


def test_status_says_what_is_held_back(here: Office) -> None:
    assert "Pages about" not in here.say("status").text
    here.say("silence intent 1h <!channel> weights", BOB)

    told = here.say("status").text
    assert "Nothing is wrong" in told
    assert "Pages about intent wait until" in told
    assert "<!channel>" not in told


def test_a_request_delivered_twice_silences_once(here: Office) -> None:
    for _ in range(2):
        here.say("silence shop 1h because", BOB, request="R1")

    assert [line.kind for line in here.store.audit_lines()].count("silenced") == 1


WEEKLY = Maintenance(window=Window(opens=time(11), closes=time(13)), zone="UTC", why="patching")


@pytest.mark.parametrize("is_weekly", [True, False])
def test_what_was_held_outlives_every_process_and_is_paged_once_by_two_replicas(
    store: Store, new_office: NewOffice, clock: Clock, ws: Workspace, is_weekly: bool
) -> None:
    """All processes die in the middle of planned work; those that come then page at its end, to the minute."""
    clock.at = datetime(2026, 3, 3, 11, 30, tzinfo=UTC)
    weekly = with_work(rules(), WEEKLY if is_weekly else None)
    before = new_office(store, rules=weekly, owner="before")
    if not is_weekly:
        before.say("silence shop 90m patching", BOB)
    before.alert()
    before.say("subscribe INC-1 1h", MIA)
    before.settle(3)
    later(before, 40)

    after = [new_office(store, rules=weekly, owner=str(number)) for number in range(2)]
    clock.at = datetime(2026, 3, 3, 12, 59, 59, tzinfo=UTC)
    at_once(*(one.engine.tick for one in after))
    assert told(ws, "alice") == []
    clock.advance(seconds=2)
    at_once(*(one.engine.tick for one in after), *(one.engine.tick for one in after))
    at_once(*(one.deliver for one in after))
    after[0].settle(5)

    (page,) = [text for text in told(ws, "alice") if "level 1" in text]
    assert "held back: patching" in page
    assert len([text for text in told(ws, "bob") if "level 2" in text]) == 1
    assert len([text for text in told(ws, "mia") if "Update" in text]) == 1


def with_work(made: Policy, work: Maintenance | None) -> Policy:
    shop = replace(made.systems["shop"], maintenance=(work,) if work else ())
    return replace(made, systems={"shop": shop})


def test_an_owner_who_sleeps_is_asked_and_then_replaced(here: Office, ws: Workspace) -> None:
    here.alert()
    here.settle(2)
    here.say("ack", BOB)
    later(here, 20)
    [question] = told(ws, "bob")
    assert "Still on it?" in question
    assert here.incident.asked_at is not None

    later(here, 5)

    assert here.incident.state is IncidentState.OPEN
    assert here.incident.owner is None
    assert len(told(ws, "alice")) == 1  # level 1, at once
    assert "lapsed" in here.kinds()


def test_a_click_on_still_on_it_is_the_answer(here: Office, ws: Workspace) -> None:
    here.alert()
    here.settle(2)
    here.say("ack", BOB)
    later(here, 20)

    reply = here.desk.click_still_on_it("INC-1", here.incident.epoch, Asker(who=BOB))
    assert "asked again after 20 min" in reply.text
    later(here, 6)

    assert here.incident.owner == BOB
    assert told(ws, "alice") == []
    assert here.say("still INC-9", BOB).refused


def test_managers_hear_of_it_although_somebody_has_it(here: Office, ws: Workspace) -> None:
    here.alert()
    here.settle(2)
    here.say("ack", BOB)
    for _ in range(4):
        later(here, 15)
        here.say("note still looking", BOB)

    [page] = told(ws, "mia")
    assert "For information" in page
    assert here.incident.owner == BOB


def test_listeners_hear_at_their_cadence_over_a_restart_and_once_at_the_end(
    here: Office, file_store: Store, new_office: NewOffice, ws: Workspace
) -> None:
    here.alert()
    here.settle(2)
    assert "every 30 min" in here.say("subscribe 30m", MIA).text
    later(here, 30)
    assert len(told(ws, "mia")) == 1

    again = new_office(file_store, rules=rules(), owner="two")  # the process before it is gone
    again.clock.advance(minutes=95)
    again.engine.tick()
    again.settle(3)
    updates = [text for text in told(ws, "mia") if "Update" in text]
    assert len(updates) == 2  # three were missed; one tells how it stands now
    again.say("ack", ALICE)
    again.say("resolve INC-1 fixed", ALICE)
    again.settle(3)

    assert "It is over" in told(ws, "mia")[-1]
    later(again, 60)
    assert sum("Update" in text or "It is over" in text for text in told(ws, "mia")) == 3


def test_unsubscribing_ends_it(here: Office, ws: Workspace) -> None:
    here.alert()
    here.settle(2)
    here.say("subscribe", MIA)
    assert "No more updates" in here.say("unsubscribe", MIA).text
    later(here, 45)

    assert told(ws, "mia") == []
    assert here.say("subscribe 10s", MIA).refused


def test_an_edited_ladder_holds_for_the_next_incident_and_this_one_climbs_its_own(
    here: Office, ws: Workspace, clock: Clock
) -> None:
    """The snapshot: whoever was promised a page at 15 minutes gets it at 15 minutes."""
    here.alert()
    here.settle(2)
    slower = (Level(number=1, after=600 * MINUTE, targets=("role:manager",)),)
    here.engine.policy = rules(levels=slower)
    later(here, 15)
    assert len(told(ws, "alice")) == 1
    assert told(ws, "mia") == []

    here.alert("Other", model="other")
    assert here.store.incidents()[0].escalation.levels == slower


def test_a_person_who_left_is_not_paged_and_the_next_level_is_at_once(here: Office, ws: Workspace) -> None:
    """Who holds a target is asked when it is paged, not when the incident opened."""
    here.alert()
    here.settle(2)
    before = here.engine.policy
    here.engine.policy = replace(before, people=tuple(one for one in before.people if one.key != "alice"))
    later(here, 15)

    assert told(ws, "alice") == []
    assert len(told(ws, "bob")) == 1
    caught = [text_of(call) for call in posts(ws) if "level 1" in str(call.args)]
    assert any("oncall reaches nobody now" in str(call.args) for call in posts(ws)), caught
    assert [paged.why for paged in here.incident.escalation.paged] == ["oncall reaches nobody now", ""]


def test_a_system_whose_folder_is_gone_still_pages(here: Office, ws: Workspace) -> None:
    here.alert()
    here.settle(2)
    people = here.engine.policy.people
    here.engine.policy = Policy(people=people, default=System(name="unmapped", channel=CHANNEL))
    later(here, 15)

    whom = {address for paged in here.incident.escalation.paged for address in paged.whom}
    assert f"channel:{CHANNEL}" in whom
    assert f"user:{BOB.user_id}" in whom


def test_a_user_group_is_called_in_the_incident_s_channel(
    file_store: Store, new_office: NewOffice, ws: Workspace
) -> None:
    levels = (Level(number=1, after=15 * MINUTE, targets=("group:S0ONCALL", "oncall")),)
    office = new_office(file_store, rules=rules(levels=levels))
    office.alert()
    office.settle(2)
    later(office, 15)

    [call] = [call for call in posts(ws) if "subteam" in str(call.args)]
    assert "<!subteam^S0ONCALL>, this is for you." in str(call.args)
    assert call.args["channel"] == next(one for one in posts(ws) if "accuracy is low" in text_of(one)).args["channel"]
    assert len(told(ws, "alice")) == 1
    assert office.incident.escalation.paged[0].whom == ("group:S0ONCALL", f"user:{ALICE.user_id}")
