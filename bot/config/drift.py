"""The keys of a model's `drift` block and of the drift worker, and what they become. Paths are resolved here."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AwareDatetime, Field, model_validator

from bot.config.fields import Duration, Name, Shape, Text, Words
from bot.drift.asked import (
    DataSource,
    DriftProfile,
    Histogram,
    Limits,
    Number,
    Roles,
    SourceKind,
    Thresholds,
)
from bot.drift.runner import WorkerSettings

_KINDS = {".csv": SourceKind.CSV, ".parquet": SourceKind.PARQUET, ".pq": SourceKind.PARQUET}
_PACKED = (".gz", ".zst")
Share = Annotated[float, Field(gt=0, le=1)]


class DriftSourceShape(Shape):
    """One side of the comparison: a file (`path` or `url`), or a query (`database` and `query`)."""

    path: Text = Field("", description="CSV or Parquet file, or a Parquet pattern with `*`; under `drift.folders`.")
    url: Text = Field("", description="Address of a CSV or Parquet file; its scheme is one of `drift.schemes`.")
    kind: Literal["", "csv", "parquet"] = Field("", description="Of the file, when its name does not tell.")
    database: Text = Field(
        "", description="SQLAlchemy address of a database: `postgresql://reader:${env:FEATURES_PASSWORD}@host/db`."
    )
    query: Text = Field(
        "", description="One SELECT. `:start` and `:end` are bound to the window; other `:names` come from `params`."
    )
    params: dict[Name, str | int | float | bool] = Field(
        default_factory=dict, description="Values of the query's other parameters; a time is written as text."
    )
    options: dict[Name, str] = Field(
        default_factory=dict, description="Options of the file system behind `url`: `key`, `secret`, `endpoint_url`."
    )

    @model_validator(mode="after")
    def _fits(self) -> DriftSourceShape:
        ways = [name for name in ("path", "url", "database") if getattr(self, name)]
        if len(ways) != 1:
            raise ValueError("needs exactly one of `path`, `url` and `database`; keep one")
        if bool(self.database) != bool(self.query):
            raise ValueError("`database` and `query` belong together; write both")
        if self.params and not self.query:
            raise ValueError("only a query has `params`; leave them out")
        if "://" in self.path:
            raise ValueError("`path` is a file on the bot's machine; write an address as `url`")
        if not self.query and self._kind() is None:
            raise ValueError("the name does not tell CSV from Parquet; set `kind`")
        return self

    def _kind(self) -> SourceKind | None:
        if self.query:
            return SourceKind.SQL
        if self.kind:
            return SourceKind(self.kind)
        name = Path((self.path or self.url).split("?", maxsplit=1)[0])
        return _KINDS.get((name.with_suffix("") if name.suffix in _PACKED else name).suffix.lower())

    def source(self, folder: Path) -> DataSource:
        """The source; a relative path is relative to the file that names it."""
        return DataSource(
            kind=self._kind() or SourceKind.CSV, path=str(folder / self.path) if self.path else "",
            url=self.url or self.database, query=self.query, params=self.params, options=self.options,
        )  # fmt: skip


class ReferenceWindowShape(Shape):
    """The rows of the reference: a fixed stretch of time, or the current window some time earlier. Neither: all."""

    start: AwareDatetime | None = Field(None, description="From this time on: `2026-01-01T00:00:00Z`.")
    end: AwareDatetime | None = Field(None, description="Up to this time, itself not included.")
    before: Duration | None = Field(None, description="Or: the same window, this much earlier: `28d`.")

    @model_validator(mode="after")
    def _fits(self) -> ReferenceWindowShape:
        if (self.start is None) != (self.end is None) or (self.start is None) == (self.before is None):
            raise ValueError("needs either `start` and `end`, or `before`; keep one way")
        if self.start is not None and self.end is not None and self.start >= self.end:
            raise ValueError("`start` is not earlier than `end`; correct them")
        return self


class ColumnsShape(Shape):
    """What the columns mean. A column that is not named is an input."""

    prediction: Text = Field("", description="What the model said.")
    target: Text = Field("", description="The true label, where the data have it.")
    time: Text = Field("", description="When the row happened. Rows of files are chosen by it; without it, all count.")
    ignore: Words = Field(default_factory=list, description="Identifiers and the like; never compared.")
    numerical: Words = Field(default_factory=list, description="Numbers, whatever they look like.")
    categorical: Words = Field(default_factory=list, description="Categories, also where they are written as numbers.")


class ThresholdsShape(Shape):
    """The system's own lines."""

    psi_moderate: float = Field(0.1, gt=0, description="An index above this is a moderate drift.")
    psi_high: float = Field(0.3, gt=0, description="An index above this is a high drift.")
    share_warning: Share = Field(0.3, description="From this share of drifted columns on, the model drifted.")
    share_critical: Share = Field(0.5, description="From this share on, it drifted badly.")
    score_warning: float = Field(0.1, gt=0, description="For `number: score`: the gauge's lower line.")
    score_critical: float = Field(0.3, gt=0, description="For `number: score`: its upper line.")

    @model_validator(mode="after")
    def _fits(self) -> ThresholdsShape:
        pairs = ("psi_moderate", "psi_high"), ("share_warning", "share_critical"), ("score_warning", "score_critical")
        for lower, upper in pairs:
            if getattr(self, lower) >= getattr(self, upper):
                raise ValueError(f"`{lower}` must be below `{upper}`; correct them")
        return self


