"""How a person is reached: by direct message, by a mention, and by media of their own, as severity and hours say.

A page to a person always goes by Slack too, whatever they configured: a medium that fails must never be the only way,
and a person who is reached twice loses a minute. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from bot.effects import Decision, Effect, Page
from bot.model import Severity
from bot.policy.calendar import Calendar, is_open

DIRECT, MENTION = "dm", "mention"
MEDIUM = "medium:"  # a target: medium:alice/sms
MENTIONED = "mention:"  # a target: mention:U1


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """The ways to a person for one severity, all used at once."""

    by: tuple[str, ...]  # "dm", "mention", or the name of one of the person's media
    at_work: bool = False  # outside their working hours the direct message alone


@dataclass(frozen=True, slots=True, kw_only=True)
class Reachable:
    """What is configured about reaching one person."""

    key: str
    user_id: str
    rules: Mapping[Severity, Reach] = field(default_factory=dict)  # a severity that is missing: the direct message
    hours: Calendar | None = None  # their working hours


def spread(decision: Decision, people: Sequence[Reachable], now: datetime) -> Decision:
    """The decision with each page to a person sent by every way that the person wants.

    What only asks a person something (whether they are still on it) stays a direct message.
    """
    incident = decision.incident
    if incident is None or not any(person.rules for person in people):
        return decision
    known = {f"user:{person.user_id}": person for person in people if person.rules}
    effects: list[Effect] = []
    for effect in decision.effects:
        person = known.get(effect.target) if isinstance(effect, Page) and not effect.asks else None
        if isinstance(effect, Page) and person is not None:
            effects += [replace(effect, target=one) for one in targets(person, incident.severity, now)]
        else:
            effects.append(effect)
    return replace(decision, effects=tuple(effects))


def targets(person: Reachable, severity: Severity, now: datetime) -> tuple[str, ...]:
    """Addresses by which a page of that severity reaches the person at that time; one in Slack is always among them."""
    direct = f"user:{person.user_id}"
    rule = person.rules.get(severity)
    if rule is None or (rule.at_work and person.hours is not None and not is_open(person.hours, now)):
        return (direct,)
    found = {DIRECT: direct, MENTION: f"{MENTIONED}{person.user_id}"}
    ways = [found.get(way, f"{MEDIUM}{person.key}/{way}") for way in rule.by]
    return tuple(dict.fromkeys(ways if DIRECT in rule.by or MENTION in rule.by else [direct, *ways]))
