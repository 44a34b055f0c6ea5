"""What is going on: help, incidents, their story."""

from __future__ import annotations

from bot import events as ev
from bot.desk.reply import Asker, Reply, fit, head, line, when
from bot.desk.room import Room
from bot.model import Subject
from bot.words import escaped, harmless, spoken
from handlers import commands as cmd
from handlers.commands import LOOK, Verb

VERBS = (
    Verb(name="help", usage="help [verb]", summary="what you can say, or how one verb works", group=LOOK),
    Verb(name="status", usage="status", summary="what is wrong now and who has it", group=LOOK),
    Verb(name="incidents", usage="incidents [all]", summary="open incidents, or the latest of all", group=LOOK),
    Verb(name="incident", usage="incident [incident]", summary="one incident in full", group=LOOK),
    Verb(name="runbook", usage="runbook [incident]", summary="the runbook's checklist into the thread", group=LOOK),
    Verb(name="timeline", usage="timeline [incident]", summary="everything that happened, in order", group=LOOK),
    Verb(name="audit", usage="audit", summary="length and head of the audit chain", group=LOOK),
)  # fmt: skip


def say_help(room: Room, command: cmd.Command, asker: Asker) -> Reply:
    """What can be said, or how one verb is used."""
    del asker
    if command.words:
        wanted = command.words[0].lower()
        verb = next((verb for verb in room.verbs if verb.name == wanted), None)
        if verb is None:
            near = cmd.nearest(wanted, [verb.name for verb in room.verbs])
            return Reply(text=f"There is no verb “{harmless(wanted, 40)}”.{near}", refused=True)
        return Reply(text=f"`/mlops {escaped(verb.usage)}` – {verb.summary}.")
    lines = []
    for group, title in ((cmd.LOOK, "Look"), (cmd.STEER, "Steer"), (cmd.ACT, "Act (with approval)")):
        lines.append(f"*{title}*")
        lines += [f"• `{escaped(verb.usage)}` – {verb.summary}" for verb in room.verbs if verb.group == group]
    lines.append("In a thread, mention me instead of the slash: the incident is then the thread's.")
    return Reply(text="\n".join(lines))


def say_status(room: Room, command: cmd.Command, asker: Asker) -> Reply:
    """Open incidents, one line each, and where pages are held back."""
    del command, asker
    found = room.store.incidents(open_only=True)
    held = _held(room)
    if not found:
        return Reply(text=head(["Nothing is wrong that I know of: no open incident.", *held]))
    more = [f"…and {len(found) - 20} or more others."] if len(found) > 20 else []
    return Reply(text=head([*(line(incident) for incident in found[:20]), *more, *held]))


def _held(room: Room) -> list[str]:
    """What planned work keeps quiet now, one line each."""
    policy, now = room.policy, room.engine.now()
    found = {(one.system, one.part): one for one in policy.holds}
    for name in policy.systems:
        weekly = policy.hold_for(Subject(system=name), now)
        if weekly is not None:
            found.setdefault((name, weekly.part), weekly)
    return [
        f"• Pages about {harmless(one.part or one.system, 80)} wait until {when(one.until)}: {harmless(one.why, 200)}"
        for one in found.values()
    ]


def say_incidents(room: Room, command: cmd.Command, asker: Asker) -> Reply:
    """Open incidents, or the latest of all."""
    if "all" not in command.words:
        return say_status(room, command, asker)
    found = room.store.incidents(limit=20)
    return Reply(text=head([line(incident) for incident in found]) or "There has been no incident yet.")


def say_incident(room: Room, command: cmd.Command, asker: Asker) -> Reply:
    """One incident: why its severity, its symptom, its plans."""
    found = room.find(command, asker)
    if isinstance(found, Reply):
        return found
    plans = [f"• plan {plan.id}: {plan.action} is {plan.state}. {spoken(plan.ended_why)}" for plan in found.plans[-5:]]
    lines = [line(found), f"Why: {harmless(found.severity_why)}", f"Symptom: {harmless(found.symptom)}", *plans]
    return Reply(text="\n".join(lines))


def say_runbook(room: Room, command: cmd.Command, asker: Asker) -> Reply:
    """The checklist into the thread."""
    found = room.find(command, asker)
    if isinstance(found, Reply):
        return found
    book = next((book for book in room.engine.runbooks if book.name == found.runbook), None)
    if book is None:
        return Reply(text=f"No runbook matches {found.id}. Add one to runbooks/{found.subject.system}/.")
    room.engine.apply(found.id, ev.RunbookAsked(by=asker.who, name=book.name), key=asker.key("runbook"))
    return Reply(text=f"The checklist of “{book.title}” comes into the thread of {found.id}.")


def say_timeline(room: Room, command: cmd.Command, asker: Asker) -> Reply:
    """What happened, in order."""
    found = room.find(command, asker)
    if isinstance(found, Reply):
        return found
    lines = room.store.timeline(found.id)[-30:]
    told = [
        f"• {when(line.at)} {harmless(line.by.name or line.by.user_id, 40)}: {spoken(room.named(line.text))}"
        for line in lines
    ]
    return Reply(text=fit(told) or "Nothing yet.")


def say_audit(room: Room, command: cmd.Command, asker: Asker) -> Reply:
    """Length and head of the audit chain."""
    del command, asker
    number, head = room.store.audit_head()
    return Reply(text=f"{number} audit lines, head {head[:16]}. `mlops-bot audit verify` checks the whole chain.")
