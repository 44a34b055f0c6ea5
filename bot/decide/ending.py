"""How a plan ends, and what every part of a plan's life shares."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from bot.decide import ladder
from bot.decide.results import changed, late
from bot.effects import (
    Decision,
    Effect,
    MarkBad,
    PostToThread,
    Record,
    ShowCard,
)
from bot.model import (
    SYSTEM,
    Incident,
    IncidentKind,
    Plan,
    PlanState,
    Who,
)
from bot.states import PLAN


def taking(incident: Incident, plan_id: str, event: str) -> tuple[Plan | None, Decision]:
    """The plan if it takes the event now; else None and the decision that says why not."""
    plan = incident.plan(plan_id)
    if plan is None:
        return None, late(incident, "no_plan", f"{incident.id} has no plan {plan_id}.")
    if PLAN.next(plan.state, event) is None:
        return None, late(incident, "already", answered(plan))
    return plan, late(incident, "ok", "")


def answered(plan: Plan) -> str:
    """What became of the plan, for somebody who comes too late."""
    if plan.is_ended:
        return f"Plan {plan.id} is {plan.state}: {plan.ended_why}"
    if plan.approved_at is not None:
        who = ", ".join(ladder.on_it(vote.by) for vote in plan.votes)
        return f"Plan {plan.id} was approved by {who} and is {plan.state}."
    return f"Plan {plan.id} is {plan.state}."


def shown(incident: Incident, plan: Plan, code: str, text: str, *effects: Effect) -> Decision:
    """The plan changed: its card is shown anew. Before it is drawn there is nothing to show."""
    card = (ShowCard(plan_id=plan.id),) if plan.draft is not None else ()
    return changed(stored(incident, plan), code, text, *effects, *card)


def stored(incident: Incident, plan: Plan) -> Incident:
    """The incident with this state of the plan."""
    return replace(incident, plans=tuple(plan if old.id == plan.id else old for old in incident.plans))


def end(
    incident: Incident, plan: Plan, state: PlanState, text: str, now: datetime, *effects: Effect, by: Who = SYSTEM
) -> Decision:
    """End the plan in that state; `text` is the one sentence that says why."""
    ended = replace(plan, state=state, ended_at=now, ended_why=text, ended_by=by)
    record = Record(kind=f"plan_{state}", by=by, text=text, data={"plan": plan.id, "action": plan.action})
    extra: list[Effect] = [record]
    if plan.started_at is not None and plan.draft is not None and plan.draft.marks_bad and state is PlanState.VERIFIED:
        why = f"left by plan {plan.id}: {incident.severity_why}"
        extra.append(MarkBad(version=plan.draft.marks_bad, why=why, plan_id=plan.id))
    if plan.draft is None:  # there is no card to show the end on
        extra.append(PostToThread(template="note", data={"text": f"{plan.action}: {text}", "by": by.user_id}))
    decision = shown(incident, ended, f"plan_{state}", text, *effects, *extra)
    return close_change(decision, now)


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
        ended = end(incident, plan, state, text, now, by=by)
        incident = ended.incident or incident
        effects = (*effects, *ended.effects)
    return incident, effects


def close_change(decision: Decision, now: datetime) -> Decision:
    """A change without an incident is over with its last plan."""
    incident = decision.incident
    if incident is None or incident.kind is not IncidentKind.CHANGE or not incident.is_open:
        return decision
    if any(not plan.is_ended for plan in incident.plans):
        return decision
    stopped, effects = ladder.stop(incident)
    state = type(incident.state).RESOLVED
    closed = replace(stopped, state=state, resolved_at=now, resolved_by=SYSTEM)
    record = Record(kind="resolved", by=SYSTEM, text="the change is over")
    return replace(decision, incident=closed, effects=(*decision.effects, *effects, record))
