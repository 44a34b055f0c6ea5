"""Ladders whose delays are not plain time: counted while the team is at work, or in business days.

They are made plain when an incident opens, so its due times are absolute like those of every other ladder. Pure.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from bot.policy import Ladder
from bot.policy.calendar import Calendar, Wait, Window, add_business_time, next_business_day

__all__ = ["Wait", "dated", "due_at", "held", "plain"]


def due_at(calendar: Calendar, base_at: datetime, wait: Wait) -> datetime:
    """When something that began at `base_at` has waited that long."""
    at = base_at.astimezone(UTC)
    for _ in range(wait.business_days):
        at = next_business_day(calendar, at).start_at
    if wait.at_work is not None:
        at = add_business_time(calendar, at, wait.at_work)
    return at + wait.plain


def dated(ladder: Ladder, calendar: Calendar, base_at: datetime, waits: tuple[Wait, ...]) -> Ladder:
    """The ladder with each level's delay replaced by the plain time from `base_at` until its wait is over.

    Expects one wait for each level; ValueError otherwise. Levels keep their order even where a later wait is shorter.
    """
    base_at = base_at.astimezone(UTC)
    after = timedelta(0)
    levels = []
    for level, wait in zip(ladder.levels, waits, strict=True):
        after = max(after, due_at(calendar, base_at, wait) - base_at)
        levels.append(replace(level, after=after))
    return replace(ladder, levels=tuple(levels))


def held(ladder: Ladder, calendar: Calendar, base_at: datetime) -> Ladder:
    """The ladder with every delay counted in time at work: what is due while nobody is at work waits for the start."""
    return dated(ladder, calendar, base_at, tuple(Wait(at_work=level.after) for level in ladder.levels))


def plain(ladder: Ladder, calendar: Calendar | None, base_at: datetime) -> Ladder:
    """The ladder as plain times from `base_at`, whatever its waits are counted in.

    Without a calendar all time counts: what cannot be held must not be lost.
    """
    waits = ladder.waits or tuple(Wait(plain=level.after) for level in ladder.levels)
    if calendar is None:
        return ladder if all(wait.is_plain for wait in waits) else dated(ladder, _ALWAYS, base_at, waits)
    if ladder.at_work:
        waits = tuple(
            wait if not wait.is_plain else replace(wait, at_work=wait.plain, plain=timedelta(0)) for wait in waits
        )
    return ladder if all(wait.is_plain for wait in waits) else dated(ladder, calendar, base_at, waits)


_ALWAYS = Calendar(zone="UTC", windows=(Window(),))
