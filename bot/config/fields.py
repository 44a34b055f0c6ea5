"""The kinds of value that configuration keys take: durations, channels, times of day, lists, secrets."""

from __future__ import annotations

import re
from datetime import date, time, timedelta
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from bot.config.settings import Secret

_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_LONGEST = timedelta(days=366)

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$")]
PersonKey = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,62}$")]
Tier = Literal["light", "change", "dangerous"]
SeverityName = Literal["P0", "P1", "P2", "P3"]


def duration(given: object) -> timedelta:
    """90 minutes for the text 1h30m. Raises ValueError for anything that is not numbers with units, zero included."""
    text = str(given).strip()
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f'"{text[:40]}" is not a duration; write it like 15m, 1h30m or 2s')
    seconds = sum(float(number) * _SECONDS[unit] for number, unit in parts)
    if not 0 < seconds <= _LONGEST.total_seconds():
        raise ValueError(f'"{text[:40]}" must be more than nothing and at most a year')
    return timedelta(seconds=seconds)


def _channel(given: object) -> object:
    """A bare name gets its "#"; ids stay. An empty value is most often a "#" that YAML took for a comment."""
    if given is None:
        raise ValueError('the channel is empty; YAML takes # for a comment, so write it in quotes: "#name"')
    text = str(given).strip()
    if re.fullmatch(r"[CG][A-Z0-9]{6,}", text):
        return text
    name = text.removeprefix("#")
    if not re.fullmatch(r"[^\s#@<>|,A-Z]{1,80}", name):
        raise ValueError(f'"{text[:40]}" is not a channel; write "#name" in lower case, or its id')
    return f"#{name}"


def _listed(given: object) -> object:
    """One value counts as a list of one; numbers and truth values become the text that was meant."""
    values = given if isinstance(given, list) else [given]
    return [str(item).lower() if isinstance(item, bool) else str(item) for item in values if item is not None]


def _wall_clock(given: object) -> time:
    """09:00. Raises ValueError for anything else."""
    if isinstance(given, time):  # a default of ours
        return given
    found = re.fullmatch(r"([01]?[0-9]|2[0-3]):([0-5][0-9])", str(given).strip())
    if not found:
        raise ValueError(f'"{str(given)[:40]}" is not a time of day; write it like 09:00 (midnight is 00:00)')
    return time(int(found[1]), int(found[2]))


def _day(given: object) -> date:
    """2026-03-02. Raises ValueError for anything else."""
    try:
        return date.fromisoformat(str(given).strip())
    except ValueError:
        raise ValueError(f'"{str(given)[:40]}" is not a day; write it like 2026-03-02') from None


def _text(given: object) -> object:
    """A number where a text is expected is the text that was written."""
    return str(given) if isinstance(given, (int, float)) and not isinstance(given, bool) else given


Duration = Annotated[timedelta, BeforeValidator(duration)]
Channel = Annotated[str | None, BeforeValidator(_channel)]  # None only where the key is left out
Words = Annotated[list[str], BeforeValidator(_listed)]
WallClock = Annotated[time, BeforeValidator(_wall_clock)]
Day = Annotated[date, BeforeValidator(_day)]
Text = Annotated[str, BeforeValidator(_text)]
SecretText = Annotated[Secret, BeforeValidator(lambda given: Secret("" if given is None else str(given)))]


class Shape(BaseModel):
    """Refuses unknown keys."""

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True, frozen=True)
