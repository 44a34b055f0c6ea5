"""The card of a guarded action: preview, approval, progress and result in one message."""

from __future__ import annotations

from datetime import datetime

from bot.model import Incident, Plan, PlanState, Step, StepState
from bot.policy import ApprovalRule, Policy
from bot.policy.approval import names, rule_for
from bot.render.contexts import Button, Card, Confirm, StepLine, VoteLine
from bot.render.parts import PLAN_WORDS, STEP_WORDS, called, elapsed, lead, name_of, on_plan, took

_NEVER_BEGUN = frozenset({PlanState.REFUSED, PlanState.REJECTED, PlanState.EXPIRED, PlanState.VOID})
_NAMES_SHOWN = 5
_MAY_UNDO = frozenset({PlanState.VERIFIED, PlanState.FAILED, PlanState.UNKNOWN})


def card(incident: Incident, plan: Plan, policy: Policy, now: datetime) -> Card:
    """What the card says now."""
    del now  # times are shown as dates that each reader's Slack draws; nothing here grows stale
    draft = plan.draft
    system = policy.system(plan.subject.system)
    rule = rule_for(system, draft.tier if draft else "")
    title = draft.title if draft else f"{plan.action} of {plan.subject.label}"
    return Card(
        lead=lead(incident, f"{title} – {PLAN_WORDS[plan.state]}"),
        incident_id=incident.id,
        plan_id=plan.id,
        state=plan.state,
        state_words=PLAN_WORDS[plan.state],
        title=title,
        action=plan.action,
        subject=plan.subject.label,
        environment=system.environment,
        from_version=draft.from_ if draft else "",
        to_version=draft.to if draft else "",
        because=draft.because if draft else "",
        reason=plan.reason,
        requested_by=called(plan.requested_by),
        requested_at=plan.requested_at,
        steps=tuple(_step(number, step, plan) for number, step in enumerate(plan.steps, 1)),
        is_over=plan.is_ended,
        never_begun=plan.state in _NEVER_BEGUN,
        changes=draft.changes if draft else (),
        checks=draft.checks if draft else (),
        has_changed=has_changed(plan),
        inverse=draft.inverse_text if draft else "",
        warnings=draft.warnings if draft else (),
        blast=draft.blast if draft else "",
        tier=draft.tier if draft else "",
        needed=plan.needed,
        votes=tuple(VoteLine(by=called(vote.by), at=vote.at, break_glass=vote.break_glass) for vote in plan.votes),
        may_approve=_may_approve(plan, rule, policy) if plan.state is PlanState.PENDING else "",
        expires_at=plan.expires_at if plan.state is PlanState.PENDING else None,
        watch_until=plan.watch_until if plan.state is PlanState.WATCHING else None,
        ended_at=plan.ended_at,
        ended_by=name_of(plan.ended_by),
        ended_why=plan.ended_why,
        took=took(plan),
        replaces=plan.replaces,
        buttons=_buttons(plan, system.environment),
    )


def has_changed(plan: Plan) -> bool:
    """True when a step that changes something surely took effect."""
    return any(step.state is StepState.DONE and not step.proves for step in plan.steps)


def _step(number: int, step: Step, plan: Plan) -> StepLine:
    state = STEP_WORDS[step.state]
    if plan.started_at is None:
        state = ""  # a preview is read for what will be done, and nothing is done yet
    elif step.state is StepState.PENDING and plan.is_ended:
        state = "not proven" if step.proves else "not done"
    elif step.state is StepState.STARTED and step.proves:
        state = "watching"
    took_so_far = elapsed(step.started_at, step.ended_at) if step.started_at else None
    detail = "" if step.state is StepState.PENDING or step.detail in plan.ended_why else step.detail
    return StepLine(
        number=number, sentence=step.sentence, state=state, detail=detail, took=took_so_far, is_proof=step.proves
    )


def _may_approve(plan: Plan, rule: ApprovalRule, policy: Policy) -> str:
    """The rule in words, shown before the click: who can, and that it is not the person who asked."""
    able = [person for person in policy.people if person.roles & rule.roles and person.who != plan.requested_by]
    if not able:
        text = "Nobody else is set up to approve; add people to the configuration"
    else:
        text = ", ".join(f"@{person.key}" for person in able[:_NAMES_SHOWN])
        if len(able) > _NAMES_SHOWN:
            text += f" and {len(able) - _NAMES_SHOWN} more with the role {names(rule.roles)}"
        if plan.needed > 1:
            text = f"{plan.needed} of {text}"
    if rule.self_by_oncall and plan.needed == 1:
        return f"{text}; whoever is on call also their own request, while a P0 or P1 is open"
    return f"{text}; not {called(plan.requested_by)}, who asked"


def _buttons(plan: Plan, environment: str) -> tuple[Button, ...]:
    """Approve and Reject while it waits, Undo when there is something to undo, nothing in between."""
    if plan.state is PlanState.PENDING and plan.draft is not None:
        ask = Confirm(
            title=f"Approve plan {plan.id}?", yes="Approve",
            text=f"{plan.draft.title[:150]}. This changes {plan.subject.label[:60]} in {environment[:40]}.",
        )  # fmt: skip
        return (
            Button(action_id="approve", label="Approve", value=on_plan(plan), style="primary", confirm=ask),
            Button(action_id="reject", label="Reject…", value=on_plan(plan), style="danger"),
        )
    if plan.state in _MAY_UNDO and plan.draft is not None and plan.draft.inverse and has_changed(plan):
        return (Button(action_id="undo", label="Undo…", value=on_plan(plan)),)
    return ()
