"""Whether a version is known-good, and how we know.

Known-good means: it alone was served for at least `proven_after` on end, and every bound that had a value in that time
was kept, at least one of them having values. "The version before" is no reason: it may have been the first bad one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from bot.policy import Bound, ModelProfile
from bot.ports import Metrics, Scene
from handlers._history import MAX_POINTS, Span, ledger_spans, served_spans, step_for
from handlers._look import listed, number, period, shown, word, worst

LOOK_BACK = timedelta(days=30)  # who served well longer ago than this is no obvious choice any more
_GAP = 2.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What one bound's metric showed during the proof."""

    bound: Bound
    mean: float
    worst: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """Why a version is known-good."""

    version: str
    start: datetime
    end: datetime
    told_by: str
    readings: tuple[Reading, ...]  # at least one
    silent: tuple[str, ...]  # bounds without values in that time

    def sentence(self, now: datetime) -> str:
        """As in: it served from 14:02 to 14:31 UTC (29 min) within its bounds: accuracy 0.97 (worst 0.95)."""
        told = [f"{word(one.bound)} {number(one.mean, one.bound)}{_worst(one)}" for one in self.readings]
        silent = f"; {listed(self.silent)} had no values then" if self.silent else ""
        source = ", as our own ledger says," if self.told_by == "ledger" else ""
        return f"it served {period(self.start, self.end, now)}{source} within its bounds: {', '.join(told)}{silent}"


def _worst(one: Reading) -> str:
    lowest = number(one.worst, one.bound)
    return "" if lowest == number(one.mean, one.bound) else f" (worst {lowest})"


class Prover:
    """Looks for proofs of one model's versions. Asks the metrics what was served only once per resolution.

    Every method may raise Foreign when the metrics cannot answer.
    """

    def __init__(self, scene: Scene, model: ModelProfile, metrics: Metrics) -> None:
        self._scene = scene
        self._model = model
        self._metrics = metrics
        self._fine = step_for(model.proven_after, points=10)
        self._cached: dict[timedelta, list[Span]] = {}

    def proof(self, version: str) -> Proof | None:
        """The latest proof of a version, None when there is none."""
        if not self._model.bounds:
            return None  # nothing tells good from bad
        for spans, step in self._sources():
            for span in reversed([span for span in spans() if span.version == version]):
                found = self._judge(span, step) if span.length >= self._model.proven_after else None
                if found is not None:
                    return found
        return None

    def longest(self, version: str) -> timedelta:
        """How long the version was seen served on end, for saying why it is not proven; zero for never."""
        spans, _ = next(self._sources())
        return max((span.length for span in spans() if span.version == version), default=timedelta(0))

    def _sources(self) -> Iterator[tuple[Callable[[], list[Span]], timedelta]]:
        """Where spans may come from, best first: the near past finely, the far past coarsely, the ledger."""
        coarse = step_for(LOOK_BACK, points=MAX_POINTS, at_least=self._fine)
        yield lambda: self._from_metrics(self._fine), self._fine
        if coarse > self._fine:
            yield lambda: self._from_metrics(coarse), coarse
        yield lambda: ledger_spans(self._scene.moves, self._scene.now), self._fine

    def _from_metrics(self, step: timedelta) -> list[Span]:
        if not self._model.served_query:
            return []
        if step not in self._cached:
            start = self._scene.now - min(step * MAX_POINTS, LOOK_BACK)
            query = self._model.served_query
            self._cached[step] = served_spans(self._metrics, query, start, self._scene.now, step)
        return self._cached[step]

    def _judge(self, span: Span, step: timedelta) -> Proof | None:
        """The longest time in the span in which every bound with a value was kept, if it is long enough."""
        step = step_for(span.length, points=MAX_POINTS, at_least=step)
        values = {bound: self._values(bound, span, step) for bound in self._model.bounds}
        times = sorted({at for found in values.values() for at in found})
        run = _longest(times, lambda at: all(_kept(bound, found.get(at)) for bound, found in values.items()), step)
        if run is None or run[1] - run[0] < self._model.proven_after:
            return None
        start, end = run
        readings = []
        for bound, found in values.items():
            kept = [value for at, value in found.items() if start <= at <= end]
            lowest = worst(bound, kept)
            if lowest is not None:
                readings.append(Reading(bound=bound, mean=sum(kept) / len(kept), worst=lowest))
        silent = tuple(word(bound) for bound in values if bound not in {one.bound for one in readings})
        return Proof(
            version=span.version, start=start, end=end, told_by=span.told_by, readings=tuple(readings), silent=silent
        )

    def _values(self, bound: Bound, span: Span, step: timedelta) -> dict[datetime, float]:
        found: dict[datetime, list[float]] = {}
        for series in self._metrics.over(bound.query, span.start, span.end, step):
            for at, value in series.points:
                found.setdefault(at, []).append(value)
        judged = {at: worst(bound, values) for at, values in found.items()}
        return {at: value for at, value in judged.items() if value is not None}


def _kept(bound: Bound, value: float | None) -> bool:
    """A bound without a value at some time says nothing about that time."""
    return value is None or bound.is_met_by(value)


def _longest(
    times: list[datetime], is_good: Callable[[datetime], bool], step: timedelta
) -> tuple[datetime, datetime] | None:
    """First and last time of the longest stretch of good times without a gap, the latest of equals; None for none."""
    best: tuple[datetime, datetime] | None = None
    run: tuple[datetime, datetime] | None = None
    for at in times:
        if not is_good(at):
            run = None
            continue
        is_on = run is not None and at - run[1] <= step * _GAP
        run = (run[0], at) if run is not None and is_on else (at, at)
        if best is None or run[1] - run[0] >= best[1] - best[0]:
            best = run
    return best


def because(version: str, proof: Proof, now: datetime) -> str:
    """The sentence on the card."""
    return f"{shown(version)} is the last known-good: {proof.sentence(now)}."
