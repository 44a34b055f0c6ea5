"""Real data sets as two windows with a model's score, a category and a time, and the faults that are put into them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

Frame = dict[str, Any]  # column → numpy array; all of one length
MOST = 6000  # rows taken of a large set, so that the whole table of cases stays quick
DAY = np.array([1, 1, 1, 1, 1, 2, 4, 8, 12, 14, 15, 14, 12, 12, 13, 12, 10, 8, 6, 5, 4, 3, 2, 1]) / 163  # a working day
SCORE, TIME, GROUP = "score", "event_at", "segment"  # columns added to each real set


@dataclass(frozen=True, kw_only=True)
class Real:
    """One real set. `main` is a column of many values that tells something about the target."""

    name: str
    frame: Frame
    main: str
    inputs: tuple[str, ...]
    model: Any  # a pipeline of scikit-learn, fitted on all rows

    @property
    def rows(self) -> int:
        return len(self.frame[self.main])

    def scored(self, frame: Frame) -> Frame:
        """The window with what the model makes of it: a served model follows its inputs, broken or not."""
        matrix = np.column_stack([frame[name].astype(float) for name in self.inputs])
        usual = np.array([np.mean(self.frame[name]) for name in self.inputs])
        return frame | {SCORE: self.model.predict(np.where(np.isnan(matrix), usual, matrix))}


def _sklearn(name: str) -> tuple[Frame, Any]:
    import sklearn.datasets

    loaded = getattr(sklearn.datasets, f"load_{name}")()
    names = loaded.feature_names
    kept = [place for place in range(loaded.data.shape[1]) if len(np.unique(loaded.data[:, place])) > 2][:12]
    return {str(names[place]): loaded.data[:, place].astype(float) for place in kept}, loaded.target.astype(float)


def _statsmodels(name: str, target: str) -> tuple[Frame, Any]:
    import importlib

    data = importlib.import_module(f"statsmodels.datasets.{name}").load_pandas().data
    frame = {str(column): data[column].to_numpy().astype(float) for column in data.columns if column != target}
    return frame, data[target].to_numpy().astype(float)


SETS: dict[str, tuple[Callable[[], tuple[Frame, Any]], str]] = {
    "breast_cancer": (lambda: _sklearn("breast_cancer"), "mean radius"),
    "diabetes": (lambda: _sklearn("diabetes"), "bmi"),
    "digits": (lambda: _sklearn("digits"), "pixel_0_2"),
    "wine": (lambda: _sklearn("wine"), "alcohol"),
    "fair": (lambda: _statsmodels("fair", "affairs"), "yrs_married"),
    "randhie": (lambda: _statsmodels("randhie", "mdvis"), "disea"),
    "anes96": (lambda: _statsmodels("anes96", "vote"), "logpopul"),
}


@cache
def real(name: str) -> Real:
    """The set with a score that a linear model learnt on it, a category cut from a real column, and a time of day."""
    from sklearn.linear_model import LinearRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    load, main = SETS[name]
    frame, target = load()
    chance = np.random.default_rng(1)
    chosen = chance.permutation(len(target))[:MOST]
    frame = {column: values[chosen] for column, values in frame.items()}
    inputs = tuple(frame)
    model = make_pipeline(StandardScaler(), LinearRegression())
    model.fit(np.column_stack(list(frame.values())), target[chosen])
    last = inputs[-1]
    cuts = np.quantile(frame[last], [0.4, 0.75])
    hours = chance.choice(24, len(chosen), p=DAY / DAY.sum())
    frame[GROUP] = np.array(["north", "south", "west"], dtype=object)[np.searchsorted(cuts, frame[last])]
    seconds = hours * 3600 + chance.integers(0, 3600, len(chosen)) + chance.integers(0, 7, len(chosen)) * 86400
    frame[TIME] = np.datetime64("2026-03-02T00:00:00", "s") + seconds
    bare = Real(name=name, frame=frame, main=main, inputs=inputs, model=model)
    return replace(bare, frame=bare.scored(frame))


def rows_of(frame: Frame, chosen: Any) -> Frame:
    return {column: values[chosen].copy() for column, values in frame.items()}


def halves(one: Real, seed: int) -> tuple[Frame, Frame]:
    """Two windows that share no row and differ by chance alone."""
    order = np.random.default_rng(seed).permutation(one.rows)
    middle = one.rows // 2
    return rows_of(one.frame, order[:middle]), rows_of(one.frame, order[middle:])


def resampled(one: Real, seed: int, n: int) -> tuple[Frame, Frame]:
    """Two windows of n rows: halves cut to size, or, of a set too small for that, two bootstraps."""
    if one.rows >= 2 * n:
        before, now = halves(one, seed)
        return rows_of(before, slice(n)), rows_of(now, slice(n))
    chance = np.random.default_rng(seed)
    return rows_of(one.frame, chance.integers(0, one.rows, n)), rows_of(one.frame, chance.integers(0, one.rows, n))


def write(frame: Frame, path: Path) -> Path:
    pq.write_table(pa.table({column: pa.array(values, from_pandas=True) for column, values in frame.items()}), path)
    return path


# Faults: each takes the current window and the name of the main column, and gives the broken window.


def _part(frame: Frame, column: str, share: float, value: float) -> Frame:
    hit = np.random.default_rng(2).random(len(frame[column])) < share
    return frame | {column: np.where(hit, value, frame[column])}


def _shifted_population(frame: Frame, column: str) -> Frame:
    """Most rows, drawn without repeats, and mostly those high in the main column: real rows, another mix."""
    values = frame[column]
    # By rank, so that the mix changes as much in a skewed column as in a flat one.
    rank = np.argsort(np.argsort(values, kind="stable")) / len(values)
    weight = np.exp(8 * rank)
    chosen = np.random.default_rng(3).choice(
        len(values), len(values) * 18 // 25, replace=False, p=weight / weight.sum()
    )
    return rows_of(frame, chosen)


def _shuffled(frame: Frame) -> Frame:
    return frame | {SCORE: np.random.default_rng(4).permutation(frame[SCORE])}


def _doubled(frame: Frame) -> Frame:
    extra = len(frame[SCORE]) * 3 // 10
    return {column: np.concatenate([values, values[:extra]]) for column, values in frame.items()}


def _named(frame: Frame, old: str, new: str) -> Frame:
    return frame | {GROUP: np.where(frame[GROUP] == old, new, frame[GROUP]).astype(object)}


def _with_new_group(frame: Frame) -> Frame:
    hit = np.random.default_rng(5).random(len(frame[GROUP])) < 0.15
    return frame | {GROUP: np.where(hit, "harbour", frame[GROUP]).astype(object)}


FAULTS: dict[str, Callable[[Frame, str], Frame]] = {
    "nothing": lambda frame, _: frame,
    "nulls": lambda frame, main: _part(frame, main, 0.3, np.nan),
    "sentinel": lambda frame, main: _part(frame, main, 0.1, -999.0),
    "stuck": lambda frame, main: frame | {main: np.full_like(frame[main], np.median(frame[main]))},
    "unit": lambda frame, main: frame | {main: frame[main] * 1000},
    "renamed": lambda frame, _: _named(frame, "north", "N"),
    "doubled rows": lambda frame, _: _doubled(frame),
    "time zone": lambda frame, _: frame | {TIME: frame[TIME] + np.timedelta64(5, "h")},
    "shuffled scores": lambda frame, _: _shuffled(frame),
    "text": lambda frame, main: frame | {main: np.array([f"{value:.4f}" for value in frame[main]], dtype=object)},
    "new group": lambda frame, _: _with_new_group(frame),
    "population": _shifted_population,
    "population by score": lambda frame, _: _shifted_population(frame, SCORE),
}


# Milder or mixed forms, which need not be recognised, but must not be mistaken for a reason to retrain.
HARDER: dict[str, Callable[[Frame, str], Frame]] = {
    "few nulls": lambda frame, main: _part(frame, main, 0.05, np.nan),
    "few sentinels": lambda frame, main: _part(frame, main, 0.01, -999.0),
    "filled with zero": lambda frame, main: _part(frame, main, 0.2, 0.0),
    "high ones missing": lambda frame, main: (
        frame | {main: np.where(frame[main] > np.quantile(frame[main], 0.6), np.nan, frame[main])}
    ),
    "stuck for a third": lambda frame, main: (
        frame | {main: np.where(np.arange(len(frame[main])) < len(frame[main]) // 3, frame[main][0], frame[main])}
    ),
    "unit in a part": lambda frame, main: (
        frame | {main: np.where(np.random.default_rng(6).random(len(frame[main])) < 0.3, 1000, 1) * frame[main]}
    ),
    "to Fahrenheit": lambda frame, main: frame | {main: frame[main] * 1.8 + 32},
    "to pounds": lambda frame, main: frame | {main: frame[main] * 2.20462},
    "sign": lambda frame, main: frame | {main: -frame[main]},
    "moved sensor": lambda frame, main: frame | {main: frame[main] + frame[main].std()},
    "one hour": lambda frame, _: frame | {TIME: frame[TIME] + np.timedelta64(1, "h")},
    "merged group": lambda frame, _: _named(frame, "west", "south"),
    "nulls in another population": lambda frame, main: _part(_shifted_population(frame, main), main, 0.2, np.nan),
}
