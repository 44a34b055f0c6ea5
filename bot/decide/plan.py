"""The life of a guarded action: asked for, previewed, approved, read again, carried out step by step, proven.

What binds an approval is the digest of the preview. What protects the target is the second reading just before the
start: if anything the preview relied on has changed, the plan is void and a new preview is drawn; old approvals do not
carry over. A step's intent is stored before its foreign call, so that after a crash the step is observed and never
blindly repeated.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from bot import events as ev
from bot.decide import ladder
from bot.decide.results import changed, late, refused
from bot.effects import (
    Decision,
    DrawPlan,
    Effect,
    MarkBad,
    OpenDebt,
    Page,
    PostToThread,
    Record,
    RereadTarget,
    RunStep,
    SetTimer,
    ShowCard,
    Why,
)  # fmt: skip
from bot.events import Event
from bot.model import (
    LOCKING_PLAN_STATES,
    SYSTEM,
    Incident,
    IncidentKind,
    Outcome,
    Plan,
    PlanState,
    Step,
    StepState,
    TimerKind,
    Vote,
    Who,
    digest_of,
)  # fmt: skip
from bot.policy import Policy
from bot.policy.approval import expiry, may_approve, may_request, may_start, refuse, rule_for
from bot.states import PLAN

LOOK_AGAIN = timedelta(seconds=3)  # between two looks at a proof that is not there yet
_ENDED = {
    PlanState.VERIFIED: "verified", PlanState.FAILED: "failed", PlanState.UNKNOWN: "unknown",
    PlanState.REFUSED: "refused", PlanState.REJECTED: "rejected", PlanState.EXPIRED: "expired", PlanState.VOID: "void",
}  # fmt: skip


def decide_plan(incident: Incident, event: Event, now: datetime, policy: Policy) -> Decision:
    """Everything about plans except their expiry timer."""
    match event:
        case ev.ActionRequested():
            return requested(incident, event, now, policy)
        case ev.PlanDrawn():
            return drawn(incident, event, now, policy)
        case ev.PlanRefused():
            return plan_refused(incident, event, now)
        case ev.ApproveClicked():
            return approve_clicked(incident, event, now, policy)
        case ev.RejectClicked():
            return reject_clicked(incident, event, now, policy)
        case ev.TargetReread():
            return target_reread(incident, event, now, policy)
        case ev.StepBegun():
            return step_begun(incident, event, now)
        case ev.StepObserved():
            return step_observed(incident, event, now)
        case _:
            return late(incident, "not_for_plans", "Nothing to decide.")


def requested(incident: Incident, event: ev.ActionRequested, now: datetime, policy: Policy) -> Decision:
    """A person asks for a guarded action: gather the facts for its preview."""
    if incident.plan(event.plan_id) is not None:
        return late(incident, "already", f"Plan {event.plan_id} exists already.")
    verdict = may_request(policy, policy.system(event.subject.system), event.by)
    if verdict.refused:
        return refused(incident, verdict, event.by, action=event.action)
    if event.frozen:
        return refused(
            incident, refuse("frozen", f"Changes are frozen: {event.frozen}."), event.by, action=event.action
        )
    twin = _live_twin(incident, event)
    if twin is not None:
        text = f"Plan {twin.id} for the same target is {twin.state}; use its card in the thread."
        return refused(incident, refuse("already_planned", text), event.by, action=event.action)
    plan = Plan(
        id=event.plan_id, action=event.action, subject=event.subject, request=event.request, requested_by=event.by,
        requested_at=now, reason=event.reason, replaces=event.replaces,
    )  # fmt: skip
    text = f"Planning {event.action} of {event.subject.label}…"
    record = Record(
        kind="requested", by=event.by, text=f"asked for {event.action} of {event.subject.label}", data={"plan": plan.id}
    )
    moved = replace(incident, plans=(*incident.plans, plan))
    effects = (record, DrawPlan(plan_id=plan.id))
    return Decision(incident=moved, effects=effects, why=Why(code="planning", text=text))


def drawn(incident: Incident, event: ev.PlanDrawn, now: datetime, policy: Policy) -> Decision:
    """The preview is ready: show the card and wait for approval."""
    plan, none = _plan(incident, event.plan_id, "drawn")
    if plan is None:
        return none
    system = policy.system(plan.subject.system)
    until = now + expiry(system, incident.severity)
    plan = replace(
        plan, state=PlanState.PENDING, draft=event.draft, steps=event.draft.steps, expires_at=until,
        digest=digest_of(plan.action, plan.subject, event.draft), needed=rule_for(system, event.draft.tier).needed,
    )  # fmt: skip
    record = Record(kind="previewed", by=SYSTEM, text=event.draft.title, data={"plan": plan.id, "digest": plan.digest})
    timer = SetTimer(kind=TimerKind.EXPIRE, due_at=until, epoch=0, plan_id=plan.id)
    return _with(incident, plan, "previewed", event.draft.title, record, timer)


def plan_refused(incident: Incident, event: ev.PlanRefused, now: datetime) -> Decision:
    """A guard said no before anybody was asked."""
    plan, none = _plan(incident, event.plan_id, "refused")
    if plan is None:
        return none
    return _end(incident, plan, PlanState.REFUSED, event.why, now)


def approve_clicked(incident: Incident, event: ev.ApproveClicked, now: datetime, policy: Policy) -> Decision:
    """A person approves: enough approvals make the target be read again."""
    plan = incident.plan(event.plan_id)
    if plan is None:
        return refused(incident, refuse("no_plan", "There is no such plan any more."), event.by, plan=event.plan_id)
    if plan.state is not PlanState.PENDING:
        return refused(incident, refuse("not_pending", _answered(plan)), event.by, plan=plan.id)
    verdict = may_approve(plan, incident, event, policy, now)
    if verdict.refused:
        return refused(incident, verdict, event.by, plan=plan.id)
    broke = event.break_glass if event.by == plan.requested_by and event.break_glass else ""
    plan = replace(plan, votes=(*plan.votes, Vote(by=event.by, at=now, break_glass=broke)))
    record = Record(
        kind="approved", by=event.by, text=f"approved plan {plan.id}", data={"plan": plan.id, "digest": plan.digest}
    )
    effects: tuple[Effect, ...] = (record,)
    if broke:
        effects = (*effects, *_glass_broken(incident, plan, event.by, broke, policy, now))
    if len({vote.by for vote in plan.votes}) < plan.needed and not broke:
        text = f"Approval {len(plan.votes)} of {plan.needed} is in."
        return _with(incident, plan, "voted", text, *effects)
    plan = replace(plan, state=PlanState.APPROVED, approved_at=now)
    text = f"Approved. Reading {plan.subject.label} again before anything is changed…"
    return _with(incident, plan, "approved", text, *effects, RereadTarget(plan_id=plan.id))


def reject_clicked(incident: Incident, event: ev.RejectClicked, now: datetime, policy: Policy) -> Decision:
    """A person says no; the requester may withdraw, an approver may veto."""
    plan = incident.plan(event.plan_id)
    if plan is None:
        return refused(incident, refuse("no_plan", "There is no such plan any more."), event.by, plan=event.plan_id)
    if PLAN.next(plan.state, "rejected") is None:
        return refused(incident, refuse("not_pending", _answered(plan)), event.by, plan=plan.id)
    rule = rule_for(policy.system(plan.subject.system), plan.draft.tier if plan.draft else "")
    person = policy.person(event.by)
    if event.by != plan.requested_by and (person is None or not person.roles & rule.roles):
        why = refuse("not_allowed", "Only the person who asked, or an approver, can reject this plan.")
        return refused(incident, why, event.by, plan=plan.id)
    text = f"{ladder.on_it(event.by)} said no: {event.reason[:500] or 'no reason given'}"
    return _end(incident, plan, PlanState.REJECTED, text, now, by=event.by)


def expired(incident: Incident, event: ev.TimerDue, now: datetime, policy: Policy) -> Decision:
    """Nobody approved in time."""
    del policy
    plan = incident.plan(event.plan_id)
    if plan is None or plan.state is not PlanState.PENDING or plan.expires_at is None:
        return late(incident, "stale_timer", "The plan was answered before its time was over.")
    if now < plan.expires_at:
        again = SetTimer(kind=TimerKind.EXPIRE, due_at=plan.expires_at, epoch=0, plan_id=plan.id)
        return Decision(incident=incident, effects=(again,), why=Why(code="too_early", text="Not due yet."))
    return _end(
        incident,
        plan,
        PlanState.EXPIRED,
        "Nobody approved in time. Nothing was changed; ask again if it is still needed.",
        now,
    )


def target_reread(incident: Incident, event: ev.TargetReread, now: datetime, policy: Policy) -> Decision:
    """The last look before the first change: start, or void the plan and preview anew."""
    plan = incident.plan(event.plan_id)
    if plan is None or plan.state is not PlanState.APPROVED or plan.draft is None:
        return late(incident, "already", "The plan is past this point.")
    moved = differences(plan.draft.fingerprint, event.fingerprint)
    if moved:
        return _voided(incident, plan, moved, event.next_plan_id, now)
    verdict = may_start(plan, policy, now, locked_by=event.locked_by, frozen=event.frozen)
    if verdict.refused:
        state = PlanState.EXPIRED if verdict.code == "expired" else PlanState.REFUSED
        return _end(incident, plan, state, f"Not started, nothing was changed: {verdict.text}", now)
    inverse = plan.draft.inverse_text
    plan = replace(plan, state=PlanState.RUNNING, started_at=now)
    record = Record(
        kind="started", by=SYSTEM, text=f"started plan {plan.id}: nothing has moved since the preview",
        data={"plan": plan.id, "inverse": inverse},
    )  # fmt: skip
    return _with(incident, plan, "started", "The target is unchanged; starting.", record, *_run_next(plan))


def step_begun(incident: Incident, event: ev.StepBegun, now: datetime) -> Decision:
    """The intent to make a step's call is written down before the call."""
    plan, none = _plan(incident, event.plan_id, "step_begun")
    if plan is None:
        return none
    if plan.next_step() != event.index:
        return late(incident, "not_this_step", "The plan is at another step.")
    step = plan.steps[event.index]
    begun = replace(step, state=StepState.STARTED, attempts=step.attempts + 1, started_at=step.started_at or now)
    plan = _put(plan, event.index, begun)
    record = Record(kind="step_begun", by=SYSTEM, text=step.sentence, data={"plan": plan.id, "step": step.name})
    return _with(incident, plan, "step_begun", step.sentence, *(() if step.attempts else (record,)))


