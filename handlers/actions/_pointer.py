"""Moving what says which version is in production, in one place or in two, and seeing whether it moved.

Every registry offers the same small thing – what the pointer says now, and moving it if it still says that – whether it
is an alias, a stage, a key in a file or a row in a table. So a move, its precondition and the look after a lost answer
are written once.
"""

from __future__ import annotations

from dataclasses import dataclass

from bot.model import Outcome
from bot.policy import ModelProfile
from bot.ports import Foreign, ModelRegistry, Scene, Seen
from handlers._look import named_backend, shown

PASSING = frozenset({"unreachable", "timeout", "overloaded"})  # may be over in a moment


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """One pointer and where it goes."""

    registry: ModelRegistry
    model: str
    pointer: str
    from_: str
    to: str


def move(one: Move) -> Seen:
    """Make the move. NOT_YET when it surely was not made and may be tried again."""
    try:
        one.registry.move_alias(one.model, one.pointer, expected=one.from_, to=one.to)
    except Foreign as problem:
        if problem.happened is False:
            is_passing = problem.reason in PASSING
            return Seen(
                outcome=Outcome.NOT_YET if is_passing else Outcome.FAILED,
                detail=f"{problem.sentence} Nothing was changed.",
            )
        return _after_unclear_move(one, problem)
    return Seen(outcome=Outcome.DONE, detail=f"{one.pointer} of {one.model} points at {shown(one.to)}.")


def look(one: Move) -> Seen:
    """Where it points. Raises Foreign when that cannot be told."""
    found = one.registry.alias(one.model, one.pointer)
    if found == one.to:
        return Seen(outcome=Outcome.DONE, detail=f"{one.pointer} of {one.model} points at {shown(found)}.")
    if found == one.from_:
        return Seen(outcome=Outcome.NOT_YET, detail=f"{one.pointer} of {one.model} still points at {shown(found)}.")
    where = f"points at {shown(found)}" if found else "is gone"
    text = f"{one.pointer} of {one.model} {where}, which is neither {shown(one.from_)} nor {shown(one.to)}"
    text = f"{text}: somebody else moved it. This plan stops here; look at the registry and ask again."
    return Seen(outcome=Outcome.FAILED, detail=text)


def _after_unclear_move(one: Move, problem: Foreign) -> Seen:
    """The call's answer was lost: the registry itself knows whether it happened."""
    try:
        seen = look(one)
    except Foreign as second:
        text = (
            f"It cannot be told whether {one.pointer} moved: {problem.sentence} "
            f"Looking again failed too: {second.sentence}"
        )
        return Seen(outcome=Outcome.UNKNOWN, detail=text)
    if seen.outcome is Outcome.DONE:
        return seen
    return Seen(outcome=seen.outcome, detail=f"{problem.sentence} {seen.detail}")


def record_of(scene: Scene, model: ModelProfile) -> ModelRegistry | None:
    """The second place that is changed together with the registry, None when the profile names none."""
    return named_backend(scene, model, "record", model.record.backend) if model.record is not None else None
