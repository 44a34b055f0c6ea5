"""Questions to the systems themselves, answered by diagnostics."""

from __future__ import annotations

from bot import events as ev
from bot.desk.reply import Asker, Reply, told, why_of
from bot.desk.room import Room
from bot.words import harmless
from handlers import commands as cmd
from handlers.commands import LOOK, Verb

VERBS = (
    Verb(name="diagnose", usage="diagnose [incident]", summary="gather fresh evidence into the thread", group=LOOK),
    Verb(name="pods", usage="pods <service>", summary="whether the pods run, and if not, why", group=LOOK),
    Verb(name="logs", usage="logs <service>", summary="the logs, errors first, secrets taken out", group=LOOK),
    Verb(name="changes", usage="changes <model|service>", summary="what changed lately, nearest first", group=LOOK),
)  # fmt: skip


def say_diagnose(room: Room, command: cmd.Command, asker: Asker) -> Reply:
    """Ask diagnostics; the answers come into the thread."""
    found = room.find(command, asker)
    if isinstance(found, Reply):
        return found
    _, names = cmd.take_incident(command.words)
    unknown = [name for name in names if name not in room.diagnostics]
    if unknown:
        near = cmd.nearest(unknown[0], list(room.diagnostics))
        known = ", ".join(sorted(room.diagnostics))
        text = f"There is no diagnostic “{harmless(unknown[0], 40)}”.{near} Known: {known}."
        return Reply(text=text, refused=True)
    decision = room.engine.apply(found.id, ev.DiagnosticsAsked(by=asker.who, names=names), key=asker.key("diagnose"))
    return told(decision, f"{why_of(decision)} The answers come into the thread of {found.id}.")


def say_pods(room: Room, command: cmd.Command, asker: Asker) -> Reply:
    """Pods of a service."""
    return room.look_at(command, asker, "pods", of_services=True)


def say_logs(room: Room, command: cmd.Command, asker: Asker) -> Reply:
    """Logs of a service."""
    return room.look_at(command, asker, "logs", of_services=True)


def say_changes(room: Room, command: cmd.Command, asker: Asker) -> Reply:
    """What changed lately."""
    return room.look_at(command, asker, "what_changed", of_services=True)
