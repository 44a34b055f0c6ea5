"""The full report: Evidently over a sample of both sides, as HTML, with its opinion of each column.

Its index has bins of equal width over the joined range; ours has the reference's deciles. So it is a second opinion and
not a check of ours. The method is always named, because Evidently's automatic choice means a p-value below 1,000 rows
and a distance above. One bad column would kill the report: what the screen could not compare is never shown to it, what
it cannot stand (no value left, infinities) is kept from it, and what still breaks it is found by looking at each column
alone. Names and values of strangers lose the signs that mean something in HTML.
"""

from __future__ import annotations

import json
import logging
import math
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bot.drift.asked import DriftRequest
from bot.drift.report import Second
from handlers.drift.answer import NAME_CAP, clean
from handlers.drift.columns import as_category, as_number, quoted
from handlers.drift.facts import Column, Form, Screen
from handlers.drift.screen import SEED, Pair
from handlers.drift.source import Table

if TYPE_CHECKING:
    from evidently.core.report import Snapshot
    from pandas import DataFrame

NOT_COMPARED = Second(value=None, status="not compared")
UNSAFE, SAFE = "<>&\"'`\\{}", "‹›+”’´/()"  # in HTML and in the templates of its charts
CATEGORY_CAP = 60  # characters of a category in the report
DRIFT_METRIC = "evidently:metric_v2:ValueDrift"
MOST_COLUMNS = 60  # in the HTML, 45 kB each


@dataclass(frozen=True, slots=True, kw_only=True)
class Full:
    """What Evidently said."""

    second: Mapping[str, Second]  # by the cleaned name of the column
    sampled: str  # how its rows were chosen, "" when it saw all
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Frames:
    """Both sides as Evidently takes them."""

    reference: DataFrame
    current: DataFrame
    numbers: list[str]
    labels: list[str]
    asides: dict[str, str] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        return [*self.numbers, *self.labels]


def written(pair: Pair, screen: Screen, request: DriftRequest, path: Path) -> Full:
    """Write the HTML and say what is in it. Raises ValueError when there is nothing Evidently could look at."""
    warnings.simplefilter("ignore")
    logging.disable(logging.ERROR)
    columns = [column for column in screen.columns if column.form is not Form.TIME]
    chosen = [column for column in columns if request.feature in {"", column.name}]
    chosen = sorted(chosen, key=lambda one: -(one.drift.value or 0.0))[:MOST_COLUMNS]
    names = _safe_names(chosen)
    frames = _frames(pair, chosen, names, request.limits.sample_rows)
    if not frames.names:
        raise ValueError("no column has values on both sides")
    snapshot, broken = _run(frames, request)
    snapshot.save_html(str(path))
    found = _opinions(snapshot)
    second = {clean(one.name, NAME_CAP): found.get(names[one.name], NOT_COMPARED) for one in chosen}
    notes = [f"Evidently could not look at {clean(name, 60)}: {why}." for name, why in _by_name(names, frames, broken)]
    if len(columns) > len(chosen) and not request.feature:
        notes.append(f"The full report shows the {len(chosen)} columns that moved most, of {len(columns)}.")
    return Full(second=second, sampled=_sampled(screen, request.limits.sample_rows), notes=tuple(notes))


def _by_name(names: Mapping[str, str], frames: _Frames, broken: Mapping[str, str]) -> list[tuple[str, str]]:
    whys = frames.asides | dict(broken)
    return [(name, whys[safe]) for name, safe in names.items() if safe in whys]


def _safe_names(columns: Sequence[Column]) -> dict[str, str]:
    """Column → a name that means nothing in HTML, no two alike."""
    found: dict[str, str] = {}
    for column in columns:
        safe = clean(column.name, 80).translate(str.maketrans(UNSAFE, SAFE)) or "(blank)"
        found[column.name] = safe if safe not in found.values() else f"{safe} ({len(found)})"
    return found


def _frames(pair: Pair, columns: Sequence[Column], names: Mapping[str, str], rows: int) -> _Frames:
    """The samples, without what Evidently cannot stand."""
    sides = [_sample(pair, table, columns, names, rows) for table in pair.sides]
    asides: dict[str, str] = {}
    numbers: list[str] = []
    labels: list[str] = []
    for column in columns:
        name = names[column.name]
        if any(not side[name].notna().any() for side in sides):
            asides[name] = "one side has no value in it"
        elif column.form is Form.NUMBER:
            numbers.append(name)
        else:
            labels.append(name)
    kept = [*numbers, *labels]
    return _Frames(
        reference=sides[0][kept], current=sides[1][kept], numbers=numbers, labels=labels, asides=asides
    )  # fmt: skip


