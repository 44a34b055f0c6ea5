"""Times as people type them, in a zone: "14:00", "tomorrow 09:00", "mon 09:00", "2026-11-24 14:00".

Pure: the present is an argument. A time that the clock jumps over means the first instant after it, one that comes
twice its first coming, as everywhere (`bot.policy.calendar`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from bot.policy.calendar import DAY, first_instant, wall_clock

_CLOCK = re.compile(r"^([01]?\d|2[0-3])(?::([0-5]\d)|h)$")
_DATE = re.compile(r"^(\d{4}-\d{2}-\d{2})(?:[tT](\d{1,2}:\d{2}))?([zZ])?$")
_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_YEARS = (1971, 2200)  # farther out, dates overflow before they help anybody
_FARTHEST = timedelta(days=800)
HINT = "Say it like 14:00, tomorrow 09:00, mon 09:00, 2026-11-24 14:00 or now"


def moment(words: Sequence[str], now: datetime, zone: ZoneInfo) -> tuple[datetime | None, int]:
    """The instant that the first words mean, and how many words it took; (None, 0) when they mean none.

    A bare clock time is the next one to come. A day without a time is its midnight.
    """
    if not words:
        return None, 0
    first = words[0].lower()
    if first == "now":
        return now, 1
    today = wall_clock(now, zone).date()
    clock = _clock(first)
    if clock is not None:
        at = first_instant(datetime.combine(today, clock), zone)
        return (at if at > now else first_instant(datetime.combine(today + DAY, clock), zone)), 1
    day, inner = _day(first, today)
    if day is None or not _YEARS[0] < day.year < _YEARS[1]:
        return None, 0
    clock, used = (inner, 1) if inner is not None else (_clock(words[1].lower()) if len(words) > 1 else None, 2)
    if clock is None:
        clock, used = time(0), 1
    wall = datetime.combine(day, clock)
    at = wall.replace(tzinfo=UTC) if first.endswith("z") and "t" in first else first_instant(wall, zone)
    return (at, used) if abs(at - now) < _FARTHEST else (None, 0)


def _clock(word: str) -> time | None:
    match = _CLOCK.match(word)
    return time(int(match[1]), int(match[2] or 0)) if match else None


def _day(word: str, today: date) -> tuple[date | None, time | None]:
    """A day, and the clock time that was written with it."""
    if word in {"today", "tomorrow", "yesterday"}:
        return today + {"today": 0, "tomorrow": 1, "yesterday": -1}[word] * DAY, None
    named = [number for number, day in enumerate(_DAYS) if word in {day, day[:3]}]
    if named:
        ahead = (named[0] - today.weekday()) % 7
        return today + (ahead or 7) * DAY, None
    match = _DATE.match(word)
    if match is None:
        return None, None
    try:
        return date.fromisoformat(match[1]), _clock(match[2]) if match[2] else None
    except ValueError:
        return None, None
