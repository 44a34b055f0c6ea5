"""Stopping guarded actions for a while, and looking back at the ones forced through."""

from __future__ import annotations

from bot.desk.reply import Asker, Reply
from bot.desk.room import Room
from bot.policy.approval import may_request
from bot.words import escaped, harmless
from handlers import commands as cmd
from handlers.commands import STEER, Verb

VERBS = (
    Verb(name="freeze", usage="freeze <system> 2h <reason>", summary="let no guarded action start", group=STEER),
    Verb(name="unfreeze", usage="unfreeze <system>", summary="end a freeze", group=STEER),
    Verb(name="review", usage="review <plan>", summary="confirm that you looked at a break-glass", group=STEER),
)  # fmt: skip


def say_freeze(room: Room, command: cmd.Command, asker: Asker) -> Reply:
    """Let no guarded action start."""
    system = room.policy.systems.get(command.words[0]) if command.words else None
    length = cmd.span(command.words[1]) if len(command.words) > 1 else None
    reason = " ".join(command.words[2:])[:300]
    if system is None or length is None or not reason:
        usage = escaped("/mlops freeze <system> 2h <reason>")
        return Reply(text=f"Which system, for how long, and why? `{usage}`. {room.systems()}", refused=True)
    allowed = may_request(room.policy, system, asker.who)
    if allowed.refused:
        return Reply(text=allowed.text, refused=True)
    room.engine.freeze(system.name, length, asker.who, reason)
    return Reply(
        text=f"{system.name} is frozen for {command.words[1]}: no guarded action starts. Reason: {harmless(reason)}"
    )


def say_unfreeze(room: Room, command: cmd.Command, asker: Asker) -> Reply:
    """End a freeze."""
    system = room.policy.systems.get(command.words[0]) if command.words else None
    if system is None:
        usage = escaped("/mlops unfreeze <system>")
        return Reply(text=f"Which system? `{usage}`. {room.systems()}", refused=True)
    allowed = may_request(room.policy, system, asker.who)
    if allowed.refused:
        return Reply(text=allowed.text, refused=True)
    room.engine.unfreeze(system.name, asker.who)
    return Reply(text=f"The freeze of {system.name} is over.")


def say_review(room: Room, command: cmd.Command, asker: Asker) -> Reply:
    """Confirm a look at a break-glass."""
    if not command.words:
        return Reply(text="Which plan's break-glass did you review? `/mlops review PLN-3`.", refused=True)
    if room.policy.person(asker.who) is None:
        text = "I don't know you, so a review by you would count for nothing. Ask an admin to add you to `people`."
        return Reply(text=text, refused=True)
    plan_id = command.words[0].upper()[:40]
    done = room.engine.review(plan_id, asker.who)
    shown = harmless(plan_id, 40)
    text = f"Thank you; the break-glass of {shown} is reviewed." if done else (
        f"{shown} has no break-glass that you could review: there is none, or you approved it yourself."
    )  # fmt: skip
    return Reply(text=text, refused=not done)
