"""Drift without rows: what two windows of a histogram say, and that label values stay values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from bot.drift.asked import DriftProfile, Histogram, Number
from bot.drift.report import Cause, Verdict
from bot.ports import Foreign, Sample
from handlers.drift.predictions import moved, queries, report_without_rows, score

NOW = datetime(2026, 3, 2, tzinfo=UTC)
WEEK = timedelta(days=7)
HISTOGRAM = Histogram(metric="prediction_probability_bucket", match={"model": "risk", "job": 'a"} or vector(1) #\\'})
PROFILE = DriftProfile(system="credit", model="risk", number=Number.PREDICTION, histogram=HISTOGRAM)
BOUNDS = ("0.25", "0.5", "0.75", "1.0", "+Inf")


class Prometheus:
    """Answers each query with what was laid out for it."""

    def __init__(self, *answers: dict[str, float]) -> None:
        self.answers, self.asked = list(answers), list[str]()

    def instant(self, query: str) -> Sequence[Sample]:
        self.asked.append(query)
        return [Sample(labels={"le": le}, at=NOW, value=value) for le, value in self.answers.pop(0).items()]

    def over(self, query: str, start: datetime, end: datetime, step: timedelta) -> Sequence[object]:
        raise NotImplementedError


def window(*heights: float) -> dict[str, float]:
    total = 0.0
    found = {}
    for bound, height in zip(BOUNDS, (*heights, 0.0), strict=True):
        total += height
        found[bound] = total
    return found


def test_label_values_are_quoted_and_the_reference_is_earlier() -> None:
    reference, current = queries(HISTOGRAM, WEEK)
    match = r'{job="a\"} or vector(1) #\\", model="risk"}'
    assert current == f"sum by (le) (increase(prediction_probability_bucket{match}[604800s]))"
    assert reference == f"sum by (le) (increase(prediction_probability_bucket{match}[604800s] offset 2419200s))"


def test_predictions_that_moved() -> None:
    metrics = Prometheus(window(400, 300, 200, 100), window(100, 200, 300, 400))
    found = moved(metrics, PROFILE, WEEK)
    assert "offset" in metrics.asked[0]
    assert "offset" not in metrics.asked[1]
    assert (found.verdict, found.n) == (Verdict.HIGH, 1000)
    report = report_without_rows(PROFILE, found, None)
    assert (report.verdict, report.triage.cause) == (Verdict.HIGH, Cause.UNSURE)
    assert report.sentence == f"High drift: index of the predictions {found.value:.2f}, line 0.30; 1,000 predictions."
    assert "Only the predictions" in (report.triage.retrain_locked or "")


def test_few_predictions_give_no_verdict() -> None:
    found = moved(Prometheus(window(40, 30, 20, 10), window(10, 20, 30, 40)), PROFILE, WEEK)
    assert (found.verdict, found.n) == (Verdict.NONE_YET, 100)
    assert report_without_rows(PROFILE, found, None).triage.cause is Cause.TOO_FEW


@pytest.mark.parametrize(
    ("answers", "reason", "said"),
    [
        (({}, {}), "not_found", "no data in the reference window"),
        ((window(1, 1, 1, 1), {}), "not_found", "no data in the current window"),
        ((window(1, 1, 1, 1), {"0.5": math.nan}), "not_found", "no data in the current window"),
        ((window(1, 1, 1, 1), {"0.5": 1.0, "+Inf": 2.0}), "invalid", "do not have the same buckets"),
        (({"0.5": 1.0}, {"0.5": 1.0}), "invalid", "+Inf"),
        (({"x": 1.0}, {"x": 1.0}), "not_found", "When it is older than that, check its name"),
    ],
)
def test_no_data_is_not_zero(answers: tuple[dict[str, float], ...], reason: str, said: str) -> None:
    with pytest.raises(Foreign) as failed:
        moved(Prometheus(*answers), PROFILE, WEEK)
    assert (failed.value.reason, said in failed.value.sentence) == (reason, True), failed.value.sentence


@pytest.mark.parametrize(
    ("gauges", "value", "verdict"),
    [((), None, Verdict.NONE_YET), ((0.05, 0.2), 0.2, Verdict.MODERATE), ((math.nan, 0.01), 0.01, Verdict.STABLE)],
)
def test_a_score_that_the_service_exports(gauges: tuple[float, ...], value: float | None, verdict: Verdict) -> None:
    profile = DriftProfile(system="khet", model="guard", number=Number.SCORE, score_query="model_drift_score")
    found = score(Prometheus({str(place): gauge for place, gauge in enumerate(gauges)}), profile)
    assert found == value
    assert report_without_rows(profile, None, found).verdict is verdict
