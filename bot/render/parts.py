"""Pieces that several messages share: names, plans in one line, buttons, and the first sentence."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from bot.model import Incident, IncidentKind, Plan, PlanState, Severity, StepState, Who
from bot.policy import Policy
from bot.render.contexts import Button, Name, PagedLine, PlanLine

SEVERITY_WORDS = {Severity.P0: "critical", Severity.P1: "high", Severity.P2: "medium", Severity.P3: "low"}
PLAN_WORDS = {
    PlanState.DRAWING: "being planned",
    PlanState.PENDING: "waiting for approval",
    PlanState.APPROVED: "approved, reading the target once more",
    PlanState.RUNNING: "running",
    PlanState.WATCHING: "changed, not proven yet",
    PlanState.VERIFIED: "verified",
    PlanState.FAILED: "failed",
    PlanState.UNKNOWN: "unknown, a person must look",
    PlanState.REFUSED: "refused",
    PlanState.REJECTED: "rejected",
    PlanState.EXPIRED: "expired",
    PlanState.VOID: "void",
}
STEP_WORDS = {
    StepState.PENDING: "to do",
    StepState.STARTED: "running",
    StepState.DONE: "done",
    StepState.FAILED: "failed",
    StepState.UNKNOWN: "unknown",
}
_LABELS = {"rollback": "Roll back…", "set-image": "Set image…", "traffic": "Shift traffic…"}
_BOT = "mlops-bot"
_BRIEF = 110  # characters: what fits beside a plan's title in one more line
_UNHAPPY = frozenset({
    PlanState.FAILED, PlanState.UNKNOWN, PlanState.REFUSED, PlanState.REJECTED, PlanState.EXPIRED, PlanState.VOID,
})  # fmt: skip
_SAID_BY_STATE = re.compile(r"^(Void|Not started), nothing was changed: ")  # the word beside it says as much
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z“])")

NOTEWORTHY = timedelta(seconds=5)  # a page that is less late than this is on time for a person


def name_of(who: Who | None) -> Name | None:
    """A person's name for a message, None where there is nobody."""
    if who is None:
        return None
    if who.user_id == _BOT:
        return Name(name=_BOT)
    return Name(name=who.name or who.user_id, user_id=who.user_id)


def called(who: Who) -> Name:
    """A person's name for a message."""
    return name_of(who) or Name(name="nobody")


def addressed(address: str, policy: Policy) -> Name:
    """The name behind "user:U1" or "channel:C1"."""
    kind, _, ident = address.partition(":")
    if kind == "channel":
        return Name(name=ident)
    if kind == "group":
        return Name(name=f"user group {ident}")
    listed = next((person.who for person in policy.people if person.who.user_id == ident), None)
    return Name(name=listed.name if listed and listed.name else ident, user_id=ident)


def lead(incident: Incident, tail: str) -> str:
    """Severity, subject and what it is about: what a locked phone shows."""
    word = "Change" if incident.kind is IncidentKind.CHANGE else str(incident.severity)
    return f"{word} {incident.subject.label[:80]}: {tail[:600]}"


def plan_line(plan: Plan) -> PlanLine:
    """A plan in one line."""
    title = plan.draft.title if plan.draft else f"{plan.action} {plan.subject.label}"
    return PlanLine(
        id=plan.id, title=title, state=PLAN_WORDS[plan.state], why=plan.ended_why, brief=_brief(plan), took=took(plan)
    )


def _brief(plan: Plan) -> str:
    """The first sentence of why a plan did not end well, without what its state says anyway."""
    if plan.state not in _UNHAPPY:
        return ""
    why = _SAID_BY_STATE.sub("", " ".join(plan.ended_why.split()))
    first = _SENTENCE_END.split(why, maxsplit=1)[0].rstrip(".")
    return first if len(first) <= _BRIEF else f"{first[: _BRIEF - 1].rstrip()}…"


def took(plan: Plan) -> timedelta | None:
    """From the start of the first change to the end; None while it runs or when nothing was started."""
    if plan.started_at is None or plan.ended_at is None:
        return None
    return max(plan.ended_at - plan.started_at, timedelta(0))


def paged_lines(incident: Incident, policy: Policy, newest: int) -> tuple[PagedLine, ...]:
    """The latest pages, oldest first."""
    return tuple(
        PagedLine(
            number=paged.number, at=paged.at, whom=tuple(addressed(one, policy) for one in paged.whom),
            late_by=paged.late_by if paged.late_by >= NOTEWORTHY else timedelta(0), why=paged.why,
        )
        for paged in incident.escalation.paged[-newest:]
    )  # fmt: skip


def on_incident(incident: Incident) -> str:
    """What a button of this incident carries."""
    return f"{incident.id}|{incident.epoch}"


def on_plan(plan: Plan) -> str:
    """What a button of this plan carries: a click on an outdated card is told by the digest."""
    return f"{plan.id}|{plan.digest[:16]}"


def action_button(verb: str, incident: Incident) -> Button:
    """A button that asks for a guarded action; the dots say that more follows."""
    label = _LABELS.get(verb, f"{verb[:1].upper()}{verb[1:]}…")
    return Button(action_id=f"act:{verb}", label=label, value=on_incident(incident))


def elapsed(start: datetime, end: datetime | None) -> timedelta | None:
    """The time between, never negative; None where there is no end."""
    return None if end is None else max(end - start, timedelta(0))
