"""The keys of a model's `quality` block, and what they become."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from bot.config.drift import DriftSourceShape, DriftWorkerShape, source_flaws
from bot.config.fields import Duration, Name, Shape, Text
from bot.drift.asked import Limits
from bot.drift.labelled import LabelColumns, LabelProfile
from bot.policy.quality import QualityProfile

Share = Annotated[float, Field(ge=0, le=1)]
_LONGEST = timedelta(minutes=5)


class LabelColumnsShape(Shape):
    """What the columns mean."""

    prediction: Text = Field(min_length=1, description="The class that the model said.")
    target: Text = Field(min_length=1, description="The true class; empty or NULL while it has not come.")
    probability: Text = Field("", description="Probability of the `positive` class, for AUC and Brier.")
    time: Text = Field("", description="When the prediction was made; the window is chosen by it.")
    labelled_at: Text = Field("", description="When the label came; with `time` it gives the delay.")
    key: Text = Field("", description="Column that joins predictions and `labels`.")


class LabelRowsShape(Shape):
    """Where predictions and labels are: one source with both, or two that are joined by `columns.key`."""

    predictions: DriftSourceShape = Field(description="The predictions, with the labels where they are in one place.")
    labels: DriftSourceShape | None = Field(None, description="The labels, where they are in another place.")
    columns: LabelColumnsShape = Field(description="What the columns mean.")
    positive: Text = Field("", description="The class that probabilities and F1 are about. Without: F1 of all classes.")
    time_limit: Duration = Field(timedelta(seconds=8), description="How long reading may take; at most 5m.")

    @model_validator(mode="after")
    def _fits(self) -> LabelRowsShape:
        if self.labels is not None and not self.columns.key:
            raise ValueError("`labels` is joined by `columns.key`; name it")
        if self.columns.probability and not self.positive:
            raise ValueError("`columns.probability` needs `positive`, the class it is about; name it")
        if self.time_limit > _LONGEST:
            raise ValueError("reading may take at most 5m; shorten `time_limit`")
        return self


class QualityShape(Shape):
    """How good the model is by true labels that come late: queries of its `metrics` backend, or `rows`."""

    window: Duration = Field(timedelta(days=7), description="Numbers are about the last so long.")
    queries: dict[Name, Text] = Field(
        default_factory=dict, description="PromQL by metric: `accuracy`, `f1`, `auc`, `brier`. One number each."
    )
    labels_query: Text = Field("", description="PromQL: how many labels these numbers rest on.")
    coverage_query: Text = Field("", description="PromQL: share of the predictions that have a label, 0 to 1.")
    delay_query: Text = Field("", description="PromQL: seconds until a label comes.")
    rows: LabelRowsShape | None = Field(None, description="Predictions and labels; the worker computes the numbers.")
    baseline: dict[Name, Text] = Field(
        default_factory=dict, description="Metric → its name in the training run, or a tag of the version."
    )
    worse_by: dict[str, Annotated[float, Field(ge=0)]] = Field(
        default_factory=dict, description="Metric → how much worse than its baseline is allowed; `*` for the others."
    )
    min_labels: int = Field(200, ge=1, description="Fewer labels give no verdict.")
    min_coverage: Share = Field(0.3, description="A smaller share of labelled predictions gives no verdict.")

    @model_validator(mode="after")
    def _fits(self) -> QualityShape:
        if bool(self.queries) == (self.rows is not None):
            raise ValueError("needs either `queries` or `rows`; keep one")
        return self


def rules(shape: QualityShape | None) -> QualityProfile | None:
    """What the core judges by; without any address."""
    if shape is None:
        return None
    return QualityProfile(
        window=shape.window, queries={name: query.strip() for name, query in shape.queries.items()},
        labels_query=shape.labels_query.strip(), coverage_query=shape.coverage_query.strip(),
        delay_query=shape.delay_query.strip(), has_rows=shape.rows is not None, baseline=dict(shape.baseline),
        worse_by=dict(shape.worse_by), min_labels=shape.min_labels, min_coverage=shape.min_coverage,
    )  # fmt: skip


def labels(system: str, model: str, shape: QualityShape, folder: Path, worker: DriftWorkerShape) -> LabelProfile:
    """Where the rows are. ValueError when the shape names none."""
    rows = shape.rows
    if rows is None:
        raise ValueError("this model's quality is measured by queries")
    return LabelProfile(
        system=system, model=model, predictions=rows.predictions.source(folder),
        labels=rows.labels.source(folder) if rows.labels else None,
        columns=LabelColumns(**rows.columns.model_dump()), positive=rows.positive, window=shape.window,
        limits=Limits(
            wall=rows.time_limit, memory_mb=worker.memory_mb, download_mb=worker.download_mb, rows=worker.max_rows
        ),
    )  # fmt: skip


def flaws(shape: QualityShape, folder: Path, worker: DriftWorkerShape, base: Path) -> list[tuple[tuple[str, ...], str]]:
    """What the worker would refuse, said early: (key below `quality`, text)."""
    if shape.rows is None:
        return []
    sides = (("predictions", shape.rows.predictions), ("labels", shape.rows.labels))
    found = source_flaws(sides, folder, worker, base)
    return [(("rows", *at), text) for at, text in found]
