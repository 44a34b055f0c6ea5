"""The ladder of people: defaults, due times, and what a level that reaches nobody does."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from bot.model import Alert, Escalation, EscalationState, Incident, IncidentState, Level, Severity
from bot.policy import Issue, Ladder, Policy, System
from bot.policy.calendar import Calendar, is_open, next_open
from bot.policy.waits import plain
from bot.states import ESCALATION

_TICK = timedelta(minutes=5)  # a page that is no later than this comes when it was due
_DEFAULT_TARGETS = (("oncall",), ("role:senior",), ("role:manager",), ("role:director",))
# First bound of each severity; levels 2–4 follow at twice, four and eight times it.
_FIRST_BOUND = {
    Severity.P0: timedelta(minutes=15),
    Severity.P1: timedelta(hours=1),
    Severity.P2: timedelta(hours=4),
    Severity.P3: timedelta(hours=24),
}


def default_ladder(severity: Severity) -> Ladder:
    """Four levels: on call, senior, manager, director, at 1, 2, 4 and 8 times the severity's response time."""
    first = _FIRST_BOUND[severity]
    return Ladder(
        levels=tuple(
            Level(number=n, after=first * 2 ** (n - 1), targets=targets)
            for n, targets in enumerate(_DEFAULT_TARGETS, 1)
        )
    )


def issue_of(alerts: tuple[Alert, ...], system: System) -> str:
    """The kind of issue that the first of these alerts is, "" for none: one label that the kind lists is enough."""
    for alert in alerts:
        for issue in system.issues:
            if any(alert.labels.get(label, "") in values for label, values in issue.match.items()):
                return issue.name
    return ""


def issue_named(words: str, system: System) -> str:
    """The kind of issue that a person's words name, "" for none."""
    said = f" {_plain(words)} "
    return next((issue.name for issue in system.issues if f" {_plain(issue.name)} " in said), "")


def _plain(words: str) -> str:
    """Lower case, and blanks for everything that is neither letter nor digit."""
    return " ".join("".join(sign if sign.isalnum() else " " for sign in words.lower()).split())


def ladder_for(system: System, severity: Severity, issue: str = "") -> Ladder:
    """The ladder of the kind of issue, else the profile's, else the default one. One without levels counts as none."""
    kind = next((one for one in system.issues if one.name == issue), Issue(name=""))
    for ladder in (kind.ladders.get(severity), system.ladders.get(severity)):
        if ladder is not None and ladder.levels:
            return ladder
    return default_ladder(severity)


def armed(system: System, severity: Severity, base_at: datetime, issue: str = "") -> Escalation:
    """A fresh ladder that starts at `base_at`: a snapshot, which later edits of the profile do not change."""
    ladder = plain(ladder_for(system, severity, issue), system.calendar, base_at)
    return Escalation(
        state=EscalationState.ARMED,
        levels=ladder.levels,
        base_at=base_at,
        next_number=1,
        next_due_at=base_at + ladder.levels[0].after,
        repeat_every=ladder.repeat_every,
        at_work=ladder.at_work,
        ack_timeout=ladder.ack_timeout,
        answer_within=ladder.answer_within,
    )


def silent(base_at: datetime) -> Escalation:
    """A ladder that never pages anybody (for a change without an incident)."""
    return Escalation(
        state=EscalationState.STOPPED,
        levels=(),
        base_at=base_at,
        next_number=1,
        next_due_at=None,
        repeat_every=timedelta(minutes=30),
    )


def held_until(incident: Incident, policy: Policy, now: datetime) -> tuple[datetime, str] | None:
    """Until when the incident's ladder pages nobody, and why; None when it may page now.

    Planned work holds every page. A ladder that counts time at work holds what falls due outside of it, which happens
    when the bot itself was away, or when a repeat would come at night.
    """
    hold = policy.hold_for(incident.subject, now)
    until, why = (hold.until, hold.why or "planned work") if hold else (now, "")
    calendar = policy.system(incident.subject.system).calendar
    if incident.escalation.at_work and calendar is not None and not _is_at_work(incident.escalation, calendar, until):
        opens_at = next_open(calendar, until)
        if opens_at > until:
            return opens_at, why or "nobody is at work"
    return (until, why) if hold else None


