"""What happens to an incident as such: it opens, is owned, changes its severity, rests, ends, comes back."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from bot import events as ev
from bot.decide import ladder, owner, subscribers
from bot.decide.ending import withdrawn
from bot.decide.results import (
    NAME_CAP,
    NAMES_CAP,
    NOTE_CAP,
    ROWS_CAP,
    SYMPTOM_CAP,
    TITLE_CAP,
    WHY_CAP,
    changed,
    late,
    refused,
    told,
)
from bot.effects import Decision, Effect, Page, PostToThread, Record, RunDiagnostics, SetTimer, ShowHeadline, Why
from bot.model import (
    LOCKING_PLAN_STATES,
    SYSTEM,
    Incident,
    IncidentKind,
    IncidentState,
    Severity,
    TimerKind,
    Who,
)  # fmt: skip
from bot.policy import Policy
from bot.policy.approval import may_request, may_steer, refuse
from bot.policy.escalation import armed, issue_named, silent
from bot.states import INCIDENT

LONGEST_SNOOZE = timedelta(days=7)

_URGENT = frozenset({Severity.P0, Severity.P1})  # worth a call at once


def declared(incident: Incident | None, event: ev.Declared, now: datetime, policy: Policy) -> Decision:
    """A person opens an incident by hand; or a guarded action needs a thread of its own."""
    system = policy.system(event.subject.system)
    is_change = event.kind is IncidentKind.CHANGE
    allowed = (may_request if is_change else may_steer)(policy, system, event.by)
    if allowed.refused:
        record = Record(kind=f"refused.{allowed.code}", by=event.by, text=allowed.text)
        return Decision(incident=incident, effects=(record,), why=allowed)
    if incident is not None and (incident.is_open or incident.id == event.incident_id):
        text = f"{incident.id} is {incident.state} for {incident.subject.label}."
        return late(incident, "already_open" if incident.is_open else "already", text)
    title = told(event.title, TITLE_CAP, one_line=True)
    issue = "" if is_change else issue_named(title, system)
    escalation = silent(now) if is_change else armed(system, event.severity, now, issue)
    why = "asked for by a person" if is_change else f"declared by {ladder.on_it(event.by)}"
    opened = Incident(
        id=event.incident_id, key=event.key, kind=event.kind, state=IncidentState.OPEN, epoch=1,
        severity=event.severity, severity_why=why,
        subject=event.subject, title=title, symptom=title, channel=system.channel, opened_at=now, started_at=now,
        escalation=escalation, runbook=event.runbook, issue=issue,
    )  # fmt: skip
    opened = ladder.paced(opened, now, policy)
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
        first_acked_at=incident.first_acked_at or now, progress_at=None,
    )  # fmt: skip
    text = f"{ladder.on_it(event.by)} is on it; nobody else is paged."
    record = Record(kind="acknowledged", by=event.by, text="acknowledged")
    return changed(owned, "acknowledged", text, record, *effects, *owner.timers(owned, now))


def unacknowledged(incident: Incident, event: ev.Unacknowledged, now: datetime, policy: Policy) -> Decision:
    """Somebody gives it back: the ladder starts again."""
    no = _may_steer(incident, event.by, policy)
    if no:
        return no
    state = INCIDENT.next(incident.state, "unacknowledged")
    if state is None:
        return late(incident, "already", f"{incident.id} is {incident.state}, so there is nothing to give back.")
    was_snoozed = incident.state is IncidentState.SNOOZED
    moved, effects = _woken(incident, now, policy)
    moved = replace(moved, state=state)
    text = "The snooze is over. " if was_snoozed else "Given back. "
    record = Record(kind="unacknowledged", by=event.by, text="ended the snooze" if was_snoozed else "gave it back")
    return changed(moved, "unacknowledged", f"{text}The ladder starts again now.", record, *effects)


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
        first_acked_at=incident.first_acked_at or now, progress_at=None,
    )  # fmt: skip
    effects = (*effects, *owner.timers(owned, now))
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
    return set_severity(incident, event.to, reason, event.by, now, policy)


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
    record = Record(kind="snoozed", by=event.by, text=f"snoozed until {event.until:%Y-%m-%d %H:%M} UTC")
    text = f"{incident.id} is snoozed until {event.until:%H:%M} UTC; then paging starts again."
    return changed(moved, "snoozed", text, record, *effects, timer)


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
    moved, effects = reopen(incident, now, policy)
    effects = (*effects, *call_again(moved, event.by, now, policy))
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
    names = tuple(told(name, NAME_CAP, one_line=True) for name in event.names[:NAMES_CAP])
    effects = (record, RunDiagnostics(names=names))
    return Decision(incident=incident, effects=effects, why=Why(code="diagnosing", text="Gathering evidence…"))


def runbook_asked(incident: Incident, event: ev.RunbookAsked) -> Decision:
    """A person wants the checklist."""
    name = told(event.name, NAME_CAP, one_line=True)
    record = Record(kind="runbook", by=event.by, text=f"asked for the runbook {name}")
    post = PostToThread(template="runbook", data={"name": name})
    return Decision(
        incident=incident, effects=(record, post), why=Why(code="runbook", text="The checklist is on its way.")
    )


def finding_reported(incident: Incident, event: ev.FindingReported, now: datetime, policy: Policy) -> Decision:
    """Evidence goes to the thread; it may raise the severity, never lower it."""
    finding = event.finding
    sentence = told(finding.sentence, SYMPTOM_CAP)
    rows = [[told(cell, NAME_CAP, one_line=True) for cell in row] for row in finding.rows[:ROWS_CAP]]
    post = PostToThread(template="diagnosis", kind="diagnostic", data={
        "diagnostic": told(finding.diagnostic, NAME_CAP), "sentence": sentence, "rows": rows,
        "available": finding.available, "took_s": finding.took_s, "picture": finding.picture,
        "picture_alt": told(finding.picture_alt, SYMPTOM_CAP), "at": finding.at.isoformat() if finding.at else "",
    })  # fmt: skip
    why = Why(code="finding", text=sentence)
    worse = finding.severity is not None and finding.severity.is_worse_than(incident.severity)
    if not incident.is_open or not worse or finding.severity is None:
        return Decision(incident=incident, effects=(post,), why=why)
    raised = set_severity(incident, finding.severity, finding.severity_why or sentence, SYSTEM, now, policy)
    return replace(raised, effects=(post, *raised.effects))


def set_severity(incident: Incident, to: Severity, why: str, by: Who, now: datetime, policy: Policy) -> Decision:
    """The incident is worse, or less bad, than was thought: plan the ladder anew, and say so."""
    is_raised = to.is_worse_than(incident.severity)
    why = told(why, WHY_CAP)
    named = replace(incident, severity=to, severity_why=why)
    text = f"{'raised' if is_raised else 'lowered'} from {incident.severity} to {to}: {why}"
    if is_raised and incident.state is IncidentState.SNOOZED:
        moved, effects = _woken(named, now, policy)  # the snooze was meant for the milder trouble
        text = f"{text}; the snooze is over"
    else:
        moved, effects = ladder.replan(named, now, policy)
        effects = (*effects, *owner.timers(moved, now))
    if is_raised and to in _URGENT:
        effects = (*effects, *ladder.call_now(moved, f"{incident.id} was raised to {to}", by, now, policy))
    record = Record(kind="severity", by=by, text=text, data={"from": incident.severity, "to": to})
    post = PostToThread(template="note", data={"text": text, "by": by.user_id})
    return changed(moved, "severity", text, record, *effects, post)


def _end(incident: Incident, by: Who, note: str, event: str, now: datetime) -> Decision:
    state = INCIDENT.next(incident.state, event) or incident.state
    stopped, effects = ladder.stop(incident)
    ended = replace(
        stopped, state=state, resolved_at=now, resolved_by=by, snoozed_until=None, quiet_until=None,
    )  # fmt: skip
    ended, plans_ended = withdrawn(ended, now, by)
    ended, last_words = subscribers.ended(ended)
    record = Record(kind="resolved", by=by, text=note)
    summary = PostToThread(template="summary", data={"note": note}, kind="result")
    effects = (record, *effects, *plans_ended, summary, *last_words)
    return changed(ended, "resolved", f"{incident.id} is resolved: {note}", *effects)


def reopen(incident: Incident, now: datetime, policy: Policy) -> tuple[Incident, tuple[Effect, ...]]:
    """It is not over: nobody owns it and the ladder starts again. The caller calls somebody (`call_again`)."""
    moved, effects = ladder.rearm(incident, now, policy)
    moved = replace(
        moved, state=IncidentState.OPEN, resolved_at=None, resolved_by=None, owner=None, acked_at=None, acked_by=None,
        quiet_until=None, reopened=incident.reopened + 1,
    )  # fmt: skip
    return moved, effects


def call_again(incident: Incident, by: Who, now: datetime, policy: Policy) -> tuple[Effect, ...]:
    """Whoever is on call hears at once of an urgent incident that is open again."""
    if incident.severity not in _URGENT:
        return ()
    return ladder.call_now(incident, f"{incident.id} is open again", by, now, policy)


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
