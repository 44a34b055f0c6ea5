"""The escalation ladder: which level is paged when, and what stops it.

A due time is absolute (base + the level's delay), so after an outage every overdue level is paged in the same pass.
A level that reaches nobody goes to the catch-all with the reason, and the next level is paged at once. The last level
repeats.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from bot.decide.results import changed, late, refused
from bot.effects import Decision, Effect, Page, Record, SetTimer, StopPaging
from bot.events import EscalateClicked, TimerDue
from bot.model import SYSTEM, Escalation, EscalationState, Incident, IncidentKind, IncidentState, Paged, TimerKind, Who
from bot.policy import Policy
from bot.policy.approval import may_steer, refuse
from bot.policy.escalation import armed, catch_all, due_at, reached, replanned
from bot.states import ESCALATION


def timer(incident: Incident) -> tuple[Effect, ...]:
    """The timer that the incident's ladder needs next; none when it rests or is stopped."""
    escalation = incident.escalation
    if escalation.next_due_at is None:
        return ()
    repeating = escalation.state is EscalationState.REPEATING
    return (
        SetTimer(
            kind=TimerKind.REPEAT if repeating else TimerKind.ESCALATE,
            due_at=escalation.next_due_at,
            epoch=incident.epoch,
            number=escalation.repeats + 1 if repeating else escalation.next_number,
        ),
    )


def rest(incident: Incident) -> tuple[Incident, tuple[Effect, ...]]:
    """The ladder stops climbing for now; older timers, pages and buttons become stale."""
    state = ESCALATION.next(incident.escalation.state, "rested") or incident.escalation.state
    return _halted(incident, state)


def stop(incident: Incident) -> tuple[Incident, tuple[Effect, ...]]:
    """The ladder is over."""
    return _halted(incident, EscalationState.STOPPED)


def rearm(incident: Incident, now: datetime, policy: Policy) -> tuple[Incident, tuple[Effect, ...]]:
    """The ladder starts again from its first level, counted from now."""
    if incident.kind is IncidentKind.CHANGE:  # a change never pages, however often it is opened again
        return replace(incident, epoch=incident.epoch + 1), (StopPaging(),)
    fresh = armed(policy.system(incident.subject.system), incident.severity, now)
    paged = incident.escalation.paged
    moved = replace(incident, epoch=incident.epoch + 1, escalation=replace(fresh, paged=paged))
    return moved, (StopPaging(), *timer(moved))


def replan(incident: Incident, policy: Policy) -> tuple[Incident, tuple[Effect, ...]]:
    """The same climb on the ladder of the incident's new severity."""
    system = policy.system(incident.subject.system)
    if ESCALATION.next(incident.escalation.state, "replanned") is None:
        return incident, ()
    moved = replace(incident, escalation=replanned(incident.escalation, system, incident.severity))
    moved = replace(moved, epoch=incident.epoch + 1)
    return moved, (StopPaging(), *timer(moved))


def level_due(incident: Incident, event: TimerDue, now: datetime, policy: Policy) -> Decision:
    """A rung's time has come: page it, and every other rung that is overdue."""
    escalation = incident.escalation
    if event.epoch != incident.epoch:
        return late(incident, "stale_timer", "The ladder moved on before this timer fell due.")
    if event.kind is TimerKind.REPEAT:
        return _repeat(incident, event, now, policy)
    if escalation.state is not EscalationState.ARMED or event.number != escalation.next_number:
        return late(incident, "stale_timer", "This level was already paged, or the ladder rests.")
    climbed, pages = _climb(incident, now, policy, at_least=0)
    if not pages:
        # A timer that fires too early (a clock stepped back) is set again; it never pages early.
        return Decision(incident=incident, effects=timer(incident), why=late(incident, "too_early", "Not due yet.").why)
    return changed(climbed, "level_paged", _climb_text(incident, climbed), *pages, *timer(climbed))


def escalate_clicked(incident: Incident, event: EscalateClicked, now: datetime, policy: Policy) -> Decision:
    """A person wants the next level now."""
    system = policy.system(incident.subject.system)
    allowed = may_steer(policy, system, event.by)
    if allowed.refused:
        return refused(incident, allowed, event.by)
    if event.epoch is not None and event.epoch != incident.epoch:
        return refused(
            incident, refuse("stale_click", "This button is from an earlier state; look at the headline."), event.by
        )
    if not incident.is_open:
        return refused(incident, refuse("not_open", f"{incident.id} is {incident.state}; reopen it first."), event.by)
    working = incident
    extra: tuple[Effect, ...] = ()
    if incident.escalation.state is EscalationState.RESTING:
        working, extra = rearm(incident, now, policy)
    if working.escalation.state is EscalationState.STOPPED:
        return refused(
            incident, refuse("never_pages", "A change without an incident has no ladder to climb."), event.by
        )
    record = Record(kind="escalated", by=event.by, text="asked for the next level now")
    if working.escalation.state is EscalationState.REPEATING:
        climbed, pages = _page_again(working, now, policy)
    else:
        climbed, pages = _climb(working, now, policy, at_least=1)
    text = _climb_text(working, climbed)
    return changed(climbed, "escalated", text, record, *extra, *pages, *timer(climbed))


def _halted(incident: Incident, state: EscalationState) -> tuple[Incident, tuple[Effect, ...]]:
    escalation = replace(incident.escalation, state=state, next_due_at=None)
    return replace(incident, epoch=incident.epoch + 1, escalation=escalation), (StopPaging(),)