class HistogramShape(Shape):
    """A Prometheus histogram of the predictions: drift without any rows."""

    metric: str = Field(
        pattern=r"^[a-zA-Z_:][a-zA-Z0-9_:]*_bucket$", description="Name with its end: `prediction_probability_bucket`."
    )
    match: dict[str, Text] = Field(default_factory=dict, description="Labels and values that choose the model.")
    backend: Text = Field("", description="Backend that answers, when it is not the model's `metrics`.")
    reference_before: Duration = Field(
        timedelta(days=28), description="The reference is the same window, this much earlier."
    )


class DriftShape(Shape):
    """Where a model's data are and what counts as drift. With `histogram` alone, only predictions are looked at."""

    reference: DriftSourceShape | None = Field(None, description="What the model was trained on, or a good time.")
    current: DriftSourceShape | None = Field(None, description="What it sees now.")
    reference_window: ReferenceWindowShape | None = Field(None, description="Which rows of the reference.")
    columns: ColumnsShape = Field(default_factory=ColumnsShape, description="What the columns mean.")
    window: Duration = Field(timedelta(days=7), description="The current rows are those of the last so long.")
    thresholds: ThresholdsShape = Field(default_factory=ThresholdsShape, description="The system's own lines.")
    number: Literal["share", "max", "mean", "prediction", "score"] = Field(
        "share",
        description="What stands for the model: share of drifted columns, highest or mean index, the prediction's"
        " index, or the gauge of `score_query`.",
    )
    histogram: HistogramShape | None = Field(None, description="A Prometheus histogram of the predictions.")
    score_query: Text = Field("", description="PromQL of a drift score that the service exports itself.")
    upstream: dict[str, Text] = Field(default_factory=dict, description="Column → the table it comes from, for triage.")
    expected_rows: int | None = Field(None, ge=1, description="Rows that a window normally has; far fewer is a gap.")
    full: bool = Field(True, description="Whether the full Evidently report is made besides the quick screen.")
    sample_rows: int = Field(
        50_000, ge=1_000, le=1_000_000, description="Rows of each side in the full report; more are sampled."
    )

    @model_validator(mode="after")
    def _fits(self) -> DriftShape:
        if (self.reference is None) != (self.current is None):
            raise ValueError("`reference` and `current` belong together; write both or neither")
        if self.reference is None and self.histogram is None and not self.score_query:
            raise ValueError("nothing to look at; set `reference` and `current`, `histogram`, or `score_query`")
        if self.number == "score" and not self.score_query:
            raise ValueError("`number: score` needs `score_query`; write it or choose another number")
        if self.number == "prediction" and not (self.columns.prediction or self.histogram):
            raise ValueError("`number: prediction` needs `columns.prediction` or `histogram`; write one")
        if self.number in {"share", "max", "mean"} and self.reference is None:
            raise ValueError(f"`number: {self.number}` needs data; choose `prediction` or `score`")
        return self