def step_observed(incident: Incident, event: ev.StepObserved, now: datetime) -> Decision:
    """What came of a step: go on, look again, or end."""
    plan, none = _plan(incident, event.plan_id, "step_done")
    if plan is None:
        return none
    if plan.next_step() != event.index:
        return late(incident, "not_this_step", "The plan is at another step.")
    match event.outcome:
        case Outcome.DONE:
            return _step_done(incident, plan, event, now)
        case Outcome.NOT_YET:
            return _not_yet(incident, plan, event, now)
        case Outcome.FAILED:
            plan = _put(plan, event.index, _ended(plan.steps[event.index], StepState.FAILED, event.detail, now))
            return _end(incident, plan, PlanState.FAILED, event.detail, now)
        case Outcome.UNKNOWN:
            plan = _put(plan, event.index, _ended(plan.steps[event.index], StepState.UNKNOWN, event.detail, now))
            return _end(incident, plan, PlanState.UNKNOWN, event.detail, now)


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
    if following is None:
        proof = event.detail if step.proves else "Every step is done."
        return _end(incident, plan, PlanState.VERIFIED, proof, now, record)
    if plan.steps[following].proves and plan.state is PlanState.RUNNING:
        draft_watch = plan.draft.watch_for if plan.draft else timedelta(minutes=10)
        plan = replace(plan, state=PlanState.WATCHING, watch_until=now + draft_watch)
    return _with(incident, plan, "step_done", event.detail, record, *_run_next(plan))


