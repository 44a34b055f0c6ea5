"""Answers to one person: their form, who asked, and how lines and times are put into them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from bot.effects import Decision
from bot.engine import DUPLICATE
from bot.model import Incident, Who
from bot.words import harmless, spoken

SENTENCE_CAP = 1_500  # the longest of ours says why each of many versions was passed over


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer to one person. `later` gives the rest, when it needs time."""

    text: str
    later: Callable[[], Reply] | None = None
    refused: bool = False
    glass_for: str = ""  # "plan id|digest prefix": offer to break the glass
    url: str = ""
    picture: str = ""  # path of a PNG that belongs to the answer, "" for none
    picture_alt: str = ""  # the same in words


@dataclass(frozen=True, slots=True, kw_only=True)
class Asker:
    """Who asks, and from where."""

    who: Who
    channel: str = ""  # id
    thread_ts: str = ""  # "" outside a thread
    request: str = ""  # Slack's id of the request: what it asks for happens once, however often it is delivered

    def key(self, what: str) -> str:
        """The event key of one thing this request asks for, "" when there is no id to know it by."""
        return f"request:{self.request}:{what}" if self.request else ""


def told(decision: Decision, text: str, *, glass_for: str = "") -> Reply:
    """The answer to a decision; a request that Slack delivered twice was answered the first time."""
    if decision.why.code == DUPLICATE.code:
        return Reply(text="")
    return Reply(text=text, refused=decision.why.refused, glass_for=glass_for)


def why_of(decision: Decision) -> str:
    """The decision's sentence for Slack: foreign words in it are inert."""
    return spoken(decision.why.text, SENTENCE_CAP)


def line(incident: Incident) -> str:
    """One incident in one line of a list."""
    owner = f"@{harmless(incident.owner.name, 80)}" if incident.owner else "nobody yet"
    about = f"{harmless(incident.subject.label, 80)} · {harmless(incident.title, 150)}"
    return f"• *{incident.id}* {incident.severity} {incident.state} · {about} · {owner}"


def head(lines: Sequence[str], cap: int = 2_900) -> str:
    """The first lines that fit into one message section; says how many were left out."""
    kept = list(lines)
    while len(kept) > 1 and sum(len(line) + 1 for line in kept) > cap:
        kept.pop()
    left_out = len(lines) - len(kept)
    return "\n".join([*kept, *([f"({left_out} more lines are left out)"] if left_out else [])])


def fit(lines: Sequence[str], cap: int = 2_900) -> str:
    """The latest lines that fit into one message section; says how many were left out."""
    kept = list(lines)
    while len(kept) > 1 and sum(len(line) + 1 for line in kept) > cap:
        kept.pop(0)
    left_out = len(lines) - len(kept)
    return "\n".join([*([f"({left_out} earlier lines are left out)"] if left_out else []), *kept])


def when(at: datetime) -> str:
    """A moment in the reader's own time, as Slack shows it."""
    return f"<!date^{int(at.timestamp())}^{{date_short_pretty}} {{time_secs}}|{at:%Y-%m-%d %H:%M:%S} UTC>"
