"""Alerts began or stopped firing: incidents open, grow, come back, or grow quiet."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from bot import events as ev
from bot.decide import ladder
from bot.decide.incident import call_again, reopen, set_severity
from bot.decide.results import (
    ADDRESS_CAP,
    LINKS_CAP,
    NAME_CAP,
    NAMES_CAP,
    SYMPTOM_CAP,
    TITLE_CAP,
    WHY_CAP,
    changed,
    late,
    told,
)
from bot.effects import Decision, Effect, Record, RunDiagnostics, SetTimer, ShowHeadline, Why
from bot.model import (
    SYSTEM,
    Alert,
    Incident,
    IncidentKind,
    IncidentState,
    TimerKind,
)  # fmt: skip
from bot.policy import Policy
from bot.policy.escalation import armed, issue_of
from bot.policy.severity import classify

_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)


def alerts_changed(incident: Incident | None, event: ev.AlertsChanged, now: datetime, policy: Policy) -> Decision:
    """Alerts began or stopped firing: open, update, reopen, or start the quiet period."""
    if incident is None:
        if not any(alert.firing for alert in event.changed):
            return late(None, "resolved_unknown", "Alerts ended that never opened an incident.")
        return _opened(event, now, policy)
    firing = [alert for alert in event.changed if alert.firing]
    before = incident
    incident = _counted(incident, event, now)
    if firing:
        return _fired(before, incident, event, now, policy)
    return _cleared(incident, event, now, policy)


def _opened(event: ev.AlertsChanged, now: datetime, policy: Policy) -> Decision:
    system = policy.system(event.subject.system)
    firing = tuple(alert for alert in event.changed if alert.firing)
    severity, why = classify(firing, system)
    issue = issue_of(firing, system)
    opened = Incident(
        id=event.incident_id, key=event.key, kind=IncidentKind.ALERT, state=IncidentState.OPEN, epoch=1,
        severity=severity, severity_why=told(why, WHY_CAP), subject=event.subject, title="", symptom="",
        channel=system.channel, opened_at=now, started_at=_since(firing, now),
        escalation=armed(system, severity, now, issue), runbook=event.runbook,
        issue=issue,
    )  # fmt: skip
    opened = ladder.paced(_described(opened, firing, event.runbook, policy), now, policy)
    opened, quiet = _quiet_if_over(_counted(opened, event, now), now, policy)
    text = f"{severity}: {opened.severity_why}"
    record = Record(kind="opened", by=SYSTEM, text=text, data={"alert": opened.title, "severity": severity})
    effects = (record, ShowHeadline(), *ladder.timer(opened), *quiet, RunDiagnostics())
    return Decision(incident=opened, effects=effects, why=Why(code="opened", text=text))


def _fired(before: Incident, incident: Incident, event: ev.AlertsChanged, now: datetime, policy: Policy) -> Decision:
    system = policy.system(incident.subject.system)
    firing = tuple(alert for alert in event.changed if alert.firing)
    names = ", ".join(sorted({_title(alert) for alert in firing})[:5])
    record = Record(kind="alerts_fired", by=SYSTEM, text=f"{len(firing)} more: {names}")
    incident = replace(incident, quiet_until=None)
    effects: tuple[Effect, ...] = (record,)
    if not before.is_open:
        incident, more = reopen(incident, now, policy)
        incident = replace(incident, started_at=_since(firing, now))
        effects = (*effects, Record(kind="reopened", by=SYSTEM, text="an alert fired again"), *more, RunDiagnostics())
    incident, quiet = _quiet_if_over(incident, now, policy)
    effects = (*effects, *quiet)
    severity, why = classify(firing, system)
    if severity.is_worse_than(incident.severity) or not before.firing:
        # What people read first is what is wrong now, not what opened the incident and may be over.
        incident = _described(incident, firing, event.runbook, policy)
    if severity.is_worse_than(incident.severity):
        raised = set_severity(incident, severity, why, SYSTEM, now, policy)
        return replace(raised, effects=(*effects, *raised.effects))  # a raise calls whoever must know by itself
    if not before.is_open:
        effects = (*effects, *call_again(incident, SYSTEM, now, policy))
    return changed(incident, "alerts_fired", f"{names} joined {incident.id}.", *effects)


def _cleared(incident: Incident, event: ev.AlertsChanged, now: datetime, policy: Policy) -> Decision:
    names = ", ".join(sorted({_title(alert) for alert in event.changed})[:5])
    record = Record(kind="alerts_cleared", by=SYSTEM, text=f"stopped: {names}")
    if not incident.is_open:
        return Decision(incident=incident, effects=(record,), why=Why(code="late_clear", text="Already resolved."))
    if incident.firing:
        return changed(incident, "alerts_cleared", f"{incident.firing} still firing.", record)
    incident, timer = _quiet_if_over(incident, now, policy)
    text = "Every alert has stopped; it resolves after the quiet period."
    return changed(incident, "all_clear", text, record, *timer)


def _quiet_if_over(incident: Incident, now: datetime, policy: Policy) -> tuple[Incident, tuple[Effect, ...]]:
    """Begin the quiet period when nothing fires any more. One that has begun goes on: a repeat does not prolong it."""
    if incident.firing or incident.quiet_until is not None:
        return incident, ()
    until = now + policy.system(incident.subject.system).quiet
    return replace(incident, quiet_until=until), (SetTimer(kind=TimerKind.QUIET, due_at=until, epoch=0),)


def _counted(incident: Incident, event: ev.AlertsChanged, now: datetime) -> Incident:
    firing = tuple(alert for alert in event.changed if alert.firing)
    names = dict.fromkeys((*incident.alert_names, *(_title(alert) for alert in firing)))
    found = ((told(label, NAME_CAP, one_line=True), address) for label, address in event.links if _is_link(address))
    links = dict((*incident.links, *found))
    return replace(
        incident, firing=event.firing, total=event.total, truncated=event.truncated,
        links=tuple(links.items())[:LINKS_CAP], alert_names=tuple(names)[:NAMES_CAP],
        started_at=min(incident.started_at, _since(firing, now)) if incident.is_open else incident.started_at,
        runbook=incident.runbook or event.runbook,
    )  # fmt: skip


def _described(incident: Incident, firing: tuple[Alert, ...], runbook: str, policy: Policy) -> Incident:
    """Title, symptom and runbook of the worst of these alerts."""
    system = policy.system(incident.subject.system)
    worst = min(firing, key=lambda alert: classify((alert,), system)[0].rank)
    symptom = worst.annotations.get("summary") or worst.annotations.get("description") or worst.name
    return replace(
        incident, title=_title(worst), symptom=told(symptom, SYMPTOM_CAP), runbook=runbook or incident.runbook
    )


def _title(alert: Alert) -> str:
    return told(alert.name, TITLE_CAP, one_line=True) or "unnamed alert"


def _since(alerts: tuple[Alert, ...], now: datetime) -> datetime:
    """The earliest start that can be true: a source without one sends the year 1, and clocks run ahead."""
    return min((alert.starts_at for alert in alerts if _EPOCH <= alert.starts_at <= now), default=now)


def _is_link(address: str) -> bool:
    is_web = address.startswith(("http://", "https://"))
    return is_web and len(address) <= ADDRESS_CAP and address.isprintable() and " " not in address
