"""Wall clocks turned into instants, and time that counts only while the team is at work.

What people write is a wall clock and an IANA zone ("09:00, Europe/Berlin"). Instants are computed from it as late as
possible, because the rules of a zone may change under us. Two wall times need a rule:

- One that the clock jumps over (02:30 in spring) means the first instant that exists after it.
- One that comes twice (02:30 in autumn) means its first coming where something begins, and its last coming where
  something ends. So two windows that touch may overlap on that day, and never leave a gap.

Spans of time are real time: an hour is 3,600 s, on every day. Pure; zones are read from the tables of Python's
`zoneinfo`. Times that go in must be aware; times that come out are UTC.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

MONDAY_TO_FRIDAY = frozenset(range(5))
EVERY_DAY = frozenset(range(7))
DAY = timedelta(days=1)
_CHUNK = timedelta(days=14)  # how far one search for open hours looks before it looks further
_HORIZON = timedelta(days=400)  # a calendar that does not open in this time is taken never to open


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """From one instant up to, and without, another."""

    start_at: datetime
    end_at: datetime

    @property
    def length(self) -> timedelta:
        """How long it is."""
        return self.end_at - self.start_at


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Hours on some days of the week. It goes over midnight when it does not close later than it opens."""

    days: frozenset[int] = EVERY_DAY  # on which it opens; Monday is 0
    opens: time = time(0)
    closes: time = time(0)  # the same as `opens`: 24 hours


@dataclass(frozen=True, slots=True, kw_only=True)
class Calendar:
    """When a team is at work."""

    zone: str
    windows: tuple[Window, ...] = (Window(days=MONDAY_TO_FRIDAY, opens=time(9), closes=time(17)),)
    holidays: frozenset[date] = frozenset()  # no window opens on these days


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """How long something waits. The three parts add up in this order."""

    business_days: int = 0  # 1: until the next business day begins
    at_work: timedelta | None = None  # counts while the team is at work; zero: held until it is
    plain: timedelta = timedelta(0)

    @property
    def is_plain(self) -> bool:
        """True when no calendar is needed to tell its end."""
        return not self.business_days and self.at_work is None


# wall clocks


