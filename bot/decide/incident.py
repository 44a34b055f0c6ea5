"""What happens to an incident as such: it opens, is owned, changes its severity, rests, ends, comes back."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from bot import events as ev
from bot.decide import ladder
from bot.decide import plan as on_plan
from bot.decide.results import changed, late, refused, told
from bot.effects import Decision, Effect, Page, PostToThread, Record, RunDiagnostics, SetTimer, ShowHeadline, Why
from bot.model import (
    LOCKING_PLAN_STATES,
    SYSTEM,
    Alert,
    Incident,
    IncidentKind,
    IncidentState,
    Severity,
    TimerKind,
    Who,
)  # fmt: skip
from bot.policy import Policy
from bot.policy.approval import may_request, may_steer, refuse
from bot.policy.escalation import armed, silent
from bot.policy.severity import classify
from bot.states import INCIDENT

# What is kept of strangers' words: what a person reads on one screen, and nothing that fills a disk.
TITLE_CAP = 150
SYMPTOM_CAP = 500
WHY_CAP = 300
NOTE_CAP = 2000
NAME_CAP = 200
NAMES_CAP = 20
ROWS_CAP = 40
LINKS_CAP = 10
ADDRESS_CAP = 2000
LONGEST_SNOOZE = timedelta(days=7)
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


def declared(incident: Incident | None, event: ev.Declared, now: datetime, policy: Policy) -> Decision:
    """A person opens an incident by hand; or a guarded action needs a thread of its own."""
    system = policy.system(event.subject.system)
    is_change = event.kind is IncidentKind.CHANGE
    allowed = (may_request if is_change else may_steer)(policy, system, event.by)
    if allowed.refused:
        record = Record(kind=f"refused.{allowed.code}", by=event.by, text=allowed.text)
        return Decision(incident=incident, effects=(record,) if incident else (), why=allowed)
    if incident is not None and (incident.is_open or incident.id == event.incident_id):
        text = f"{incident.id} is {incident.state} for {incident.subject.label}."
        return late(incident, "already_open" if incident.is_open else "already", text)
    title = told(event.title, TITLE_CAP, one_line=True)
    escalation = silent(now) if is_change else armed(system, event.severity, now)
    why = "asked for by a person" if is_change else f"declared by {ladder.on_it(event.by)}"
    opened = Incident(
        id=event.incident_id, key=event.key, kind=event.kind, state=IncidentState.OPEN, epoch=1,
        severity=event.severity, severity_why=why,
        subject=event.subject, title=title, symptom=title, channel=system.channel, opened_at=now, started_at=now,
        escalation=escalation, runbook=event.runbook,
    )  # fmt: skip
    record = Record(kind="declared", by=event.by, text=f"opened {opened.id}: {title}", data={"kind": event.kind})
    diagnostics: tuple[Effect, ...] = () if is_change else (RunDiagnostics(),)
    effects = (record, ShowHeadline(), *ladder.timer(opened), *diagnostics)
    return Decision(incident=opened, effects=effects, why=Why(code="opened", text=f"Opened {opened.id}."))


def acknowledged(incident: Incident, event: ev.Acknowledged, now: datetime, policy: Policy) -> Decision:
    """Somebody takes it: the ladder rests."""
    no = _may_steer(incident, event.by, policy)
    if no:
        return no
    state = INCIDENT.next(incident.state, "acknowledged")
    if state is None:
        return late(incident, "already", _already(incident))
    if event.epoch is not None and event.epoch != incident.epoch:
        why = refuse("stale_click", "This button is from an earlier state; look at the headline.")
        return refused(incident, why, event.by)
    rested, effects = ladder.rest(incident)
    owned = replace(
        rested, state=state, owner=event.by, acked_at=now, acked_by=event.by, snoozed_until=None,
        first_acked_at=incident.first_acked_at or now,
    )  # fmt: skip
    text = f"{ladder.on_it(event.by)} is on it; nobody else is paged."
    return changed(owned, "acknowledged", text, Record(kind="acknowledged", by=event.by, text="acknowledged"), *effects)


def unacknowledged(incident: Incident, event: ev.Unacknowledged, now: datetime, policy: Policy) -> Decision:
    """Somebody gives it back: the ladder starts again."""
    no = _may_steer(incident, event.by, policy)
    if no:
        return no
    state = INCIDENT.next(incident.state, "unacknowledged")
    if state is None:
        return late(incident, "already", f"{incident.id} is {incident.state}, so there is nothing to give back.")
    moved, effects = ladder.rearm(incident, now, policy)
    moved = replace(moved, state=state, owner=None, acked_at=None, acked_by=None)
    text = "Given back. The ladder starts again now."
    return changed(
        moved, "unacknowledged", text, Record(kind="unacknowledged", by=event.by, text="gave it back"), *effects
    )


def assigned(incident: Incident, event: ev.Assigned, now: datetime, policy: Policy) -> Decision:
    """Somebody hands it to a person, who then owns it."""
    no = _may_steer(incident, event.by, policy)
    if no:
        return no
    state = INCIDENT.next(incident.state, "assigned")
    if state is None:
        return refused(incident, refuse("not_open", f"{incident.id} is resolved; reopen it first."), event.by)
    if may_steer(policy, policy.system(incident.subject.system), event.to).refused:
        text = (
            f"{ladder.on_it(event.to)} may not steer this incident, so it would be nobody's. Hand it to somebody else."
        )
        return refused(incident, refuse("not_theirs", text), event.by)
    rested, effects = ladder.rest(incident)
    owned = replace(
        rested, state=state, owner=event.to, acked_at=now, acked_by=event.by, snoozed_until=None,
        first_acked_at=incident.first_acked_at or now,
    )  # fmt: skip
    record = Record(
        kind="assigned", by=event.by, text=f"handed it to {ladder.on_it(event.to)}", data={"to": event.to.user_id}
    )
    text = f"{ladder.on_it(event.to)} owns {incident.id} now."
    if event.to != event.by:  # the ladder rests from now on, so the one person left must hear of it
        reason = f"{incident.id} was handed to you by {ladder.on_it(event.by)}"
        unique = f"{owned.epoch}.assigned"
        target = f"user:{event.to.user_id}"
        effects = (*effects, Page(number=0, target=target, late_by=timedelta(0), reason=reason, unique=unique))
    return changed(owned, "assigned", text, record, *effects)


def severity_changed(incident: Incident, event: ev.SeverityChanged, now: datetime, policy: Policy) -> Decision:
    """A person sets the severity, up or down; the ladder is planned anew."""
    no = _may_steer(incident, event.by, policy)
    if no:
        return no
    if not incident.is_open:
        return refused(incident, refuse("not_open", f"{incident.id} is resolved; reopen it first."), event.by)
    if event.to is incident.severity:
        return late(incident, "already", f"{incident.id} is {event.to} already.")
    reason = event.reason or f"set by {ladder.on_it(event.by)}"
    return _set_severity(incident, event.to, reason, event.by, now, policy)


def snoozed(incident: Incident, event: ev.Snoozed, now: datetime, policy: Policy) -> Decision:
    """Nobody is paged until the given time; then the ladder starts again."""
    no = _may_steer(incident, event.by, policy)
    if no:
        return no
    state = INCIDENT.next(incident.state, "snoozed")
    if state is None:
        return refused(
            incident, refuse("not_open", f"{incident.id} is resolved; there is nothing to snooze."), event.by
        )
    if event.until <= now:
        return refused(incident, refuse("not_ahead", "The snooze must end in the future."), event.by)
    if event.until - now > LONGEST_SNOOZE:
        text = f"A snooze lasts {LONGEST_SNOOZE.days} days at most; resolve it if it needs nobody."
        return refused(incident, refuse("too_long", text), event.by)
    rested, effects = ladder.rest(incident)
    moved = replace(rested, state=state, snoozed_until=event.until)
    timer = SetTimer(kind=TimerKind.UNSNOOZE, due_at=event.until, epoch=moved.epoch)
    record = Record(kind="snoozed", by=event.by, text=f"snoozed until {event.until.isoformat()}")
    return changed(
        moved, "snoozed", f"{incident.id} is snoozed; paging starts again afterwards.", record, *effects, timer
    )


def snooze_over(incident: Incident, event: ev.TimerDue, now: datetime, policy: Policy) -> Decision:
    """The snooze ended: the ladder starts again."""
    if INCIDENT.next(incident.state, "unsnoozed") is None or event.epoch != incident.epoch:
        return late(incident, "stale_timer", "The snooze was ended before its time.")
    if incident.snoozed_until is not None and now < incident.snoozed_until:
        again = SetTimer(kind=TimerKind.UNSNOOZE, due_at=incident.snoozed_until, epoch=incident.epoch)
        return Decision(incident=incident, effects=(again,), why=Why(code="too_early", text="Not due yet."))
    moved, effects = _woken(incident, now, policy)
    record = Record(kind="unsnoozed", by=SYSTEM, text="the snooze is over; the ladder starts again")
    return changed(moved, "unsnoozed", "The snooze is over.", record, *effects)


def resolved(incident: Incident, event: ev.Resolved, now: datetime, policy: Policy) -> Decision:
    """A person says that it is over."""
    no = _may_steer(incident, event.by, policy)
    if no:
        return no
    if INCIDENT.next(incident.state, "resolved") is None:
        return late(incident, "already", f"{incident.id} is resolved already.")
    running = [plan.id for plan in incident.plans if plan.state in LOCKING_PLAN_STATES]
    if running:
        why = refuse("action_running", f"Plan {running[0]} is still running; wait for its result, then resolve.")
        return refused(incident, why, event.by)
    still = f"; {incident.firing} of its alerts still fire" if incident.firing else ""
    note = told(event.note, NOTE_CAP) or "resolved by hand"
    return _end(incident, event.by, f"{note}{still}", "resolved", now)


def quiet_over(incident: Incident, event: ev.TimerDue, now: datetime, policy: Policy) -> Decision:
    """Every alert was silent for the whole quiet period."""
    due = incident.quiet_until
    if INCIDENT.next(incident.state, "quiet_over") is None or due is None or incident.firing:
        return late(incident, "stale_timer", "An alert fired again, or the incident is over already.")
    running = any(plan.state in LOCKING_PLAN_STATES for plan in incident.plans)
    if now < due or running:
        # While an action is being proven the incident stays open: its result belongs to the summary.
        quiet = policy.system(incident.subject.system).quiet
        again = SetTimer(kind=TimerKind.QUIET, due_at=due if now < due else now + quiet, epoch=0, number=event.number)
        return Decision(incident=incident, effects=(again,), why=Why(code="too_early", text="Not due yet."))
    return _end(incident, SYSTEM, "every alert has stopped", "quiet_over", now)


def reopened(incident: Incident, event: ev.Reopened, now: datetime, policy: Policy) -> Decision:
    """A person says that it is not over."""
    no = _may_steer(incident, event.by, policy)
    if no:
        return no
    if INCIDENT.next(incident.state, "reopened") is None:
        return late(incident, "already", f"{incident.id} is {incident.state}, so there is nothing to reopen.")
    if incident.kind is IncidentKind.CHANGE:
        text = f"{incident.id} was a change, and it is over. Ask for the action again, or declare an incident."
        return refused(incident, refuse("a_change", text), event.by)
    moved, effects = _reopen(incident, now, policy)
    return changed(
        moved,
        "reopened",
        f"{incident.id} is open again.",
        Record(kind="reopened", by=event.by, text="reopened"),
        *effects,
    )


def noted(incident: Incident, event: ev.Noted, policy: Policy) -> Decision:
    """A remark for the timeline."""
    no = _may_steer(incident, event.by, policy)
    if no:
        return no
    record = Record(kind="noted", by=event.by, text=told(event.text, NOTE_CAP))
    return Decision(incident=incident, effects=(record,), why=Why(code="noted", text="Noted in the timeline."))


def diagnostics_asked(incident: Incident, event: ev.DiagnosticsAsked) -> Decision:
    """A person wants fresh evidence."""
    record = Record(kind="diagnosed", by=event.by, text="asked for diagnostics")
    effects = (record, RunDiagnostics(names=event.names[:NAMES_CAP]))
    return Decision(incident=incident, effects=effects, why=Why(code="diagnosing", text="Gathering evidence…"))


def runbook_asked(incident: Incident, event: ev.RunbookAsked) -> Decision:
    """A person wants the checklist."""
    record = Record(kind="runbook", by=event.by, text=f"asked for the runbook {event.name}")
    post = PostToThread(template="runbook", data={"name": event.name})
    return Decision(
        incident=incident, effects=(record, post), why=Why(code="runbook", text="The checklist is on its way.")
    )


def finding_reported(incident: Incident, event: ev.FindingReported, now: datetime, policy: Policy) -> Decision:
    """Evidence goes to the thread; it may raise the severity, never lower it."""
    finding = event.finding
    sentence = told(finding.sentence, SYMPTOM_CAP)
    rows = [[told(cell, NAME_CAP, one_line=True) for cell in row] for row in finding.rows[:ROWS_CAP]]
    post = PostToThread(template="diagnosis", kind="diagnostic", data={
        "diagnostic": finding.diagnostic, "sentence": sentence, "rows": rows,
        "available": finding.available, "took_s": finding.took_s, "picture": finding.picture,
        "picture_alt": finding.picture_alt, "at": finding.at.isoformat() if finding.at else "",
    })  # fmt: skip
    why = Why(code="finding", text=sentence)
    worse = finding.severity is not None and finding.severity.is_worse_than(incident.severity)
    if not incident.is_open or not worse or finding.severity is None:
        return Decision(incident=incident, effects=(post,), why=why)
    raised = _set_severity(incident, finding.severity, finding.severity_why or sentence, SYSTEM, now, policy)
    return replace(raised, effects=(post, *raised.effects))


def _opened(event: ev.AlertsChanged, now: datetime, policy: Policy) -> Decision:
    system = policy.system(event.subject.system)
    firing = tuple(alert for alert in event.changed if alert.firing)
    severity, why = classify(firing, system)
    worst = min(firing, key=lambda alert: classify((alert,), system)[0].rank)
    symptom = worst.annotations.get("summary") or worst.annotations.get("description") or worst.name
    opened = Incident(
        id=event.incident_id, key=event.key, kind=IncidentKind.ALERT, state=IncidentState.OPEN, epoch=1,
        severity=severity, severity_why=told(why, WHY_CAP), subject=event.subject, title=_title(worst),
        symptom=told(symptom, SYMPTOM_CAP), channel=system.channel, opened_at=now, started_at=_since(firing, now),
        escalation=armed(system, severity, now), links=event.links, runbook=event.runbook,
    )  # fmt: skip
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
        incident, more = _reopen(incident, now, policy)
        effects = (*effects, Record(kind="reopened", by=SYSTEM, text="an alert fired again"), *more, RunDiagnostics())
    incident, quiet = _quiet_if_over(incident, now, policy)
    effects = (*effects, *quiet)
    severity, why = classify(firing, system)
    if severity.is_worse_than(incident.severity):
        raised = _set_severity(incident, severity, why, SYSTEM, now, policy)
        return replace(raised, effects=(*effects, *raised.effects))
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
    links = dict((*incident.links, *(link for link in event.links if _is_link(*link))))
    return replace(
        incident, firing=event.firing, total=event.total, truncated=event.truncated,
        links=tuple(links.items())[:LINKS_CAP], alert_names=tuple(names)[:NAMES_CAP],
        started_at=min(incident.started_at, _since(firing, now)) if incident.is_open else incident.started_at,
        runbook=incident.runbook or event.runbook,
    )  # fmt: skip


def _title(alert: Alert) -> str:
    return told(alert.name, TITLE_CAP, one_line=True) or "unnamed alert"


def _since(alerts: tuple[Alert, ...], now: datetime) -> datetime:
    """The earliest start that can be true: a source without one sends the year 1, and clocks run ahead."""
    return min((alert.starts_at for alert in alerts if _EPOCH <= alert.starts_at <= now), default=now)


def _is_link(label: str, address: str) -> bool:
    return len(label) <= NAME_CAP and len(address) <= ADDRESS_CAP and address.startswith(("http://", "https://"))


def _set_severity(incident: Incident, to: Severity, why: str, by: Who, now: datetime, policy: Policy) -> Decision:
    is_raised = to.is_worse_than(incident.severity)
    why = told(why, WHY_CAP)
    named = replace(incident, severity=to, severity_why=why)
    text = f"{'raised' if is_raised else 'lowered'} from {incident.severity} to {to}: {why}"
    if is_raised and incident.state is IncidentState.SNOOZED:
        moved, effects = _woken(named, now, policy)  # the snooze was meant for the milder trouble
        text = f"{text}; the snooze is over"
    else:
        moved, effects = ladder.replan(named, now, policy)
    record = Record(kind="severity", by=by, text=text, data={"from": incident.severity, "to": to})
    post = PostToThread(template="note", data={"text": text, "by": by.user_id})
    return changed(moved, "severity", text, record, *effects, post)


def _end(incident: Incident, by: Who, note: str, event: str, now: datetime) -> Decision:
    state = INCIDENT.next(incident.state, event) or incident.state
    stopped, effects = ladder.stop(incident)
    ended = replace(
        stopped, state=state, resolved_at=now, resolved_by=by, snoozed_until=None, quiet_until=None,
    )  # fmt: skip
    ended, withdrawn = on_plan.withdrawn(ended, now, by)
    record = Record(kind="resolved", by=by, text=note)
    summary = PostToThread(template="summary", data={"note": note}, kind="result")
    return changed(ended, "resolved", f"{incident.id} is resolved: {note}", record, *effects, *withdrawn, summary)


def _reopen(incident: Incident, now: datetime, policy: Policy) -> tuple[Incident, tuple[Effect, ...]]:
    moved, effects = ladder.rearm(incident, now, policy)
    moved = replace(
        moved, state=IncidentState.OPEN, resolved_at=None, resolved_by=None, owner=None, acked_at=None, acked_by=None,
        quiet_until=None, reopened=incident.reopened + 1,
    )  # fmt: skip
    return moved, effects


def _woken(incident: Incident, now: datetime, policy: Policy) -> tuple[Incident, tuple[Effect, ...]]:
    moved, effects = ladder.rearm(incident, now, policy)
    state = INCIDENT.next(incident.state, "unsnoozed") or incident.state
    return replace(moved, state=state, snoozed_until=None, owner=None, acked_at=None, acked_by=None), effects


def _may_steer(incident: Incident, who: Who, policy: Policy) -> Decision | None:
    verdict = may_steer(policy, policy.system(incident.subject.system), who)
    return refused(incident, verdict, who) if verdict.refused else None


def _already(incident: Incident) -> str:
    if incident.state is IncidentState.RESOLVED:
        return f"{incident.id} is resolved already."
    who = ladder.on_it(incident.acked_by) if incident.acked_by else "somebody"
    return f"{incident.id} is already taken by {who}."
