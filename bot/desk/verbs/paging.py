"""Paging somebody: the next level, or one person."""

from __future__ import annotations

from bot import events as ev
from bot.desk.reply import Asker, Reply
from bot.desk.room import Room
from handlers import commands as cmd
from handlers.commands import STEER, Verb

VERBS = (
    Verb(name="escalate", usage="escalate [incident]", summary="page the next level now", group=STEER),
    Verb(name="page", usage="page @person [incident] [reason]", summary="ask one person for help now", group=STEER),
)  # fmt: skip


def say_escalate(room: Room, command: cmd.Command, asker: Asker) -> Reply:
    """Page the next level now."""
    return room.steer(command, asker, lambda _: ev.EscalateClicked(by=asker.who))


def say_page(room: Room, command: cmd.Command, asker: Asker) -> Reply:
    """Page one person about an incident; the ladder goes on as it was."""
    name, words = cmd.take_user(command.words)
    person = room.person(name)
    if person is None:
        text = f"Whom? {room.stranger(name)} `/mlops page @person INC-7 we need you for the database`."
        return Reply(text=text, refused=True)
    incident_id, reason = cmd.take_incident_before(words)
    about = cmd.Command(verb=command.verb, words=(incident_id,) if incident_id else ())
    return room.steer(about, asker, lambda _: ev.PersonPaged(by=asker.who, to=person.who, reason=" ".join(reason)))