class DriftWorkerShape(Shape):
    """The process that reads data for drift reports, and its bounds. It starts for each report and ends with it."""

    python: Text = Field(
        "", description="Python with the extra `drift`, when it is not the bot's own: `/opt/drift/bin/python`."
    )
    reports: Text = Field("drift-reports", description="Folder for reports and pictures.")
    kept: int = Field(200, ge=1, le=100_000, description="Reports that are kept; older ones are removed.")
    time_limit: Duration = Field(timedelta(minutes=2), description="Of one report; then what is there is shown.")
    memory_mb: int = Field(2_000, ge=500, le=1_000_000, description="Of the worker's process.")
    download_mb: int = Field(2_000, ge=1, le=1_000_000, description="Of one file or answer that is fetched.")
    max_rows: int = Field(5_000_000, ge=1_000, description="That a query may give.")
    folders: Words = Field(
        default_factory=lambda: ["."],
        description="Folders that files may be read from, with what is below. Default: the folder of mlops.yaml.",
    )
    schemes: Words = Field(
        default_factory=lambda: ["https", "postgresql"],
        description="Schemes that `url` and `database` may have. Default: `https`, `postgresql`.",
    )
    environment: Words = Field(
        default_factory=list, description="Environment variables that the worker is given; it gets no others."
    )


def profile(system: str, model: str, shape: DriftShape, folder: Path, worker: DriftWorkerShape) -> DriftProfile:
    """A model's profile; `folder` is where the file is that relative paths are relative to."""
    columns, window, histogram = shape.columns, shape.reference_window, shape.histogram
    return DriftProfile(
        system=system, model=model,
        reference=shape.reference.source(folder) if shape.reference else None,
        current=shape.current.source(folder) if shape.current else None,
        reference_from=window.start if window else None, reference_until=window.end if window else None,
        reference_before=window.before if window else None,
        roles=Roles(
            prediction=columns.prediction, target=columns.target, time=columns.time, ignore=tuple(columns.ignore),
            numerical=tuple(columns.numerical), categorical=tuple(columns.categorical),
        ),
        window=shape.window, thresholds=Thresholds(**shape.thresholds.model_dump()), number=Number(shape.number),
        histogram=Histogram(**histogram.model_dump()) if histogram else None,
        score_query=shape.score_query.strip(), upstream=shape.upstream, expected_rows=shape.expected_rows,
        limits=Limits(
            wall=worker.time_limit, memory_mb=worker.memory_mb, download_mb=worker.download_mb, rows=worker.max_rows,
            sample_rows=shape.sample_rows, full=shape.full,
        ),
    )  # fmt: skip


def worker(shape: DriftWorkerShape, base: Path, env: Mapping[str, str]) -> WorkerSettings:
    """How the worker is run; `base` is the folder of mlops.yaml."""
    return WorkerSettings(
        python=shape.python or sys.executable, reports=base / shape.reports, kept=shape.kept,
        folders=tuple((base / folder).resolve() for folder in shape.folders),
        schemes=frozenset(scheme.lower() for scheme in shape.schemes),
        environment=tuple((name, env[name]) for name in shape.environment if env.get(name)),
    )  # fmt: skip


def flaws(shape: DriftShape, folder: Path, worker: DriftWorkerShape, base: Path) -> list[tuple[tuple[str, ...], str]]:
    """What the worker would refuse, said early: (key below `drift`, text)."""
    return source_flaws((("reference", shape.reference), ("current", shape.current)), folder, worker, base)


def source_flaws(
    sides: Sequence[tuple[str, DriftSourceShape | None]], folder: Path, worker: DriftWorkerShape, base: Path
) -> list[tuple[tuple[str, ...], str]]:
    """The same for any sources, by their keys."""
    allowed = [(base / one).resolve() for one in worker.folders]
    found: list[tuple[tuple[str, ...], str]] = []
    for side, source in sides:
        if source is None:
            continue
        if source.path and not any((folder / source.path).resolve().is_relative_to(one) for one in allowed):
            text = f"{side}: the file is not under `drift.folders` of mlops.yaml; move it or add its folder"
            found.append(((side, "path"), text))
        for key in ("url", "database"):
            scheme = str(getattr(source, key)).partition(":")[0].partition("+")[0].lower()
            if scheme and scheme not in worker.schemes:
                text = f'{side}: scheme "{scheme[:20]}" is not in `drift.schemes` of mlops.yaml; add it there'
                found.append(((side, key), text))
    return found
