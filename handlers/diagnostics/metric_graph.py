"""A picture of the metric around the start, with the bound, the start and the version changes in it.

The picture is drawn by the chart worker, in another process. Its alternative text says the same in words.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import pairwise

from bot.model import Finding
from bot.policy import Bound, ModelProfile
from bot.ports import Foreign, Metrics, Scene
from handlers._history import Span, on_grid, served_spans, step_for
from handlers._look import clock, limit, listed, metrics_of, number, profile_of, shown, start_of, title, word, worst

BEFORE = timedelta(minutes=20)  # enough to see what normal looks like
POINTS = 400  # more than a picture of this width can show apart
MARKS = 6
Points = list[tuple[datetime, float]]


class MetricGraph:
    """The diagnostic as the registry of handlers knows it."""

    name = "metric_graph"
    question = "What does the metric look like around the start?"
    needs = ("metrics",)

    def ask(self, scene: Scene) -> Finding:
        """A picture of the bound that is broken most, else of the first. Raises Foreign without values or picture."""
        model = profile_of(scene)
        if not model.bounds:
            raise Foreign("not_found", f"The profile has no bounds for {model.name}, so there is nothing to draw.")
        metrics = metrics_of(scene, model)
        start = start_of(scene.incident, scene.now)
        before = max(BEFORE, (scene.now - start) / 4)
        step = step_for(scene.now - start + before, points=POINTS)
        began = on_grid(scene.now) - step * POINTS  # so that the last point is now
        bound, points = _most_telling(metrics, model, began, scene.now, step)
        if points and points[0][0] > began + step:  # a short history is looked at more closely
            step = step_for(scene.now - points[0][0] + step, points=POINTS)
            began = on_grid(points[0][0] - step)
            bound, points = _most_telling(metrics, model, began, scene.now, step)
        if not points:
            raise Foreign(
                "not_found", f"There are no values of {word(bound)} since {clock(began, scene.now)} UTC to draw."
            )
        changes = _changes(metrics, model, began, scene.now, step)
        sentence = _sentence(bound, points, start, scene.now)
        if scene.draw is None:
            return Finding(diagnostic=self.name, sentence=f"{sentence} (No picture: the chart worker is not running.)")
        picture = scene.draw(_specification(model, bound, points, changes, start))
        alt = _in_words(model, bound, points, changes, start, scene.now)
        return Finding(diagnostic=self.name, sentence=sentence, picture=picture, picture_alt=alt)


def _most_telling(
    metrics: Metrics, model: ModelProfile, began: datetime, now: datetime, step: timedelta
) -> tuple[Bound, Points]:
    """The bound that is broken for the largest share of the time, else the first one with values, and its values."""
    best: tuple[float, Bound, Points] | None = None
    for bound in model.bounds:
        at_times: dict[datetime, list[float]] = {}
        for series in metrics.over(bound.query, began, on_grid(now), step):
            for at, value in series.points:
                at_times.setdefault(at, []).append(value)
        points = [(at, found) for at in sorted(at_times) for found in [worst(bound, at_times[at])] if found is not None]
        share = sum(not bound.is_met_by(value) for _, value in points) / len(points) if points else -1.0
        if best is None or share > best[0]:
            best = (share, bound, points)
    return (best[1], best[2]) if best is not None else (model.bounds[0], [])


def _changes(metrics: Metrics, model: ModelProfile, began: datetime, now: datetime, step: timedelta) -> list[Span]:
    """Each span in which another version than before was served, the first one left out."""
    if not model.served_query:
        return []
    try:
        spans = served_spans(metrics, model.served_query, began, now, step)
    except Foreign:
        return []  # the curve alone is worth showing
    return [new for old, new in pairwise(spans) if old.version != new.version][-MARKS:]


def _specification(
    model: ModelProfile, bound: Bound, points: Points, changes: Sequence[Span], start: datetime
) -> dict[str, object]:
    """What the chart worker needs; see bot.charts."""
    limits = ((bound.below, "at least"), (bound.above, "at most"))
    bounds = [
        {"value": value, "label": f"bound: {words} {number(value, bound)}"}
        for value, words in limits
        if value is not None
    ]
    changed = [
        {"at": span.start.timestamp(), "label": f"{shown(span.version)} live", "style": "change"} for span in changes
    ]
    return {
        "title": title(bound, model.name),
        "axis": f"{word(bound)}{f' ({bound.unit})' if bound.unit else ''}",
        "points": [[at.timestamp(), value] for at, value in points],
        "bounds": bounds,
        "marks": [{"at": start.timestamp(), "label": "alert starts", "style": "start"}, *changed],
    }


def _sentence(bound: Bound, points: Points, start: datetime, now: datetime) -> str:
    """As in: accuracy was 0.97 before 14:31 UTC and is 0.41 now (should be at least 0.8)."""
    before = [value for at, value in points if at < start]
    latest = points[-1][1]
    is_now = f"{number(latest, bound)} now (should be {limit(bound)})"
    if not before:
        return f"{word(bound)} is {is_now}; there are no values from before {clock(start, now)} UTC."
    middle = sorted(before)[len(before) // 2]
    return f"{word(bound)} was {number(middle, bound)} before {clock(start, now)} UTC and is {is_now}."


def _in_words(
    model: ModelProfile, bound: Bound, points: Points, changes: Sequence[Span], start: datetime, now: datetime
) -> str:
    values = [value for _, value in points]
    told = listed(f"{shown(span.version)} from {clock(span.start, now)}" for span in changes)
    span = f"from {clock(points[0][0], now)} to {clock(points[-1][0], now)} UTC"
    range_ = f"Lowest {number(min(values), bound)}, highest {number(max(values), bound)}."
    changed = f"Version changes: {told}." if told else "No change of the served version."
    return f"Line graph: {title(bound, model.name)}, {span}. {_sentence(bound, points, start, now)} {range_} {changed}"


DIAGNOSTIC = MetricGraph()
