"""What Prometheus alone can tell: how the predictions are spread, and a score that the service exports itself.

No rows and no worker: one or two instant queries, which the serving process may make. Queries are made of a metric's
name that the configuration has checked, and of label values that are quoted here.
"""

from __future__ import annotations

import math
from datetime import timedelta

from bot.drift.asked import DriftProfile, Histogram, Movement, Number
from bot.drift.report import Cause, DriftReport, Triage, Verdict
from bot.ports import Foreign, Metrics
from handlers.drift.answer import LEADS, lines_of, number_words, of_prediction, of_score
from handlers.drift.psi import of_histogram

NOT_LOOKED_AT = (
    "Only the predictions were looked at. Set `reference` and `current` in the profile, or choose “valid drift” once "
    "you know that the inputs are right."
)


def queries(histogram: Histogram, window: timedelta) -> tuple[str, str]:
    """PromQL of the reference window and of the current one."""
    match = ", ".join(f"{label}={_quoted(value)}" for label, value in sorted(histogram.match.items()))
    span, before = f"{int(window.total_seconds())}s", f"{int(histogram.reference_before.total_seconds())}s"
    reference, current = (
        f"sum by (le) (increase({histogram.metric}{{{match}}}[{span}]{offset}))" for offset in (f" offset {before}", "")
    )
    return reference, current


def _quoted(value: str) -> str:
    """A label's value as PromQL takes it, whatever is in it."""
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def moved(metrics: Metrics, profile: DriftProfile, window: timedelta) -> Movement:
    """How far the predictions moved between the two windows.

    Raises Foreign when Prometheus does not answer, has no such histogram in one of the windows ("not_found"), or has
    one that cannot be compared ("invalid").
    """
    if profile.histogram is None:
        raise Foreign("not_found", f"No histogram is set for {profile.model}. Set `drift.histogram` in its profile.")
    windows = []
    for side, query in zip(("reference", "current"), queries(profile.histogram, window), strict=True):
        found = {_bound(sample.labels.get("le", "")): sample.value for sample in metrics.instant(query)}
        buckets = {bound: value for bound, value in found.items() if math.isfinite(value) and not math.isnan(bound)}
        if not buckets:
            raise Foreign(
                "not_found",
                f"{profile.histogram.metric} has no data in the {side} window{_since(profile.histogram, side)}. "
                "When it is older than that, check its name and labels.",
            )
        windows.append(buckets)
    try:
        drift = of_histogram(*windows, lines=lines_of(profile.thresholds))
    except ValueError as error:
        raise Foreign("invalid", str(error)) from error
    return Movement(value=drift.value, bound=drift.bound, noise=drift.noise, n=drift.n, verdict=drift.verdict)


def _since(histogram: Histogram, side: str) -> str:
    before = histogram.reference_before
    if side != "reference":
        return ""
    return f", {before.days} days before" if before.days else f", {before.total_seconds() / 60:.0f} min before"


def _bound(text: str) -> float:
    """The upper bound of a bucket; NaN for what is none."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def score(metrics: Metrics, profile: DriftProfile) -> float | None:
    """The service's own gauge, the highest where there are several series; None when there is none. Raises Foreign."""
    if not profile.score_query:
        return None
    values = [sample.value for sample in metrics.instant(profile.score_query) if math.isfinite(sample.value)]
    return max(values, default=None)


def report_without_rows(profile: DriftProfile, prediction: Movement | None, gauge: float | None) -> DriftReport:
    """What may be said without any rows: how the predictions moved, never which input or why."""
    number = profile.number if profile.number in {Number.PREDICTION, Number.SCORE} else Number.PREDICTION
    value, bound, verdict = of_score(gauge, profile.thresholds) if number is Number.SCORE else of_prediction(prediction)
    n = prediction.n if prediction else 0
    rows = f"; {n:,} predictions" if prediction else ""
    return DriftReport(
        system=profile.system, model=profile.model, verdict=verdict, number=number.value, value=value, bound=bound,
        sentence=f"{LEADS[verdict]}: {number_words(number, value, bound)}{rows}.",
        drifted=0, judged=0, inputs=0, share=None, reference_rows=n, current_rows=n, columns=(), aside=(), gone=(),
        added=(), full_missing="there is no data source to make it from.",
        triage=Triage(
            cause=Cause.QUIET if verdict is Verdict.STABLE else Cause.TOO_FEW if verdict is Verdict.NONE_YET
            else Cause.UNSURE,
            sentence="The inputs were not looked at, so a data bug cannot be told from a change of the world.",
            clues=(), retrain_locked=NOT_LOOKED_AT, drifted=(),
        ),
    )  # fmt: skip
