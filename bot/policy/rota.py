"""Who is on call when: rotations in layers, hours they are limited to, and overrides.

A rota has layers; the one that stands higher, which is earlier in the list, wins. In each layer people take turns, in
order, for the same length of wall-clock time. A layer may be limited to windows of hours; outside them the layers below
it show through, and so follow-the-sun is several layers with zones of their own. An override wins over every layer, a
later one over an earlier one.

The rules for days on which the clock changes, in the layer's zone:

1. Turn n begins at the wall-clock time "start date, hand-over time + n × length". The turns before it end there, so a
   layer never has two people on call and never nobody.
2. A hand-over at a time that is jumped over takes place at the first instant after the jump.
3. A hand-over at a time that comes twice takes place when it first comes.
4. So a daily turn over a change lasts 23 or 25 h (23.5 or 24.5 h on Lord Howe Island), and later ones begin at their
   usual hour again. Where a whole day is left out, its turn is as short as what is left of it.
5. A window begins when its time first comes and ends when its time last comes: windows that touch overlap then, and
   never leave a gap.

A layer that cannot be right (`fault`) covers nobody, so that the layers below and the catch-all are paged; whoever
loads a rota asks `rota_check.problems` first. Pure. Times in are aware, times out UTC.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise

from bot.policy.calendar import DAY, Span, Window, first_instant, open_spans, wall_clock, zone_named

DAILY = DAY
WEEKLY = 7 * DAY
SHORTEST, LONGEST = timedelta(hours=1), 3660 * DAY  # of a turn
_FIRST_YEAR, _LAST_YEAR = 1971, 2200  # of a start date; farther out, dates overflow before they help anybody
_INSTANT = timedelta(microseconds=1)
_CHUNK, _HORIZON = 28 * DAY, 400 * DAY  # of the search for the next hand-over


@dataclass(frozen=True, slots=True, kw_only=True)
class Shift:
    """One person on call without interruption."""

    person: str
    start_at: datetime
    end_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """People who take turns, or a calendar that says who it is when."""

    name: str
    people: tuple[str, ...] = ()  # person keys, in the order of their turns
    starts_on: date = date(1971, 1, 1)  # the first turn begins on this day at the hand-over time
    zone: str = "UTC"  # IANA name
    hand_over: time = time(9)
    every: timedelta = WEEKLY  # the length of a turn, in wall-clock time
    windows: tuple[Window, ...] = ()  # the hours it is limited to; empty: always
    calendar: bool = False  # its shifts are `entries`, and nobody takes turns
    entries: tuple[Shift, ...] = ()  # what its calendar says, in order and apart from each other

    @property
    def everybody(self) -> tuple[str, ...]:
        """Keys of the people who have it at some time."""
        return (*self.people, *dict.fromkeys(one.person for one in self.entries))


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """Somebody is on call in a span, whatever the layers say."""

    person: str
    start_at: datetime
    end_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Rota:
    """A schedule of people."""

    name: str
    layers: tuple[Layer, ...] = ()  # the first wins
    overrides: tuple[Override, ...] = ()  # in the order they were made; the last wins
    may_have_gaps: bool = False  # meant to cover some hours only
    zone: str = ""  # IANA name in which its times are told; "" for that of its first layer

    @property
    def told_in(self) -> str:
        """Name of the zone in which people hear of its times; always a known one."""
        names = (self.zone, *(layer.zone for layer in self.layers))
        return next((name for name in names if name and zone_named(name) is not None), "UTC")


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlap:
    """A span that several people would have; the first of them is on call."""

    people: tuple[str, ...]
    start_at: datetime
    end_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Handover:
    """The person on call changes. None stands for nobody."""

    at: datetime
    leaves: str | None
    takes: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the picture of a rota."""

    name: str
    shifts: tuple[Shift, ...]


def on_call(rota: Rota, at: datetime) -> tuple[str, ...]:
    """The key of the person on call, in a tuple that is empty when there is none."""
    at = at.astimezone(UTC)
    for override in reversed(rota.overrides):
        if override.start_at <= at < override.end_at:
            return (override.person,)
    for layer in rota.layers:
        shifts = layer_shifts(layer, at, at + _INSTANT)
        if shifts:
            return (shifts[0].person,)
    return ()


