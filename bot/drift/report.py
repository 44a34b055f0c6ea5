"""What the worker answers. Pure; every number is finite or None, every text is capped by the worker."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class Verdict(StrEnum):
    """What may be said about one distribution, or about the model as a whole."""

    NONE_YET = "none-yet"  # too few rows, or a value that noise alone can reach; never shown as green
    STABLE = "stable"  # enough rows to see a move past the lower line, and there is none
    MODERATE = "moderate"  # past the lower line, and past the noise
    HIGH = "high"  # past the upper line, and past the noise


class Cause(StrEnum):
    """What is proposed. The last four are the exits a person chooses from."""

    QUIET = "quiet"  # enough rows, and nothing moved
    TOO_FEW = "not enough data"  # nothing can be said
    DATA_BUG = "data bug"  # fix the source
    VALID = "valid drift"  # the world changed: retrain
    EXPECTED = "expected change"  # update the reference
    UNSURE = "unsure"  # ask those who know the data


class Role(StrEnum):
    """What a column is to the model."""

    INPUT = "input"
    PREDICTION = "prediction"
    TARGET = "target"


class Direction(StrEnum):
    """Which way a column went; empty where that makes no sense."""

    UP = "up"  # the mean of a number
    DOWN = "down"
    WIDER = "wider"  # the mean stayed, the spread did not
    NARROWER = "narrower"
    MIXED = "mixed"  # the shares of categories or hours moved
    SAME = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Second:
    """Evidently's own opinion of one column, on its sample."""

    value: float | None  # its index: bins of equal width, so one wild value can blind it
    status: str  # "drift", "no drift" or "not compared"


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnReport:
    """One column."""

    name: str
    role: Role
    form: str  # "number", "category" or "time"
    verdict: Verdict
    direction: Direction
    value: float | None  # our index
    bound: float | None  # the line it was held against: the profile's, or the noise when that is higher
    noise: float | None  # unchanged data stays below this in 99 of 100 runs
    n: int  # rows of the smaller side that had a value
    change: str = ""  # what moved, with numbers: "mean 3.1 → 4.0"
    missing_before: float = 0.0  # shares of the rows
    missing_now: float = 0.0
    second: Second | None = None  # None while there is no full report
    disagrees: bool = False  # the two indexes differ by more than 0.1: itself a hint that the data are broken
    is_pictured: bool = False  # among the distributions in the picture


@dataclass(frozen=True, slots=True, kw_only=True)
class Aside:
    """A column that could not be compared. Its silence is no good news, so it is always named."""

    name: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Clue:
    """One thing seen that speaks for a cause, or against."""

    sign: str  # a short stable word
    column: str  # "" for the whole window
    sentence: str
    points: str  # a cause in words, or "neither"


@dataclass(frozen=True, slots=True, kw_only=True)
class Triage:
    """What it may mean. A proposal; a person decides."""

    cause: Cause
    sentence: str
    clues: tuple[Clue, ...]  # those that speak for the cause first
    retrain_locked: str | None  # why a retrain is not offered; None when it is
    drifted: tuple[str, ...]  # columns past a line, the furthest first


@dataclass(frozen=True, slots=True, kw_only=True)
class Took:
    """What the run cost."""

    fetch_s: float = 0.0
    screen_s: float = 0.0
    full_s: float = 0.0  # Evidently and the picture
    total_s: float = 0.0
    peak_mb: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftReport:
    """The whole answer."""

    system: str
    model: str
    sentence: str  # one line for people, the rows it rests on included
    verdict: Verdict  # of the number that stands for the model
    number: str  # which number that is: "share", "max", "mean", "prediction", "score"
    value: float | None
    bound: float | None
    drifted: int  # input columns past a line
    judged: int  # input columns about which anything may be said
    inputs: int  # input columns that were compared
    share: float | None  # drifted of those compared; None when there are none
    reference_rows: int
    current_rows: int
    columns: tuple[ColumnReport, ...]  # the furthest first; only the one asked for when there was one
    aside: tuple[Aside, ...]
    gone: tuple[str, ...]  # columns of the reference that the current data lacks
    added: tuple[str, ...]  # columns that the reference does not have
    triage: Triage
    onset: str = ""  # "step" or "ramp" when it is seen how the drift began, "" else
    onset_at: datetime | None = None  # when, to about a slice of the window
    sampled: str = ""  # how the full report chose its rows, "" when it took all of them
    html_path: str = ""  # of the full report, "" when there is none
    png_path: str = ""  # of the picture of the top three, "" when there is none
    full_missing: str = ""  # why there is no full report, or not all of it; "" when it is whole
    notes: tuple[str, ...] = ()  # what else the reader must know, a sentence each
    took: Took = field(default_factory=Took)