def _not_yet(incident: Incident, plan: Plan, event: ev.StepObserved, now: datetime) -> Decision:
    step = plan.steps[event.index]
    if plan.watch_until is not None and now >= plan.watch_until:
        unsure = _put(plan, event.index, _ended(step, StepState.UNKNOWN, event.detail, now))
        text = f"Not proven in time: {event.detail}. Look yourself before calling it done."
        return _end(incident, unsure, PlanState.UNKNOWN, text, now)
    waiting = _put(plan, event.index, replace(step, detail=event.detail))
    again = RunStep(plan_id=plan.id, index=event.index, after=LOOK_AGAIN)
    if step.detail == event.detail:  # nothing new to show
        return Decision(
            incident=_stored(incident, waiting), effects=(again,), why=Why(code="not_yet", text=event.detail)
        )
    return _with(incident, waiting, "not_yet", event.detail, again)


def _voided(incident: Incident, plan: Plan, moved: tuple[str, ...], next_id: str, now: datetime) -> Decision:
    """The target moved: this plan is void, and a new preview with a new id is drawn for the same request."""
    text = f"Void, nothing was changed: {'; '.join(moved)}. A new preview follows."
    ended = _end(incident, plan, PlanState.VOID, text, now)
    fresh = Plan(
        id=next_id, action=plan.action, subject=plan.subject, request=plan.request, requested_by=plan.requested_by,
        requested_at=now, reason=plan.reason, replaces=plan.id,
    )  # fmt: skip
    if ended.incident is None:
        return ended
    stored = replace(ended.incident, plans=(*ended.incident.plans, fresh))
    return replace(ended, incident=stored, effects=(*ended.effects, DrawPlan(plan_id=fresh.id)))


