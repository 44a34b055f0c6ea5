"""Hearing how things stand without having to do anything, and saying that one is still on it."""

from __future__ import annotations

from datetime import timedelta

from bot import events as ev
from bot.desk.reply import Asker, Reply
from bot.desk.room import Room
from handlers import commands as cmd
from handlers.commands import LOOK, STEER, Verb

VERBS = (
    Verb(
        name="subscribe", usage="subscribe [incident] 30m", group=LOOK,
        summary="how it stands, as a direct message, this often until it is resolved",
    ),
    Verb(name="unsubscribe", usage="unsubscribe [incident]", summary="no more of these messages", group=LOOK),
    Verb(name="still", usage="still [incident]", summary="you are still on it", group=STEER),
)  # fmt: skip
_USUAL = timedelta(minutes=30)


def say_subscribe(room: Room, command: cmd.Command, asker: Asker) -> Reply:
    """Hear of an incident at a cadence."""
    every = next((found for word in command.words if (found := cmd.span(word))), _USUAL)
    rest = cmd.Command(verb=command.verb, words=tuple(word for word in command.words if not cmd.span(word)))
    return room.steer(rest, asker, lambda _: ev.Subscribed(by=asker.who, every=every))


def say_unsubscribe(room: Room, command: cmd.Command, asker: Asker) -> Reply:
    """Hear no more of it."""
    return room.steer(command, asker, lambda _: ev.Unsubscribed(by=asker.who))


def say_still(room: Room, command: cmd.Command, asker: Asker) -> Reply:
    """Answer the question whether one is still on it."""
    words = tuple(word for word in command.words if word.lower() not in {"on", "it"})
    return room.steer(cmd.Command(verb=command.verb, words=words), asker, lambda _: ev.StillOnIt(by=asker.who))
