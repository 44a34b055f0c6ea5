"""Questions about models: their versions, numbers and past."""

from __future__ import annotations

import re

from bot.desk.past import told_past
from bot.desk.reply import Asker, Reply
from bot.desk.room import Room
from handlers import commands as cmd
from handlers import versions
from handlers.commands import LOOK, Verb

VERBS = (
    Verb(name="metrics", usage="metrics <model>", summary="current values against their bounds", group=LOOK),
    Verb(
        name="versions", usage="versions <model>", group=LOOK,
        summary="every version: what points at it, what it measured, bad marks, what is served",
    ),
    Verb(
        name="compare", usage="compare <model> <version> <version>", group=LOOK,
        summary="two versions side by side: metrics, data, parameters, signature, size",
    ),
    Verb(
        name="quality", usage="quality <model>", group=LOOK,
        summary="how good it is by true labels, how many have come and how late, against its baseline",
    ),
    Verb(
        name="history", usage="history <model>", summary="which version was production when, by whom and why",
        group=LOOK,
    ),
)  # fmt: skip
_VERSION = re.compile(r"[vV]?(\d{1,9})|([A-Za-z0-9][A-Za-z0-9._-]{0,63})")  # v6; or a name, as a file of one's own has


def say_metrics(room: Room, command: cmd.Command, asker: Asker) -> Reply:
    """Current values."""
    return room.look_at(command, asker, "current")


def say_versions(room: Room, command: cmd.Command, asker: Asker) -> Reply:
    """What there is, and what is served."""
    return room.look(command, asker, versions.table, command.words)


def say_compare(room: Room, command: cmd.Command, asker: Asker) -> Reply:
    """Two versions side by side; the model may be left out where there is only one."""
    words = [word for word in command.words if word.lower() not in ("with", "and", "to", "against")]
    read = [found[1] or found[2] for word in words[-2:] if (found := _VERSION.fullmatch(word))]
    if len(read) != 2 or len(words) > 3:
        text = "I read `compare <model> <version> <version>`, for example `compare intent v6 v7`."
        return Reply(text=text, refused=True)
    old, new = read
    if old == new:
        return Reply(text=f"These are the same version, {old}. Name two different ones.", refused=True)
    return room.look(command, asker, lambda scene: versions.compare(scene, old, new), words[:-2])


def say_quality(room: Room, command: cmd.Command, asker: Asker) -> Reply:
    """How good the model is, as far as labels have come."""
    return room.look_at(command, asker, "quality")


def say_history(room: Room, command: cmd.Command, asker: Asker) -> Reply:
    """Which version was production when."""
    found = room.model(command.words, asker=asker)
    if isinstance(found, Reply):
        return found
    system, model = found
    moves = room.store.moves(system.name, model, limit=20)
    watches = room.store.watches(system.name, model)
    return Reply(text=told_past(f"{model} of {system.name}", moves, watches, room.engine.now()))
