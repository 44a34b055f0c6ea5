"""Days, spans and lengths of a rota in words, in a zone that is named. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta

from bot.policy.calendar import Span, wall_clock, zone_named


def day_words(at: datetime | None) -> str:
    """Mon 2 Mar 2026; "" for None."""
    return "" if at is None else f"{at:%a} {at.day} {at:%b %Y}"


def moment_words(at: datetime, zone_name: str) -> str:
    """Mon 2 Mar 09:00 (Europe/Berlin). In an hour that comes twice the offset is said, so that it is one instant."""
    zone = zone_named(zone_name) or zone_named("UTC")
    wall = wall_clock(at, zone) if zone else at
    local = at.astimezone(zone)
    is_twice = local.utcoffset() != local.replace(fold=1 - local.fold).utcoffset()
    offset = f" {local:%z}" if is_twice else ""
    return f"{wall:%a} {wall.day} {wall:%b} {wall:%H:%M}{offset} ({zone_name if zone_named(zone_name) else 'UTC'})"


def span_words(span: Span, zone_name: str) -> str:
    """Mon 2 Mar 2026 01:00 to 09:00 (Europe/Berlin)."""
    zone = zone_named(zone_name)
    if zone is None:
        return f"{span.start_at:%a} {day_words(span.start_at)}"
    begin, finish = wall_clock(span.start_at, zone), wall_clock(span.end_at, zone)
    shown = f"{finish:%H:%M}" if begin.date() == finish.date() else f"{day_words(finish)} {finish:%H:%M}"
    return f"{day_words(begin)} {begin:%H:%M} to {shown} ({zone_name})"


def length_words(span: timedelta) -> str:
    """6 h, 0.5 h."""
    return f"{span / timedelta(hours=1):.4g} h"
