"""How a drift began: in one step, as after a deploy or a change in a pipeline, or slowly, as the world changes.

The current window is cut into slices of equal length, and the columns that moved most are compared with the reference
slice by slice. A step is a slice from which on the index is as high as it stays; before it there is nothing. Of drift
that is there from the first slice nothing is said: it began earlier.

A step raises doubt, so triage is told of it. A ramp is only mentioned: a sensor that wears out is slow as well, and
slowness alone must not offer a retrain.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from statistics import median

import duckdb

from bot.drift.asked import Span
from handlers.drift.columns import as_category, as_number, as_time
from handlers.drift.facts import Column, Form
from handlers.drift.labels import SHOWN
from handlers.drift.psi import POOLED, Lines, noise_level, psi
from handlers.drift.screen import Pair
from handlers.drift.triage import DRIFTED, Began, Onset

MOST_SLICES, LEAST_SLICES = 14, 4
LEAST_ROWS = 200  # of a slice, for the reasons of the upper line
MOST_COLUMNS = 5  # that are looked at, the furthest first
STAYS = 0.8  # of the slices after the onset that must have drifted as well
AT_ONCE = 0.6  # of the later height that the first drifted slice of a step has
RISES = 2.0  # times by which a ramp is higher at its end than when it was first seen


def began(pair: Pair, columns: Sequence[Column], time: str, window: Span, lines: Lines) -> Began | None:
    """How the drift of these columns began; None when that cannot be told."""
    moved = sorted(
        (one for one in columns if one.drift.verdict in DRIFTED and one.form is not Form.TIME),
        key=lambda one: -(one.drift.value or 0.0),
    )[:MOST_COLUMNS]
    slices = min(MOST_SLICES, pair.current.rows // LEAST_ROWS)
    if not moved or slices < LEAST_SLICES or time not in pair.current.types:
        return None
    length = (window.end_at - window.start_at) / slices
    found: list[tuple[Onset, int, str]] = []
    for column in moved:
        try:
            heights = _heights(pair, column, time, window.start_at, length, slices, lines)
        except duckdb.Error:  # it was compared as a whole, and that must do
            continue
        if told := shape_of(heights):
            found.append((*told, column.name))
    if not found:
        return None
    (onset, place), _ = Counter((onset, place) for onset, place, _ in found).most_common(1)[0]
    names = tuple(name for one, _, name in found if one is onset)
    return Began(onset=onset, at=window.start_at + place * length, within=length, columns=names)


def shape_of(heights: Sequence[tuple[float, float]]) -> tuple[Onset, int] | None:
    """How a row of (index, line it must pass) began, and at which place; slices without rows have been left out."""
    past = [value > line for value, line in heights]
    values = [value for value, _ in heights]
    first = next((place for place in range(len(past)) if past[place]), None)
    if first is None or first == 0 or first == len(past) - 1:
        return None
    after = past[first:]
    if sum(after) < STAYS * len(after):
        return None
    if values[first] >= AT_ONCE * median(values[first:]):
        return Onset.STEP, first
    return (Onset.RAMP, first) if values[-1] >= RISES * values[first] else None


def _heights(
    pair: Pair, column: Column, time: str, start_at: datetime, length: timedelta, slices: int, lines: Lines
) -> list[tuple[float, float]]:
    """The column's index in each slice, with the line or the noise it must pass; a thin slice drifts never."""
    before = sum(column.reference_counts)
    heights = []
    for counts in _counted(pair, column, time, start_at, length, slices):
        noise = noise_level(len(counts), before, sum(counts), columns=slices)
        value = psi(column.reference_counts, counts)
        if value is None or noise is None or sum(counts) < LEAST_ROWS // 2:
            heights.append((0.0, lines.moderate))
        else:
            heights.append((value, max(lines.moderate, noise)))
    return heights


def _counted(
    pair: Pair, column: Column, time: str, start_at: datetime, length: timedelta, slices: int
) -> list[list[int]]:
    """Rows of each slice in the column's own bins."""
    table = pair.current
    at, kind = as_time(time, table.types[time]), table.types[column.name]
    is_number = column.form is Form.NUMBER
    value = as_number(column.name, kind) if is_number else f"left({as_category(column.name, kind)}, {SHOWN})"
    number = f"CAST(floor((epoch({at}) - $start) / $length) AS BIGINT)"
    rows = f"SELECT {number} AS slice, {value} AS x FROM {table.sql}"  # noqa: S608
    params = {**table.params, "start": start_at.timestamp(), "length": length.total_seconds()}
    counts = [[0] * len(column.reference_counts) for _ in range(slices)]
    bins = [*column.cuts, float("inf")] if is_number else [*column.names]
    place = {name: number for number, name in enumerate(bins)}
    if is_number:
        query = f"SELECT slice, histogram(x, CAST($bins AS DOUBLE[])) FROM ({rows}) WHERE isfinite(x) GROUP BY slice"  # noqa: S608
        found = pair.connection.execute(query, {**params, "bins": list(column.cuts)}).fetchall()
        cells = [(slice_, edge, n) for slice_, histogram in found for edge, n in (histogram or {}).items()]
    else:
        query = f"SELECT slice, x, count(*) FROM ({rows}) WHERE x IS NOT NULL GROUP BY slice, x"  # noqa: S608
        cells = pair.connection.execute(query, params).fetchall()
    for slice_, bin_, n in cells:
        into = place.get(bin_, place.get(POOLED))
        if slice_ is not None and 0 <= slice_ < slices and into is not None:
            counts[slice_][into] += n
    return counts