def zone_named(name: str) -> ZoneInfo | None:
    """The zone of that IANA name, None when there is none."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # OSError: "Europe" is a folder of the tables
        return None


def wall_clock(at: datetime, zone: ZoneInfo) -> datetime:
    """What a clock on the wall of that zone shows, without zone."""
    return at.astimezone(zone).replace(tzinfo=None, fold=0)


def first_instant(wall: datetime, zone: ZoneInfo) -> datetime:
    """When the wall clock first shows that time; the end of the jump when it is jumped over."""
    at = wall.replace(tzinfo=zone, fold=0).astimezone(UTC)
    return at if wall_clock(at, zone) == wall else _end_of_jump(wall, zone)


def last_instant(wall: datetime, zone: ZoneInfo) -> datetime:
    """When the wall clock last shows that time; the end of the jump when it is jumped over."""
    at = wall.replace(tzinfo=zone, fold=1).astimezone(UTC)
    return at if wall_clock(at, zone) == wall else _end_of_jump(wall, zone)


def is_jumped_over(wall: datetime, zone: ZoneInfo) -> bool:
    """True when no clock of the zone ever shows that time."""
    return wall_clock(wall.replace(tzinfo=zone).astimezone(UTC), zone) != wall


def comes_twice(wall: datetime, zone: ZoneInfo) -> bool:
    """True when clocks of the zone show that time twice."""
    return not is_jumped_over(wall, zone) and first_instant(wall, zone) != last_instant(wall, zone)


def _end_of_jump(wall: datetime, zone: ZoneInfo) -> datetime:
    # Read with the offset of after the jump, the time lies before it; with the offset of before the jump, after it.
    before = math.floor(wall.replace(tzinfo=zone, fold=1).timestamp())
    after = math.ceil(wall.replace(tzinfo=zone, fold=0).timestamp())
    while after - before > 1:
        middle = (before + after) // 2
        if wall_clock(datetime.fromtimestamp(middle, UTC), zone) < wall:
            before = middle
        else:
            after = middle
    return datetime.fromtimestamp(after, UTC)


# windows


def open_spans(
    windows: tuple[Window, ...], zone: ZoneInfo, start: datetime, end: datetime, holidays: frozenset[date] = frozenset()
) -> tuple[Span, ...]:
    """When any of the windows is open between two instants: in order, apart from each other."""
    start, end = start.astimezone(UTC), end.astimezone(UTC)
    day = wall_clock(start, zone).date() - 2 * DAY  # a window that opened the day before may still be open
    last = wall_clock(end, zone).date()
    found: list[Span] = []
    while day <= last:
        found += _spans_of_day(windows, zone, day, holidays)
        day += DAY
    clipped = (Span(start_at=max(one.start_at, start), end_at=min(one.end_at, end)) for one in found)
    return _joined(one for one in clipped if one.end_at > one.start_at)


def _spans_of_day(windows: tuple[Window, ...], zone: ZoneInfo, day: date, holidays: frozenset[date]) -> list[Span]:
    """Of the windows that open on that day; one that a jump of the clock swallows is not among them."""
    if day in holidays:
        return []
    spans = []
    for window in windows:
        if day.weekday() not in window.days:
            continue
        closing_day = day if window.closes > window.opens else day + DAY
        opens_at = first_instant(datetime.combine(day, window.opens), zone)
        closes_at = last_instant(datetime.combine(closing_day, window.closes), zone)
        if closes_at > opens_at:
            spans.append(Span(start_at=opens_at, end_at=closes_at))
    return spans


def _joined(spans: Iterator[Span]) -> tuple[Span, ...]:
    joined: list[Span] = []
    for span in sorted(spans, key=lambda one: one.start_at):
        if joined and span.start_at <= joined[-1].end_at:
            joined[-1] = Span(start_at=joined[-1].start_at, end_at=max(joined[-1].end_at, span.end_at))
        else:
            joined.append(span)
    return tuple(joined)


# business time


def next_open(calendar: Calendar, at: datetime) -> datetime:
    """`at` itself while the team is at work, else when it next is. This is what "held until start" means.

    A calendar that never opens holds nothing back: a page that waits for ever is a lost page.
    """
    first = next(_open_from(calendar, at), None)
    return at.astimezone(UTC) if first is None else first.start_at


def is_open(calendar: Calendar, at: datetime) -> bool:
    """True while the team is at work."""
    zone = zone_named(calendar.zone)
    return zone is not None and bool(
        open_spans(calendar.windows, zone, at, at + timedelta(microseconds=1), calendar.holidays)
    )


def add_business_time(calendar: Calendar, start: datetime, span: timedelta) -> datetime:
    """When `span` of time at work will have passed since `start`.

    Nothing to wait for means held until the team is at work. What ends with the day ends that evening, not on the next
    morning. A calendar that never opens, or does not open for so long, counts as open: nothing is held for ever.
    """
    left = span
    for piece in _open_from(calendar, start):
        if left <= piece.length:
            return piece.start_at + left
        left -= piece.length
    return start.astimezone(UTC) + span


def business_time_between(calendar: Calendar, start: datetime, end: datetime) -> timedelta:
    """How much time at work lies between two instants."""
    zone = zone_named(calendar.zone)
    if zone is None:
        return max(end - start, timedelta(0))
    spans = open_spans(calendar.windows, zone, start, end, calendar.holidays)
    return sum((one.length for one in spans), timedelta(0))


def next_business_day(calendar: Calendar, at: datetime) -> Span:
    """From the first opening to the last closing of the first business day that has not begun yet.

    At night it is the day that dawns, when that is a business day. A calendar that never opens gives the next 24 h.
    """
    zone = zone_named(calendar.zone)
    if zone is not None:
        first = wall_clock(at, zone).date()
        for days in range(_HORIZON.days):
            spans = _spans_of_day(calendar.windows, zone, first + days * DAY, calendar.holidays)
            if spans and min(one.start_at for one in spans) > at:
                return Span(start_at=min(one.start_at for one in spans), end_at=max(one.end_at for one in spans))
    return Span(start_at=at.astimezone(UTC), end_at=at.astimezone(UTC) + DAY)


def _open_from(calendar: Calendar, at: datetime) -> Iterator[Span]:
    """Spans of time at work from `at` on, within the horizon. One may be cut in two."""
    zone = zone_named(calendar.zone)
    start = at.astimezone(UTC)
    end = start + _HORIZON
    while zone is not None and start < end:
        yield from open_spans(calendar.windows, zone, start, start + _CHUNK, calendar.holidays)
        start += _CHUNK
