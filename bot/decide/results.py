"""Small builders that every part of the core shares: the three shapes a decision has."""

from __future__ import annotations

from bot.effects import Decision, Effect, Record, ShowHeadline, Why
from bot.model import Incident, Who
from bot.words import cut, visible


def told(text: str, cap: int, *, one_line: bool = False) -> str:
    """A stranger's or a person's words, fit to be kept: visible characters only, at most `cap` of them."""
    seen = visible(text[: cap * 4])
    return cut(" ".join(seen.split()) if one_line else seen, cap)


def changed(incident: Incident, code: str, text: str, *effects: Effect) -> Decision:
    """Something changed: the headline is shown anew after the given effects."""
    return Decision(incident=incident, effects=(*effects, ShowHeadline()), why=Why(code=code, text=text))


def late(incident: Incident | None, code: str, text: str) -> Decision:
    """Nothing to do: a duplicate, a stale timer, a second answer. Not an error."""
    return Decision(incident=incident, effects=(), why=Why(code=code, text=text))


def refused(incident: Incident, why: Why, by: Who, **data: str) -> Decision:
    """A person may not do this now: told to them, and written down."""
    record = Record(kind=f"refused.{why.code}", by=by, text=why.text, data=data)
    return Decision(incident=incident, effects=(record,), why=why)
