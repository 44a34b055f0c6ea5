"""The second half of a guarded action: read again, carried out step by step, proven.

What protects the target is the second reading just before the start: if anything the preview relied on has changed, the
plan is void and a new preview is drawn; old approvals do not carry over. A step's intent is stored before its foreign
call, so that after a crash the step is observed and never blindly repeated.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from bot import events as ev
from bot.decide.ending import end, shown, stored, taking
from bot.decide.results import WORDS_CAP, late, told
from bot.effects import (
    Decision,
    DrawPlan,
    Effect,
    Record,
    RunStep,
    Why,
)
from bot.model import (
    SYSTEM,
    Incident,
    Outcome,
    Plan,
    PlanState,
    Step,
    StepState,
)
from bot.policy import Policy
from bot.policy.approval import (
    may_start,
)

LOOK_AGAIN = timedelta(seconds=3)  # between two looks at a proof that is not there yet


def target_reread(incident: Incident, event: ev.TargetReread, now: datetime, policy: Policy) -> Decision:
    """The last look before the first change: start, or void the plan and preview anew."""
    plan = incident.plan(event.plan_id)
    if plan is None or plan.state is not PlanState.APPROVED or plan.draft is None:
        return late(incident, "already", "The plan is past this point.")
    moved = differences(plan.draft.fingerprint, event.fingerprint)
    if moved:
        return _voided(incident, plan, moved, event.next_plan_id, now)
    verdict = may_start(plan, incident, policy, now, locked_by=event.locked_by, frozen=event.frozen)
    if verdict.refused:
        state = PlanState.EXPIRED if verdict.code == "expired" else PlanState.REFUSED
        return end(incident, plan, state, f"Not started, nothing was changed: {verdict.text}", now)
    inverse = plan.draft.inverse_text
    plan = replace(plan, state=PlanState.RUNNING, started_at=now)
    record = Record(
        kind="started", by=SYSTEM, text=f"started plan {plan.id}: nothing has moved since the preview",
        data={"plan": plan.id, "inverse": inverse},
    )  # fmt: skip
    return shown(incident, plan, "started", "The target is unchanged; starting.", record, *_run_next(plan))


def step_begun(incident: Incident, event: ev.StepBegun, now: datetime) -> Decision:
    """The intent to make a step's call is written down before the call."""
    plan, none = taking(incident, event.plan_id, "step_begun")
    if plan is None:
        return none
    if plan.next_step() != event.index:
        return late(incident, "not_this_step", "The plan is at another step.")
    step = plan.steps[event.index]
    if step.attempts != event.after_attempt:
        # Begun by somebody else meanwhile: whoever wants to call again has to look at what that call did first.
        return late(incident, "look_first", f"Step {step.name} was begun already; look at its effect first.")
    begun = replace(step, state=StepState.STARTED, attempts=step.attempts + 1, started_at=step.started_at or now)
    plan = _put(plan, event.index, begun)
    record = Record(kind="step_begun", by=SYSTEM, text=step.sentence, data={"plan": plan.id, "step": step.name})
    return shown(incident, plan, "step_begun", step.sentence, *(() if step.attempts else (record,)))


def step_observed(incident: Incident, event: ev.StepObserved, now: datetime) -> Decision:
    """What came of a step: go on, look again, or end."""
    plan, none = taking(incident, event.plan_id, "step_done")
    if plan is None:
        return none
    if plan.next_step() != event.index or plan.steps[event.index].state is not StepState.STARTED:
        return late(incident, "not_this_step", "The plan is at another step.")
    event = replace(event, detail=told(event.detail, WORDS_CAP))
    match event.outcome:
        case Outcome.DONE:
            return _step_done(incident, plan, event, now)
        case Outcome.NOT_YET:
            return _not_yet(incident, plan, event, now)
        case Outcome.FAILED:
            plan = _put(plan, event.index, _ended(plan.steps[event.index], StepState.FAILED, event.detail, now))
            return end(incident, plan, PlanState.FAILED, event.detail, now)
        case Outcome.UNKNOWN:
            plan = _put(plan, event.index, _ended(plan.steps[event.index], StepState.UNKNOWN, event.detail, now))
            return end(incident, plan, PlanState.UNKNOWN, event.detail, now)


