"""Small builders that every part of the core shares: the three shapes a decision has."""

from __future__ import annotations

from bot.effects import Decision, Effect, Record, ShowHeadline, Why
from bot.model import Incident, Who
from bot.words import cut, visible

# What is kept of strangers' words: what a person reads on one screen, and nothing that fills a disk.
TITLE_CAP = 150
SYMPTOM_CAP = 500
WHY_CAP = 300
NOTE_CAP = 2000
WORDS_CAP = 500  # a person's reason, a foreign system's answer
WARNINGS_CAP = 20
NAME_CAP = 200
PERSON_CAP = 80
NAMES_CAP = 20
ROWS_CAP = 40
LINKS_CAP = 10
ADDRESS_CAP = 2000


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
