"""Which version was served when: told by the metrics, or where they are silent by our own ledger.

The metrics are asked on a grid of times. A version's span is a stretch of the grid where that version alone was served;
while two versions are served side by side, a metric says nothing about either of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from bot.ports import Metrics, Move

MAX_POINTS = 10_000  # Prometheus refuses more than 11,000 per series
_GAP = 2.5  # so many steps without a sample still count as one span: a missed scrape is no change


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A time in which one version alone was served."""

    version: str
    start: datetime
    end: datetime
    told_by: str  # "metrics" or "ledger"

    @property
    def length(self) -> timedelta:
        """From the first to the last time it was seen."""
        return self.end - self.start


def on_grid(at: datetime) -> datetime:
    """The whole second before a time: the metrics' client rounds to seconds."""
    return datetime.fromtimestamp(int(at.timestamp()), UTC)


def step_for(span: timedelta, *, points: int, at_least: timedelta = timedelta(seconds=1)) -> timedelta:
    """Distance of the grid's times, in whole seconds, so that `span` has no more than `points` of them."""
    seconds = max(span.total_seconds() / points, at_least.total_seconds(), 1.0)
    return timedelta(seconds=int(seconds) if seconds == int(seconds) else int(seconds) + 1)


def served_spans(metrics: Metrics, query: str, start: datetime, end: datetime, step: timedelta) -> list[Span]:
    """The spans between two times, oldest first. `query` gives one series per version, named by its label `version`.

    Raises Foreign when the metrics cannot answer. An empty list means: no data, which is not "nothing was served".
    """
    seen: dict[datetime, set[str]] = {}
    for series in metrics.over(query, on_grid(start), on_grid(end), step):
        version = series.labels.get("version", "")
        for at, value in series.points:
            if version and value > 0:
                seen.setdefault(at, set()).add(version)
    return _runs(sorted(seen.items()), step)


def _runs(seen: Sequence[tuple[datetime, set[str]]], step: timedelta) -> list[Span]:
    spans: list[Span] = []
    is_going = False
    for at, versions in seen:
        if len(versions) > 1:
            is_going = False
            continue
        [version] = versions
        last = spans[-1] if is_going else None
        if last is not None and last.version == version and at - last.end <= step * _GAP:
            spans[-1] = Span(version=version, start=last.start, end=at, told_by="metrics")
        else:
            spans.append(Span(version=version, start=at, end=at, told_by="metrics"))
        is_going = True
    return spans


def ledger_spans(moves: Iterable[Move], now: datetime) -> list[Span]:
    """The spans our ledger is sure of, oldest first.

    From when a version was first seen served until it was last seen served.
    """
    entries = sorted((move for move in moves if move.what == "served"), key=lambda move: move.latest_at)
    ends = [*(move.earliest_at for move in entries), now][1:]
    return [
        Span(version=move.to, start=move.latest_at, end=end, told_by="ledger")
        for move, end in zip(entries, ends, strict=True)
        if move.to and end > move.latest_at
    ]