def differences(before: dict[str, str], after: dict[str, str]) -> tuple[str, ...]:
    """What moved between preview and start, in words; a fact that can no longer be read counts as moved."""
    names = sorted(before.keys() | after.keys())
    return tuple(
        f"{name} was {before.get(name, 'absent')}, is {after.get(name, 'absent')}"
        for name in names
        if before.get(name) != after.get(name)
    )


def _step_done(incident: Incident, plan: Plan, event: ev.StepObserved, now: datetime) -> Decision:
    step = plan.steps[event.index]
    plan = _put(plan, event.index, _ended(step, StepState.DONE, event.detail, now))
    record = Record(kind="step_done", by=SYSTEM, text=event.detail, data={"plan": plan.id, "step": step.name})
    following = plan.next_step()
    if following is None and not step.proves:
        text = "Every step was carried out, but nothing proves the effect. Look yourself before calling it done."
        return end(incident, plan, PlanState.UNKNOWN, text, now, record)
    if following is None:
        return end(incident, plan, PlanState.VERIFIED, event.detail, now, record)
    if plan.steps[following].proves and plan.state is PlanState.RUNNING:
        draft_watch = plan.draft.watch_for if plan.draft else timedelta(minutes=10)
        plan = replace(plan, state=PlanState.WATCHING, watch_until=now + draft_watch)
    return shown(incident, plan, "step_done", event.detail, record, *_run_next(plan))


def _not_yet(incident: Incident, plan: Plan, event: ev.StepObserved, now: datetime) -> Decision:
    step = plan.steps[event.index]
    if now >= _watch_until(plan, step, now):
        unsure = _put(plan, event.index, _ended(step, StepState.UNKNOWN, event.detail, now))
        text = f"Not proven in time: {event.detail.rstrip('.')}. Look yourself before calling it done."
        return end(incident, unsure, PlanState.UNKNOWN, text, now)
    waiting = _put(plan, event.index, replace(step, detail=event.detail))
    again = RunStep(plan_id=plan.id, index=event.index, after=LOOK_AGAIN)
    if step.detail == event.detail:  # nothing new to show
        return Decision(
            incident=stored(incident, waiting), effects=(again,), why=Why(code="not_yet", text=event.detail)
        )
    return shown(incident, waiting, "not_yet", event.detail, again)


def _watch_until(plan: Plan, step: Step, now: datetime) -> datetime:
    """When waiting for this step's effect ends: for the proofs together, for a change on its own."""
    if plan.watch_until is not None:
        return plan.watch_until
    return (step.started_at or now) + (plan.draft.watch_for if plan.draft else timedelta(0))


def _voided(incident: Incident, plan: Plan, moved: tuple[str, ...], next_id: str, now: datetime) -> Decision:
    """The target moved: this plan is void, and a new preview with a new id is drawn for the same request."""
    what = told("; ".join(moved), WORDS_CAP)
    if not next_id or incident.plan(next_id) is not None:
        return end(incident, plan, PlanState.VOID, f"Void, nothing was changed: {what}. Ask again.", now)
    fresh = Plan(
        id=next_id, action=plan.action, subject=plan.subject, request=plan.request, requested_by=plan.requested_by,
        requested_at=now, reason=plan.reason, replaces=plan.id,
    )  # fmt: skip
    incident = replace(incident, plans=(*incident.plans, fresh))
    text = f"Void, nothing was changed: {what}. A new preview follows."
    return end(incident, plan, PlanState.VOID, text, now, DrawPlan(plan_id=fresh.id))


def _run_next(plan: Plan) -> tuple[Effect, ...]:
    index = plan.next_step()
    return () if index is None else (RunStep(plan_id=plan.id, index=index),)


def _put(plan: Plan, index: int, step: Step) -> Plan:
    return replace(plan, steps=(*plan.steps[:index], step, *plan.steps[index + 1 :]))


def _ended(step: Step, state: StepState, detail: str, now: datetime) -> Step:
    return replace(step, state=state, detail=detail, ended_at=now, started_at=step.started_at or now)
