"""The grammar people type: the same words in a slash command, in a thread mention and in a shell.

Pure: text in, a `Command` or a `Misspelt` out. What the words mean is the desk's business. Quotes group words; curly
quotes that phones put in count as straight ones. Nothing typed here is ever run by a shell.
"""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from bot.model import Severity

LOOK, STEER, ACT = "look", "steer", "act"
MAX_CHARS = 2_000  # longer than anything a person types
_QUOTES = str.maketrans({"“": '"', "”": '"', "„": '"', "‘": "'", "’": "'"})
_SPAN = re.compile(r"^(?:(\d{1,4})d)?(?:(\d{1,4})h)?(?:(\d{1,5})m)?(?:(\d{1,6})s)?$")
_INCIDENT = re.compile(r"^(?:inc-?)?#?(\d{1,9})$", re.IGNORECASE)
_PLAINLY = re.compile(r"^(?:inc-?|#)(\d{1,9})$", re.IGNORECASE)
_USER = re.compile(r"^<@([A-Z0-9]{2,20})(?:\|[^>]*)?>$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Verb:
    """One thing people can say."""

    name: str
    usage: str  # "ack [incident]"
    summary: str  # one line
    group: str  # look, steer or act


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What was said: a known verb and its words."""

    verb: str
    words: tuple[str, ...] = ()
    text: str = ""  # everything after the verb, as typed


@dataclass(frozen=True, slots=True, kw_only=True)
class Misspelt:
    """What was said is no verb; `near` is what was probably meant."""

    word: str
    near: str


def parse(text: str, verbs: Sequence[Verb]) -> Command | Misspelt:
    """The verb and its words. An empty text means help; an unknown verb comes back with the nearest known one."""
    text = text.translate(_QUOTES).strip()[:MAX_CHARS]
    try:
        words = shlex.split(text, comments=False, posix=True)
    except ValueError:  # an unclosed quote: take the words as they stand
        words = text.split()
    if not words:
        return Command(verb="help")
    said = words[0].lower().lstrip("/")
    names = [verb.name for verb in verbs]
    if said not in names:
        near = difflib.get_close_matches(said, names, n=1, cutoff=0.5)
        return Misspelt(word=words[0][:40], near=near[0] if near else "")
    rest = text[len(words[0]) :].strip() if text.lower().startswith(words[0].lower()) else " ".join(words[1:])
    return Command(verb=said, words=tuple(words[1:]), text=rest)


def take_incident(words: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """The first word that names an incident ("INC-7", "7", "#7") and the other words; "" when none does."""
    for index, word in enumerate(words):
        match = _INCIDENT.match(word)
        if match:
            return f"INC-{int(match[1])}", (*words[:index], *words[index + 1 :])
    return "", tuple(words)


def take_incident_before(words: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """The incident named before a person's own words: "INC-7 disk was full" names one, "3 users complained" none.

    A bare number counts only when nothing follows it: in a sentence it is just a number.
    """
    match = _PLAINLY.match(words[0]) if words else None
    if match is None and len(words) == 1:
        match = _INCIDENT.match(words[0])
    return (f"INC-{int(match[1])}", tuple(words[1:])) if match else ("", tuple(words))


def take_user(words: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """The first mentioned person: a Slack id from `<@U1>`, or a name from `@name`; and the other words."""
    for index, word in enumerate(words):
        match = _USER.match(word)
        found = match[1] if match else word[1:] if word.startswith("@") and len(word) > 1 else ""
        if found:
            return found, (*words[:index], *words[index + 1 :])
    return "", tuple(words)


def span(word: str) -> timedelta | None:
    """A length of time as people type it ("90m", "1h30m", "2d"); None when it is none, or is nothing at all."""
    match = _SPAN.match(word.lower())
    if not match or not word:
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    found = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
    return found or None


def severity(word: str) -> Severity | None:
    """P0 to P3 in either case, None for anything else."""
    return Severity(word.upper()) if word.upper() in Severity.__members__ else None


def nearest(word: str, known: Sequence[str]) -> str:
    """Words like “Did you mean …” for a name that is not known, "" when nothing is near."""
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f" Did you mean {near[0]}?" if near else ""
