"""Transcripts: what happens, when, and exactly what the bot wants done about it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from bot import events as ev
from bot.decide import decide
from bot.model import (
    Alert,
    Finding,
    Incident,
    IncidentKind,
    IncidentState,
    Outcome,
    PlanState,
    Severity,
    StepState,
    TimerKind,
    Who,
)
from bot.policy import Policy, System
from tests.core.transcript import Line, at, play
from tests.core.world import ALICE, BOB, CAROL, FACTS, MALLORY, POLICY, SUBJECT, T0, draft

# The ladders of this world: P0 on call at 5, a manager (there is none) at 30, senior people at 60, again every 30;
# P1 on call at 15, senior people at 30.
OPENS = ["record opened", "headline", "timer escalate 1 at {}", "diagnose"]


def alerts(name: str, *, firing: int = 1, total: int = 1, ended: bool = False) -> ev.AlertsChanged:
    alert = Alert(
        source="alertmanager", fingerprint=name, firing=not ended, starts_at=T0, ends_at=None,
        labels={"alertname": name, "model": "intent"}, annotations={"summary": f"{name} is on"},
    )  # fmt: skip
    return ev.AlertsChanged(
        incident_id="INC-1", key="shop/intent", subject=SUBJECT, changed=(alert,), firing=firing, total=total
    )


def due(kind: TimerKind, number: int = 0, epoch: int = 1, plan: str = "") -> ev.TimerDue:
    return ev.TimerDue(kind=kind, epoch=epoch, number=number, plan_id=plan)


def level(number: int, epoch: int = 1) -> ev.TimerDue:
    return due(TimerKind.ESCALATE, number, epoch)


def repeat(number: int, epoch: int = 1) -> ev.TimerDue:
    return due(TimerKind.REPEAT, number, epoch)


def asks(plan_id: str = "PLN-1", by: Who = ALICE) -> ev.ActionRequested:
    return ev.ActionRequested(plan_id=plan_id, action="rollback", subject=SUBJECT, request={"model": "intent"}, by=by)


def approves(incident: Incident, by: Who, **changes: str) -> ev.ApproveClicked:
    newest = incident.plans[-1]
    click = ev.ApproveClicked(plan_id=newest.id, digest=newest.digest, by=by)
    return replace(click, **changes)  # type: ignore[arg-type]


def reread(plan_id: str = "PLN-1", **facts: str) -> ev.TargetReread:
    return ev.TargetReread(plan_id=plan_id, fingerprint={**FACTS, **facts}, next_plan_id="PLN-2")


def begun(index: int, after_attempt: int = 0) -> ev.StepBegun:
    return ev.StepBegun(plan_id="PLN-1", index=index, after_attempt=after_attempt)


def seen(index: int, outcome: Outcome, detail: str = "seen") -> ev.StepObserved:
    return ev.StepObserved(plan_id="PLN-1", index=index, outcome=outcome, detail=detail)


def opened(name: str = "B") -> Incident:
    return play([(0, alerts(name), "opened", [one.format(5 if name == "B" else 15) for one in OPENS])])


PLANS: list[Line] = [
    (2, asks(), "planning", ["record requested", "draw PLN-1"]),
    (2, ev.PlanDrawn(plan_id="PLN-1", draft=draft()), "previewed",
     ["record previewed", "timer expire PLN-1 at 17", "card PLN-1", "headline"]),
]  # fmt: skip


def previewed() -> Incident:
    return play(PLANS, opened())


def approved() -> Incident:
    before = previewed()
    return play(
        [(4, approves(before, BOB), "approved", ["record approved", "reread PLN-1", "card PLN-1", "headline"])], before
    )


def running() -> Incident:
    return play([(4, reread(), "started", ["record started", "step PLN-1 0", "card PLN-1", "headline"])], approved())


def watching() -> Incident:
    return play([
        (4, begun(0), "step_begun", ["record step_begun", "card PLN-1", "headline"]),
        (5, seen(0, Outcome.DONE), "step_done", ["record step_done", "step PLN-1 1", "card PLN-1", "headline"]),
    ], running())  # fmt: skip


# the main story


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


# escalation


def test_nobody_answers() -> None:
    last = play([
        (5, level(1), "level_paged",
         ["page user:UALICE: level 1", "record paged", "timer escalate 2 at 30", "headline"]),
        (5, level(1), "stale_timer", []),
        (30, level(2), "level_paged", [
            "page channel:CALL: level 2 (role:manager reaches nobody now)", "record paged",
            "page user:UBOB: level 3", "page user:UCAROL: level 3", "record paged", "timer repeat 1 at 60", "headline",
        ]),
        (60, repeat(1), "level_repeated", [
            "page user:UBOB: level 3, repeat 1", "page user:UCAROL: level 3, repeat 1",
            "page channel:CALL: level 3, repeat 1", "record paged", "timer repeat 2 at 90", "headline",
        ]),
        (60, repeat(1), "stale_timer", []),
    ], opened())  # fmt: skip

    assert [(page.number, page.why) for page in last.escalation.paged] == [
        (1, ""), (2, "role:manager reaches nobody now"), (3, ""), (3, ""),
    ]  # fmt: skip


def test_after_an_outage_every_overdue_level_goes_at_once_and_says_how_late() -> None:
    play([
        (90, level(1), "level_paged", [
            "page user:UALICE: level 1, late by 85", "record paged",
            "page channel:CALL: level 2 (role:manager reaches nobody now), late by 60", "record paged",
            "page user:UBOB: level 3, late by 30", "page user:UCAROL: level 3, late by 30", "record paged",
            "timer repeat 1 at 120", "headline",
        ]),
        (300, repeat(1), "level_repeated", [
            "page user:UBOB: level 3, repeat 1, late by 180", "page user:UCAROL: level 3, repeat 1, late by 180",
            "page channel:CALL: level 3, repeat 1, late by 180", "record paged", "timer repeat 2 at 330", "headline",
        ]),
    ], opened())  # fmt: skip


def test_a_clock_that_stepped_back_pages_nobody_early() -> None:
    play([
        (4, level(1), "too_early", ["timer escalate 1 at 5"]),
        (5, level(1), "level_paged",
         ["page user:UALICE: level 1", "record paged", "timer escalate 2 at 30", "headline"]),
    ], opened())  # fmt: skip


def test_an_ack_ends_the_climb_and_giving_it_back_begins_it_anew() -> None:
    play([
        (15, level(1), "level_paged",
         ["page user:UALICE: level 1", "record paged", "timer escalate 2 at 30", "headline"]),
        (16, ev.Acknowledged(by=MALLORY, epoch=1), "unknown_person", ["record refused.unknown_person"]),
        (16, ev.Acknowledged(by=ALICE, epoch=1), "acknowledged", ["record acknowledged", "stop paging", "headline"]),
        (16, ev.Acknowledged(by=ALICE, epoch=1), "already", []),
        (16, ev.Acknowledged(by=BOB), "already", []),
        (30, level(2), "stale_timer", []),
        (40, ev.Unacknowledged(by=ALICE), "unacknowledged",
         ["record unacknowledged", "stop paging", "timer escalate 1 at 55", "headline"]),
        (40, ev.Unacknowledged(by=ALICE), "already", []),
        (41, ev.Acknowledged(by=BOB, epoch=1), "stale_click", ["record refused.stale_click"]),
        (55, level(1, epoch=3), "level_paged",
         ["page user:UALICE: level 1", "record paged", "timer escalate 2 at 70", "headline"]),
    ], opened("A"))  # fmt: skip


def test_a_snooze_rests_the_ladder_and_ends() -> None:
    play([
        (1, ev.Snoozed(by=ALICE, until=at(0)), "not_ahead", ["record refused.not_ahead"]),
        (1, ev.Snoozed(by=ALICE, until=at(60 * 24 * 8)), "too_long", ["record refused.too_long"]),
        (1, ev.Snoozed(by=ALICE, until=at(31)), "snoozed",
         ["record snoozed", "stop paging", "timer unsnooze at 31", "headline"]),
        (2, ev.Snoozed(by=ALICE, until=at(40)), "snoozed",
         ["record snoozed", "stop paging", "timer unsnooze at 40", "headline"]),
        (15, level(1), "stale_timer", []),
        (31, due(TimerKind.UNSNOOZE, epoch=2), "stale_timer", []),
        (39, due(TimerKind.UNSNOOZE, epoch=3), "too_early", ["timer unsnooze at 40"]),
        (40, due(TimerKind.UNSNOOZE, epoch=3), "unsnoozed",
         ["record unsnoozed", "stop paging", "timer escalate 1 at 55", "headline"]),
    ], opened("A"))  # fmt: skip


def test_a_raise_plans_the_ladder_anew_and_drops_no_page() -> None:
    raised = play([
        (15, level(1), "level_paged",
         ["page user:UALICE: level 1", "record paged", "timer escalate 2 at 30", "headline"]),
        (20, alerts("B", firing=2, total=2), "severity",
         ["record alerts_fired", "record severity", "timer escalate 2 at 30", "post note", "headline"]),
        (20, ev.Acknowledged(by=MALLORY, epoch=1), "unknown_person", ["record refused.unknown_person"]),
        (30, level(2), "level_paged", [
            "page channel:CALL: level 2 (role:manager reaches nobody now)", "record paged",
            "page user:UBOB: level 3", "page user:UCAROL: level 3", "record paged", "timer repeat 1 at 60", "headline",
        ]),
    ], opened("A"))  # fmt: skip

    assert raised.severity_why == "nothing is served"
    assert raised.epoch == 1  # a button that was just shown still works


def test_evidence_raises_and_only_people_lower() -> None:
    worse = Finding(diagnostic="pods", sentence="0 of 2 replicas answer", severity=Severity.P0)
    better = replace(worse, severity=Severity.P3)
    play([
        (1, ev.FindingReported(finding=worse), "severity",
         ["post diagnosis", "record severity", "timer escalate 1 at 5", "post note", "headline"]),
        (1, ev.FindingReported(finding=worse), "finding", ["post diagnosis"]),
        (2, ev.FindingReported(finding=better), "finding", ["post diagnosis"]),
        (3, ev.SeverityChanged(by=MALLORY, to=Severity.P1, reason=""), "unknown_person",
         ["record refused.unknown_person"]),
        (3, ev.SeverityChanged(by=BOB, to=Severity.P1, reason="one shop only"), "severity",
         ["record severity", "timer escalate 1 at 15", "post note", "headline"]),
        (3, ev.SeverityChanged(by=BOB, to=Severity.P1, reason=""), "already", []),
    ], opened("A"))  # fmt: skip


def test_a_raise_while_somebody_owns_it_pages_nobody() -> None:
    owned = play([
        (1, ev.Acknowledged(by=ALICE), "acknowledged", ["record acknowledged", "stop paging", "headline"]),
        (2, alerts("B", firing=2, total=2), "severity",
         ["record alerts_fired", "record severity", "post note", "headline"]),
        (3, ev.Unacknowledged(by=ALICE), "unacknowledged",
         ["record unacknowledged", "stop paging", "timer escalate 1 at 8", "headline"]),
    ], opened("A"))  # fmt: skip

    assert owned.severity is Severity.P0


def test_a_raise_ends_a_snooze_that_was_meant_for_less() -> None:
    awake = play([
        (1, ev.Snoozed(by=ALICE, until=at(60)), "snoozed",
         ["record snoozed", "stop paging", "timer unsnooze at 60", "headline"]),
        (2, alerts("B", firing=2, total=2), "severity",
         ["record alerts_fired", "record severity", "stop paging", "timer escalate 1 at 7", "post note", "headline"]),
        (60, due(TimerKind.UNSNOOZE, epoch=2), "stale_timer", []),
    ], opened("A"))  # fmt: skip

    assert (awake.state, awake.snoozed_until) == (IncidentState.OPEN, None)
    assert awake.severity_why == "nothing is served"


def test_a_lower_severity_leaves_a_snooze_alone() -> None:
    asleep = play([
        (1, ev.Snoozed(by=ALICE, until=at(60)), "snoozed",
         ["record snoozed", "stop paging", "timer unsnooze at 60", "headline"]),
        (2, ev.SeverityChanged(by=BOB, to=Severity.P1, reason=""), "severity",
         ["record severity", "post note", "headline"]),
        (60, due(TimerKind.UNSNOOZE, epoch=2), "unsnoozed",
         ["record unsnoozed", "stop paging", "timer escalate 1 at 75", "headline"]),
    ], opened())  # fmt: skip

    assert asleep.state is IncidentState.OPEN


def test_asking_for_the_next_level() -> None:
    play([
        # alice is on call herself: the level that reaches only her pulls the next one forward
        (1, ev.EscalateClicked(by=ALICE, epoch=1), "escalated", [
            "record escalated", "page user:UALICE: level 1", "record paged", "page user:UBOB: level 2",
            "page user:UCAROL: level 2", "record paged", "timer repeat 1 at 31", "headline",
        ]),
        (1, ev.EscalateClicked(by=ALICE, epoch=1), "just_paged", []),
        (2, ev.EscalateClicked(by=MALLORY, epoch=1), "unknown_person", ["record refused.unknown_person"]),
        (2, ev.EscalateClicked(by=BOB, epoch=0), "stale_click", ["record refused.stale_click"]),
        (3, ev.EscalateClicked(by=BOB), "escalated", [
            "record escalated", "page user:UBOB: level 2, repeat 1", "page user:UCAROL: level 2, repeat 1",
            "page channel:CALL: level 2, repeat 1", "record paged", "timer repeat 2 at 33", "headline",
        ]),
        (31, repeat(1), "stale_timer", []),
    ], opened("A"))  # fmt: skip


def test_asking_for_help_while_one_owns_it() -> None:
    owned = play([
        (1, ev.Acknowledged(by=ALICE), "acknowledged", ["record acknowledged", "stop paging", "headline"]),
        (2, ev.EscalateClicked(by=ALICE), "escalated", [
            "record escalated", "page user:UALICE: level 1", "record paged", "page user:UBOB: level 2",
            "page user:UCAROL: level 2", "record paged", "headline",
        ]),
        (9, ev.EscalateClicked(by=ALICE), "escalated", [
            "record escalated", "page user:UBOB: level 2, repeat 1", "page user:UCAROL: level 2, repeat 1",
            "page channel:CALL: level 2, repeat 1", "record paged", "headline",
        ]),
    ], opened("A"))  # fmt: skip

    assert (owned.state, owned.escalation.next_due_at) == (IncidentState.ACKNOWLEDGED, None)


def test_handing_it_over_pages_the_one_who_gets_it() -> None:
    play([
        (1, ev.Assigned(by=ALICE, to=MALLORY), "not_theirs", ["record refused.not_theirs"]),
        (1, ev.Assigned(by=MALLORY, to=ALICE), "unknown_person", ["record refused.unknown_person"]),
        (1, ev.Assigned(by=ALICE, to=BOB), "assigned", [
            "record assigned", "stop paging", "page user:UBOB: INC-1 was handed to you by @alice", "headline",
        ]),
        (2, ev.Assigned(by=CAROL, to=CAROL), "assigned", ["record assigned", "stop paging", "headline"]),
        (15, level(1), "stale_timer", []),
    ], opened("A"))  # fmt: skip


def test_the_auditor_sets_the_timer_that_is_missing() -> None:
    play([
        (1, ev.Unattended(), "repaired", ["record repaired", "timer escalate 1 at 15", "headline"]),
        (2, ev.Snoozed(by=ALICE, until=at(60)), "snoozed",
         ["record snoozed", "stop paging", "timer unsnooze at 60", "headline"]),
        (3, ev.Unattended(), "repaired", ["record repaired", "timer unsnooze at 60", "headline"]),
        (4, ev.Acknowledged(by=ALICE), "acknowledged", ["record acknowledged", "stop paging", "headline"]),
        (5, ev.Unattended(), "attended", []),
    ], opened("A"))  # fmt: skip


# alerts come and go


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
         ["record alerts_fired", "record reopened", "stop paging", "timer escalate 1 at 35", "diagnose", "headline"]),
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
        (3, ev.Reopened(by=BOB), "reopened", ["record reopened", "stop paging", "timer escalate 1 at 18", "headline"]),
        (3, ev.Reopened(by=BOB), "already", []),
    ], opened("A"))  # fmt: skip

    assert (back.state, back.resolved_at, back.resolved_by) == (IncidentState.OPEN, None, None)


# plans that do not get far


def test_the_target_moved_so_the_plan_is_void_and_a_new_preview_follows() -> None:
    moved = play([
        (5, reread(alias="4"), "plan_void", ["draw PLN-2", "record plan_void", "card PLN-1", "headline"]),
        (5, reread(alias="4"), "already", []),
        (6, ev.PlanDrawn(plan_id="PLN-2", draft=draft()), "previewed",
         ["record previewed", "timer expire PLN-2 at 21", "card PLN-2", "headline"]),
    ], approved())  # fmt: skip

    assert moved.plans[0].ended_why == "Void, nothing was changed: alias was 3, is 4. A new preview follows."
    assert (moved.plans[1].replaces, moved.plans[1].votes) == ("PLN-1", ())


def test_a_fact_that_cannot_be_read_any_more_has_moved() -> None:
    gone = ev.TargetReread(plan_id="PLN-1", fingerprint={"alias": "3"}, next_plan_id="PLN-1")  # an id that is taken

    void = play([(5, gone, "plan_void", ["record plan_void", "card PLN-1", "headline"])], approved())

    assert void.plans[0].ended_why == "Void, nothing was changed: served was 3, is absent. Ask again."


def test_nobody_approves_in_time() -> None:
    over = play([
        (16, due(TimerKind.EXPIRE, epoch=0, plan="PLN-1"), "too_early", ["timer expire PLN-1 at 17"]),
        (17, approves(previewed(), BOB), "expired", ["record refused.expired"]),
        (17, due(TimerKind.EXPIRE, epoch=0, plan="PLN-1"), "plan_expired",
         ["record plan_expired", "card PLN-1", "headline"]),
        (17, due(TimerKind.EXPIRE, epoch=0, plan="PLN-1"), "stale_timer", []),
        (18, approves(previewed(), BOB), "not_pending", ["record refused.not_pending"]),
    ], previewed())  # fmt: skip

    assert over.plans[0].state is PlanState.EXPIRED


def test_an_approved_plan_gives_its_lock_back_when_its_target_cannot_be_read() -> None:
    over = play([
        (17, due(TimerKind.EXPIRE, epoch=0, plan="PLN-1"), "plan_expired",
         ["record plan_expired", "card PLN-1", "headline"]),
        (18, reread(), "already", []),
    ], approved())  # fmt: skip

    assert over.plans[0].ended_why.startswith("Approved, but the target could not be read again in time.")


def test_a_freeze_between_approval_and_start_stops_it() -> None:
    frozen = replace(reread(), frozen="the sale is on")

    stopped = play([(5, frozen, "plan_refused", ["record plan_refused", "card PLN-1", "headline"])], approved())

    assert stopped.plans[0].ended_why == "Not started, nothing was changed: Changes are frozen: the sale is on."


def test_a_no_ends_it_and_a_stranger_s_no_does_not() -> None:
    ended = play([
        (3, ev.RejectClicked(plan_id="PLN-1", by=MALLORY, reason="ha"), "not_allowed", ["record refused.not_allowed"]),
        (3, ev.RejectClicked(plan_id="PLN-1", by=CAROL, reason="v2 is worse"), "plan_rejected",
         ["record plan_rejected", "card PLN-1", "headline"]),
        (3, ev.RejectClicked(plan_id="PLN-1", by=BOB, reason=""), "not_pending", ["record refused.not_pending"]),
        (3, ev.RejectClicked(plan_id="PLN-7", by=BOB, reason=""), "no_plan", ["record refused.no_plan"]),
        (4, asks("PLN-2"), "planning", ["record requested", "draw PLN-2"]),
    ], previewed())  # fmt: skip

    assert ended.plans[0].ended_why == "@carol said no: v2 is worse"


def test_what_an_action_refuses_is_told_in_the_thread() -> None:
    play([
        (2, asks(by=CAROL), "not_allowed", ["record refused.not_allowed"]),
        (2, replace(asks(), frozen="the sale is on"), "frozen", ["record refused.frozen"]),
        (2, asks(), "planning", ["record requested", "draw PLN-1"]),
        (2, asks(), "already", []),
        (2, asks("PLN-2"), "already_planned", ["record refused.already_planned"]),
        (3, ev.PlanRefused(plan_id="PLN-1", why="v3 is the only version."), "plan_refused",
         ["record plan_refused", "post note", "headline"]),
        (3, ev.PlanDrawn(plan_id="PLN-1", draft=draft()), "already", []),
        (4, asks("PLN-2"), "planning", ["record requested", "draw PLN-2"]),
    ], opened())  # fmt: skip


def test_a_twin_under_another_description_is_still_a_twin() -> None:
    other = replace(asks("PLN-2"), subject=replace(SUBJECT, service=""), action="promote")

    play([(5, other, "already_planned", ["record refused.already_planned"])], running())


def test_a_careless_action_gets_no_plan() -> None:
    for careless in (replace(draft(), steps=()), replace(draft(), fingerprint={})):
        play([
            (2, asks(), "planning", ["record requested", "draw PLN-1"]),
            (2, ev.PlanDrawn(plan_id="PLN-1", draft=careless), "plan_refused",
             ["record plan_refused", "post note", "headline"]),
        ], opened())  # fmt: skip


def test_resolving_withdraws_what_waits_and_waits_for_what_runs() -> None:
    withdrawn = play([
        (3, ev.Resolved(by=ALICE), "resolved", [
            "record resolved", "stop paging", "record plan_expired", "card PLN-1", "headline", "post summary",
            "headline",
        ]),
        (4, approves(previewed(), BOB), "not_pending", ["record refused.not_pending"]),
    ], previewed())  # fmt: skip
    play([
        (5, ev.Resolved(by=ALICE), "action_running", ["record refused.action_running"]),
        (6, alerts("B", firing=0, ended=True), "all_clear", ["record alerts_cleared", "timer quiet at 11", "headline"]),
        (11, due(TimerKind.QUIET, epoch=0), "too_early", ["timer quiet at 16"]),
    ], running())  # fmt: skip

    assert withdrawn.plans[0].state is PlanState.EXPIRED


# plans that run


def test_a_crash_after_the_intent_is_looked_into_and_never_repeated_blindly() -> None:
    again = play([
        (4, begun(0), "step_begun", ["record step_begun", "card PLN-1", "headline"]),
        (4, begun(0), "look_first", []),  # another worker, or the same one after a crash, without a look
        (5, begun(0, after_attempt=1), "step_begun", ["card PLN-1", "headline"]),  # it looked: surely absent
        (5, begun(0, after_attempt=1), "look_first", []),
        (5, begun(1), "not_this_step", []),
        (5, seen(1, Outcome.DONE), "not_this_step", []),
        (6, seen(0, Outcome.DONE), "step_done", ["record step_done", "step PLN-1 1", "card PLN-1", "headline"]),
        (6, seen(0, Outcome.DONE), "not_this_step", []),
        (6, seen(1, Outcome.DONE), "not_this_step", []),  # nobody began it
    ], running())  # fmt: skip

    assert (again.plans[0].steps[0].attempts, again.plans[0].state) == (2, PlanState.WATCHING)


def test_proof_that_does_not_come_in_time_is_unknown_and_not_success() -> None:
    unsure = play([
        (5, begun(1), "step_begun", ["record step_begun", "card PLN-1", "headline"]),
        (14.9, seen(1, Outcome.NOT_YET, "v3 is served"), "not_yet",
         ["step PLN-1 1 after 3 s", "card PLN-1", "headline"]),
        (15, seen(1, Outcome.NOT_YET, "v3 is served"), "plan_unknown",
         ["record plan_unknown", "card PLN-1", "headline"]),
        (16, seen(1, Outcome.DONE), "already", []),
    ], watching())  # fmt: skip

    assert unsure.plans[0].ended_why == "Not proven in time: v3 is served. Look yourself before calling it done."
    assert [step.state for step in unsure.plans[0].steps] == [StepState.DONE, StepState.UNKNOWN]


def test_a_change_that_never_shows_is_given_up_too() -> None:
    play([
        (4, begun(0), "step_begun", ["record step_begun", "card PLN-1", "headline"]),
        (13, seen(0, Outcome.NOT_YET, "on its way"), "not_yet", ["step PLN-1 0 after 3 s", "card PLN-1", "headline"]),
        (14, seen(0, Outcome.NOT_YET, "on its way"), "plan_unknown", ["record plan_unknown", "card PLN-1", "headline"]),
    ], running())  # fmt: skip


def test_a_failed_and_an_unknown_step_end_the_plan_and_mark_nothing() -> None:
    for outcome, code in ((Outcome.FAILED, "plan_failed"), (Outcome.UNKNOWN, "plan_unknown")):
        play([
            (4, begun(0), "step_begun", ["record step_begun", "card PLN-1", "headline"]),
            (5, seen(0, outcome), code, [f"record {code}", "card PLN-1", "headline"]),
            (5, seen(0, Outcome.DONE), "already", []),
            (6, asks("PLN-2"), "planning", ["record requested", "draw PLN-2"]),
        ], running())  # fmt: skip


def test_without_a_proof_there_is_no_success() -> None:
    unproven = replace(draft(), steps=draft().steps[:1])
    shown = play([
        (2, asks(), "planning", ["record requested", "draw PLN-1"]),
        (2, ev.PlanDrawn(plan_id="PLN-1", draft=unproven), "previewed",
         ["record previewed", "timer expire PLN-1 at 17", "card PLN-1", "headline"]),
    ], opened())  # fmt: skip

    play([
        (3, approves(shown, BOB), "approved", ["record approved", "reread PLN-1", "card PLN-1", "headline"]),
        (3, reread(), "started", ["record started", "step PLN-1 0", "card PLN-1", "headline"]),
        (3, begun(0), "step_begun", ["record step_begun", "card PLN-1", "headline"]),
        (4, seen(0, Outcome.DONE), "plan_unknown",
         ["record step_done", "record plan_unknown", "card PLN-1", "headline"]),
    ], shown)  # fmt: skip


def test_the_glass_is_broken_once() -> None:
    reason = "nobody answers and nothing is served"
    before = previewed()
    play([
        (3, approves(before, ALICE, break_glass="short"), "no_reason", ["record refused.no_reason"]),
        (3, approves(before, ALICE, break_glass=reason), "approved", [
            "record approved", "record glass_broken", "debt of alice",
            f"page user:UBOB: break glass by @alice: {reason}",
            f"page user:UCAROL: break glass by @alice: {reason}", "reread PLN-1", "card PLN-1", "headline",
        ]),
    ], before)  # fmt: skip


# a change without an incident


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
