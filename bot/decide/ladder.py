"""The escalation ladder: which level is paged when, and what stops it.

A due time is absolute (base + the level's delay), so after an outage every overdue level is paged in the same pass.
A level that reaches nobody goes to the catch-all with the reason, and the next level is paged at once. The last level
repeats. Planned work, and nights of a ladder that counts time at work, hold pages back and lose none: when the hold
ends, every level that became due in it is paged.
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
from bot.policy.escalation import armed, catch_all, due_at, held_until, opening, reached, replanned
from bot.states import ESCALATION

_DOUBLE_CLICK = timedelta(seconds=3)  # a second click this soon is the same wish
PAGES_KEPT = 50  # lines of the paging log that travel with the incident; the audit has all


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


def paced(incident: Incident, now: datetime, policy: Policy) -> Incident:
    """The incident with its next due time where pages may go: after a hold that is in force now, else as planned."""
    escalation = incident.escalation
    planned = escalation.planned_at or escalation.next_due_at
    if escalation.next_due_at is None or planned is None:
        moved = replace(escalation, planned_at=None, held_until=None, held_why="")
        return incident if moved == escalation else replace(incident, escalation=moved)
    until, why = held_until(incident, policy, now) or (None, "")
    due = max(planned, until or planned)
    opens_at = opening(incident, policy, due)
    if opens_at > due:
        due, until, why = opens_at, opens_at, why or "nobody is at work"
    if until is None and escalation.planned_at is not None and planned <= now:
        why = escalation.held_why  # the page that goes out now says what it waited for
    planned_at = planned if planned < due else None
    moved = replace(escalation, next_due_at=due, planned_at=planned_at, held_until=until, held_why=why)
    return incident if moved == escalation else replace(incident, escalation=moved)


def holds_changed(incident: Incident, now: datetime, policy: Policy) -> Decision:
    """Planned work began or ended: what falls due in it waits for its end, and what waited for it no longer does."""
    moved = paced(incident, now, policy)
    if moved is incident or not incident.is_open:
        return late(incident, "not_held", "Nothing of this incident waits for it.")
    until, why = moved.escalation.held_until, moved.escalation.held_why
    text = f"pages are held until {until:%Y-%m-%d %H:%M} UTC: {why}" if until else "pages are no longer held"
    code = "held" if until else "released"
    return changed(moved, code, text, Record(kind=code, by=SYSTEM, text=text), *timer(moved))


def rest(incident: Incident) -> tuple[Incident, tuple[Effect, ...]]:
    """The ladder stops climbing for now; older timers, pages and buttons become stale."""
    return _halted(incident, "rested")


def stop(incident: Incident) -> tuple[Incident, tuple[Effect, ...]]:
    """The ladder is over."""
    return _halted(incident, "stopped")


def rearm(incident: Incident, now: datetime, policy: Policy) -> tuple[Incident, tuple[Effect, ...]]:
    """The ladder starts again from its first level, counted from now."""
    if incident.kind is IncidentKind.CHANGE:  # a change never pages, however often it is opened again
        return replace(incident, epoch=incident.epoch + 1), (StopPaging(),)
    fresh = armed(policy.system(incident.subject.system), incident.severity, now, incident.issue)
    paged = incident.escalation.paged
    moved = replace(incident, epoch=incident.epoch + 1, escalation=replace(fresh, paged=paged), asked_at=None)
    moved = paced(moved, now, policy)
    return moved, (StopPaging(), *timer(moved))


def replan(incident: Incident, now: datetime, policy: Policy) -> tuple[Incident, tuple[Effect, ...]]:
    """The same climb on the ladder of the incident's new severity.

    The epoch stays: a page that is decided but not sent yet is still wanted, and so is a button that was just shown.
    """
    if ESCALATION.next(incident.escalation.state, "replanned") is None:
        return incident, ()
    system = policy.system(incident.subject.system)
    escalation = incident.escalation
    # The severity may have been this one before: what its ladder has paged since it began is not paged again.
    paged = max((page.number for page in escalation.paged if page.ladder == _ladder(incident)), default=0)
    again = replanned(escalation, system, incident.severity, now, paged=paged, issue=incident.issue)
    moved = paced(replace(incident, escalation=again), now, policy)
    return moved, timer(moved)


def level_due(incident: Incident, event: TimerDue, now: datetime, policy: Policy) -> Decision:
    """A rung's time has come: page it, and every other rung that is overdue."""
    escalation = incident.escalation
    if event.epoch != incident.epoch:
        return late(incident, "stale_timer", "The ladder moved on before this timer fell due.")
    if event.kind is TimerKind.REPEAT:
        return _repeat(incident, event, now, policy)
    if escalation.state is not EscalationState.ARMED or event.number != escalation.next_number:
        return late(incident, "stale_timer", "This level was already paged, or the ladder rests.")
    held = _held(incident, now, policy)
    if held is not None:
        return held
    climbed, pages = _climb(incident, now, policy)
    if not pages:
        # A timer that fires too early (a clock stepped back) is set again; it never pages early.
        return Decision(incident=incident, effects=timer(incident), why=late(incident, "too_early", "Not due yet.").why)
    climbed = paced(climbed, now, policy)
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
    if incident.escalation.state is EscalationState.STOPPED:
        why = refuse("never_pages", "A change without an incident has no ladder to climb.")
        return refused(incident, why, event.by)
    if incident.escalation.paged and now - incident.escalation.paged[-1].at < _DOUBLE_CLICK:
        return late(incident, "just_paged", f"Level {incident.escalation.paged[-1].number} was paged a moment ago.")
    record = Record(kind="escalated", by=event.by, text="asked for the next level now")
    if incident.escalation.next_number > len(incident.escalation.levels):
        climbed, pages = _page_again(incident, now, policy)
    else:
        climbed, pages = _climb(incident, now, policy, asked_by=event.by)
    climbed = paced(climbed, now, policy)
    return changed(climbed, "escalated", _climb_text(incident, climbed), record, *pages, *timer(climbed))


