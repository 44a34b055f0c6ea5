"""Several incidents for one person: the first page at once, later ones together, none lost and none twice."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from bot.bundles import PARTED, WAITING
from bot.deliver import Deliverer
from bot.model import Severity
from bot.policy import SeverityRule
from bot.render import Renderer
from bot.store import Store
from playground.slack import Workspace
from tests.engine.conftest import NewOffice
from tests.engine.office import ALICE, BOB, TEMPLATES, Clock, Office, policy, posts, system, text_of

MINUTE = timedelta(minutes=1)


def with_bundles(office: Office) -> Office:
    """Pages wait up to a minute for others. Incidents of other groups are about the same system."""
    office.deliverer = Deliverer(
        office.engine, office.chat, Renderer(TEMPLATES), owner=office.owner, bundle=timedelta(seconds=60)
    )
    return office


@pytest.fixture
def here(file_store: Store, new_office: NewOffice) -> Office:
    worst = SeverityRule(name="down", severity=Severity.P0, because="down", match={"alertname": ("Down",)})
    shop = replace(system(), services=("api", "a", "b", "c", "d"), severity_rules=(worst,))
    return with_bundles(new_office(file_store, rules=policy(shop)))


def open_some(here: Office, *models: str, name: str = "LowAccuracy") -> None:
    for model in models:
        here.alert(name, model=model)


def due(here: Office) -> None:
    here.clock.advance(minutes=15)
    here.engine.tick()


def dms(ws: Workspace, person: str = "alice") -> list[str]:
    return [message.text for message in ws.as_(person).dms()]


def test_the_first_page_goes_at_once_and_the_others_together_within_the_minute(here: Office, ws: Workspace) -> None:
    open_some(here, "a", "b", "c", "d")
    due(here)
    here.settle(5)
    assert len(dms(ws)) == 1
    waiting = {
        (row, state) for (_, kind, state), row in here.store.queue_stats(here.clock()).counts.items() if kind == "page"
    }
    assert waiting == {(1, "sent"), (3, "pending")}

    here.settle(60)

    assert len(dms(ws)) == 2
    assert "3 incidents want you" in dms(ws)[1]
    for number in (2, 3, 4):
        assert f"INC-{number}" in dms(ws)[1]
    here.settle(70)
    assert len(dms(ws)) == 2


def test_one_that_waits_alone_goes_as_it_is(here: Office, ws: Workspace) -> None:
    open_some(here, "a", "b")
    due(here)
    here.settle(65)

    assert len(dms(ws)) == 2
    assert "you are paged, level 1" in " ".join(text_of(call) for call in posts(ws))
    assert "incidents want you" not in dms(ws)[1]


def test_a_p0_waits_for_nothing(here: Office, ws: Workspace) -> None:
    open_some(here, "a")
    due(here)
    here.settle(3)
    open_some(here, "b", name="Down")
    due_now = here.clock()
    here.clock.advance(minutes=15)
    here.engine.tick()
    here.settle(3)

    assert here.clock() - due_now < 16 * MINUTE
    assert len([text for text in dms(ws) if "P0" in text]) == 1


def test_the_same_incident_does_not_wait_for_itself(here: Office, ws: Workspace) -> None:
    """Level 2 of the incident somebody was just paged about is no other incident."""
    open_some(here, "a")
    due(here)
    here.settle(5)
    here.say("escalate INC-1", BOB)
    here.settle(8)
    here.say("escalate INC-1", BOB)
    here.settle(8)

    assert len(dms(ws)) == 3


def test_what_is_answered_in_the_meantime_is_not_in_it(here: Office, ws: Workspace) -> None:
    open_some(here, "a", "b", "c", "d")
    due(here)
    here.settle(5)
    here.say("ack INC-2", ALICE)
    here.settle(60)

    assert "INC-2" not in dms(ws)[1]
    assert "2 incidents want you" in dms(ws)[1]


def test_what_is_answered_after_it_was_put_together_is_not_in_it_either(
    here: Office, ws: Workspace, clock: Clock
) -> None:
    open_some(here, "a", "b", "c")
    due(here)
    here.settle(5)
    clock.advance(seconds=60)
    [one] = here.deliverer.claim(1)
    assert one.error == WAITING
    assert here.deliverer.send(one) is False  # it is part of another message now
    here.say("ack INC-2", ALICE)
    here.say("ack INC-3", ALICE)
    here.settle(5)

    assert len(dms(ws)) == 1
    states = here.store.queue_stats(clock()).counts
    assert not [state for (_, kind, state) in states if (kind, state) == ("page", "dead")]


def test_an_answer_that_is_lost_doubles_nothing(here: Office, ws: Workspace) -> None:
    """A bundle is a page like any other: without an answer it is looked for first."""
    open_some(here, "a", "b", "c")
    due(here)
    here.settle(5)
    ws.fault("500", "chat.postMessage", times=1)
    here.settle(90)

    assert len([text for text in dms(ws) if "incidents want you" in text]) == 1


def test_a_bundle_that_slack_refuses_is_parted_and_each_page_finds_its_own_way(
    here: Office, ws: Workspace, clock: Clock
) -> None:
    open_some(here, "a", "b", "c")
    due(here)
    here.settle(5)
    clock.advance(seconds=60)
    [one] = here.deliverer.claim(1)
    here.deliverer.send(one)
    [bundle] = here.deliverer.claim(10)
    assert here.store.part(bundle, clock(), PARTED)
    assert not here.store.part(bundle, clock(), PARTED)
    here.settle(10)

    texts = dms(ws)
    assert len(texts) == 3
    assert not [text for text in texts if "incidents want you" in text]


def test_two_replicas_put_nothing_into_two_messages(store: Store, new_office: NewOffice, ws: Workspace) -> None:
    shop = replace(system(), services=("a", "b", "c", "d"))
    one = with_bundles(new_office(store, rules=policy(shop)))
    two = with_bundles(new_office(store, rules=policy(shop), owner="two"))
    open_some(one, "a", "b", "c", "d")
    due(one)
    one.settle(5)
    one.clock.advance(seconds=60)
    jobs = [*((one, job) for job in one.deliverer.claim(2)), *((two, job) for job in two.deliverer.claim(2))]
    for office, job in jobs:
        office.deliverer.send(job)
    one.settle(5)
    two.settle(5)

    told = " ".join(dms(ws))
    assert [told.count(f"INC-{number} ·") for number in (2, 3, 4)] == [1, 1, 1]


def test_without_a_window_nothing_waits(file_store: Store, new_office: NewOffice, ws: Workspace) -> None:
    office = new_office(file_store, rules=policy(replace(system(), services=("a", "b"))))
    open_some(office, "a", "b")
    due(office)
    office.settle(5)

    assert len(dms(ws)) == 2