def shifts(rota: Rota, start: datetime, end: datetime) -> tuple[Shift, ...]:
    """Who is on call from `start` to `end`, layers and overrides taken together, cut at both ends."""
    found = ((people[0], span) for people, span in _segments(rota, start, end) if people)
    return _merged_shifts(found)


def gaps(rota: Rota, start: datetime, end: datetime) -> tuple[Span, ...]:
    """When nobody is on call."""
    return tuple(
        Span(start_at=one.start_at, end_at=one.end_at)
        for one in _merged_shifts(("", span) for people, span in _segments(rota, start, end) if not people)
    )


def overlaps(rota: Rota, start: datetime, end: datetime) -> tuple[Overlap, ...]:
    """When layers or overrides name different people, the one who is on call first. A normal thing with layers."""
    found: list[Overlap] = []
    for people, span in _segments(rota, start, end):
        if len(people) < 2:
            continue
        begin = span.start_at
        if found and found[-1].end_at == begin and found[-1].people == people:
            begin = found.pop().start_at
        found.append(Overlap(people=people, start_at=begin, end_at=span.end_at))
    return tuple(found)


def next_handover(rota: Rota, at: datetime) -> Handover | None:
    """The next change of the person on call after `at`; None when there is none within 400 days."""
    now = next(iter(on_call(rota, at)), None)
    start, limit = at.astimezone(UTC), at.astimezone(UTC) + _HORIZON
    while start < limit:
        for people, span in _segments(rota, start, start + _CHUNK):
            person = people[0] if people else None
            if person != now:
                return Handover(at=span.start_at, leaves=now, takes=person)
        start += _CHUNK
    return None


def preview(rota: Rota, start: datetime, days: int = 14) -> tuple[Row, ...]:
    """What a picture of the coming days shows: overrides, each layer from the highest down, and who is on call."""
    end = start.astimezone(UTC) + days * DAY
    overridden = shifts(Rota(name=rota.name, overrides=rota.overrides), start, end)
    return (
        *((Row(name="overrides", shifts=overridden),) if overridden else ()),
        *(Row(name=layer.name, shifts=layer_shifts(layer, start, end)) for layer in rota.layers),
        Row(name="on call", shifts=shifts(rota, start, end)),
    )


def layer_shifts(layer: Layer, start: datetime, end: datetime) -> tuple[Shift, ...]:
    """Who has the layer from `start` to `end`, cut at both ends; nobody when the layer has a fault."""
    zone = zone_named(layer.zone)
    if zone is None or fault(layer):
        return ()
    turns = _entries(layer, start, end) if layer.calendar else _turns(layer, start, end)
    if not layer.windows:
        return _merged_shifts(turns)
    return _merged_shifts(_within(turns, open_spans(layer.windows, zone, start, end)))


def fault(layer: Layer) -> str:
    """What makes the layer impossible, as "what; what to do"; "" when nothing does."""
    if not layer.people and not layer.calendar:
        return "nobody is in it; list at least one person under `people`"
    if zone_named(layer.zone) is None:
        return f'the zone "{layer.zone[:60]}" is not known; use an IANA name such as Europe/Berlin or UTC'
    if layer.every <= timedelta(0):
        return "a turn has no length; set `every` to 1d, 7d, or another length of at least 1h"
    if not SHORTEST <= layer.every <= LONGEST:
        return "a turn lasts less than an hour or more than ten years; set `every` to something between"
    if not _FIRST_YEAR <= layer.starts_on.year <= _LAST_YEAR:
        return f"it starts in the year {layer.starts_on.year}; set `starts_on` to the day of the first turn"
    if any(not window.days or not window.days <= frozenset(range(7)) for window in layer.windows):
        return "a limit of hours names no day of the week, and so never matches; name days, or leave `days` out"
    return ""


def hand_overs(layer: Layer, start: datetime, end: datetime) -> Iterator[tuple[datetime, datetime]]:
    """Wall-clock time and instant of each hand-over from `start` to `end`, the first turn's beginning included.

    Expects a layer without a fault. A calendar has no hand-over time of its own.
    """
    if layer.calendar:
        return
    number = max(_turn_about(layer, start), -1)
    while (at := _begins_at(layer, number + 1)) < end:
        number += 1
        if at >= start:
            yield _wall(layer, number), at


