"""What people and calendars say about who is on call, joined with the rotations that the files describe.

A stand-in (`/mlops override`) is a row in the store; so is the last good copy of a calendar. Both come in here as data,
and a policy whose rotations know them goes out. Whoever is not listed any more is left out, so that the layers below
show through instead of nobody. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from heapq import heappop, heappush
from itertools import pairwise

from bot.model import Who
from bot.policy import Ladder, Policy, System
from bot.policy.rota import Layer, Override, Shift


@dataclass(frozen=True, slots=True, kw_only=True)
class StandIn:
    """Somebody is on call in a span, because a person said so."""

    id: str  # "OVR-3"
    rotation: str
    person: str  # key
    start_at: datetime
    end_at: datetime
    by: Who  # who asked for it
    made_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One event of a calendar, repeats laid out: its words, and when."""

    title: str
    emails: tuple[str, ...]  # of organiser and attendees, in lower case
    start_at: datetime
    end_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CalendarCopy:
    """The last good copy of a calendar, and how the last try to read it went."""

    name: str  # rotation/layer
    entries: tuple[Entry, ...] = ()
    fetched_at: datetime | None = None  # of the copy; None while there is none
    tried_at: datetime | None = None
    error: str = ""  # why the last try failed, "" when it did not


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What came of reading a calendar. `why`: the reason it could not be read, "" when it could."""

    body: str = ""
    entries: tuple[Entry, ...] = ()
    why: str = ""


def calendar_name(rotation: str, layer: Layer) -> str:
    """By which a layer's calendar is kept."""
    return f"{rotation}/{layer.name}"


def manned(policy: Policy, stand_ins: Sequence[StandIn], copies: Mapping[str, CalendarCopy]) -> Policy:
    """The policy with stand-ins and calendars in its rotations. `stand_ins`: in the order they were made."""
    known = {person.key for person in policy.people}
    rotas = {
        name: replace(
            rota,
            overrides=(*rota.overrides, *_overrides(name, stand_ins, known)),
            layers=tuple(_filled(policy, name, layer, copies) for layer in rota.layers),
        )
        for name, rota in policy.rotas.items()
    }
    return replace(policy, rotas=rotas)


def named_in(policy: Policy, entry: Entry) -> str:
    """Key of the person an event is about: by key, name, Slack id or e-mail, in title or attendees; "" for nobody.

    A title that names two people names nobody: guessing would page the wrong one.
    """
    title = " ".join(entry.title.split()).casefold().removeprefix("@")
    for person in policy.people:
        names = {person.key, person.who.name.casefold(), person.who.user_id.casefold(), person.email} - {""}
        if title in names:
            return person.key
    words = {word.strip("@,;:()[]").casefold() for word in entry.title.split()}
    found = [one.key for one in policy.people if one.key in words or (one.email and one.email in words)]
    found = found or [one.key for one in policy.people if one.email and one.email in entry.emails]
    return found[0] if len(found) == 1 else ""


def strangers(policy: Policy, copy: CalendarCopy) -> tuple[str, ...]:
    """Titles of events that name nobody who is listed, each once."""
    return tuple(dict.fromkeys(entry.title for entry in copy.entries if not named_in(policy, entry)))


def users_of(policy: Policy, rotation: str) -> tuple[str, ...]:
    """Names of the systems that a rotation is on call for, or that page it in a ladder or as their catch-all."""
    target = f"rota:{rotation}"
    return tuple(
        system.name
        for system in policy.systems.values()
        if target in (*system.oncall, *system.catch_all)
        or any(target in level.targets for ladder in _ladders(system) for level in ladder.levels)
    )


def _ladders(system: System) -> Iterator[Ladder]:
    yield from system.ladders.values()
    for issue in system.issues:
        yield from issue.ladders.values()


def _overrides(name: str, stand_ins: Sequence[StandIn], known: set[str]) -> tuple[Override, ...]:
    return tuple(
        Override(person=one.person, start_at=one.start_at, end_at=one.end_at)
        for one in stand_ins
        if one.rotation == name and one.person in known
    )


def _filled(policy: Policy, name: str, layer: Layer, copies: Mapping[str, CalendarCopy]) -> Layer:
    copy = copies.get(calendar_name(name, layer)) if layer.calendar else None
    if copy is None:
        return layer
    found = [(named_in(policy, entry), entry) for entry in copy.entries]
    return replace(layer, entries=laid_out([(key, entry) for key, entry in found if key]))


def laid_out(found: Sequence[tuple[str, Entry]]) -> tuple[Shift, ...]:
    """Events as shifts that do not overlap: of two at once the one that began later has it, as the more special one.

    Of two that began together the one that ends first has it. A calendar may hold thousands: one sweep over their
    edges, with those that have begun in a heap.
    """
    waiting = sorted(((entry.start_at, entry.end_at, key) for key, entry in found), reverse=True)
    edges = sorted({at for begin, finish, _ in waiting for at in (begin, finish)})
    begun: list[tuple[float, datetime, str]] = []  # the one that has it is on top; those that are over sink later
    shifts: list[Shift] = []
    for start, end in pairwise(edges):
        while waiting and waiting[-1][0] <= start:
            begin, finish, key = waiting.pop()
            heappush(begun, (-begin.timestamp(), finish, key))
        while begun and begun[0][1] <= start:
            heappop(begun)
        if not begun:
            continue
        key = begun[0][2]
        goes_on = bool(shifts) and shifts[-1].person == key and shifts[-1].end_at == start
        since = shifts.pop().start_at if goes_on else start
        shifts.append(Shift(person=key, start_at=since, end_at=end))
    return tuple(shifts)
