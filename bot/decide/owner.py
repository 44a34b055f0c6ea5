"""While somebody has it: who still hears of it, and what happens when nothing is done.

An acknowledgement rests the ladder, and then two things may go wrong. Whoever took it falls asleep: without progress
they are asked, and without an answer the incident is nobody's again and the ladder climbs. Or it drags on, and those
who must know of a P0 do not: levels marked `until: resolved` are told at their times whoever has it.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from bot import events as ev
from bot.decide import ladder
from bot.decide.results import changed, late, refused
from bot.effects import Decision, Effect, Page, Record, SetTimer, StopPaging, Why
from bot.events import Event, StillOnIt, TimerDue
from bot.model import LOCKING_PLAN_STATES, SYSTEM, Incident, IncidentState, Level, Outcome, Paged, TimerKind
from bot.policy import Policy
from bot.policy.approval import may_steer, refuse
from bot.policy.escalation import catch_all, due_at, held_until, next_informed, reached
from bot.states import ESCALATION, INCIDENT

_PROGRESS = (
    ev.Noted, ev.ActionRequested, ev.ApproveClicked, ev.RejectClicked, ev.SeverityChanged, ev.EscalateClicked,
    ev.DiagnosticsAsked, ev.RunbookAsked, ev.StillOnIt, ev.Assigned, ev.PersonPaged,
)  # fmt: skip


def timers(incident: Incident, now: datetime) -> tuple[Effect, ...]:
    """What must fall due while somebody has it: the question, and the next level that is told for information."""
    if incident.state is not IncidentState.ACKNOWLEDGED:
        return ()
    found: list[Effect] = []
    asks_at = _asks_at(incident)
    if asks_at is not None and incident.asked_at is None:
        found.append(SetTimer(kind=TimerKind.NUDGE, due_at=max(asks_at, now), epoch=incident.epoch))
    level = next_informed(incident)
    if level is not None:
        at = max(due_at(incident.escalation, level.number), now)
        found.append(SetTimer(kind=TimerKind.INFORM, due_at=at, epoch=incident.epoch, number=level.number))
    return tuple(found)


def noticed(before: Incident, event: Event, decision: Decision, now: datetime) -> Decision:
    """The decision with a note that something was done: whoever works on it is not asked whether they do."""
    incident = decision.incident
    if incident is None or decision.why.refused or not _is_progress(event):
        return decision
    if incident.state is not IncidentState.ACKNOWLEDGED or incident.escalation.ack_timeout is None:
        return decision
    if before.state is not incident.state or before.epoch != incident.epoch:
        return decision  # it was just taken, and its timers were just set
    moved = replace(incident, progress_at=now, asked_at=None)
    question = tuple(one for one in timers(moved, now) if isinstance(one, SetTimer) and one.kind is TimerKind.NUDGE)
    return replace(decision, incident=moved, effects=(*decision.effects, *question))


def nudge_due(incident: Incident, event: TimerDue, now: datetime, policy: Policy) -> Decision:
    """Nothing was done for as long as the profile allows: ask the owner."""
    asks_at = _asks_at(incident)
    is_stale = event.epoch != incident.epoch or incident.state is not IncidentState.ACKNOWLEDGED
    if is_stale or asks_at is None or incident.asked_at is not None or incident.owner is None:
        return late(incident, "stale_timer", "It changed hands, or was asked about, before this timer fell due.")
    again = _later(incident, asks_at, now, policy)
    if again is not None:
        timer = SetTimer(kind=TimerKind.NUDGE, due_at=again, epoch=incident.epoch)
        return Decision(incident=incident, effects=(timer,), why=Why(code="too_early", text="Not due yet."))
    wait = incident.escalation.answer_within
    owner = incident.owner
    page = Page(
        number=0, target=f"user:{owner.user_id}", late_by=timedelta(0), asks="still_on_it",
        reason=f"are you still on {incident.id}? Without an answer within {_words(wait)} somebody else is paged",
        unique=f"{incident.epoch}.asked.{int(now.timestamp())}",
    )  # fmt: skip
    lapse = SetTimer(kind=TimerKind.LAPSE, due_at=now + wait, epoch=incident.epoch)
    text = f"no progress was seen; {ladder.on_it(owner)} is asked"
    record = Record(kind="asked", by=SYSTEM, text=text)
    return changed(replace(incident, asked_at=now), "asked", f"{text}.", record, page, lapse)


def lapse_due(incident: Incident, event: TimerDue, now: datetime, policy: Policy) -> Decision:
    """The owner did not answer: it is nobody's again, and the ladder climbs at once."""
    state = INCIDENT.next(incident.state, "lapsed")
    owner = incident.owner
    if state is None or event.epoch != incident.epoch or incident.asked_at is None or owner is None:
        return late(incident, "stale_timer", "The owner answered, or it changed hands, before this timer fell due.")
    due = incident.asked_at + incident.escalation.answer_within
    if now < due:
        again = SetTimer(kind=TimerKind.LAPSE, due_at=due, epoch=incident.epoch)
        return Decision(incident=incident, effects=(again,), why=Why(code="too_early", text="Not due yet."))
    moved, _ = ladder.rearm(incident, now, policy)
    moved = replace(moved, state=state, owner=None, acked_at=None, acked_by=None, progress_at=None)
    moved, effects = ladder.climb_for(moved, owner, now, policy)
    text = f"{ladder.on_it(owner)} did not answer; nobody has it, and the ladder climbs again"
    return changed(moved, "lapsed", f"{text}.", Record(kind="lapsed", by=SYSTEM, text=text), StopPaging(), *effects)


