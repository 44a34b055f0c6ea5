"""The ledger as people read it: each move with its time, its author and how we know; gaps are said to be gaps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from bot.desk.reply import head, when
from bot.ports import BY_US, BY_WEBHOOK, FIRST_LOOK, FROM_METRICS, FROM_REGISTRY, FROM_TAG, RELEASED, Move
from bot.store.records import Watch
from bot.words import harmless

EXACT = timedelta(seconds=30)  # two looks so near to each other are told as one time
OUTAGE = timedelta(minutes=5)  # a longer time without a look is told
_KNOWN_BY = {
    FROM_METRICS: "by the metrics' memory", FROM_REGISTRY: "by the registry's last change",
    FROM_TAG: "by a tag on the version", BY_WEBHOOK: "told by MLflow at once", BY_US: "by our own step",
}  # fmt: skip


def told_past(about: str, moves: Sequence[Move], watches: Mapping[str, Watch], now: datetime) -> str:
    """Newest first. `moves` are newest first, too."""
    if not moves:
        return f"I have not seen anything of {harmless(about, 80)} yet. Its registry and server are asked every 10 s."
    blind = [_blind(what, watch, now) for what, watch in sorted(watches.items()) if _is_blind(watch, moves, what, now)]
    since = min((watch.since_at for watch in watches.values()), default=moves[-1].latest_at)
    watched = f"Watched since {when(since)}; what is older was read back, and is as exact as it says."
    return head([f"*{harmless(about, 80)}*, newest first. {watched}", *blind, *(_line(move) for move in moves)])


def _line(move: Move) -> str:
    return f"• {_time(move)}: {_what(move)}{_author(move)}"


def _time(move: Move) -> str:
    if move.told_by == FIRST_LOOK and move.earliest_at == move.latest_at:
        return f"before {when(move.latest_at)}, when we began to watch"
    if move.latest_at - move.earliest_at <= EXACT:
        return when(move.latest_at)
    return f"between {when(move.earliest_at)} and {when(move.latest_at)}"


def _what(move: Move) -> str:
    to = _shown(move.to)
    if move.what == "served":
        if not move.to:
            return f"it is not known what was served after {_shown(move.from_)}"
        return f"the server went from {_shown(move.from_)} to {to}" if move.from_ else f"the server served {to}"
    if move.what == RELEASED:
        return f"rolled out: {to or 'nothing'}"
    name = harmless(move.what.removeprefix("alias "), 60)
    if not move.to:
        return f"{name} was taken away from {_shown(move.from_)}"
    return f"{name} moved from {_shown(move.from_)} to {to}" if move.from_ else f"{name} was set to {to}"


def _author(move: Move) -> str:
    how = _KNOWN_BY.get(move.told_by, "")
    if not move.by:
        if move.told_by == FIRST_LOOK:
            return " (who and when is not known)"
        return f" (not by this bot{f'; {how}' if how else ''})"
    plan = f" in {harmless(move.plan_id, 20)}" if move.plan_id else ""
    why = f": “{harmless(move.why, 160)}”" if move.why else ""
    return f" by {harmless(move.by, 120)}{plan}{why}"


def _is_blind(watch: Watch, moves: Sequence[Move], what: str, now: datetime) -> bool:
    return any(move.what == what for move in moves) and now - watch.seen_at > OUTAGE


def _blind(what: str, watch: Watch, now: datetime) -> str:
    minutes = int((now - watch.seen_at).total_seconds() // 60)
    return f"• For {minutes} min nobody has answered about “{harmless(what, 60)}”; it may have changed since."


def _shown(version: str) -> str:
    return f"v{version}" if version.isdecimal() else harmless(version, 60)
