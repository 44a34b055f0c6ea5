"""Stories of plans: those that do not get far, and those that run, crash and wait for proof."""

from __future__ import annotations

from dataclasses import replace

from bot import events as ev
from bot.model import (
    Outcome,
    PlanState,
    StepState,
    TimerKind,
)
from tests.core.script import (
    alerts,
    approved,
    approves,
    asks,
    begun,
    due,
    opened,
    previewed,
    reread,
    running,
    seen,
    watching,
)
from tests.core.stage import ALICE, BOB, CAROL, MALLORY, SUBJECT, draft
from tests.core.transcript import play


def test_the_target_moved_so_the_plan_is_void_and_a_new_preview_follows() -> None:
    moved = play([
        (5, reread(alias="4"), "plan_void", ["draw PLN-2", "record plan_void", "card PLN-1", "headline"]),
        (5, reread(alias="4"), "already", []),
        (6, ev.PlanDrawn(plan_id="PLN-2", draft=draft()), "previewed",
         ["record previewed", "timer expire PLN-2 at 21", "card PLN-2", "headline"]),
    ], approved())  # fmt: skip

    assert moved.plans[0].ended_why == "Void, nothing was changed: alias was 3, is 4. A new preview follows."
    assert (moved.plans[1].replaces, moved.plans[1].votes) == ("PLN-1", ())


def test_a_preview_that_says_no_is_shown_and_asks_nobody() -> None:
    """A gate that failed: people see what was judged on the card, and there is nothing to approve."""
    said_no = replace(draft(), refusal="the gate says no", checks=(("FAIL", "accuracy", "0.4", "at least 0.9"),))
    refused = play([
        (1, asks(), "planning", ["record requested", "draw PLN-1"]),
        (2, ev.PlanDrawn(plan_id="PLN-1", draft=said_no), "plan_refused",
         ["record plan_refused", "card PLN-1", "headline"]),
        (3, approves(previewed(), BOB), "not_pending", ["record refused.not_pending"]),
    ], opened())  # fmt: skip

    plan = refused.plans[0]
    assert (plan.state, plan.ended_why, plan.steps) == (PlanState.REFUSED, "the gate says no", ())
    assert plan.draft is not None
    assert plan.draft.checks == said_no.checks


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
