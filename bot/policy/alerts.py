"""What a source's word about an alert means, given what is known: new, changed, said before, or overtaken.

An episode is one time of firing, told apart by its source, fingerprint and start. Sources repeat themselves and
networks reorder, so the end state of an episode depends on what was said, never on the order in which it came: once an
episode is known to be over it stays over, and an episode that began before a later one is over too.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Verdict(StrEnum):
    """What an alert that came in means."""

    NEW = "new"  # an episode begins
    CHANGED = "changed"  # an episode that fired is over
    DUPLICATE = "duplicate"  # said before
    STALE = "stale"  # overtaken by something known that is later


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """The verdict, and whether the episode fires afterwards."""

    verdict: Verdict
    firing: bool


def judge_episode(
    *,
    firing: bool,
    starts_at: datetime,
    known_firing: bool | None,
    latest_starts_at: datetime | None,
    older_firing: bool = False,
) -> Judgement:
    """Judge one alert.

    In: what it says (`firing`, `starts_at`), what is known about the same episode (`known_firing`, None for nothing),
    and the latest start known for the same source and fingerprint (None for none). Pure.
    """
    if known_firing is None:
        overtaken = latest_starts_at is not None and latest_starts_at > starts_at
        if firing and not overtaken:
            return Judgement(verdict=Verdict.NEW, firing=True)
        if not firing and older_firing:
            # We missed the end of one episode and the beginning of the next; with the next, the older is over too.
            return Judgement(verdict=Verdict.CHANGED, firing=False)
        # Ended before it was seen to begin, or begun before one that is known: kept as over, so that its own late
        # firing opens nothing.
        return Judgement(verdict=Verdict.STALE, firing=False)
    if known_firing == firing:
        return Judgement(verdict=Verdict.DUPLICATE, firing=firing)
    if known_firing:
        return Judgement(verdict=Verdict.CHANGED, firing=False)
    return Judgement(verdict=Verdict.STALE, firing=False)
