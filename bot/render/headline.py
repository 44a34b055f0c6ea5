"""The headline of an incident, and the page that asks somebody to look at it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from itertools import islice

from bot.model import EscalationState, Incident, IncidentKind, IncidentState, Level, PlanState, Severity
from bot.policy import Policy
from bot.policy.escalation import catch_all, due_at, next_informed, reached
from bot.render.contexts import Bundle, BundleLine, Button, Headline, Name, NextLevel, Page, Update
from bot.render.parts import (
    NOTEWORTHY,
    SEVERITY_WORDS,
    action_button,
    addressed,
    elapsed,
    lead,
    name_of,
    on_incident,
    paged_lines,
    plan_line,
)

_URGENT = frozenset({Severity.P0, Severity.P1})
_PLANS_SHOWN = 4
_PAGES_SHOWN = 6
_PAGES_LOOKED_AT = 12  # of which equal ones are told once
_ALERTS_SHOWN = 5


def headline(
    incident: Incident, policy: Policy, now: datetime, offered: Sequence[str] = (), runbook: str = ""
) -> Headline:
    """What the headline says now. `offered`: verbs of the runbook in order; `runbook`: its title."""
    system = policy.system(incident.subject.system)
    return Headline(
        lead=lead(incident, incident.symptom),
        incident_id=incident.id,
        kind=incident.kind,
        state=incident.state,
        severity=incident.severity,
        severity_word=SEVERITY_WORDS[incident.severity],
        why=incident.severity_why,
        subject=incident.subject.label,
        service=incident.subject.service,
        system=system.title or incident.subject.system,
        environment=system.environment,
        symptom=incident.symptom,
        since=incident.started_at,
        owner=name_of(incident.owner),
        acked_at=incident.acked_at,
        team=system.owner,
        call=_to_call(incident, policy, now),
        firing=incident.firing,
        total=incident.total,
        truncated=incident.truncated,
        alerts=incident.alert_names[:_ALERTS_SHOWN],
        paged=paged_lines(incident, policy, _PAGES_SHOWN),
        next_level=_next_level(incident, policy, now),
        informed=_informed(incident, policy, now),
        held_until=_held_until(incident, now),
        held_why=incident.escalation.held_why,
        asked_at=incident.asked_at,
        answer_until=incident.asked_at + incident.escalation.answer_within if incident.asked_at else None,
        snoozed_until=incident.snoozed_until,
        quiet_until=incident.quiet_until,
        resolved_at=incident.resolved_at,
        resolved_by=name_of(incident.resolved_by),
        lasted=elapsed(incident.started_at, incident.resolved_at),
        reopened=incident.reopened,
        plans=tuple(plan_line(plan) for plan in incident.plans[-_PLANS_SHOWN:]),
        runbook=runbook,
        links=incident.links[:5],
        buttons=_buttons(incident, offered),
        menu=_menu(incident),
    )


def page(incident: Incident, data: Mapping[str, object], policy: Policy, now: datetime) -> Page:
    """What a page says. `data`: number, reason, late_by_s (seconds), and repeated when it may arrive twice."""
    del now
    system = policy.system(incident.subject.system)
    asks = str(data.get("asks") or "")
    return Page(
        lead=lead(incident, incident.symptom),
        incident_id=incident.id,
        severity=incident.severity,
        severity_word=SEVERITY_WORDS[incident.severity],
        subject=incident.subject.label,
        service=incident.subject.service,
        system=system.title or incident.subject.system,
        environment=system.environment,
        symptom=incident.symptom,
        why=incident.severity_why,
        since=incident.started_at,
        number=_whole(data.get("number")),
        reason=_reason(data, policy),
        late_by=_late_by(data),
        is_repeated=bool(data.get("repeated")),
        owner=name_of(incident.owner),
        tried=_tried(incident, policy, unless=_whole(data.get("number"))),
        channel=incident.channel,
        call=_called(data, policy),
        buttons=_page_buttons(incident, asks),
        asks=asks,
    )


def _reason(data: Mapping[str, object], policy: Policy) -> str:
    """Why somebody is paged, and whom it was for where Slack did not take it there."""
    reason = str(data.get("reason") or "")
    if not data.get("instead_of"):
        return reason
    whom = addressed(str(data["instead_of"]), policy)
    return f"{reason}; it was for {whom}, where Slack does not take it ({str(data.get('refused', ''))[:60]})"


def _called(data: Mapping[str, object], policy: Policy) -> Name | None:
    """Whom a page mentions, where it goes to a channel: a user group, or a person who wants it so."""
    kind, _, group = str(data.get("target") or "").partition(":")
    if kind == "group":
        return Name(name=group, user_id=group)
    return addressed(f"user:{data['call']}", policy) if data.get("call") else None


def bundle(pages: Sequence[tuple[Incident, Mapping[str, object]]], *, repeated: bool = False) -> Bundle:
    """Several pages for one person, the worst first. Each with its incident and the data of its page."""
    worst = sorted(pages, key=lambda pair: pair[0].severity.rank)
    first = worst[0][0]
    more = len(worst) - 1
    return Bundle(
        lead=f"{lead(first, first.symptom)} – and {more} more incident{'s' if more != 1 else ''} for you",
        incidents=tuple(
            BundleLine(
                incident_id=incident.id, severity=incident.severity, subject=incident.subject.label,
                symptom=incident.symptom, since=incident.started_at, reason=str(data.get("reason") or ""),
                late_by=_late_by(data), channel=incident.channel, buttons=_page_buttons(incident, ""),
            )
            for incident, data in worst
        ),
        is_repeated=repeated,
    )  # fmt: skip


def update(incident: Incident, data: Mapping[str, object], policy: Policy, now: datetime) -> Update:
    """What a subscriber is told. `data`: is_last when it is over, next_at of the next telling (None for none)."""
    system = policy.system(incident.subject.system)
    is_last = bool(data.get("is_last")) or not incident.is_open
    next_at = data.get("next_at")
    stop = Button(action_id="unsubscribe", label="Stop these updates", value=on_incident(incident))
    return Update(
        lead=lead(incident, incident.symptom),
        incident_id=incident.id,
        severity=incident.severity,
        severity_word=SEVERITY_WORDS[incident.severity],
        state=incident.state,
        subject=incident.subject.label,
        system=system.title or incident.subject.system,
        environment=system.environment,
        symptom=incident.symptom,
        since=incident.started_at,
        owner=name_of(incident.owner),
        acked_at=incident.acked_at,
        resolved_by=name_of(incident.resolved_by),
        lasted=elapsed(incident.started_at, incident.resolved_at or now),
        tried=_tried(incident, policy),
        next_level=_next_level(incident, policy, now),
        next_at=next_at if isinstance(next_at, datetime) and not is_last else None,
        is_last=is_last,
        channel=incident.channel,
        buttons=() if is_last else (stop,),
    )


def _page_buttons(incident: Incident, asks: str) -> tuple[Button, ...]:
    """What the reader may answer: take it, or say that they are on it; whoever is only told may take it over."""
    value = on_incident(incident)
    take = Button(action_id="takeover", label="Take over", value=value)
    if not incident.is_open:
        return ()
    if asks == "still_on_it":
        still = Button(action_id="still_on_it", label="Still on it", value=value, style="primary")
        return (still, Button(action_id="unack", label="Give it back", value=value))
    ack = Button(action_id="ack", label="Acknowledge", value=value, style="primary")
    is_waiting = incident.state is not IncidentState.ACKNOWLEDGED
    return (*((ack,) if is_waiting else ()), take)


def _to_call(incident: Incident, policy: Policy, now: datetime) -> tuple[Name, ...]:
    """On call is mentioned in the first post of a P0 or P1; later the ladder calls people by name."""
    is_new = incident.state is IncidentState.OPEN and not incident.escalation.paged and not incident.reopened
    if not is_new or incident.severity not in _URGENT or incident.kind is IncidentKind.CHANGE:
        return ()
    if _held_until(incident, now) is not None:
        return ()
    return tuple(addressed(address, policy) for address in policy.resolve("oncall", incident.subject.system, now))


def _held_until(incident: Incident, now: datetime) -> datetime | None:
    until = incident.escalation.held_until
    return until if until is not None and until > now else None


def _informed(incident: Incident, policy: Policy, now: datetime) -> NextLevel | None:
    """The level that hears of it next although somebody has it."""
    level = next_informed(incident)
    if level is None:
        return None
    whom = _people(level, incident, policy, now)
    return NextLevel(number=level.number, at=due_at(incident.escalation, level.number), whom=whom)


def _people(level: Level, incident: Incident, policy: Policy, now: datetime) -> tuple[Name, ...]:
    """Whom a level would reach now; the catch-all where it would reach nobody."""
    system = policy.system(incident.subject.system)
    addresses, _ = reached(policy, system, level.targets, now)
    return tuple(addressed(one, policy) for one in addresses or catch_all(policy, system, now))


def _next_level(incident: Incident, policy: Policy, now: datetime) -> NextLevel | None:
    ladder = incident.escalation
    if ladder.next_due_at is None or not ladder.levels:
        return None
    is_repeat = ladder.state is EscalationState.REPEATING
    level = ladder.levels[-1] if is_repeat else ladder.levels[min(ladder.next_number, len(ladder.levels)) - 1]
    return NextLevel(
        number=level.number, at=ladder.next_due_at, whom=_people(level, incident, policy, now), is_repeat=is_repeat
    )


def _buttons(incident: Incident, offered: Sequence[str]) -> tuple[Button, ...]:
    """At most three: acknowledge, what is recommended next, details.

    Recommended is what the runbook says, until a plan is verified; then it is to resolve, once every alert has stopped.
    """
    if not incident.is_open:
        return ()
    details = Button(action_id="details", label="Details", value=on_incident(incident))
    if incident.kind is IncidentKind.CHANGE:
        return (details,)
    ack = Button(action_id="ack", label="Acknowledge", value=on_incident(incident), style="primary")
    return (
        *((ack,) if incident.state is not IncidentState.ACKNOWLEDGED else ()),
        *_recommended(incident, offered),
        details,
    )


def _recommended(incident: Incident, offered: Sequence[str]) -> tuple[Button, ...]:
    if is_all_clear(incident):
        is_main = incident.state is IncidentState.ACKNOWLEDGED
        style = "primary" if is_main else ""
        return (Button(action_id="resolve", label="Resolve", value=on_incident(incident), style=style),)
    is_busy = any(not plan.is_ended for plan in incident.plans)  # then its card is what comes next
    is_known = bool(incident.subject.model or incident.subject.service)
    if not is_known or is_busy or _is_mended(incident):
        return ()
    return tuple(action_button(verb, incident) for verb in offered[:1])


def is_all_clear(incident: Incident) -> bool:
    """Every alert has stopped and nothing is being changed: what is left to do is to say that it is over.

    An incident that no alert belongs to is clear when its last change was verified.
    """
    is_busy = any(not plan.is_ended for plan in incident.plans)
    is_quiet = incident.quiet_until is not None if incident.total else _is_mended(incident)
    return incident.is_open and is_quiet and not is_busy


def _is_mended(incident: Incident) -> bool:
    """A plan was verified since the ladder began, so the same again is no advice."""
    since = incident.escalation.base_at  # set anew when the incident is reopened or given back
    ended = [plan for plan in incident.plans if plan.is_ended and plan.ended_at is not None]
    return bool(ended) and ended[-1].state is PlanState.VERIFIED and (ended[-1].ended_at or since) >= since


def _menu(incident: Incident) -> tuple[tuple[str, str], ...]:
    if not incident.is_open or incident.kind is IncidentKind.CHANGE:
        return ()
    choices = [("Run diagnostics again", "diagnose"), ("Show the runbook", "runbook")]
    if incident.state is IncidentState.ACKNOWLEDGED:
        choices.append(("Give it back", "unack"))
    else:
        choices.append(("Page the next level now", "escalate"))
    choices.append(("Snooze for 1 h", "snooze"))
    if not is_all_clear(incident):  # then it is a button
        choices.append(("Resolve", "resolve"))
    return tuple((label, f"{choice}|{on_incident(incident)}") for label, choice in choices)


def _tried(incident: Incident, policy: Policy, *, unless: int = 0) -> tuple[str, ...]:
    """Plans and pages so far, newest first; each page once, however often it was repeated.

    The newest page is left out when it is of level `unless`: whoever reads it need not be told that they are paged.
    """
    plans = [
        f"{line.title[:120]}: {line.state}{f' – {line.brief}' if line.brief else ''}"
        for line in map(plan_line, incident.plans[-3:])
    ]
    before = paged_lines(incident, policy, _PAGES_LOOKED_AT)
    if before and before[-1].number == unless:
        before = before[:-1]
    pages = Counter(f"level {line.number} was paged: {', '.join(map(str, line.whom[:4]))}" for line in reversed(before))
    said = (f"{text} ({times} times)" if times > 1 else text for text, times in pages.items())
    return (*reversed(plans), *islice(said, 3))


def _late_by(data: Mapping[str, object]) -> timedelta:
    given = data.get("late_by_s", data.get("late_by", 0))
    if isinstance(given, timedelta):
        return given if given >= NOTEWORTHY else timedelta(0)
    try:
        late = timedelta(seconds=max(float(str(given)), 0.0))
    except (ValueError, OverflowError):
        return timedelta(0)
    return late if late >= NOTEWORTHY else timedelta(0)


def _whole(value: object) -> int:
    text = str(value)
    return int(text) if text.isdecimal() else 0
