"""Checks of people: their zones, and that each way to reach them exists."""

from __future__ import annotations

from collections.abc import Iterable

from bot.config.shape import ConfigShape, PersonShape
from bot.marked import At, Marked, Problem, nearest
from bot.model import Severity
from bot.policy.calendar import zone_named
from bot.policy.reach import DIRECT, MENTION


def check_people(shape: ConfigShape, main: Marked) -> list[Problem]:
    """What is wrong with people, each with its line."""
    return [found for key, person in shape.people.items() for found in _of_person(key, person, main)]


def _of_person(key: str, person: PersonShape, main: Marked) -> Iterable[Problem]:
    at: At = ("people", key)
    zones = [((*at, "zone"), person.zone), ((*at, "hours", "zone"), person.hours.zone if person.hours else "")]
    for place, zone in zones:
        if zone and zone_named(zone) is None:
            text = f'{key}: the zone "{zone[:60]}" is not known; use an IANA name such as Europe/Berlin or UTC'
            yield main.problem(place, text)
    for taken in sorted({DIRECT, MENTION} & person.media.keys()):
        yield main.problem((*at, "media", taken), f'{key}: "{taken}" is a way in Slack already; choose another name')
    known = [DIRECT, MENTION, *person.media]
    for word in Severity:
        ways = getattr(person.reach, word.value)
        for way in (one for one in (ways.by if ways else ()) if one not in known):
            text = f'{key}: unknown way "{way}"; {nearest(way, known)}'
            yield main.problem((*at, "reach", word.value), text)
        if ways and not ways.by:
            yield main.problem(
                (*at, "reach", word.value), f"{key}: no way for {word}; name one, or leave it out for dm"
            )