def _turns(layer: Layer, start: datetime, end: datetime) -> Iterator[tuple[str, Span]]:
    """Each turn's person and span within the two instants, limits left aside."""
    start, end = start.astimezone(UTC), end.astimezone(UTC)
    number = max(_turn_about(layer, start), 0)
    begins_at = _begins_at(layer, number)
    while begins_at < end:
        ends_at = _begins_at(layer, number + 1)
        span = Span(start_at=max(begins_at, start), end_at=min(ends_at, end))
        if span.end_at > span.start_at:
            yield layer.people[number % len(layer.people)], span
        begins_at = ends_at
        number += 1


def _entries(layer: Layer, start: datetime, end: datetime) -> Iterator[tuple[str, Span]]:
    """What the calendar says within the two instants."""
    for one in layer.entries:
        span = Span(start_at=max(one.start_at, start.astimezone(UTC)), end_at=min(one.end_at, end.astimezone(UTC)))
        if span.end_at > span.start_at:
            yield one.person, span


def _turn_about(layer: Layer, at: datetime) -> int:
    """Number of the turn that holds the instant, or of one shortly before; negative before the first.

    Before, because in the hour that comes twice the wall clock shows times whose hand-overs are past.
    """
    zone = zone_named(layer.zone)
    if zone is None:
        return -1
    return (wall_clock(at, zone) - datetime.combine(layer.starts_on, layer.hand_over)) // layer.every


def _wall(layer: Layer, number: int) -> datetime:
    return datetime.combine(layer.starts_on, layer.hand_over) + number * layer.every


def _begins_at(layer: Layer, number: int) -> datetime:
    zone = zone_named(layer.zone)
    wall = _wall(layer, number)
    return wall.replace(tzinfo=UTC) if zone is None else first_instant(wall, zone)


def _within(turns: Iterable[tuple[str, Span]], spans: tuple[Span, ...]) -> Iterator[tuple[str, Span]]:
    """The parts of the turns that lie in the spans. Both come in order."""
    index = 0
    for person, turn in turns:
        while index < len(spans) and spans[index].end_at <= turn.start_at:
            index += 1
        for span in spans[index:]:
            if span.start_at >= turn.end_at:
                break
            yield (
                person,
                Span(start_at=max(turn.start_at, span.start_at), end_at=min(turn.end_at, span.end_at)),
            )


def _segments(rota: Rota, start: datetime, end: datetime) -> Iterator[tuple[tuple[str, ...], Span]]:
    """Pieces of the time from `start` to `end` in which nothing changes, and who has each, the winner first."""
    start, end = start.astimezone(UTC), end.astimezone(UTC)
    rows: list[tuple[Shift, ...]] = [
        (Shift(person=one.person, start_at=max(one.start_at, start), end_at=min(one.end_at, end)),)
        for one in reversed(rota.overrides)
        if max(one.start_at, start) < min(one.end_at, end)
    ]
    rows += [layer_shifts(layer, start, end) for layer in rota.layers]
    edges = {start, end} | {at for row in rows for shift in row for at in (shift.start_at, shift.end_at)}
    at_row = [0] * len(rows)
    ordered = sorted(edges)
    for begin, finish in pairwise(ordered):
        people: list[str] = []
        for number, row in enumerate(rows):
            while at_row[number] < len(row) and row[at_row[number]].end_at <= begin:
                at_row[number] += 1
            if at_row[number] < len(row) and row[at_row[number]].start_at <= begin:
                people.append(row[at_row[number]].person)
        yield tuple(dict.fromkeys(people)), Span(start_at=begin, end_at=finish)


def _merged_shifts(pieces: Iterable[tuple[str, Span]]) -> tuple[Shift, ...]:
    """Pieces of the same person that touch become one shift. They come in order."""
    merged: list[Shift] = []
    for person, span in pieces:
        begin = span.start_at
        if merged and merged[-1].person == person and merged[-1].end_at == begin:
            begin = merged.pop().start_at
        merged.append(Shift(person=person, start_at=begin, end_at=span.end_at))
    return tuple(merged)
