"""What the screen found, column by column: numbers only, no judgement beyond the drift verdict. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from handlers.drift.psi import Drift


class Form(StrEnum):
    """How a column is looked at. The reference decides."""

    NUMBER = "number"  # deciles, range, unit
    CATEGORY = "category"  # text and booleans with few different values
    TIME = "time"  # dates and times; what is compared is the hour of the day


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One column in one window. Shares are of all rows, 0 to 1."""

    rows: int
    n: int  # rows with a usable value
    missing_share: float  # NULL or NaN
    unreadable_share: float = 0.0  # a value that does not have the column's form, as "abc" among numbers
    infinite_share: float = 0.0
    lowest: float | None = None  # of the finite numbers
    highest: float | None = None
    mean: float | None = None
    deviation: float | None = None  # standard deviation; both of the finite numbers
    deciles: tuple[float, ...] = ()  # the inner nine, approximate
    distinct: int = 0  # different values, approximate
    top: str = ""  # the most frequent value, approximate where all are rare
    top_share: float = 0.0  # its exact share of the usable values
    relation: float | None = None  # Pearson's correlation with the prediction or label, when one was named


@dataclass(frozen=True, slots=True, kw_only=True)
class Companion:
    """Another column of numbers that goes with this one in the reference."""

    name: str
    relation: float  # Pearson's correlation in the reference


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column, both windows."""

    name: str
    form: Form
    reference: Side
    current: Side
    drift: Drift
    cuts: tuple[float, ...] = ()  # upper edges of the bins (numbers)
    names: tuple[str, ...] = ()  # of the bins (categories and hours)
    reference_counts: tuple[int, ...] = ()  # rows in each bin
    current_counts: tuple[int, ...] = ()
    companions: tuple[Companion, ...] = ()  # the closest ones; looked for only where the column drifted
    type_change: str = ""  # "DOUBLE → VARCHAR" when the declared type became another family
    outside_share: float = 0.0  # of the current values, beyond the reference's lowest and highest
    far_share: float = 0.0  # … by more than the reference's whole range
    outside_top: float | None = None  # the most frequent value outside
    outside_top_share: float = 0.0  # of the current values
    new: tuple[tuple[str, float], ...] = ()  # the most frequent new categories, with their share now
    new_share: float = 0.0  # of all new categories together
    lost: tuple[tuple[str, float], ...] = ()  # categories that are gone, with the share they had


@dataclass(frozen=True, slots=True, kw_only=True)
class SetAside:
    """A column that could not be compared. Its silence is no good news, so it is always named."""

    name: str
    why: str  # a sentence


@dataclass(frozen=True, slots=True, kw_only=True)
class Screen:
    """The whole comparison."""

    reference_rows: int
    current_rows: int
    columns: tuple[Column, ...]
    set_aside: tuple[SetAside, ...] = ()
    gone: tuple[str, ...] = ()  # columns of the reference that the current data lacks
    added: tuple[str, ...] = ()  # columns that the reference does not have
    target: str = ""  # the prediction or label column, when one was named and compared
    reference_rejected: int = 0  # unreadable lines of a CSV file
    current_rejected: int = 0
    reference_repeated_share: float | None = None  # rows that repeat another, at equal numbers; None: not known
    current_repeated_share: float | None = None
