"""The main story, alerts that come and go, changes without an incident: exactly what the bot wants done, and when."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from bot import events as ev
from bot.decide import decide
from bot.model import (
    Finding,
    IncidentKind,
    IncidentState,
    Outcome,
    PlanState,
    Severity,
    TimerKind,
    Who,
)
from bot.policy import Policy, System
from tests.core.script import (
    PLANS,
    alerts,
    approves,
    asks,
    begun,
    due,
    level,
    opened,
    reread,
    seen,
)
from tests.core.stage import ALICE, BOB, CAROL, MALLORY, POLICY, SUBJECT, T0, draft
from tests.core.transcript import Line, at, play


def test_from_an_alert_to_a_verified_rollback() -> None:
    owned = play([
        (1, ev.FindingReported(finding=Finding(diagnostic="served", sentence="v3 is served")), "finding",
         ["post diagnosis"]),
        (1, ev.Acknowledged(by=ALICE, epoch=1), "acknowledged", ["record acknowledged", "stop paging", "headline"]),
        *PLANS,
    ], opened())  # fmt: skip

    refused = play([
        (3, approves(owned, ALICE), "own_request", ["record refused.own_request"]),
        (3, approves(owned, MALLORY), "unknown_person", ["record refused.unknown_person"]),
        (3, approves(owned, BOB, digest="0" * 64), "outdated_card", ["record refused.outdated_card"]),
    ], owned)  # fmt: skip
    done = play([
        (4, approves(refused, BOB), "approved", ["record approved", "reread PLN-1", "card PLN-1", "headline"]),
        (4, approves(refused, CAROL), "not_pending", ["record refused.not_pending"]),
        (4, reread(), "started", ["record started", "step PLN-1 0", "card PLN-1", "headline"]),
        (4, reread(), "already", []),
        (4, begun(0), "step_begun", ["record step_begun", "card PLN-1", "headline"]),
        (5, seen(0, Outcome.DONE), "step_done", ["record step_done", "step PLN-1 1", "card PLN-1", "headline"]),
        (5, begun(1), "step_begun", ["record step_begun", "card PLN-1", "headline"]),
        (5, seen(1, Outcome.NOT_YET, "v3 is still served"), "not_yet",
         ["step PLN-1 1 after 3 s", "card PLN-1", "headline"]),
        (5.1, seen(1, Outcome.NOT_YET, "v3 is still served"), "not_yet", ["step PLN-1 1 after 3 s"]),
        (6, seen(1, Outcome.DONE, "the server reports v2"), "plan_verified",
         ["record step_done", "record plan_verified", "mark 3 bad", "card PLN-1", "headline"]),
        (7, alerts("B", firing=0, ended=True), "all_clear", ["record alerts_cleared", "timer quiet at 12", "headline"]),
        (12, due(TimerKind.QUIET, epoch=0), "resolved", ["record resolved", "stop paging", "post summary", "headline"]),
        (20, level(1), "stale_timer", []),
    ], refused)  # fmt: skip

    assert (done.state, done.plans[0].state) == (IncidentState.RESOLVED, PlanState.VERIFIED)
    assert (done.plans[0].ended_why, done.first_acked_at, done.resolved_at) == ("the server reports v2", at(1), at(12))


def test_alerts_join_end_and_come_back() -> None:
    again = play([
        (1, alerts("A2", firing=2, total=2), "alerts_fired", ["record alerts_fired", "headline"]),
        (2, alerts("A", firing=1, total=2, ended=True), "alerts_cleared", ["record alerts_cleared", "headline"]),
        (3, alerts("A2", firing=0, total=2, ended=True), "all_clear",
         ["record alerts_cleared", "timer quiet at 8", "headline"]),
        (4, alerts("A2", firing=0, total=2, ended=True), "all_clear", ["record alerts_cleared", "headline"]),
        (5, alerts("A", firing=1, total=2), "alerts_fired", ["record alerts_fired", "headline"]),
        (8, due(TimerKind.QUIET, epoch=0), "stale_timer", []),
        (9, alerts("A", firing=0, total=2, ended=True), "all_clear",
         ["record alerts_cleared", "timer quiet at 14", "headline"]),
        (13, due(TimerKind.QUIET, epoch=0), "too_early", ["timer quiet at 14"]),
        (14, due(TimerKind.QUIET, epoch=0), "resolved", ["record resolved", "stop paging", "post summary", "headline"]),
        (15, alerts("A", firing=0, total=2, ended=True), "late_clear", ["record alerts_cleared"]),
        (20, alerts("A", firing=1, total=2), "alerts_fired",
         ["record alerts_fired", "record reopened", "stop paging", "timer escalate 1 at 35", "diagnose",
          "page user:UALICE: INC-1 is open again", "headline"]),
    ], opened("A"))  # fmt: skip

    assert (again.state, again.reopened, again.owner, again.quiet_until) == (IncidentState.OPEN, 1, None, None)
    assert again.alert_names == ("A", "A2")


def test_an_alert_that_is_over_when_it_arrives_does_not_stay_open_for_ever() -> None:
    play([
        (0, alerts("A", firing=0), "opened",
         ["record opened", "headline", "timer escalate 1 at 15", "timer quiet at 5", "diagnose"]),
        (5, due(TimerKind.QUIET, epoch=0), "resolved", ["record resolved", "stop paging", "post summary", "headline"]),
    ])  # fmt: skip


def test_resolving_by_hand_and_reopening() -> None:
    back = play([
        (1, ev.Resolved(by=MALLORY), "unknown_person", ["record refused.unknown_person"]),
        (1, ev.Resolved(by=ALICE, note="restarted it"), "resolved",
         ["record resolved", "stop paging", "post summary", "headline"]),
        (1, ev.Resolved(by=ALICE), "already", []),
        (2, ev.Acknowledged(by=ALICE, epoch=1), "already", []),
        (2, ev.Snoozed(by=ALICE, until=at(9)), "not_open", ["record refused.not_open"]),
        (2, ev.Assigned(by=ALICE, to=BOB), "not_open", ["record refused.not_open"]),
        (2, ev.EscalateClicked(by=ALICE), "not_open", ["record refused.not_open"]),
        (2, ev.SeverityChanged(by=ALICE, to=Severity.P3, reason=""), "not_open", ["record refused.not_open"]),
        (3, ev.Reopened(by=BOB), "reopened", ["record reopened", "stop paging", "timer escalate 1 at 18",
         "page user:UALICE: INC-1 is open again", "headline"]),
        (3, ev.Reopened(by=BOB), "already", []),
    ], opened("A"))  # fmt: skip

    assert (back.state, back.resolved_at, back.resolved_by) == (IncidentState.OPEN, None, None)


def declares(kind: IncidentKind = IncidentKind.CHANGE, by: Who = ALICE) -> ev.Declared:
    return ev.Declared(
        incident_id="INC-1",
        key="change:1",
        subject=SUBJECT,
        by=by,
        title="rollback intent",
        severity=Severity.P1,
        kind=kind,
    )


CHANGE: Line = (0, declares(), "opened", ["record declared", "headline"])


def test_a_change_pages_nobody_and_closes_itself() -> None:
    shown = play([
        CHANGE,
        (1, ev.EscalateClicked(by=ALICE), "never_pages", ["record refused.never_pages"]),
        (1, ev.Unattended(), "attended", []),
        (2, asks(), "planning", ["record requested", "draw PLN-1"]),
        (2, ev.PlanDrawn(plan_id="PLN-1", draft=draft()), "previewed",
         ["record previewed", "timer expire PLN-1 at 32", "card PLN-1", "headline"]),
    ])  # fmt: skip
    over = play([
        (3, approves(shown, BOB), "approved", ["record approved", "reread PLN-1", "card PLN-1", "headline"]),
        # its replacement keeps the thread open
        (3, reread(alias="4"), "plan_void", ["draw PLN-2", "record plan_void", "card PLN-1", "headline"]),
        (4, ev.PlanRefused(plan_id="PLN-2", why="v3 is gone."), "plan_refused",
         ["record plan_refused", "post note", "headline", "stop paging", "record resolved"]),
        (5, ev.Reopened(by=ALICE), "a_change", ["record refused.a_change"]),
        (9, level(1), "stale_timer", []),
    ], shown)  # fmt: skip

    assert (over.state, over.resolved_at) == (IncidentState.RESOLVED, at(4))


def test_a_refused_request_leaves_no_empty_change_behind() -> None:
    closed = play([CHANGE, (0, replace(asks(), frozen="the sale is on"), "frozen",
                            ["record refused.frozen", "stop paging", "record resolved"])])  # fmt: skip

    assert closed.state is IncidentState.RESOLVED


def test_who_may_not_ask_opens_no_thread() -> None:
    for event in (declares(by=MALLORY), declares(by=CAROL), declares(IncidentKind.DECLARED, by=MALLORY)):
        code = "not_allowed" if event.by == CAROL else "unknown_person"
        assert_nothing_opens(event, code)


def assert_nothing_opens(event: ev.Declared, code: str) -> None:
    decision = decide(None, event, T0, POLICY)

    assert (decision.incident, decision.why.code) == (None, code)
    assert len(decision.effects) == 1


def test_a_declared_incident_climbs_like_any_other() -> None:
    play([
        (0, declares(IncidentKind.DECLARED), "opened",
         ["record declared", "headline", "timer escalate 1 at 15", "diagnose"]),
        (1, declares(IncidentKind.DECLARED), "already_open", []),
        (2, ev.Noted(by=MALLORY, text="hi"), "unknown_person", ["record refused.unknown_person"]),
        (2, ev.Noted(by=BOB, text="looking"), "noted", ["record noted"]),
        (2, ev.DiagnosticsAsked(by=MALLORY, names=("served",)), "diagnosing", ["record diagnosed", "diagnose served"]),
        (3, ev.Resolved(by=ALICE), "resolved", ["record resolved", "stop paging", "post summary", "headline"]),
        (4, declares(IncidentKind.DECLARED), "already", []),
    ])  # fmt: skip


def test_without_a_profile_pages_still_reach_somebody() -> None:
    bare = Policy(people=POLICY.people, default=System(name="unmapped", channel="COPS"))
    hour = timedelta(hours=1)

    play([
        (0, alerts("X"), "opened", ["record opened", "headline", "timer escalate 1 at 240", "diagnose"]),
        (4 * hour / timedelta(minutes=1), level(1), "level_paged", [
            "page channel:COPS: level 1 (oncall reaches nobody now)", "record paged",
            "page user:UBOB: level 2", "page user:UCAROL: level 2", "record paged", "timer escalate 3 at 960",
            "headline",
        ]),
    ], policy=bare)  # fmt: skip
