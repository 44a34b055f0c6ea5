"""From an event to its commit and back: retries, redeliveries, timers, the auditor, two replicas on one database."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from bot import events as ev
from bot.desk import Asker
from bot.engine import Engine, change_of
from bot.model import IncidentState, PlanState, Subject
from bot.store import Conflict, Store, Tx
from bot.store.tables import metadata
from playground.slack import Workspace
from tests.engine.conftest import NewOffice
from tests.engine.office import ALICE, BOB, MODEL, Clock, Lever, Office, at_once, policy, posts, system, text_of
from tests.store.postgres_server import Server

Pair = tuple[Office, Office]
BY_BOB = Asker(who=BOB)


@pytest.fixture
def pair(postgres: Server, open_store: Callable[[str], Store], new_office: NewOffice) -> Pair:
    """Two replicas on one PostgreSQL that share one target."""
    url = postgres.emptied("shared", [name for name in metadata.tables if name != "alembic_version"])
    lever = Lever()
    return (
        new_office(open_store(url), owner="one", lever=lever),
        new_office(open_store(url), owner="two", lever=lever),
    )


# two replicas


def test_two_replicas_post_page_and_execute_once(pair: Pair, ws: Workspace, clock: Clock) -> None:
    """The same notification to both, the same ticks, claims at the same time: the outside sees one bot."""
    one, two = pair
    told = at_once(one.alert, two.alert)
    assert sorted(intake.counts["alerts_new"] for intake in told) == [0, 1]
    at_once(one.deliver, two.deliver)
    clock.advance(minutes=16)
    at_once(one.engine.tick, two.engine.tick)
    at_once(one.deliver, two.deliver)
    one.say("flip intent")
    one.work()
    plan = one.plan
    at_once(lambda: one.approve(plan), lambda: two.approve(plan))
    for _ in range(6):
        at_once(one.work, two.work)
        at_once(one.deliver, two.deliver)
        clock.advance(seconds=4)
    assert one.lever.pulled == 1
    assert one.plan.state is PlanState.VERIFIED
    roots = [call for call in posts(ws) if not call.args.get("thread_ts")]
    assert sum(str(call.args["channel"]).startswith("C") for call in roots) == 1
    assert sum(str(call.args["channel"]).startswith("D") for call in roots) == 1
    assert one.kinds().count("started") == 1


def test_two_writers_of_one_incident_are_both_heard(pair: Pair) -> None:
    """A collision is tried again, not turned into a refusal about a target that nobody asked for."""
    one, two = pair
    one.alert()
    notes = [lambda n=n, o=office: o.say(f"note word {n}") for n in range(6) for office in (one, two)]
    replies = at_once(*notes)
    assert not [reply for reply in replies if getattr(reply, "refused", True)]
    assert one.kinds().count("noted") + one.kinds().count("note") == 12


def test_a_conflict_is_judged_anew(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first try meets somebody else's write; the second one reads what that was, and is stored."""
    office.alert()
    save, failures = Tx.save, [Conflict("somebody else was first"), Conflict("again")]

    def once_in_conflict(self: Tx, *args: object) -> None:
        if failures:
            raise failures.pop()
        save(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(Tx, "save", once_in_conflict)
    reply = office.say("ack", request="r1")
    assert not reply.refused
    assert office.incident.state is IncidentState.ACKNOWLEDGED


def test_two_plans_for_one_target_in_one_instant(pair: Pair) -> None:
    """G1: one is approved; the other is refused by name, and the refusal is on record."""
    one, two = pair
    subject = Subject(system="shop", service="api", model=MODEL)
    opened = []
    for office in pair:
        office.engine.open_change(
            lambda incident_id: change_of(incident_id, subject, ALICE, "flip intent"),
            lambda facts, _: ev.ActionRequested(
                plan_id=facts.new_plan_id(), action="flip", subject=subject, request={"to": "new"}, by=ALICE
            ),
        )
        office.work()
        opened.append(office.plan)
    first, second = opened
    replies = at_once(lambda: one.approve(first), lambda: two.approve(second))
    refused = [reply for reply in replies if reply.refused]
    assert len(refused) == 1
    assert "is changing the same target" in refused[0].text
    assert sorted(kind for n in ("INC-1", "INC-2") for kind in one.kinds(n) if kind == "refused.locked") == [
        "refused.locked"
    ]


# a change without an incident


def test_a_change_is_opened_and_asked_for_together(office: Office) -> None:
    """A process that ends in between must not leave an empty thread open for ever."""
    subject = Subject(system="shop", service="api", model=MODEL)

    def die(*_: object) -> ev.Event:
        raise MemoryError

    with pytest.raises(MemoryError):
        office.engine.open_change(lambda i: change_of(i, subject, ALICE, "flip"), die)
    assert office.store.incidents() == []


def test_a_request_delivered_twice_opens_nothing_new(office: Office) -> None:
    """Even when the change it opened the first time is over."""
    assert not office.say("flip intent", request="r1").refused
    office.work()
    office.desk.click_reject(office.plan.id, "no", BY_BOB)
    assert office.incident.state is IncidentState.RESOLVED
    assert office.say("flip intent", request="r1").text == ""
    assert office.say("declare P2 intent is odd", request="r2").text
    assert office.say("declare P2 intent is odd", request="r2").text == ""
    assert len(office.store.incidents()) == 2


def test_a_click_delivered_twice_does_nothing_the_second_time(office: Office) -> None:
    """G2: the same request of Slack, seen again, changes nothing and says nothing."""
    office.alert()
    office.say("flip intent")
    office.work()
    plan = office.plan
    assert not office.approve(plan, request="click-1").refused
    lines = office.store.audit_head()
    assert office.approve(plan, request="click-1").text == ""
    assert office.store.audit_head() == lines


def test_an_approval_is_worth_nothing_for_another_preview(office: Office) -> None:
    """G1: the target moves after the approval: nothing runs, a new preview is drawn, the old click does not carry."""
    office.alert()
    office.say("flip intent")
    office.work()
    old = office.plan
    office.approve(old)
    office.lever.at = "elsewhere"
    office.work()
    assert office.lever.pulled == 0
    assert [plan.state for plan in office.incident.plans] == [PlanState.VOID, PlanState.PENDING]
    assert office.desk.click_approve(office.plan.id, old.digest[:16], BY_BOB).refused


def test_nobody_approves_their_own_request(office: Office) -> None:
    """G3: and somebody of the same id from another workspace is somebody else."""
    office.alert()
    office.say("flip intent")
    office.work()
    assert office.approve(office.plan, ALICE).refused
    assert office.approve(office.plan, replace(BOB, team_id="TOTHER")).refused
    office.work()
    assert office.lever.pulled == 0


# timers and the auditor


def broken_document(path: Path, incident_id: str) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE incident SET document = '{' WHERE id = ?", (incident_id,))


def pages_beside_a_broken_incident(office: Office, path: Path) -> int:
    office.alert("First", model=MODEL)
    office.alert("Second", model="other")
    broken_document(path, "INC-1")
    office.clock.advance(minutes=16)
    try:
        office.engine.tick()
    except Exception:  # noqa: BLE001
        return 0
    return office.kinds("INC-2").count("paged")


def test_a_timer_that_cannot_fire_does_not_hold_up_the_others(office: Office, tmp_path: Path) -> None:
    """E1: the longest overdue timer comes first, so one that always failed would silence every ladder behind it."""
    assert pages_beside_a_broken_incident(office, tmp_path / "bot.db") == 1


def test_without_that_care_everybody_would_be_silent(
    office: Office, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Engine, "_fire_alone", Engine._fire)
    assert pages_beside_a_broken_incident(office, tmp_path / "bot.db") == 0


def test_after_an_outage_every_overdue_level_goes_at_once(office: Office, ws: Workspace, clock: Clock) -> None:
    """E3: due times are absolute, and the page says how late it is."""
    office.alert()
    clock.advance(minutes=61)
    office.engine.tick()
    office.settle(8)
    told = [text_of(call) for call in posts(ws) if str(call.args["channel"]).startswith("D")]
    assert [n for n in (1, 2, 3, 4) if any(f"evel {n}" in text for text in told)] == [1, 2, 3]
    late = [call for call in posts(ws) if "late" in str(call.args) and str(call.args["channel"]).startswith("D")]
    assert len(late) >= 2


def test_the_auditor_repairs_a_ladder_without_a_next_step(office: Office, tmp_path: Path, clock: Clock) -> None:
    """E5."""
    office.alert()
    with sqlite3.connect(tmp_path / "bot.db") as connection:
        connection.execute("DELETE FROM timer")
    assert "no live next step" in office.engine.audit()[0]
    assert office.engine.audit() == []
    clock.advance(minutes=16)
    office.engine.tick()
    assert "paged" in office.kinds()


def test_one_that_cannot_be_repaired_does_not_keep_the_others_from_it(office: Office, tmp_path: Path) -> None:
    office.alert("First", model=MODEL)
    office.alert("Second", model="other")
    with sqlite3.connect(tmp_path / "bot.db") as connection:
        connection.execute("DELETE FROM timer")
    broken_document(tmp_path / "bot.db", "INC-1")
    office.engine.audit()
    assert "repaired" in office.kinds("INC-2")


# what people type


@pytest.mark.parametrize(
    ("line", "incident", "word"),
    [
        ("note 3 users complained", "INC-2", "3 users complained"),
        ("note INC-1 see the other one", "INC-1", "see the other one"),
        ("note 42", "INC-2", "42"),
        ("severity P2 500 errors are gone", "INC-2", "500 errors are gone"),
        ("severity INC-1 P2 calmer", "INC-1", "calmer"),
        ("resolve 2 pods were stuck", "INC-2", "2 pods were stuck"),
    ],
)
def test_numbers_in_a_sentence_name_no_incident(office: Office, line: str, incident: str, word: str) -> None:
    """The thread's incident is meant, unless one is named before the sentence."""
    office.alert("First", model="other")
    office.alert("Second")
    office.deliver()
    office.clock.advance(seconds=2)
    office.deliver()
    place = office.store.place("INC-2")
    assert place is not None
    reply = office.say(line, channel=place[0], thread_ts=place[1])
    assert not reply.refused, reply.text
    assert any(word in line.text for line in office.store.timeline(incident))


def test_a_name_that_two_systems_know_is_asked_about(file_store: Store, new_office: NewOffice) -> None:
    """Never the first one that comes: it is a change in production."""
    rules = policy(system("alice", ()), system("alice", (), name="second"))
    office = new_office(file_store, rules=rules)
    reply = office.say("flip intent")
    assert reply.refused
    assert "shop" in reply.text
    assert "second" in reply.text
    assert office.store.incidents() == []
    office.alert(systems="second")
    assert not office.say("flip intent").refused
    assert office.plan.subject.system == "second"


@pytest.mark.parametrize("choice", ["", "declare P0 haha", "freeze", "flip"])
def test_a_menu_takes_only_what_it_offers(office: Office, choice: str) -> None:
    """T1: what a payload says chooses nothing beyond the list."""
    office.alert()
    assert "older message" in office.desk.click_more("INC-1", choice, BY_BOB).text