def climb_for(incident: Incident, whom: Who, now: datetime, policy: Policy) -> tuple[Incident, tuple[Effect, ...]]:
    """Page at once, because this person did not answer: the first level, and the next where it is them alone.

    Planned work holds that too. Out comes the incident, with its pages and its next timer.
    """
    if held_until(incident, policy, now) is not None:
        return incident, timer(incident)
    climbed, pages = _climb(incident, now, policy, asked_by=whom)
    climbed = paced(climbed, now, policy)
    return climbed, (*pages, *timer(climbed))


def _held(incident: Incident, now: datetime, policy: Policy) -> Decision | None:
    """What a due time in a hold comes to: the end of the hold. None when nothing holds it."""
    if held_until(incident, policy, now) is None:
        return None
    moved = paced(incident, now, policy)
    if moved.escalation.next_due_at is not None and moved.escalation.next_due_at <= now:
        return None
    if moved is incident:
        return Decision(incident=incident, effects=timer(incident), why=late(incident, "too_early", "Not due yet.").why)
    until, why = moved.escalation.held_until, moved.escalation.held_why
    text = f"pages are held until {until:%Y-%m-%d %H:%M} UTC: {why}"
    return changed(moved, "held", text, Record(kind="held", by=SYSTEM, text=text), *timer(moved))


def _halted(incident: Incident, event: str) -> tuple[Incident, tuple[Effect, ...]]:
    state = ESCALATION.next(incident.escalation.state, event) or incident.escalation.state
    escalation = replace(
        incident.escalation, state=state, next_due_at=None, planned_at=None, held_until=None, held_why=""
    )
    moved = replace(incident, epoch=incident.epoch + 1, escalation=escalation, asked_at=None)
    return moved, (StopPaging(),)


def _climb(
    incident: Incident, now: datetime, policy: Policy, *, asked_by: Who | None = None
) -> tuple[Incident, tuple[Effect, ...]]:
    """Page every overdue level, or the next one because somebody asks.

    A level that reaches nobody, or only the person who asks, pulls the next one forward. A resting ladder pages what is
    asked for and rests on.
    """
    pages: list[Effect] = []
    is_owed = asked_by is not None
    while incident.escalation.next_number <= len(incident.escalation.levels):
        escalation = incident.escalation
        late_by = now - due_at(escalation, escalation.next_number)
        is_due = escalation.state is EscalationState.ARMED and late_by >= timedelta(0)
        if not is_due and not is_owed:
            break
        incident, page, addresses = _page_level(incident, now, policy, late_by=late_by if is_due else timedelta(0))
        pages += page
        is_owed = not addresses or (asked_by is not None and addresses == (f"user:{asked_by.user_id}",))
    return incident, tuple(pages)