def still_on_it(incident: Incident, event: StillOnIt, now: datetime, policy: Policy) -> Decision:
    """The owner answers: they are asked again only after as long a silence."""
    allowed = may_steer(policy, policy.system(incident.subject.system), event.by)
    if allowed.refused:
        return refused(incident, allowed, event.by)
    if event.epoch is not None and event.epoch != incident.epoch:
        why = refuse("stale_click", "This button is from an earlier state; look at the headline.")
        return refused(incident, why, event.by)
    if incident.state is not IncidentState.ACKNOWLEDGED:
        text = f"{incident.id} is {incident.state}: nobody has it now. Acknowledge it to take it."
        return late(incident, "not_owned", text)
    record = Record(kind="still_on_it", by=event.by, text="is still on it")
    wait = incident.escalation.ack_timeout
    text = "Good." if wait is None else f"Good. You are asked again after {_words(wait)} without progress."
    moved = replace(incident, progress_at=now)
    return changed(moved, "still_on_it", text, record)


def inform_due(incident: Incident, event: TimerDue, now: datetime, policy: Policy) -> Decision:
    """A level that hears of it until it is resolved: told who has it, and asked for nothing."""
    level = next_informed(incident)
    is_stale = event.epoch != incident.epoch or ESCALATION.next(incident.escalation.state, "informed") is None
    if is_stale or level is None or level.number != event.number:
        return late(incident, "stale_timer", "This level was told already, or nobody has it.")
    held = held_until(incident, policy, now)
    at = held[0] if held is not None else due_at(incident.escalation, level.number)
    if now < at:
        again = SetTimer(kind=TimerKind.INFORM, due_at=at, epoch=incident.epoch, number=level.number)
        return Decision(incident=incident, effects=(again,), why=Why(code="too_early", text="Not due yet."))
    moved, effects = _informed(incident, level, now, policy)
    rest = tuple(one for one in timers(moved, now) if isinstance(one, SetTimer) and one.kind is TimerKind.INFORM)
    return changed(moved, "informed", f"Level {level.number} is told.", *effects, *rest)


def _informed(incident: Incident, level: Level, now: datetime, policy: Policy) -> tuple[Incident, tuple[Effect, ...]]:
    system = policy.system(incident.subject.system)
    addresses, why = reached(policy, system, level.targets, now)
    whom = addresses or catch_all(policy, system, now)
    who = ladder.on_it(incident.owner) if incident.owner else "somebody"
    reason = f"level {level.number}, for information: {who} has it" + (f" ({why})" if why else "")
    late_by = max(now - due_at(incident.escalation, level.number), timedelta(0))
    unique = f"{incident.epoch}.{incident.severity}.{level.number}.inform"
    pages = tuple(
        Page(number=level.number, target=one, late_by=late_by, reason=reason, unique=unique, asks="nothing")
        for one in whom
    )
    record = Record(kind="informed", by=SYSTEM, text=f"{reason}: {', '.join(whom)}", data={"level": str(level.number)})
    told = Paged(
        number=level.number, at=now, whom=whom, late_by=late_by, why=why or "for information",
        ladder=f"{incident.epoch}.{incident.severity}",
    )  # fmt: skip
    log = (*incident.escalation.paged, told)[-ladder.PAGES_KEPT :]
    escalation = replace(incident.escalation, informed=level.number, paged=log)
    return replace(incident, escalation=escalation), (*pages, record)


def _asks_at(incident: Incident) -> datetime | None:
    wait, since = incident.escalation.ack_timeout, incident.progress_at or incident.acked_at
    return None if wait is None or since is None else since + wait


def _later(incident: Incident, asks_at: datetime, now: datetime, policy: Policy) -> datetime | None:
    """When to look again instead of asking now: a change is under way, or nobody is paged at this hour."""
    if now < asks_at:
        return asks_at
    if any(plan.state in LOCKING_PLAN_STATES for plan in incident.plans):
        return now + (incident.escalation.ack_timeout or timedelta(minutes=1))
    held = held_until(incident, policy, now)
    return held[0] if held is not None else None


def _is_progress(event: Event) -> bool:
    return isinstance(event, _PROGRESS) or (isinstance(event, ev.StepObserved) and event.outcome is Outcome.DONE)


def _words(span: timedelta) -> str:
    minutes = span.total_seconds() / 60
    return f"{minutes / 60:g} h" if minutes >= 60 and minutes % 60 == 0 else f"{minutes:.3g} min"
