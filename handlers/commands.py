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


VERBS: tuple[Verb, ...] = (
    Verb(name="help", usage="help [verb]", summary="what you can say, or how one verb works", group=LOOK),
    Verb(name="status", usage="status", summary="what is wrong now and who has it", group=LOOK),
    Verb(name="incidents", usage="incidents [all]", summary="open incidents, or the latest of all", group=LOOK),
    Verb(name="incident", usage="incident [incident]", summary="one incident in full", group=LOOK),
    Verb(name="diagnose", usage="diagnose [incident]", summary="gather fresh evidence into the thread", group=LOOK),
    Verb(name="metrics", usage="metrics <model>", summary="current values against their bounds", group=LOOK),
    Verb(name="versions", usage="versions <model>", summary="registered versions and the served one", group=LOOK),
    Verb(name="pods", usage="pods <service>", summary="whether the pods run, and if not, why", group=LOOK),
    Verb(name="logs", usage="logs <service>", summary="the logs, errors first, secrets taken out", group=LOOK),
    Verb(name="changes", usage="changes <model|service>", summary="what changed lately, nearest first", group=LOOK),
    Verb(name="history", usage="history <model>", summary="which version was production when", group=LOOK),
    Verb(name="runbook", usage="runbook [incident]", summary="the runbook's checklist into the thread", group=LOOK),
    Verb(name="timeline", usage="timeline [incident]", summary="everything that happened, in order", group=LOOK),
    Verb(name="oncall", usage="oncall", summary="who is on call for what", group=LOOK),
    Verb(name="audit", usage="audit", summary="length and head of the audit chain", group=LOOK),
    Verb(name="ack", usage="ack [incident]", summary="take it; the ladder stops climbing", group=STEER),
    Verb(name="unack", usage="unack [incident]", summary="give it back; the ladder starts again", group=STEER),
    Verb(name="assign", usage="assign @person [incident]", summary="hand it to somebody", group=STEER),
    Verb(name="severity", usage="severity P0|P1|P2|P3 [reason]", summary="set how bad it is", group=STEER),
    Verb(name="snooze", usage="snooze 30m|2h [incident]", summary="page nobody until then", group=STEER),
    Verb(name="resolve", usage="resolve [incident] [note]", summary="it is over", group=STEER),
    Verb(name="reopen", usage="reopen <incident>", summary="it is not over", group=STEER),
    Verb(name="note", usage="note <text>", summary="a remark for the timeline", group=STEER),
    Verb(name="escalate", usage="escalate [incident]", summary="page the next level now", group=STEER),
    Verb(name="declare", usage="declare P0|P1|P2|P3 <what is wrong>", summary="open an incident", group=STEER),
    Verb(name="freeze", usage="freeze <system> 2h <reason>", summary="let no guarded action start", group=STEER),
    Verb(name="unfreeze", usage="unfreeze <system>", summary="end a freeze", group=STEER),
    Verb(name="review", usage="review <plan>", summary="confirm that you looked at a break-glass", group=STEER),
)  # fmt: skip


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
