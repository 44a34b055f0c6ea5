"""When the clocks of some zones change, found by asking them; and who is on call, found by watching the clock.

The watcher is the other way to the same answer: it knows nothing of turns and instants. It walks through the minutes
and looks at the wall clock. A time has come once the clock has shown it or more; it has gone for good once the clock
never again shows less.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import accumulate
from zoneinfo import ZoneInfo

from bot.policy.rota import Layer, Rota

ZONES = (
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",  # changes by half an hour
    "Pacific/Apia",  # once left out a whole day
    "Africa/Casablanca",  # goes back for Ramadan, on other days each year
    "America/Santiago",  # changes at midnight
    "Africa/Cairo",  # at midnight too, on a Friday
    "America/St_Johns",  # half an hour off
    "Asia/Kathmandu",  # never changes, a quarter of an hour off
    "UTC",
)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
_MARGIN = 26 * HOUR  # no clock has ever been set by more


@cache
def changes(zone_name: str, first_year: int = 2024, last_year: int = 2036) -> tuple[datetime, ...]:
    """Every instant at which the zone's clock is set."""
    zone = ZoneInfo(zone_name)
    found = []
    at, end = datetime(first_year, 1, 1, tzinfo=UTC), datetime(last_year + 1, 1, 1, tzinfo=UTC)
    while at < end:
        before, after = at, at + DAY
        if _offset(before, zone) != _offset(after, zone):
            while after - before > MINUTE:
                middle = before + (after - before) // MINUTE // 2 * MINUTE
                before, after = (middle, after) if _offset(middle, zone) == _offset(at, zone) else (before, middle)
            found.append(after)
        at += DAY
    return tuple(found)


def set_by(zone_name: str, change: datetime) -> timedelta:
    """How far the clock is set at that instant; negative when it goes back."""
    zone = ZoneInfo(zone_name)
    return _offset(change, zone) - _offset(change - MINUTE, zone)


def watched(rota: Rota, start: datetime, end: datetime) -> Iterator[tuple[datetime, tuple[str, ...]]]:
    """Who is on call at each minute."""
    minutes = [start - _MARGIN + n * MINUTE for n in range(int((end - start + 2 * _MARGIN) / MINUTE))]
    clocks = {name: _clock(minutes, ZoneInfo(name)) for name in {layer.zone for layer in rota.layers}}
    for index, at in enumerate(minutes):
        if start <= at < end:
            overriding = [one.person for one in rota.overrides if one.start_at <= at < one.end_at]
            has_come = {name: (come[index], left[index]) for name, (come, left) in clocks.items()}
            found = overriding[-1:] + [who for one in rota.layers if (who := _person(one, *has_come[one.zone]))]
            yield at, tuple(found[:1])


def _clock(minutes: list[datetime], zone: ZoneInfo) -> tuple[list[datetime], list[datetime]]:
    """For each minute: the most the clock has shown so far, and the least it will show from there on."""
    walls = [at.astimezone(zone).replace(tzinfo=None, fold=0) for at in minutes]
    return list(accumulate(walls, max)), list(accumulate(reversed(walls), min))[::-1]


def _person(layer: Layer, come: datetime, left: datetime) -> str:
    first = datetime.combine(layer.starts_on, layer.hand_over)
    if come < first:
        return ""
    for window in layer.windows:
        for ago in range(3):
            day = come.date() - ago * DAY
            opens, closes = datetime.combine(day, window.opens), datetime.combine(day, window.closes)
            closes = closes if closes > opens else closes + DAY
            if day.weekday() in window.days and opens <= come and left < closes:
                return layer.people[(come - first) // layer.every % len(layer.people)]
    return "" if layer.windows else layer.people[(come - first) // layer.every % len(layer.people)]


def _offset(at: datetime, zone: ZoneInfo) -> timedelta:
    return at.astimezone(zone).utcoffset() or timedelta(0)