def _climb(incident: Incident, now: datetime, policy: Policy, *, at_least: int) -> tuple[Incident, tuple[Effect, ...]]:
    """Page every overdue level, and at least so many; a level that reaches nobody pulls the next one forward."""
    pages: list[Effect] = []
    count = 0
    while incident.escalation.state is EscalationState.ARMED:
        escalation = incident.escalation
        due = due_at(escalation, escalation.next_number)
        if due > now and count >= at_least:
            break
        incident, page, reached_somebody = _page_level(incident, now, policy, late_by=max(now - due, timedelta(0)))
        pages += page
        if reached_somebody:
            count += 1
    return incident, tuple(pages)


def _page_level(
    incident: Incident, now: datetime, policy: Policy, *, late_by: timedelta
) -> tuple[Incident, list[Effect], bool]:
    escalation = incident.escalation
    level = escalation.levels[escalation.next_number - 1]
    system = policy.system(incident.subject.system)
    addresses, why = reached(policy, system, level.targets, now)
    whom = addresses or catch_all(policy, system, now)
    reason = f"level {level.number}" + (f" ({why})" if why else "")
    unique = f"{incident.epoch}.{level.number}"
    pages: list[Effect] = [
        Page(number=level.number, target=target, late_by=late_by, reason=reason, unique=unique) for target in whom
    ]
    pages.append(
        Record(kind="paged", by=SYSTEM, text=f"{reason}: {', '.join(whom)}", data={"level": str(level.number)})
    )
    paged = Paged(number=level.number, at=now, whom=whom, late_by=late_by, why=why)
    return replace(incident, escalation=_advanced(escalation, paged, now)), pages, bool(addresses)


def _advanced(escalation: Escalation, paged: Paged, now: datetime) -> Escalation:
    following = escalation.next_number + 1
    log = (*escalation.paged, paged)
    if following > len(escalation.levels):
        state = ESCALATION.next(escalation.state, "last_level_due") or escalation.state
        again = now + escalation.repeat_every
        return replace(escalation, state=state, next_number=following, next_due_at=again, paged=log)
    due = due_at(escalation, following)
    state = ESCALATION.next(escalation.state, "level_due") or escalation.state
    return replace(escalation, state=state, next_number=following, next_due_at=due, paged=log)


def _repeat(incident: Incident, event: TimerDue, now: datetime, policy: Policy) -> Decision:
    escalation = incident.escalation
    if escalation.state is not EscalationState.REPEATING or event.number != escalation.repeats + 1:
        return late(incident, "stale_timer", "This repeat was already paged, or the ladder rests.")
    if escalation.next_due_at is not None and now < escalation.next_due_at:
        return Decision(incident=incident, effects=timer(incident), why=late(incident, "too_early", "Not due yet.").why)
    moved, pages = _page_again(incident, now, policy)
    return changed(
        moved, "level_repeated", "Nobody has answered; the last level is paged again.", *pages, *timer(moved)
    )


def _page_again(incident: Incident, now: datetime, policy: Policy) -> tuple[Incident, tuple[Effect, ...]]:
    """Page the last level once more, and the catch-all with it: the final level is never silent."""
    escalation = incident.escalation
    system = policy.system(incident.subject.system)
    level = escalation.levels[-1]
    addresses, why = reached(policy, system, level.targets, now)
    whom = tuple(dict.fromkeys((*addresses, *catch_all(policy, system, now))))
    due = escalation.next_due_at or now
    late_by = max(now - due, timedelta(0))
    repeat = escalation.repeats + 1
    reason = f"level {level.number}, repeat {repeat}"
    unique = f"{incident.epoch}.{level.number}.{repeat}"
    pages: list[Effect] = [
        Page(number=level.number, target=target, late_by=late_by, reason=reason, unique=unique) for target in whom
    ]
    pages.append(
        Record(kind="paged", by=SYSTEM, text=f"{reason}: {', '.join(whom)}", data={"level": str(level.number)})
    )
    log = (*escalation.paged, Paged(number=level.number, at=now, whom=whom, late_by=late_by, why=why))
    moved = replace(escalation, repeats=repeat, next_due_at=now + escalation.repeat_every, paged=log[-50:])
    return replace(incident, escalation=moved), tuple(pages)


def _climb_text(before: Incident, after: Incident) -> str:
    levels = [str(paged.number) for paged in after.escalation.paged[len(before.escalation.paged) :]]
    if not levels:
        return "The last level is paged again."
    return f"Level {', '.join(levels)} is paged."


def unattended(incident: Incident, now: datetime, policy: Policy) -> Decision:
    """The auditor found no live next step: set the timer that belongs there, or start the ladder again."""
    state = incident.escalation.state
    if incident.state is IncidentState.SNOOZED and incident.snoozed_until is not None:
        effects: tuple[Effect, ...] = (
            SetTimer(kind=TimerKind.UNSNOOZE, due_at=incident.snoozed_until, epoch=incident.epoch),
        )
        moved = incident
    elif incident.state is not IncidentState.OPEN or incident.kind is IncidentKind.CHANGE:
        return late(incident, "attended", "Nothing is missing.")
    elif state in {EscalationState.ARMED, EscalationState.REPEATING} and incident.escalation.next_due_at is not None:
        moved, effects = incident, timer(incident)
    else:
        moved, effects = rearm(incident, now, policy)
    record = Record(kind="repaired", by=SYSTEM, text="the auditor found no live next step and set one")
    return changed(moved, "repaired", "The ladder had no live next step; it has one again.", record, *effects)


def on_it(who: Who) -> str:
    """A person's name for a sentence."""
    return f"@{who.name}" if who.name else who.user_id