def opening(incident: Incident, policy: Policy, at: datetime) -> datetime:
    """`at`, or when the team is next at work where the ladder pages at work only."""
    calendar = policy.system(incident.subject.system).calendar
    if not incident.escalation.at_work or calendar is None or _was_open(calendar, at):
        return at
    return next_open(calendar, at)


def _is_at_work(escalation: Escalation, calendar: Calendar, now: datetime) -> bool:
    """Whether the team is at work, or was when what is due now fell due: a bound may end with the day."""
    planned = escalation.planned_at or escalation.next_due_at or now
    at = planned if planned <= now <= planned + _TICK else now
    return _was_open(calendar, at)


def _was_open(calendar: Calendar, at: datetime) -> bool:
    """Open, or closing at this very instant: a bound may end with the day."""
    return is_open(calendar, at) or is_open(calendar, at - timedelta(microseconds=1))


def due_at(escalation: Escalation, number: int) -> datetime:
    """When level `number` is due: absolute, so that an outage never pushes the later levels back."""
    return escalation.base_at + escalation.levels[number - 1].after


def replanned(
    escalation: Escalation, system: System, severity: Severity, now: datetime, *, paged: int = 0, issue: str = ""
) -> Escalation:
    """The same climb on the ladder of another severity.

    A level whose people were paged already is not paged again; from where the two ladders part, every level is, unless
    it is among the first `paged` levels of the other ladder, paged when the severity was that one before. Due times
    stay absolute. But nobody is called late for a severity that is new: when the next level's time would long be over,
    it is due now and the later ones keep their distance.
    """
    ladder = plain(ladder_for(system, severity, issue), system.calendar, escalation.base_at)
    number = 1 + max(_levels_shared(escalation, ladder), min(paged, len(ladder.levels)))
    fresh = replace(
        escalation, levels=ladder.levels, repeat_every=ladder.repeat_every, next_number=number, at_work=ladder.at_work,
        ack_timeout=ladder.ack_timeout, answer_within=ladder.answer_within, held_until=None, held_why="",
        planned_at=None,
    )  # fmt: skip
    due = escalation.planned_at or escalation.next_due_at
    if due is None:
        return fresh
    if number <= len(ladder.levels):
        event = "levels_added" if escalation.state is EscalationState.REPEATING else "replanned"
        base = max(escalation.base_at, now - ladder.levels[number - 1].after) if due > now else escalation.base_at
        fresh = replace(fresh, base_at=base)
        due = due_at(fresh, number)
    elif escalation.state is EscalationState.REPEATING:
        event = "replanned"
    else:
        event, due = "levels_cut", now + ladder.repeat_every
    state = ESCALATION.next(escalation.state, event) or escalation.state
    return replace(fresh, state=state, next_due_at=due)


def next_informed(incident: Incident) -> Level | None:
    """The level that is told next although somebody has it."""
    escalation = incident.escalation
    if incident.state is not IncidentState.ACKNOWLEDGED:
        return None
    first = max(escalation.next_number, escalation.informed + 1)
    return next((one for one in escalation.levels if one.until_resolved and one.number >= first), None)


def reached(policy: Policy, system: System, targets: tuple[str, ...], now: datetime) -> tuple[tuple[str, ...], str]:
    """Addresses the targets reach now, in order and once each; and why nobody is reached, "" when somebody is."""
    found: list[str] = []
    for target in targets:
        found += [address for address in policy.resolve(target, system.name, now) if address not in found]
    if found:
        return tuple(found), ""
    return (), f"{', '.join(targets) or 'this level'} reaches nobody now"


def catch_all(policy: Policy, system: System, now: datetime) -> tuple[str, ...]:
    """Where a page goes that would otherwise reach nobody.

    The profile's catch-all, else its channel, else those of the default profile, else everybody who is listed.
    """
    for profile in (system, policy.default):
        addresses, _ = reached(policy, profile, profile.catch_all, now)
        if addresses:
            return addresses
        if profile.channel:
            return (f"channel:{profile.channel}",)
    return tuple(f"user:{person.who.user_id}" for person in policy.people)


def _levels_shared(escalation: Escalation, ladder: Ladder) -> int:
    """How many of the levels that were paged the other ladder begins with."""
    paged = escalation.levels[: escalation.next_number - 1]
    shared = 0
    for old, new in zip(paged, ladder.levels, strict=False):
        if old.targets != new.targets:
            break
        shared += 1
    return shared