def withdrawn(incident: Incident, now: datetime, by: Who) -> tuple[Incident, tuple[Effect, ...]]:
    """End the plans that wait for approval when their incident is over: what they were asked for is gone."""
    effects: tuple[Effect, ...] = ()
    for plan in incident.plans:
        state = PLAN.next(plan.state, "incident_over")
        if state is None:
            continue
        text = (
            f"{incident.id} was resolved before anybody approved. Nothing was changed; ask again if it is still needed."
        )
        ended = _end(incident, plan, state, text, now, by=by)
        incident = ended.incident or incident
        effects = (*effects, *ended.effects)
    return incident, effects


def _end(
    incident: Incident, plan: Plan, state: PlanState, text: str, now: datetime, *effects: Effect, by: Who = SYSTEM
) -> Decision:
    ended = replace(plan, state=state, ended_at=now, ended_why=text, ended_by=by)
    record = Record(kind=f"plan_{_ENDED[state]}", by=by, text=text, data={"plan": plan.id, "action": plan.action})
    extra: list[Effect] = [record]
    if plan.started_at is not None and plan.draft is not None and plan.draft.marks_bad and state is PlanState.VERIFIED:
        why = f"left by plan {plan.id}: {incident.severity_why}"
        extra.append(MarkBad(version=plan.draft.marks_bad, why=why, plan_id=plan.id))
    if plan.draft is None:  # there is no card to show the end on
        extra.append(PostToThread(template="note", data={"text": f"{plan.action}: {text}", "by": by.user_id}))
    decision = _with(incident, ended, f"plan_{_ENDED[state]}", text, *effects, *extra)
    return _close_change(decision, now)