def _page_level(
    incident: Incident, now: datetime, policy: Policy, *, late_by: timedelta
) -> tuple[Incident, list[Effect], tuple[str, ...]]:
    escalation = incident.escalation
    level = escalation.levels[escalation.next_number - 1]
    system = policy.system(incident.subject.system)
    addresses, why = reached(policy, system, level.targets, now)
    whom = addresses or catch_all(policy, system, now)
    reason = f"level {level.number}" + (f" ({why})" if why else "") + _of_hold(escalation, late_by)
    unique = f"{_ladder(incident)}.{level.number}"
    pages: list[Effect] = [
        Page(number=level.number, target=target, late_by=late_by, reason=reason, unique=unique) for target in whom
    ]
    pages.append(
        Record(kind="paged", by=SYSTEM, text=f"{reason}: {', '.join(whom)}", data={"level": str(level.number)})
    )
    paged = Paged(number=level.number, at=now, whom=whom, late_by=late_by, why=why, ladder=_ladder(incident))
    return replace(incident, escalation=_advanced(escalation, paged, now)), pages, addresses


def _advanced(escalation: Escalation, paged: Paged, now: datetime) -> Escalation:
    following = escalation.next_number + 1
    escalation = replace(escalation, planned_at=None)  # what was planned is paged
    log = (*escalation.paged, paged)[-PAGES_KEPT:]
    if ESCALATION.next(escalation.state, "asked") is not None:
        return replace(escalation, next_number=following, paged=log)
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
    held = _held(incident, now, policy)
    if held is not None:
        return held
    moved, pages = _page_again(incident, now, policy)
    moved = paced(moved, now, policy)
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
    due = escalation.planned_at or escalation.next_due_at or now
    late_by = max(now - due, timedelta(0))
    repeat = escalation.repeats + 1
    reason = f"level {level.number}, repeat {repeat}" + _of_hold(escalation, late_by)
    unique = f"{_ladder(incident)}.{level.number}.{repeat}"
    pages: list[Effect] = [
        Page(number=level.number, target=target, late_by=late_by, reason=reason, unique=unique) for target in whom
    ]
    pages.append(
        Record(kind="paged", by=SYSTEM, text=f"{reason}: {', '.join(whom)}", data={"level": str(level.number)})
    )
    paged = Paged(number=level.number, at=now, whom=whom, late_by=late_by, why=why, ladder=_ladder(incident))
    log = (*escalation.paged, paged)[-PAGES_KEPT:]
    again = now + escalation.repeat_every if escalation.state is EscalationState.REPEATING else None
    moved = replace(escalation, repeats=repeat, next_due_at=again, paged=log, planned_at=None)
    return replace(incident, escalation=moved), tuple(pages)


def _of_hold(escalation: Escalation, late_by: timedelta) -> str:
    is_late = bool(escalation.held_why) and late_by > timedelta(0)
    return f", held back: {escalation.held_why}" if is_late else ""


def _ladder(incident: Incident) -> str:
    """Names this climb: levels are paged once in it."""
    return f"{incident.epoch}.{incident.severity}"


def _climb_text(before: Incident, after: Incident) -> str:
    levels = range(before.escalation.next_number, after.escalation.next_number)
    if not levels:
        return "The last level is paged again."
    if len(levels) == 1:
        return f"Level {levels[0]} is paged."
    return f"Levels {', '.join(map(str, levels[:-1]))} and {levels[-1]} are paged."


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
        moved = paced(incident, now, policy)
        effects = timer(moved)
    else:
        moved, effects = rearm(incident, now, policy)
    record = Record(kind="repaired", by=SYSTEM, text="the auditor found no live next step and set one")
    return changed(moved, "repaired", "The ladder had no live next step; it has one again.", record, *effects)


def call_now(incident: Incident, reason: str, by: Who, now: datetime, policy: Policy) -> tuple[Effect, ...]:
    """Tell whoever must know at once: an edited headline calls nobody, and the first level may be an hour away.

    The owner where there is one, else whoever is on call, else the catch-all; never the person who did it.
    """
    if incident.kind is IncidentKind.CHANGE or not incident.is_open or held_until(incident, policy, now) is not None:
        return ()
    system = policy.system(incident.subject.system)
    if incident.owner is not None and incident.state is IncidentState.ACKNOWLEDGED:
        whom: tuple[str, ...] = (f"user:{incident.owner.user_id}",)
    else:
        whom = policy.resolve("oncall", system.name, now) or catch_all(policy, system, now)
    unique = f"{incident.epoch}.{incident.severity}.now"
    return tuple(
        Page(number=0, target=one, late_by=timedelta(0), reason=reason, unique=unique)
        for one in whom
        if one != f"user:{by.user_id}"
    )


def on_it(who: Who) -> str:
    """A person's name for a sentence."""
    return f"@{who.name}" if who.name else who.user_id
