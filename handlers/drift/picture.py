"""A picture of the distributions that moved most: reference against current, as shares of the rows."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from handlers.drift.answer import clean
from handlers.drift.columns import as_number
from handlers.drift.facts import Column, Form
from handlers.drift.screen import Pair
from handlers.drift.source import Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST = 3
BARS = 24  # of a column of numbers
LABELS = 10  # categories that are drawn; the rest is pooled
BEYOND = (
    0.5  # of the distance between the outer deciles that is drawn beyond them; farther values fall into the end bars
)
WIDTH_IN, HEIGHT_IN, DPI = 10.0, 2.9, 100
REST = "others"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bars:
    """One distribution, ready to be drawn; shares of the rows with a value."""

    title: str
    labels: tuple[str, ...] = ()  # of categories and hours
    edges: tuple[float, ...] = ()  # of numbers: one more than the bars
    reference: tuple[float, ...]
    current: tuple[float, ...]


def bars(pair: Pair, columns: Sequence[Column]) -> list[Bars]:
    """The first columns with something to show."""
    found = (_of_numbers(pair, one) if one.form is Form.NUMBER else _of_labels(one) for one in columns)
    return [one for one in found if one is not None][:MOST]


def _title(column: Column) -> str:
    value, bound = column.drift.value, column.drift.bound
    said = "not known" if value is None else f"{value:.2f}" + (f", line {bound:.2f}" if bound is not None else "")
    return f"{clean(column.name, 70)} – index {said}, {column.drift.n:,} rows"


def _of_numbers(pair: Pair, column: Column) -> Bars | None:
    edges = _edges(column)
    if not edges:
        return None
    was, now = (_counts(pair, table, column.name, edges) for table in pair.sides)
    return Bars(title=_title(column), edges=edges, reference=_shares(was), current=_shares(now))


def _edges(column: Column) -> tuple[float, ...]:
    """Bars of equal width over where most rows of both sides are."""
    outer = [value for side in (column.reference, column.current) for value in (*side.deciles[:1], *side.deciles[-1:])]
    extremes = [value for side in (column.reference, column.current) for value in (side.lowest, side.highest)]
    known = [value for value in extremes if value is not None and math.isfinite(value)]
    if not outer or not known:
        return ()
    room = BEYOND * (max(outer) - min(outer)) or 0.5
    low, high = max(min(known), min(outer) - room), min(max(known), max(outer) + room)
    if not low < high:
        low, high = low - 0.5, low + 0.5
    return tuple(low + (high - low) * step / BARS for step in range(BARS + 1))


def _counts(pair: Pair, table: Table, name: str, edges: tuple[float, ...]) -> list[int]:
    """Rows in each bar; what lies beyond is in the outer ones."""
    number = as_number(name, table.types[name])
    finite = f"SELECT {number} AS x FROM {table.sql} WHERE isfinite({number})"  # noqa: S608
    query = f"SELECT histogram(x, CAST($bins AS DOUBLE[])) FROM ({finite})"  # noqa: S608
    row = pair.connection.execute(query, {**table.params, "bins": list(edges[1:-1])}).fetchone()
    counts = (row[0] if row else None) or {}
    return [int(counts.get(edge, 0)) for edge in (*edges[1:-1], math.inf)]


def _of_labels(column: Column) -> Bars | None:
    if not column.names:
        return None
    was, now = _shares(column.reference_counts), _shares(column.current_counts)
    order = range(len(column.names))
    if column.form is Form.CATEGORY:
        order = sorted(order, key=lambda place: -max(was[place], now[place]))[:LABELS]  # type: ignore[assignment]
    labels = [clean(column.names[place], 18) or "(blank)" for place in order]
    shares = [[side[place] for place in order] for side in (was, now)]
    if len(labels) < len(column.names):
        labels.append(REST)
        for side in shares:
            side.append(max(0.0, 1 - sum(side)))
    return Bars(title=_title(column), labels=tuple(labels), reference=tuple(shares[0]), current=tuple(shares[1]))


def _shares(counts: Sequence[int]) -> tuple[float, ...]:
    total = max(1, sum(counts))
    return tuple(count / total for count in counts)


def drawn(distributions: Sequence[Bars], path: Path) -> None:
    """Write the PNG. ValueError when there is nothing to draw."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    if not distributions:
        raise ValueError("no distribution to draw")
    warnings.simplefilter("ignore")  # a sign that the font lacks is drawn as a box, and that is all
    figure = Figure(figsize=(WIDTH_IN, HEIGHT_IN * len(distributions)), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    every = figure.subplots(len(distributions), 1, squeeze=False)
    for axes, one in zip(every[:, 0], distributions, strict=True):
        _one(axes, one)
    every[0, 0].legend(loc="upper right", fontsize=10, frameon=False)
    figure.savefig(str(path), format="png")


def _one(axes: Axes, one: Bars) -> None:
    """Reference filled, current as a hatched outline: told apart without colour."""
    if one.edges:
        left, width = list(one.edges[:-1]), one.edges[1] - one.edges[0]
        axes.bar(left, one.reference, width, align="edge", color="#b8c4d6", label="reference")
        axes.bar(left, one.current, width, align="edge", fill=False, edgecolor="#9b0d18", hatch="///", label="current")
    else:
        places = range(len(one.labels))
        axes.bar([place - 0.2 for place in places], one.reference, 0.4, color="#b8c4d6", label="reference")
        axes.bar(
            [place + 0.2 for place in places], one.current, 0.4, fill=False, edgecolor="#9b0d18", hatch="///",
            label="current",
        )  # fmt: skip
        axes.set_xticks(list(places), list(one.labels), parse_math=False, rotation=20 if len(one.labels) < 12 else 0)
    axes.set_title(one.title, parse_math=False, fontsize=12, loc="left")
    axes.set_ylabel("share of rows", fontsize=10)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
