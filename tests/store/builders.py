"""Small things the store's tests are about. Times are minutes after one fixed moment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from bot.effects import Decision, Effect, ShowHeadline, Why
from bot.model import (
    Alert,
    Draft,
    Escalation,
    EscalationState,
    Finding,
    Incident,
    IncidentKind,
    IncidentState,
    Level,
    Paged,
    Plan,
    PlanState,
    Severity,
    Step,
    StepState,
    Subject,
    Subscription,
    Vote,
    Who,
)
from bot.store import Job, Store

AUDIT_KEY = b"a key that only the tests know....."
T0 = datetime(2026, 3, 2, 9, 0, 0, 123_457, tzinfo=UTC)
LEASE = timedelta(seconds=30)
ALICE = Who(team_id="T1", user_id="UALICE", name="alice")
BOB = Who(team_id="T1", user_id="UBOB", name="bob")
MALLORY = Who(team_id="T2", user_id="UALICE", name="alice")
SUBJECT = Subject(system="shop", service="api", model="intent")
WHY = Why(code="test", text="a test says so")


def at(minutes: float) -> datetime:
    return T0 + timedelta(minutes=minutes)


def escalation(**changes: Any) -> Escalation:
    base = Escalation(
        state=EscalationState.ARMED, base_at=T0, next_number=1, next_due_at=at(15), repeat_every=timedelta(minutes=30),
        levels=(Level(number=1, after=timedelta(minutes=15), targets=("oncall", "channel:C1")),),
    )  # fmt: skip
    return replace(base, **changes)


def incident(incident_id: str = "INC-1", **changes: Any) -> Incident:
    base = Incident(
        id=incident_id, key=f"key of {incident_id}", kind=IncidentKind.ALERT, state=IncidentState.OPEN, epoch=1,
        severity=Severity.P1, severity_why="rule", subject=SUBJECT, title="Accuracy is low", symptom="it is",
        channel="#ml", opened_at=T0, started_at=T0, escalation=escalation(),
    )  # fmt: skip
    return replace(base, **changes)


def plan(plan_id: str = "PLN-1", **changes: Any) -> Plan:
    base = Plan(
        id=plan_id, action="rollback", subject=SUBJECT, request={"model": "intent"}, requested_by=ALICE, requested_at=T0
    )
    return replace(base, **changes)


def full_incident() -> Incident:
    """An incident with something in every field."""
    step = Step(
        name="move alias", sentence="moves it", proves=True, state=StepState.STARTED, attempts=2, detail="…",
        started_at=T0, ended_at=at(1),
    )  # fmt: skip
    draft = Draft(
        title="Roll back", from_="3", to="2", because="known good", steps=(step,), inverse={"to": "3"},
        inverse_text="back", fingerprint={"alias": "3"}, args={"to": "2"}, tier="change", blast="everybody",
        warnings=("HPA",), watch_for=timedelta(seconds=90, microseconds=1), marks_bad="3",
    )  # fmt: skip
    whole = plan(
        reason="it is bad", state=PlanState.WATCHING, draft=draft, digest="d" * 64, needed=2, expires_at=at(15),
        votes=(Vote(by=BOB, at=at(1), break_glass="alone"),), steps=(step,), approved_at=at(2), started_at=at(3),
        watch_until=at(4), ended_at=at(5), ended_why="proven", ended_by=BOB, replaces="PLN-0",
    )  # fmt: skip
    paged = Paged(number=1, at=at(15), whom=("user:U1",), late_by=timedelta(minutes=2), why="nobody")
    climbing = escalation(
        repeats=3, paged=(paged,), at_work=True, ack_timeout=timedelta(minutes=30), held_until=at(20),
        held_why="patching", planned_at=at(15), informed=2,
    )  # fmt: skip
    return incident(
        state=IncidentState.SNOOZED, firing=3, total=4, truncated=5, alert_names=("A", "B"), runbook="low-accuracy",
        links=(("graph", "http://127.0.0.1/graph"),), owner=ALICE, acked_at=at(1), acked_by=BOB, first_acked_at=at(1),
        snoozed_until=at(60), quiet_until=at(5), resolved_at=None, resolved_by=None, reopened=2,
        plans=(whole, plan("PLN-2")), escalation=climbing, issue="infrastructure", progress_at=at(2), asked_at=at(3),
        subscriptions=(Subscription(number=2, by=BOB, every=timedelta(minutes=30), next_at=at(40)),), subscribed=2,
    )  # fmt: skip


def alert(**changes: Any) -> Alert:
    base = Alert(
        source="alertmanager", fingerprint="f1", firing=True, starts_at=T0, ends_at=None,
        labels={"alertname": "LowAccuracy", "model": "intent"}, annotations={"summary": "low"}, url="http://127.0.0.1/",
    )  # fmt: skip
    return replace(base, **changes)


def finding() -> Finding:
    return Finding(diagnostic="versions", sentence="v3 went live 12 min before")


def decision(after: Incident | None, *effects: Effect) -> Decision:
    return Decision(incident=after, effects=effects, why=WHY)


def save(store: Store, after: Incident, *effects: Effect, now: datetime = T0) -> None:
    """Store an incident and effects, as the engine does."""
    with store.begin() as tx:
        tx.incident(after.id)
        tx.save(decision(after, *effects), now)


def claim(store: Store, lane: str = "slack", now: datetime = T0, owner: str = "one", limit: int = 20) -> list[Job]:
    return store.claim(lane, owner, now, LEASE, limit)


def with_headline(store: Store, after: Incident | None = None) -> Incident:
    """An incident whose headline is out, at (C1, 1.0)."""
    opened = after or incident()
    save(store, opened, ShowHeadline())
    [job] = claim(store)
    assert store.delivered(job, T0, "C1", "1.0")
    return opened


def ids(jobs: Sequence[Job]) -> list[str]:
    return [job.id for job in jobs]
