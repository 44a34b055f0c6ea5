"""The pure core: an incident and an event in, a decision out. No I/O, no clock, no randomness, no logging.

Every event is answered. What comes too late, twice or stale is a normal result with a named reason and no effect other
than, where a person is behind it, a line in the audit.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from bot import events as ev
from bot.decide import incident as on_incident
from bot.decide import ladder as on_ladder
from bot.decide import owner as on_owner
from bot.decide import plan as on_plan
from bot.decide import subscribers as on_subscribers
from bot.decide.alerts import alerts_changed
from bot.decide.paging import person_paged
from bot.decide.results import PERSON_CAP, told
from bot.effects import Decision, Why
from bot.events import Event
from bot.model import Incident, TimerKind, Who
from bot.policy import Policy
from bot.policy.reach import spread

GONE = Why(code="no_incident", text="There is no such incident.", refused=True)


def decide(incident: Incident | None, event: Event, now: datetime, policy: Policy) -> Decision:
    """What the event means for the incident.

    In: the incident as stored (None: there is none yet), the event, the one reading of the clock for this event, and
    the rules in force. Out: the incident afterwards, the effects to store with it, and the reason. Raises nothing for
    any combination of incident and event; does not promise that an effect succeeds.
    """
    people = tuple(person.reach for person in policy.people if person.reach is not None)
    return spread(_decided(incident, _with_tame_names(event), now, policy), people, now)


def _decided(incident: Incident | None, event: Event, now: datetime, policy: Policy) -> Decision:
    if isinstance(event, ev.AlertsChanged):
        return alerts_changed(incident, event, now, policy)
    if isinstance(event, ev.Declared):
        return on_incident.declared(incident, event, now, policy)
    if incident is None:
        return Decision(incident=None, effects=(), why=GONE)
    return on_owner.noticed(incident, event, _of_incident(incident, event, now, policy), now)


def _with_tame_names(event: Event) -> Event:
    """Names are chosen by their owners and end up in sentences: visible, on one line, short."""
    for field in ("by", "to"):
        who = getattr(event, field, None)
        if isinstance(who, Who) and not (who.name.isprintable() and len(who.name) <= PERSON_CAP):
            tame = replace(who, name=told(who.name, PERSON_CAP, one_line=True))
            event = replace(event, **{field: tame})  # type: ignore[arg-type]  # each event that has one of them
    return event


def _of_incident(incident: Incident, event: Event, now: datetime, policy: Policy) -> Decision:
    match event:
        case ev.Acknowledged():
            return on_incident.acknowledged(incident, event, now, policy)
        case ev.Unacknowledged():
            return on_incident.unacknowledged(incident, event, now, policy)
        case ev.Assigned():
            return on_incident.assigned(incident, event, now, policy)
        case ev.SeverityChanged():
            return on_incident.severity_changed(incident, event, now, policy)
        case ev.Snoozed():
            return on_incident.snoozed(incident, event, now, policy)
        case ev.Resolved():
            return on_incident.resolved(incident, event, now, policy)
        case ev.Reopened():
            return on_incident.reopened(incident, event, now, policy)
        case ev.Noted():
            return on_incident.noted(incident, event, policy)
        case ev.DiagnosticsAsked():
            return on_incident.diagnostics_asked(incident, event)
        case ev.FindingReported():
            return on_incident.finding_reported(incident, event, now, policy)
        case ev.EscalateClicked():
            return on_ladder.escalate_clicked(incident, event, now, policy)
        case ev.Unattended():
            return on_ladder.unattended(incident, now, policy)
        case ev.TimerDue():
            return _timer_due(incident, event, now, policy)
        case (
            ev.StillOnIt()
            | ev.HoldsChanged()
            | ev.Subscribed()
            | ev.Unsubscribed()
            | ev.RunbookAsked()
            | ev.PersonPaged()
        ):
            return _around(incident, event, now, policy)
        case _:
            return on_plan.decide_plan(incident, event, now, policy)


def _around(
    incident: Incident,
    event: ev.StillOnIt | ev.HoldsChanged | ev.Subscribed | ev.Unsubscribed | ev.RunbookAsked | ev.PersonPaged,
    now: datetime,
    policy: Policy,
) -> Decision:
    """What happens around an incident: its owner answers, planned work begins or ends, people listen or read."""
    match event:
        case ev.RunbookAsked():
            return on_incident.runbook_asked(incident, event)
        case ev.StillOnIt():
            return on_owner.still_on_it(incident, event, now, policy)
        case ev.HoldsChanged():
            return on_ladder.holds_changed(incident, now, policy)
        case ev.Subscribed():
            return on_subscribers.subscribed(incident, event, now)
        case ev.Unsubscribed():
            return on_subscribers.unsubscribed(incident, event)
        case ev.PersonPaged():
            return person_paged(incident, event, now, policy)


def _timer_due(incident: Incident, event: ev.TimerDue, now: datetime, policy: Policy) -> Decision:
    match event.kind:
        case TimerKind.ESCALATE | TimerKind.REPEAT:
            return on_ladder.level_due(incident, event, now, policy)
        case TimerKind.UNSNOOZE:
            return on_incident.snooze_over(incident, event, now, policy)
        case TimerKind.QUIET:
            return on_incident.quiet_over(incident, event, now, policy)
        case TimerKind.EXPIRE:
            return on_plan.expired(incident, event, now, policy)
        case TimerKind.NUDGE:
            return on_owner.nudge_due(incident, event, now, policy)
        case TimerKind.LAPSE:
            return on_owner.lapse_due(incident, event, now, policy)
        case TimerKind.INFORM:
            return on_owner.inform_due(incident, event, now, policy)
        case TimerKind.UPDATE:
            return on_subscribers.update_due(incident, event, now)
