"""Who is on call, and who is paged."""

from __future__ import annotations

from bot import events as ev
from bot.desk.reply import Asker, Reply
from bot.desk.room import Room
from handlers import commands as cmd
from handlers.commands import LOOK, STEER, Verb

VERBS = (
    Verb(name="oncall", usage="oncall", summary="who is on call for what", group=LOOK),
    Verb(name="escalate", usage="escalate [incident]", summary="page the next level now", group=STEER),
)  # fmt: skip


def say_oncall(room: Room, command: cmd.Command, asker: Asker) -> Reply:
    """Who is on call for what."""
    del command, asker
    now = room.engine.now()
    lines = []
    for system in room.policy.systems.values():
        people = ", ".join(f"@{person.key}" for person in room.policy.on_call(system.name, now))
        lines.append(f"• {system.name}: {people or 'nobody; its pages go to the catch-all'}")
    return Reply(text="\n".join(lines) or "No system is configured.")


def say_escalate(room: Room, command: cmd.Command, asker: Asker) -> Reply:
    """Page the next level now."""
    return room.steer(command, asker, lambda _: ev.EscalateClicked(by=asker.who))
