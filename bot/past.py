"""What the ledger can learn of the time before it watched: from the metrics' memory and from the registry's own marks.

Nothing here is a guess. A metric that fell silent is a gap, not a version that went on being served; an alias without
a mark was set at some time between the making of its version and our first look, and that is what is written.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import cast

from bot.policy import ModelProfile, System
from bot.ports import (
    FIRST_LOOK,
    FROM_METRICS,
    FROM_REGISTRY,
    FROM_TAG,
    Backends,
    Foreign,
    Metrics,
    ModelRegistry,
    ModelVersion,
    Move,
)
from handlers._history import Span, served_spans, step_for

LOOK_BACK = timedelta(days=30)
NEAR = timedelta(days=1)  # looked at more closely: 18 s apart instead of nine minutes
SERVED = "served"
_POINTS = 5_000  # a version that was served for less than the distance of two may be missed


def past(system: System, model: ModelProfile, backends: Backends, now: datetime) -> tuple[list[Move], str]:
    """What can be told of before `now`, oldest first, and why some of it could not be asked ("" when all was)."""
    found: list[Move] = []
    silent: list[str] = []
    asks: tuple[Callable[[], list[Move]], ...] = (
        lambda: _of_registry(system, model, backends, now),
        lambda: _of_metrics(system, model, backends, now),
    )
    for ask in asks:
        try:
            found += ask()
        except Foreign as problem:
            silent.append(problem.sentence)
    return sorted(found, key=lambda move: move.latest_at), " ".join(silent)


def _of_metrics(system: System, model: ModelProfile, backends: Backends, now: datetime) -> list[Move]:
    if not model.served_query or model.metrics not in backends:
        return []
    metrics = cast("Metrics", backends[model.metrics])
    spans: list[tuple[Span, timedelta]] = []
    for begin, end in ((now - LOOK_BACK, now - NEAR), (now - NEAR, now)):
        step = step_for(end - begin, points=_POINTS)
        spans += [(span, step) for span in served_spans(metrics, model.served_query, begin, end, step)]
    return served_moves(system.name, model.name, spans)


def served_moves(system: str, model: str, spans: Sequence[tuple[Span, timedelta]]) -> list[Move]:
    """Spans of service, each with the distance of the looks it is made of, as moves.

    Where nothing was seen for more than two looks, nobody knows what was served.
    """
    found: list[Move] = []
    before: Span | None = None
    about = Move(system=system, model=model, what=SERVED, from_="", to="", earliest_at=_EPOCH, latest_at=_EPOCH,
                 told_by=FROM_METRICS)  # fmt: skip
    wide = timedelta(0)  # distance of the looks before this span
    for span, step in spans:
        left, earliest = (before.version, before.end) if before is not None else ("", span.start)
        if before is not None and span.start - before.end > max(wide, step) * _GAP:
            found.append(replace(about, from_=left, to="", earliest_at=before.end, latest_at=before.end + wide))
            left, earliest = "", before.end + wide
        if left != span.version:
            found.append(replace(about, from_=left, to=span.version, earliest_at=earliest, latest_at=span.start))
        before, wide = span, step
    return found


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_GAP = 2.5


def _of_registry(system: System, model: ModelProfile, backends: Backends, now: datetime) -> list[Move]:
    if model.registry not in backends:
        return []
    registry = cast("ModelRegistry", backends[model.registry])
    current = registry.alias(model.name, model.alias) or ""
    versions = registry.versions(model.name)
    return pointed(system.name, model.name, model.alias, versions, current, now)


def pointed(
    system: str, model: str, alias: str, versions: Sequence[ModelVersion], current: str, now: datetime
) -> list[Move]:
    """What the registry tells of the pointer's past: marks of releases, and how it stands at the first look."""
    about = Move(system=system, model=model, what=f"alias {alias}", from_="", to="", earliest_at=_EPOCH,
                 latest_at=_EPOCH)  # fmt: skip
    found = []
    for one in versions:
        at = _moment(one.tags.get("ops.prod_from", ""))
        if at is not None and at <= now:
            left = one.tags.get("ops.replaced", "")
            found.append(replace(about, from_=left, to=one.version, earliest_at=at, latest_at=at, told_by=FROM_TAG))
    found.sort(key=lambda move: move.latest_at)
    last = found[-1] if found else None
    if last is None or last.to != current:
        version = next((one for one in versions if one.version == current), None)
        latest, told_by = now, FIRST_LOOK
        if version is not None and version.stage.lower() == alias.lower() and version.changed_at is not None:
            # A stage is set at the latest when the registry says that the version changed last.
            latest, told_by = min(version.changed_at, now), FROM_REGISTRY
        earliest = version.created_at if version is not None else last.latest_at if last is not None else latest
        if last is not None:
            earliest = max(earliest, last.latest_at)
        found.append(replace(
            about, from_=last.to if last is not None else "", to=current, earliest_at=min(earliest, latest),
            latest_at=max(latest, last.latest_at) if last is not None else latest, told_by=told_by,
        ))  # fmt: skip
    return found


def _moment(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