def _sample(pair: Pair, table: Table, columns: Sequence[Column], names: Mapping[str, str], rows: int) -> DataFrame:
    """At most so many rows, drawn evenly; numbers as float64 without infinities, categories as short safe text."""
    shown = ", ".join(
        f"{_number(column.name, table) if column.form is Form.NUMBER else _label(column.name, table)} AS c{place}"
        for place, column in enumerate(columns)
    )
    only = ", ".join(dict.fromkeys(quoted(column.name) for column in columns))
    drawn = f"SELECT {only} FROM {table.sql} USING SAMPLE reservoir({rows} ROWS) REPEATABLE ({SEED})"  # noqa: S608
    params = {**table.params, "unsafe": UNSAFE, "safe": SAFE, "cap": CATEGORY_CAP}
    used = {name: value for name, value in params.items() if name in table.params or f"${name}" in shown}
    frame: Any = pair.connection.execute(f"SELECT {shown} FROM ({drawn})", used).df()  # noqa: S608
    frame.columns = [names[column.name] for column in columns]
    return frame


def _number(column: str, table: Table) -> str:
    number = as_number(column, table.types[column])
    return f"CASE WHEN isfinite({number}) THEN {number} END"


def _label(column: str, table: Table) -> str:
    return f"left(translate({as_category(column, table.types[column])}, $unsafe, $safe), $cap)"


def _run(frames: _Frames, request: DriftRequest) -> tuple[Snapshot, dict[str, str]]:
    """The report; when a column breaks it, the report of the others, and why those are missing."""
    try:
        return _snapshot(frames, frames.names, request), {}
    except MemoryError:
        raise
    except Exception:  # any of its columns may be to blame, in any way
        broken = _broken(frames, request)
        left = [name for name in frames.names if name not in broken]
        if not broken or not left:
            raise
        return _snapshot(frames, left, request), broken


def _broken(frames: _Frames, request: DriftRequest) -> dict[str, str]:
    """The columns that break a report of their own."""
    found: dict[str, str] = {}
    for name in frames.names:
        try:
            _snapshot(frames, [name], request)
        except MemoryError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this column's
            found[name] = type(error).__name__
    return found


def _snapshot(frames: _Frames, names: Sequence[str], request: DriftRequest) -> Snapshot:
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset, DataSummaryPreset

    meaning = DataDefinition(
        numerical_columns=[name for name in frames.numbers if name in names],
        categorical_columns=[name for name in frames.labels if name in names],
    )
    current, reference = (
        Dataset.from_pandas(side[list(names)], data_definition=meaning) for side in (frames.current, frames.reference)
    )
    lines = request.thresholds
    drift = DataDriftPreset(
        columns=list(names), method="psi", threshold=lines.psi_moderate, drift_share=lines.share_warning
    )
    return Report([drift, DataSummaryPreset()], include_tests=True).run(current, reference)


def _opinions(snapshot: Snapshot) -> dict[str, Second]:
    """Evidently's index of each column, with the verdict of its own test."""
    told = json.loads(snapshot.json())
    tests = {
        str(test.get("metric_config", {}).get("metric_id")): str(test.get("status")) for test in told.get("tests", ())
    }
    found: dict[str, Second] = {}
    for metric in told["metrics"]:
        config = metric.get("config", {})
        if config.get("type") != DRIFT_METRIC:  # names hold parameters, the type does not
            continue
        value = metric.get("value")
        is_number = isinstance(value, (int, float)) and math.isfinite(value)
        status = tests.get(str(metric.get("id")), "")
        word = "drift" if re.search("FAIL", status) else "no drift" if re.search("SUCCESS", status) else "not compared"
        found[str(config.get("column"))] = Second(value=float(value) if is_number else None, status=word)
    return found


def _sampled(screen: Screen, rows: int) -> str:
    sides = ("reference", screen.reference_rows), ("current", screen.current_rows)
    cut = [f"{rows:,} of {count:,} {side} rows" for side, count in sides if count > rows]
    return (
        f"The full report looked at {' and '.join(cut)}, drawn at random; the figures above rest on all." if cut else ""
    )
