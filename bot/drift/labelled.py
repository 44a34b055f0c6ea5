"""What is asked about predictions and their late labels, and the answer. Standard library only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from bot.drift.asked import DataSource, Limits, Span


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelColumns:
    """What the columns mean. `target` and `labelled_at` are in the labels' source where there is one."""

    prediction: str
    target: str
    probability: str = ""  # of the positive class; without it neither AUC nor Brier
    time: str = ""  # of the prediction
    labelled_at: str = ""  # when the label came
    key: str = ""  # joins predictions and labels


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelProfile:
    """Where one model's predictions and labels are. Addresses may hold passwords."""

    system: str
    model: str
    predictions: DataSource
    labels: DataSource | None
    columns: LabelColumns
    positive: str  # the class that probabilities are about, "" for several classes
    window: timedelta
    limits: Limits


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelRequest:
    """One question to the worker."""

    system: str
    model: str
    predictions: DataSource
    labels: DataSource | None
    columns: LabelColumns
    positive: str
    window: Span
    limits: Limits


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelled:
    """How good the predictions of a window were, as far as labels have come."""

    system: str
    model: str
    rows: int  # predictions in the window
    labelled: int  # of them with a label
    metrics: Mapping[str, float] = field(default_factory=dict)
    delay_p50_s: float | None = None
    delay_p90_s: float | None = None
    notes: tuple[str, ...] = ()  # sentences about what was set aside or looks odd


def request(profile: LabelProfile, now: datetime) -> LabelRequest:
    """The question about the profile's window that ends now."""
    return LabelRequest(
        system=profile.system, model=profile.model, predictions=profile.predictions, labels=profile.labels,
        columns=profile.columns, positive=profile.positive, limits=profile.limits,
        window=Span(start_at=now - profile.window, end_at=now),
    )  # fmt: skip
