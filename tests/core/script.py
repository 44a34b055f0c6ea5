"""Words for the scripts: events with their usual contents, and incidents that have come a certain way."""

from __future__ import annotations

from dataclasses import replace

from bot import events as ev
from bot.model import (
    Alert,
    Incident,
    Outcome,
    TimerKind,
    Who,
)
from tests.core.stage import ALICE, BOB, FACTS, SUBJECT, T0, draft
from tests.core.transcript import Line, play

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
