"""What may be asked about a model's drift, and the profile that the question is made from. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from bot.drift.report import Verdict

Value = str | int | float | bool | datetime | None  # what may be bound to a parameter of a query


class SourceKind(StrEnum):
    """The forms of data that can be read."""

    CSV = "csv"  # with a header line
    PARQUET = "parquet"  # one file, or a pattern with `*`
    SQL = "sql"  # a query with named, bound parameters


class Number(StrEnum):
    """Which number stands for the model as a whole."""

    SHARE = "share"  # share of the judged input columns that drifted
    HIGHEST = "max"  # the highest index of any input column
    MEAN = "mean"  # the mean index of the input columns
    PREDICTION = "prediction"  # the index of the prediction column, or of the histogram when there is none
    SCORE = "score"  # a gauge that the service itself exports, as `model_drift_score`


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSource:
    """One side of a comparison: `path`, or `url`, or `url` and `query`. An address may hold a password."""

    kind: SourceKind
    path: str = ""  # of a file on the worker's machine, "" for none
    url: str = field(default="", repr=False)  # of a file, or of the database that `query` is sent to
    query: str = ""  # SQL only; `:start` and `:end` are bound to the window, `params` to their values
    params: Mapping[str, Value] = field(default_factory=dict)
    options: Mapping[str, str] = field(default_factory=dict, repr=False)  # for the file system: keys, regions; secrets


@dataclass(frozen=True, slots=True, kw_only=True)
class Roles:
    """What the columns mean. A column that is not named is an input, and its form is read off the reference."""

    prediction: str = ""  # what the model said
    target: str = ""  # the true label, where it is known
    time: str = ""  # when the row happened; rows of files are chosen by it, and it is not compared
    ignore: tuple[str, ...] = ()  # identifiers and the like
    numerical: tuple[str, ...] = ()  # numbers, whatever they look like
    categorical: tuple[str, ...] = ()  # categories, also where they are written as numbers


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """The system's own lines. Shares and scores are reached at their line, an index is past it."""

    psi_moderate: float = 0.1
    psi_high: float = 0.3
    share_warning: float = 0.3  # of the columns judged, 0 to 1
    share_critical: float = 0.5
    score_warning: float = 0.1  # of the gauge
    score_critical: float = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Histogram:
    """A Prometheus histogram of the model's predictions: what can be looked at without any rows."""

    metric: str  # with its _bucket
    match: Mapping[str, str] = field(default_factory=dict)  # labels and their values
    backend: str = ""  # of the system, one that answers metric queries; "" for the model's own
    reference_before: timedelta = timedelta(days=28)  # the reference is the same window, this much earlier


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one run may use."""

    wall: timedelta = timedelta(minutes=2)
    memory_mb: int = 2_000  # of the worker's process
    screen_memory_mb: int = 256  # of DuckDB's buffers inside it
    download_mb: int = 2_000  # of one source
    rows: int = 5_000_000  # that a query may give
    sample_rows: int = 50_000  # of each side in the full report; more rows are sampled, and that is said
    full: bool = True  # whether the full report is made at all


@dataclass(frozen=True, slots=True, kw_only=True)
class Movement:
    """How far a distribution moved that somebody else looked at: a histogram's, or last year's."""

    value: float | None
    bound: float | None
    noise: float | None
    n: int
    verdict: Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A deploy, a pipeline run or the like near the window."""

    what: str  # for people: "champion of m went from 1 to 2"
    earliest_at: datetime  # it happened between these two
    latest_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known besides the data; all of it may be missing. Triage uses it."""

    prediction: Movement | None = None  # from the histogram
    last_year: Movement | None = None  # the same week a year ago
    score: float | None = None  # of the gauge
    onset: str = ""  # "step" or "ramp", "" when it is not known
    step_at: str = ""  # the deploy or pipeline run at which the step came, as shown to people
    changes: tuple[Change, ...] = ()  # what the beginning of a drift is held against
    upstream: Mapping[str, str] = field(default_factory=dict)  # column → the table it comes from
    accepted: tuple[str, ...] = ()  # columns whose drift a person announced or accepted before
    expected_rows: int | None = None  # in a window like this


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftProfile:
    """What a system's profile says about one model's drift. Without sources only the histogram can be looked at."""

    system: str
    model: str
    reference: DataSource | None = None
    current: DataSource | None = None
    reference_from: datetime | None = None  # fixed window of the reference; both or neither
    reference_until: datetime | None = None
    reference_before: timedelta | None = None  # or: the same window, this much earlier
    roles: Roles = field(default_factory=Roles)
    window: timedelta = timedelta(days=7)
    thresholds: Thresholds = field(default_factory=Thresholds)
    number: Number = Number.SHARE
    histogram: Histogram | None = None
    score_query: str = ""  # PromQL of the gauge
    upstream: Mapping[str, str] = field(default_factory=dict)
    expected_rows: int | None = None
    limits: Limits = field(default_factory=Limits)

    @property
    def has_data(self) -> bool:
        """Whether there are rows to compare, so that a worker has something to do."""
        return self.reference is not None and self.current is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A stretch of time, the end not included."""

    start_at: datetime
    end_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftRequest:
    """One question to the worker."""

    system: str
    model: str
    reference: DataSource
    current: DataSource
    window: Span  # of the current side
    reference_window: Span | None = None  # None: all of the reference
    roles: Roles = field(default_factory=Roles)
    thresholds: Thresholds = field(default_factory=Thresholds)
    number: Number = Number.SHARE
    feature: str = ""  # look at this column only, closely; "" for all
    limits: Limits = field(default_factory=Limits)
    known: Known = field(default_factory=Known)


def request(
    profile: DriftProfile, now: datetime, *, days: int | None = None, feature: str = "", known: Known | None = None
) -> DriftRequest:
    """The question for the window that ends now. Raises ValueError, in words for people, when there is none to ask."""
    if profile.reference is None or profile.current is None:
        raise ValueError(
            f"No data source is set for {profile.model}, so its columns cannot be compared. "
            "Name `reference` and `current` under `drift` in the profile."
        )
    if days is not None and not 1 <= days <= 366:
        raise ValueError("A window is 1 to 366 days long. Ask with another number of days.")
    window = profile.window if days is None else timedelta(days=days)
    span = Span(start_at=now - window, end_at=now)
    before = None
    if profile.reference_from is not None and profile.reference_until is not None:
        before = Span(start_at=profile.reference_from, end_at=profile.reference_until)
    elif profile.reference_before is not None:
        shift = profile.reference_before
        before = Span(start_at=span.start_at - shift, end_at=span.end_at - shift)
    return DriftRequest(
        system=profile.system, model=profile.model, reference=profile.reference, current=profile.current, window=span,
        reference_window=before, roles=profile.roles, thresholds=profile.thresholds, number=profile.number,
        feature=feature, limits=profile.limits,
        known=known or Known(upstream=profile.upstream, expected_rows=profile.expected_rows),
    )  # fmt: skip
