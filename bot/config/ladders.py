"""The form of ladders in the files: levels and their delays, kinds of issue, working hours, planned work."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import time, timedelta
from typing import Annotated, Literal, get_args

from pydantic import BeforeValidator, Field

from bot.config.fields import Day, Duration, Name, SeverityName, Shape, Text, WallClock, Words, duration
from bot.policy.calendar import Wait

_BUSINESS_DAYS = re.compile(r"(next|\d{1,2})\s+business\s+days?")


def _wait(given: object) -> Wait:
    """15m · at once · 4h at work · next business day · 2 business days + 1h. Raises ValueError for anything else."""
    if isinstance(given, Wait):
        return given
    found = Wait()
    for part in " ".join(str(given).lower().split()).split("+"):
        word = part.strip()
        days = _BUSINESS_DAYS.fullmatch(word)
        if days and (days[1] == "next" or int(days[1]) > 0):
            found = replace(found, business_days=found.business_days + (1 if days[1] == "next" else int(days[1])))
        elif word.endswith(" at work"):
            found = replace(found, at_work=(found.at_work or timedelta(0)) + duration(word.removesuffix(" at work")))
        elif word not in {"at once", "0", "0s", "0m"}:
            found = replace(found, plain=found.plain + duration(word))
    return found


Delay = Annotated[Wait, BeforeValidator(_wait)]
Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


class HoursShape(Shape):
    """Hours that a layer is limited to."""

    days: list[Weekday] = Field(
        default_factory=lambda: list(get_args(Weekday)), description="Days on which they begin. Default: all."
    )
    opens: WallClock = Field(time(0), description="When they begin, in the layer's zone.")
    closes: WallClock = Field(
        time(0), description="When they end; when that is not later than `opens`, on the next day. Equal times: 24 h."
    )


class CalendarShape(Shape):
    """When a team is at work."""

    zone: Text = Field("UTC", description="IANA name of the team's time zone, like `Europe/Berlin`.")
    windows: list[HoursShape] = Field(
        default_factory=lambda: [HoursShape(days=["mon", "tue", "wed", "thu", "fri"], opens=time(9), closes=time(17))],
        description="Hours of work. Default: Monday to Friday, 09:00 to 17:00.",
    )
    holidays: list[Day] = Field(default_factory=list, description="Days on which nobody is at work: `2026-12-25`.")


class MaintenanceShape(HoursShape):
    """Planned work that comes every week: its pages wait for the end, its incidents are opened and shown."""

    zone: Text = Field("UTC", description="IANA name of the zone its times are meant in.")
    part: Text = Field("", description="Service or model it is about; the whole system where it is left out.")
    why: Text = Field("", description="Shown where a page was held back.")


class LevelShape(Shape):
    """One rung of a ladder."""

    after: Delay = Field(
        description="Since the incident opened: `15m`, `at once`, `4h at work`, `next business day`, `2 business days +"
        " 1h`. Must grow from level to level; working time needs `hours`."
    )
    to: Words = Field(
        description="Targets: `oncall`, `role:NAME`, `person:KEY`, `rota:NAME`, `group:ID` (a Slack user group),"
        " `channel:#name`. All of them are paged at once."
    )
    until: Literal["acknowledged", "resolved"] = Field(
        "acknowledged",
        description="`resolved`: an acknowledgement does not stop it; it is told who has it, for information.",
    )


class LaddersShape(Shape):
    """Ladders by severity, and how they are climbed."""

    P0: list[LevelShape] | None = Field(None, description="Levels for P0. Default: 15m, 30m, 1h, 2h.")
    P1: list[LevelShape] | None = Field(None, description="Levels for P1. Default: 1h, 2h, 4h, 8h.")
    P2: list[LevelShape] | None = Field(None, description="Levels for P2. Default: 4h, 8h, 16h, 32h.")
    P3: list[LevelShape] | None = Field(None, description="Levels for P3. Default: 24h, 48h, 96h, 192h.")
    repeat_every: Duration = Field(
        timedelta(minutes=30), description="After the last level, until somebody answers, it is paged again this often."
    )
    at_work: list[SeverityName] | None = Field(
        None,
        description="Severities that page only while the team is at work: delays count working time, repeats wait for"
        " the next opening. Needs `hours`. Default: none.",
    )


class IssueShape(LaddersShape):
    """A kind of issue with a ladder of its own. What is left out is as in the system's ladder."""

    match: dict[str, Words] = Field(
        default_factory=dict,
        description="Labels and values of the alerts that are of this kind; one label that fits is enough. A declared"
        " incident is of the kind that its words name.",
    )
    every: list[LevelShape] | None = Field(None, description="Levels for each severity that is not listed here.")


class AckTimeoutShape(Shape):
    """After how long without progress an owner is asked, by severity. Left out: never."""

    P0: Duration | None = Field(None, description="In a P0.")
    P1: Duration | None = Field(None, description="In a P1.")
    P2: Duration | None = Field(None, description="In a P2.")
    P3: Duration | None = Field(None, description="In a P3.")


class EscalationShape(LaddersShape):
    """Ladders by severity; a severity that is left out has the default one: on call, senior, manager, director."""

    ack_timeout: AckTimeoutShape | None = Field(
        None,
        description="Without progress for so long whoever acknowledged is asked whether they are still on it.",
    )
    answer_within: Duration = Field(
        timedelta(minutes=10), description="Then they have so long to answer, or it is nobody's and the ladder climbs."
    )
    kinds: dict[Name, IssueShape] = Field(
        default_factory=dict, description="Kinds of issue with ladders of their own; the first that fits counts."
    )
