"""Taking an incident, handing it on, saying how bad it is and that it is over."""

from __future__ import annotations

from bot import events as ev
from bot.decide.incident import LONGEST_SNOOZE
from bot.desk.reply import Asker, Reply, told, why_of
from bot.desk.room import Room
from bot.model import IncidentState
from bot.policy.approval import may_steer
from bot.policy.moments import moment
from handlers import commands as cmd
from handlers.commands import STEER, Verb

VERBS = (
    Verb(name="ack", usage="ack [incident]", summary="take it; the ladder stops climbing", group=STEER),
    Verb(name="unack", usage="unack [incident]", summary="give it back; the ladder starts again", group=STEER),
    Verb(name="assign", usage="assign @person [incident]", summary="hand it to somebody", group=STEER),
    Verb(name="severity", usage="severity P0|P1|P2|P3 [reason]", summary="set how bad it is", group=STEER),
    Verb(name="snooze", usage="snooze 30m|until 14:00 [incident]", summary="page nobody until then", group=STEER),
    Verb(name="resolve", usage="resolve [incident] [note]", summary="it is over", group=STEER),
    Verb(name="reopen", usage="reopen <incident>", summary="it is not over", group=STEER),
    Verb(name="note", usage="note <text>", summary="a remark for the timeline", group=STEER),
    Verb(name="declare", usage="declare P0|P1|P2|P3 <what is wrong>", summary="open an incident", group=STEER),
)  # fmt: skip


def say_ack(room: Room, command: cmd.Command, asker: Asker) -> Reply:
    """Take it."""
    return room.steer(
        command, asker, lambda _: ev.Acknowledged(by=asker.who), {IncidentState.OPEN, IncidentState.SNOOZED}
    )


def say_unack(room: Room, command: cmd.Command, asker: Asker) -> Reply:
    """Give it back, or end a snooze."""
    wanted = {IncidentState.ACKNOWLEDGED, IncidentState.SNOOZED}
    return room.steer(command, asker, lambda _: ev.Unacknowledged(by=asker.who), wanted)


def say_assign(room: Room, command: cmd.Command, asker: Asker) -> Reply:
    """Hand it to somebody."""
    name, words = cmd.take_user(command.words)
    person = room.person(name)
    if person is None:
        return Reply(text=f"To whom? {room.stranger(name)} `/mlops assign @person`.", refused=True)
    rest = cmd.Command(verb=command.verb, words=words, text=command.text)
    return room.steer(rest, asker, lambda _: ev.Assigned(by=asker.who, to=person.who))


def say_severity(room: Room, command: cmd.Command, asker: Asker) -> Reply:
    """Set how bad it is."""
    named, words = cmd.take_incident_before(command.words)
    level = cmd.severity(words[0]) if words else None
    if level is None:
        return Reply(text="Which one? `/mlops severity P1 users see errors`.", refused=True)
    also_named, words = cmd.take_incident_before(words[1:])
    about = cmd.Command(verb=command.verb, words=tuple(one for one in (named or also_named,) if one))
    reason = " ".join(words)
    return room.steer(about, asker, lambda _: ev.SeverityChanged(by=asker.who, to=level, reason=reason))


def say_snooze(room: Room, command: cmd.Command, asker: Asker) -> Reply:
    """Page nobody until then."""
    now = room.engine.now()
    begins = next((index for index, word in enumerate(command.words) if word.lower() == "until"), len(command.words))
    words, after = list(command.words[:begins]), command.words[begins + 1 :]
    until, used = moment(after, now, room.zone_of(asker)) if after else (None, 0)
    length = next((found for word in words if (found := cmd.span(word))), None)
    if until is None and length is not None:
        until, words = now + length, [word for word in words if not cmd.span(word)]
    if until is None or not now < until <= now + LONGEST_SNOOZE:
        text = "For how long, up to 7 days? `/mlops snooze 30m` or `/mlops snooze until 14:00`."
        return Reply(text=text, refused=True)
    rest = cmd.Command(verb=command.verb, words=(*words, *after[used:]), text=command.text)
    return room.steer(rest, asker, lambda _: ev.Snoozed(by=asker.who, until=until))


def say_resolve(room: Room, command: cmd.Command, asker: Asker) -> Reply:
    """It is over."""
    incident_id, words = cmd.take_incident_before(command.words)
    about = cmd.Command(verb=command.verb, words=(incident_id,) if incident_id else ())
    return room.steer(about, asker, lambda _: ev.Resolved(by=asker.who, note=" ".join(words)))


def say_reopen(room: Room, command: cmd.Command, asker: Asker) -> Reply:
    """It is not over."""
    incident_id, _ = cmd.take_incident(command.words)
    if not incident_id and not asker.thread_ts:
        return Reply(text="Which one? `/mlops reopen INC-7`.", refused=True)
    return room.steer(command, asker, lambda _: ev.Reopened(by=asker.who))


def say_note(room: Room, command: cmd.Command, asker: Asker) -> Reply:
    """A remark for the timeline."""
    if not command.text:
        return Reply(text="What should I note? `/mlops note disk was full at 14:02`.", refused=True)
    incident_id, words = cmd.take_incident_before(command.words) if len(command.words) > 1 else ("", command.words)
    about = cmd.Command(verb=command.verb, words=(incident_id,) if incident_id else ())
    return room.steer(about, asker, lambda _: ev.Noted(by=asker.who, text=" ".join(words)))


def say_declare(room: Room, command: cmd.Command, asker: Asker) -> Reply:
    """Open an incident by hand."""
    level = command.words[0] if command.words else ""
    return declare(room, level, " ".join(command.words[1:]), asker)


def declare(room: Room, level: str, title: str, asker: Asker) -> Reply:
    """Open an incident by hand; an open one about the same thing is named instead."""
    severity = cmd.severity(level)
    if severity is None or not title.strip():
        return Reply(text="How bad, and what is wrong? `/mlops declare P1 intent answers are nonsense`.", refused=True)
    system, subject = room.subject_in(title.split())
    allowed = may_steer(room.policy, system, asker.who)
    if allowed.refused:
        return Reply(text=allowed.text, refused=True)
    key = f"declared:{subject.system}/{subject.label}"
    decision = room.engine.open_incident(
        lambda incident_id: ev.Declared(
            incident_id=incident_id,
            key=key,
            subject=subject,
            by=asker.who,
            title=title.strip()[:150],
            severity=severity,
        ),
        key,
        once=asker.key("declare"),
    )
    return told(decision, why_of(decision))
