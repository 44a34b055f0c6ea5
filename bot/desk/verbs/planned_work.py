"""Holding pages back while people work on a system, and letting them go again."""

from __future__ import annotations

from datetime import timedelta

from bot.desk.reply import Asker, Reply, when
from bot.desk.room import Room
from bot.policy import Hold, System
from bot.policy.approval import may_request
from bot.words import escaped, harmless
from handlers import commands as cmd
from handlers.commands import STEER, Verb

VERBS = (
    Verb(
        name="silence", usage="silence <system|service|model> 2h <reason>", group=STEER,
        summary="planned work: its pages wait until then, its incidents are opened and shown",
    ),
    Verb(
        name="unsilence", usage="unsilence <system|service|model>", group=STEER,
        summary="the work is over: what waited for it is paged now",
    ),
)  # fmt: skip
LONGEST = timedelta(hours=24)


def say_silence(room: Room, command: cmd.Command, asker: Asker) -> Reply:
    """Hold pages back for a while."""
    found = _part(room, command.words[0]) if command.words else None
    length = cmd.span(command.words[1]) if len(command.words) > 1 else None
    reason = " ".join(command.words[2:])[:300]
    if found is None or length is None or not reason:
        usage = escaped("/mlops silence <system|service|model> 2h <reason>")
        return Reply(text=f"What, for how long, and why? `{usage}`. {_known(room)}", refused=True)
    if length > LONGEST:
        text = "Planned work holds pages for 24h at most. For work that comes every week set `maintenance`."
        return Reply(text=text, refused=True)
    system, part = found
    allowed = may_request(room.policy, system, asker.who)
    if allowed.refused:
        return Reply(text=allowed.text, refused=True)
    until = room.engine.now() + length
    one = Hold(system=system.name, part=part, until=until, why=reason, by=asker.who.name or asker.who.user_id)
    touched = room.engine.hold(one, asker.who, key=asker.key("silence"))
    if touched is None:
        return Reply(text="")
    waits = f" {touched} open incident{'s wait' if touched != 1 else ' waits'} for it." if touched else ""
    text = f"Pages about {part or system.name} wait until {when(until)}; incidents are opened and shown.{waits}"
    return Reply(text=f"{text} Reason: {harmless(reason)}")


def say_unsilence(room: Room, command: cmd.Command, asker: Asker) -> Reply:
    """Let pages go again."""
    found = _part(room, command.words[0]) if command.words else None
    if found is None:
        usage = escaped("/mlops unsilence <system|service|model>")
        return Reply(text=f"What? `{usage}`. {_known(room)}", refused=True)
    system, part = found
    allowed = may_request(room.policy, system, asker.who)
    if allowed.refused:
        return Reply(text=allowed.text, refused=True)
    about = part or system.name
    touched = room.engine.release(system.name, part, asker.who, key=asker.key("unsilence"))
    if touched is None:
        weekly = " Windows that come every week are in system.yaml." if system.maintenance else ""
        return Reply(text=f"Nobody holds pages about {about}.{weekly}", refused=True)
    goes_on = f" {touched} open incident{'s go' if touched != 1 else ' goes'} on." if touched else ""
    return Reply(text=f"Pages about {about} go out again.{goes_on}")


def _part(room: Room, name: str) -> tuple[System, str] | None:
    """The system that is meant and which part of it, "" for the whole; None when nothing is called so."""
    system = room.policy.systems.get(name)
    if system is not None:
        return system, ""
    of, _, part = name.rpartition("/")
    found = [
        one
        for one in room.policy.systems.values()
        if (not of or one.name == of) and (part in one.services or one.model(part) is not None)
    ]
    return (found[0], part) if len(found) == 1 else None


def _known(room: Room) -> str:
    return f"{room.systems()} A service or model may be written `system/name`."
