"""The first half of a guarded action: asked for, previewed, approved.

What binds an approval is the digest of the preview.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from bot import events as ev
from bot.decide import execution, ladder
from bot.decide.ending import answered, close_change, end, shown, taking
from bot.decide.results import NAME_CAP, ROWS_CAP, TITLE_CAP, WARNINGS_CAP, WORDS_CAP, late, refused, told
from bot.effects import (
    Decision,
    DrawPlan,
    Effect,
    OpenDebt,
    Page,
    Record,
    RereadTarget,
    SetTimer,
    Why,
)
from bot.events import Event
from bot.model import (
    LOCKING_PLAN_STATES,
    SYSTEM,
    Draft,
    Incident,
    Plan,
    PlanState,
    Step,
    TimerKind,
    Vote,
    Who,
    digest_of,
    target_key,
)
from bot.policy import Policy
from bot.policy.approval import (
    BROKEN_GLASS,
    expiry,
    is_quorum,
    may_approve,
    may_request,
    refuse,
    rule_for,
    target_is_free,
)
from bot.states import PLAN


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
            return execution.target_reread(incident, event, now, policy)
        case ev.StepBegun():
            return execution.step_begun(incident, event, now)
        case ev.StepObserved():
            return execution.step_observed(incident, event, now)
        case _:
            return late(incident, "not_for_plans", "Nothing to decide.")


def requested(incident: Incident, event: ev.ActionRequested, now: datetime, policy: Policy) -> Decision:
    """A person asks for a guarded action: gather the facts for its preview."""
    if incident.plan(event.plan_id) is not None:
        return late(incident, "already", f"Plan {event.plan_id} exists already.")
    verdict = _may_plan(incident, event, policy)
    if verdict.refused:
        return close_change(refused(incident, verdict, event.by, action=event.action), now)
    plan = Plan(
        id=event.plan_id, action=event.action, subject=event.subject, request=event.request, requested_by=event.by,
        requested_at=now, reason=told(event.reason, WORDS_CAP), replaces=event.replaces,
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
    plan, none = taking(incident, event.plan_id, "drawn")
    if plan is None:
        return none
    draft = _bounded(event.draft)
    fault = _fault(draft)
    if fault:
        return end(incident, plan, PlanState.REFUSED, fault, now)
    if draft.refusal:  # its card shows what was judged, and ends there
        return end(incident, replace(plan, draft=draft), PlanState.REFUSED, draft.refusal, now)
    system = policy.system(plan.subject.system)
    until = now + expiry(system, incident.severity)
    plan = replace(
        plan, state=PlanState.PENDING, draft=draft, steps=draft.steps, expires_at=until,
        digest=digest_of(plan.action, plan.subject, draft), needed=rule_for(system, draft.tier).needed,
    )  # fmt: skip
    record = Record(kind="previewed", by=SYSTEM, text=draft.title, data={"plan": plan.id, "digest": plan.digest})
    timer = SetTimer(kind=TimerKind.EXPIRE, due_at=until, epoch=0, plan_id=plan.id)
    return shown(incident, plan, "previewed", draft.title, record, timer)


def plan_refused(incident: Incident, event: ev.PlanRefused, now: datetime) -> Decision:
    """A guard said no before anybody was asked."""
    plan, none = taking(incident, event.plan_id, "refused")
    if plan is None:
        return none
    return end(incident, plan, PlanState.REFUSED, told(event.why, WORDS_CAP), now)


def approve_clicked(incident: Incident, event: ev.ApproveClicked, now: datetime, policy: Policy) -> Decision:
    """A person approves: enough approvals make the target be read again."""
    plan = incident.plan(event.plan_id)
    if plan is None:
        return refused(incident, refuse("no_plan", "There is no such plan any more."), event.by, plan=event.plan_id)
    if plan.state is not PlanState.PENDING:
        return refused(incident, refuse("not_pending", answered(plan)), event.by, plan=plan.id)
    verdict = may_approve(plan, incident, event, policy, now)
    if verdict.refused:
        return refused(incident, verdict, event.by, plan=plan.id)
    broke = told(event.break_glass, WORDS_CAP) if verdict.code == BROKEN_GLASS.code else ""
    plan = replace(plan, votes=(*plan.votes, Vote(by=event.by, at=now, break_glass=broke)))
    record = Record(
        kind="approved", by=event.by, text=f"approved plan {plan.id}", data={"plan": plan.id, "digest": plan.digest}
    )
    effects: tuple[Effect, ...] = (record,)
    if broke:
        effects = (*effects, *_glass_broken(incident, plan, event.by, broke, policy, now))
    if not is_quorum(plan, policy):
        text = f"Approval {len(plan.votes)} of {plan.needed} is in."
        return shown(incident, plan, "voted", text, *effects)
    plan = replace(plan, state=PlanState.APPROVED, approved_at=now)
    text = f"Approved. Reading {plan.subject.label} again before anything is changed…"
    return shown(incident, plan, "approved", text, *effects, RereadTarget(plan_id=plan.id))


def reject_clicked(incident: Incident, event: ev.RejectClicked, now: datetime, policy: Policy) -> Decision:
    """A person says no; the requester may withdraw, an approver may veto."""
    plan = incident.plan(event.plan_id)
    if plan is None:
        return refused(incident, refuse("no_plan", "There is no such plan any more."), event.by, plan=event.plan_id)
    if PLAN.next(plan.state, "rejected") is None:
        return refused(incident, refuse("not_pending", answered(plan)), event.by, plan=plan.id)
    rule = rule_for(policy.system(plan.subject.system), plan.draft.tier if plan.draft else "")
    person = policy.person(event.by)
    if event.by != plan.requested_by and (person is None or not person.roles & rule.roles):
        why = refuse("not_allowed", "Only the person who asked, or an approver, can reject this plan.")
        return refused(incident, why, event.by, plan=plan.id)
    text = f"{ladder.on_it(event.by)} said no: {told(event.reason, WORDS_CAP) or 'no reason given'}"
    return end(incident, plan, PlanState.REJECTED, text, now, by=event.by)


def expired(incident: Incident, event: ev.TimerDue, now: datetime, policy: Policy) -> Decision:
    """Nobody approved in time, or the target could not be read again in time."""
    del policy
    plan = incident.plan(event.plan_id)
    if plan is None or PLAN.next(plan.state, "expired") is None or plan.expires_at is None:
        return late(incident, "stale_timer", "The plan was answered before its time was over.")
    if now < plan.expires_at:
        again = SetTimer(kind=TimerKind.EXPIRE, due_at=plan.expires_at, epoch=0, plan_id=plan.id)
        return Decision(incident=incident, effects=(again,), why=Why(code="too_early", text="Not due yet."))
    text = "Nobody approved in time. Nothing was changed; ask again if it is still needed."
    if plan.state is PlanState.APPROVED:  # it must not hold the target's lock any longer
        text = "Approved, but the target could not be read again in time. Nothing was changed; ask again."
    return end(incident, plan, PlanState.EXPIRED, text, now)


def _glass_broken(
    incident: Incident, plan: Plan, by: Who, reason: str, policy: Policy, now: datetime
) -> tuple[Effect, ...]:
    """Breaking the glass is loud: the approvers who were skipped are paged, and a review is owed."""
    del now
    rule = rule_for(policy.system(plan.subject.system), plan.draft.tier if plan.draft else "")
    # Only a ladder's pages stop with an acknowledgement; these must arrive.
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


def _may_plan(incident: Incident, event: ev.ActionRequested, policy: Policy) -> Why:
    verdict = may_request(policy, policy.system(event.subject.system), event.by)
    if verdict.refused:
        return verdict
    verdict = target_is_free("", event.frozen)
    if verdict.refused:
        return verdict
    twin = _live_twin(incident, event)
    if twin is not None:
        text = f"Plan {twin.id} for the same target is {twin.state}; use its card in the thread."
        return refuse("already_planned", text)
    return verdict


def _fault(draft: Draft) -> str:
    """Why a proposal cannot be guarded, "" when it can: a bug in an action must not become an unguarded change."""
    if not draft.steps:
        return "No plan: the action proposed no steps. That is a fault in the action; nothing was changed."
    if not draft.fingerprint:
        return (
            "No plan: the action names nothing that could be checked before the start. That is a fault in the action."
        )
    return ""


def _bounded(draft: Draft) -> Draft:
    """The proposal with its prose capped and its steps not begun; arguments and facts are never cut."""
    steps = tuple(
        Step(name=step.name, sentence=told(step.sentence, WORDS_CAP), proves=step.proves) for step in draft.steps
    )
    return replace(
        draft, title=told(draft.title, TITLE_CAP, one_line=True), because=told(draft.because, WORDS_CAP), steps=steps,
        inverse_text=told(draft.inverse_text, WORDS_CAP), blast=told(draft.blast, WORDS_CAP),
        warnings=tuple(told(warning, WORDS_CAP) for warning in draft.warnings[:WARNINGS_CAP]),
        changes=tuple(told(line, WORDS_CAP) for line in draft.changes[:WARNINGS_CAP]),
        checks=tuple(_cells(row) for row in draft.checks[:ROWS_CAP]), refusal=told(draft.refusal, WORDS_CAP),
    )  # fmt: skip


def _cells(row: tuple[str, str, str, str]) -> tuple[str, str, str, str]:
    verdict, what, value, bound = (told(cell, NAME_CAP, one_line=True) for cell in row)
    return verdict, what, value, bound


def _live_twin(incident: Incident, event: ev.ActionRequested) -> Plan | None:
    for plan in incident.plans:
        if plan.is_ended or plan.target_key != target_key(event.subject):
            continue
        if plan.action == event.action or plan.state in LOCKING_PLAN_STATES:
            return plan
    return None