def _close_change(decision: Decision, now: datetime) -> Decision:
    """A change without an incident is over with its last plan."""
    incident = decision.incident
    if incident is None or incident.kind is not IncidentKind.CHANGE or not incident.is_open:
        return decision
    last_is_void = incident.plans[-1].state is PlanState.VOID  # its replacement is about to be added
    if last_is_void or any(not plan.is_ended for plan in incident.plans):
        return decision
    stopped, effects = ladder.stop(incident)
    state = type(incident.state).RESOLVED
    closed = replace(stopped, state=state, resolved_at=now, resolved_by=SYSTEM)
    record = Record(kind="resolved", by=SYSTEM, text="the change is over")
    return replace(decision, incident=closed, effects=(*decision.effects, *effects, record))


def _glass_broken(
    incident: Incident, plan: Plan, by: Who, reason: str, policy: Policy, now: datetime
) -> tuple[Effect, ...]:
    """Breaking the glass is loud: the approvers who were skipped are paged, and a review is owed."""
    del now
    rule = rule_for(policy.system(plan.subject.system), plan.draft.tier if plan.draft else "")
    skipped = [person for person in policy.people if person.roles & rule.roles and person.who != by]
    pages = tuple(
        Page(
            number=0, target=f"user:{person.who.user_id}", late_by=timedelta(0), unique=f"glass.{plan.id}",
            reason=f"break glass by {ladder.on_it(by)}: {reason[:300]}",
        )
        for person in skipped
    )  # fmt: skip
    record = Record(kind="glass_broken", by=by, text=reason[:2000], data={"plan": plan.id, "incident": incident.id})
    return (record, OpenDebt(plan_id=plan.id, by=by, reason=reason[:2000]), *pages)


def _live_twin(incident: Incident, event: ev.ActionRequested) -> Plan | None:
    for plan in incident.plans:
        if plan.is_ended or plan.subject != event.subject:
            continue
        if plan.action == event.action or plan.state in LOCKING_PLAN_STATES:
            return plan
    return None


def _plan(incident: Incident, plan_id: str, event: str) -> tuple[Plan | None, Decision]:
    """The plan if it takes the event now; else None and the decision that says why not."""
    plan = incident.plan(plan_id)
    if plan is None:
        return None, late(incident, "no_plan", f"{incident.id} has no plan {plan_id}.")
    if PLAN.next(plan.state, event) is None:
        return None, late(incident, "already", _answered(plan))
    return plan, late(incident, "ok", "")


def _answered(plan: Plan) -> str:
    if plan.is_ended:
        return f"Plan {plan.id} is {plan.state}: {plan.ended_why}"
    if plan.approved_at is not None:
        who = ", ".join(ladder.on_it(vote.by) for vote in plan.votes)
        return f"Plan {plan.id} was approved by {who} and is {plan.state}."
    return f"Plan {plan.id} is {plan.state}."


def _run_next(plan: Plan) -> tuple[Effect, ...]:
    index = plan.next_step()
    return () if index is None else (RunStep(plan_id=plan.id, index=index),)


def _put(plan: Plan, index: int, step: Step) -> Plan:
    return replace(plan, steps=(*plan.steps[:index], step, *plan.steps[index + 1 :]))


def _ended(step: Step, state: StepState, detail: str, now: datetime) -> Step:
    return replace(step, state=state, detail=detail, ended_at=now, started_at=step.started_at or now)


def _stored(incident: Incident, plan: Plan) -> Incident:
    return replace(incident, plans=tuple(plan if old.id == plan.id else old for old in incident.plans))


def _with(incident: Incident, plan: Plan, code: str, text: str, *effects: Effect) -> Decision:
    return changed(_stored(incident, plan), code, text, *effects, ShowCard(plan_id=plan.id))
