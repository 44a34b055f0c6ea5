"""Columns of numbers: two passes over each side.

First the reference's range and deciles; then the current rows counted into bins cut there, with what lies outside; then
the exact counts that needed a value from before. Deciles are approximate (a t-digest, so memory does not grow with the
rows, and of a large table from a part of its rows), which moves a bin's edge a little, but the rows in each bin are
counted exactly, on both sides alike.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import duckdb

from bot.drift.report import Verdict
from handlers.drift.ask import Answers, Ask, Broken, answers
from handlers.drift.columns import as_number, quoted
from handlers.drift.facts import Column, Companion, Form, Side
from handlers.drift.psi import Lines, cuts_of, judged
from handlers.drift.source import Table

DECILES = "[0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]"
FACTS = 13  # aggregates in `_first`
RELATED = 0.2  # correlation below which a column is no companion
COMPANIONS = 3  # the closest ones are enough to ask
MOST_DRIFTED = 20  # columns whose companions are looked for
MOST_OTHERS = 100  # columns that are tried as companions
IDENTIFIER_RATIO = 0.95  # whole numbers, nearly all different and packed this densely, number the rows


@dataclass(frozen=True, slots=True, kw_only=True)
class _Facts:
    """The first pass, named."""

    rows: int
    missing: int
    unreadable: int
    infinite: int
    n: int
    lowest: float | None
    highest: float | None
    deciles: tuple[float, ...]
    distinct: int
    is_whole: bool
    top: float | None
    relation: float | None
    mean: float | None
    deviation: float | None


def compared(
    connection: duckdb.DuckDBPyConnection,
    sides: tuple[Table, Table],
    columns: Sequence[str],
    target: str,
    lines: Lines,
    looked_at: int,
) -> tuple[list[Column], Broken]:
    """The columns compared, and those that could not be with the reason. `target` may be empty."""
    reference, current = sides
    prefix = {name: f"n{place}" for place, name in enumerate(columns)}
    found, broken = answers(
        connection, reference, {name: _first(prefix[name], name, reference, target) for name in columns}
    )
    before = {name: _facts(row, reference.unreadable.get(name, 0)) for name, row in found.items()}
    broken |= {name: why for name, facts in before.items() if (why := _unfit(facts))}
    before = {name: facts for name, facts in before.items() if name not in broken}
    cuts = {name: cuts_of(facts.deciles, _known(facts.lowest)) for name, facts in before.items()}
    asks = {name: _against(prefix[name], name, current, target, before[name], cuts[name]) for name in before}
    now, failed = answers(connection, current, asks)
    exact_before, failed_before = answers(
        connection,
        reference,
        {name: _exact(prefix[name], name, reference, before[name].top, cuts[name]) for name in now},
    )
    exact_now, failed_now = answers(
        connection,
        current,
        {
            name: _exact(prefix[name], name, current, _facts(row).top, (), _top(row[FACTS + 3]))
            for name, row in now.items()
        },
    )
    broken |= failed | failed_before | failed_now
    facts = {name: _facts(row, current.unreadable.get(name, 0)) for name, row in now.items()}
    whole = _Answered(before=before, cuts=cuts, facts=facts, now=now, exact_before=exact_before, exact_now=exact_now)
    done = [name for name in now if name not in broken]
    return [_column(name, whole, lines, looked_at) for name in done], broken


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answered:
    before: Mapping[str, _Facts]
    cuts: Mapping[str, tuple[float, ...]]
    facts: Mapping[str, _Facts]  # of the current side
    now: Answers
    exact_before: Answers
    exact_now: Answers


def _inner(prefix: str, column: str, table: Table) -> dict[str, str]:
    number = as_number(column, table.types[column])
    return {
        f"{prefix}_nothing": f"{quoted(column)} IS NULL",
        f"{prefix}_d": number,
        f"{prefix}_x": f"CASE WHEN isfinite({number}) THEN {number} END",
        f"{prefix}_s": f"CASE WHEN {table.is_drawn()} AND isfinite({number}) THEN {number} END",
    }


def _first(prefix: str, column: str, table: Table, target: str) -> Ask:
    inner = _inner(prefix, column, table)
    relation = "NULL"
    if target and target != column:
        number = as_number(target, table.types[target])
        inner[f"{prefix}_t"] = f"CASE WHEN isfinite({number}) THEN {number} END"
        relation = f"corr({prefix}_x, {prefix}_t)"
    x, d, nothing = f"{prefix}_x", f"{prefix}_d", f"{prefix}_nothing"
    aggregates = (
        "count(*)",
        f"count(*) FILTER ({nothing} OR isnan({d}))",
        f"count(*) FILTER (NOT {nothing} AND {d} IS NULL)",
        f"count({x})",
        f"min({x})",
        f"max({x})",
        f"approx_quantile({prefix}_s, {DECILES})",
        f"approx_count_distinct({x})",
        f"bool_and({x} = floor({x}))",
        f"approx_top_k({prefix}_s, 1)",
        relation,
        f"avg({x})",
        f"stddev_pop({x})",
    )
    return Ask(inner=inner, aggregates=aggregates)


def _against(prefix: str, column: str, table: Table, target: str, before: _Facts, cuts: tuple[float, ...]) -> Ask:
    """The first pass over the current rows, with the reference's bins and range at hand."""
    first = _first(prefix, column, table, target)
    x, low, high, width, bins = (f"{prefix}_x", *(f"${prefix}_{name}" for name in ("low", "high", "width", "bins")))
    outside = f"({x} < {low} OR {x} > {high})"
    more = (
        f"histogram({x}, CAST({bins} AS DOUBLE[]))",
        f"count(*) FILTER {outside}",
        f"count(*) FILTER ({x} < {low} - {width} OR {x} > {high} + {width})",
        f"approx_top_k({x}, 1) FILTER {outside}",
    )
    lowest, highest = _known(before.lowest), _known(before.highest)
    params = {
        f"{prefix}_low": lowest,
        f"{prefix}_high": highest,
        f"{prefix}_width": (highest - lowest) or abs(highest) or 1.0,
        f"{prefix}_bins": list(cuts),
    }
    return Ask(inner=first.inner, aggregates=(*first.aggregates, *more), params=params)


def _exact(
    prefix: str, column: str, table: Table, top: float | None, cuts: tuple[float, ...], outside: float | None = None
) -> Ask:
    """How often a value found before really occurs; for the reference also the rows in its own bins."""
    x = f"{prefix}_x"
    aggregates = [f"count(*) FILTER ({x} = CAST(${prefix}_{name} AS DOUBLE))" for name in ("top", "outside")]
    params: dict[str, Any] = {f"{prefix}_top": top, f"{prefix}_outside": outside}
    if cuts:
        aggregates.append(f"histogram({x}, CAST(${prefix}_bins AS DOUBLE[]))")
        params[f"{prefix}_bins"] = list(cuts)
    return Ask(inner=_inner(prefix, column, table), aggregates=tuple(aggregates), params=params)


def _facts(row: tuple[Any, ...], lost: int = 0) -> _Facts:
    """`lost`: texts that became no number when the table was given types; they read as missing now."""
    rows, missing, unreadable, n, lowest, highest, deciles, distinct, is_whole, top, relation, mean, deviation = row[
        :FACTS
    ]
    return _Facts(
        rows=rows,
        missing=missing - lost,
        unreadable=unreadable + lost,
        infinite=rows - missing - unreadable - n,
        n=n,
        lowest=lowest,
        highest=highest,
        deciles=tuple(deciles or ()),
        distinct=distinct,
        is_whole=bool(is_whole),
        top=_top(top),
        relation=None if relation is None or math.isnan(relation) else relation,
        mean=mean,
        deviation=deviation,
    )


def _top(listed: Sequence[float] | None) -> float | None:
    return listed[0] if listed else None


def _known(value: float | None) -> float:
    """A bound that exists, since columns without values have been set aside."""
    return 0.0 if value is None else value


def _unfit(facts: _Facts) -> str:
    """Why the column cannot be compared, or ""."""
    if not facts.n:
        return "The reference has no usable value in it, so there is nothing to compare with."
    span = _known(facts.highest) - _known(facts.lowest) + 1
    is_dense = facts.n >= 100 and facts.distinct >= IDENTIFIER_RATIO * facts.n and span < 2 * facts.n
    if facts.is_whole and is_dense:
        return "It looks like a row number: whole, dense and all different. Name it in the profile's `ignore`."
    return ""


def _column(name: str, answered: _Answered, lines: Lines, looked_at: int) -> Column:
    before, row, cuts = answered.before[name], answered.now[name], answered.cuts[name]
    now = answered.facts[name]
    histogram, outside, far, outside_top = row[FACTS:]
    top_before, _, bins_before = answered.exact_before[name]
    top_now, outside_top_count = answered.exact_now[name]
    was, counts = _in_order(bins_before, cuts), _in_order(histogram, cuts)
    usable = max(1, now.n)
    return Column(
        name=name,
        form=Form.NUMBER,
        reference=_side(before, top_before),
        current=_side(now, top_now),
        drift=judged(was, counts, columns=looked_at, lines=lines),
        cuts=cuts,
        reference_counts=was,
        current_counts=counts,
        outside_share=outside / usable,
        far_share=far / usable,
        outside_top=_top(outside_top),
        outside_top_share=outside_top_count / usable,
    )


def _in_order(histogram: Mapping[float, int] | None, cuts: tuple[float, ...]) -> tuple[int, ...]:
    """The counts bin by bin; DuckDB leaves the last bin out when it is empty."""
    counts = histogram or {}
    return tuple(counts.get(edge, 0) for edge in (*cuts, math.inf))


def _side(facts: _Facts, top_count: int) -> Side:
    rows = max(1, facts.rows)
    return Side(
        rows=facts.rows,
        n=facts.n,
        missing_share=facts.missing / rows,
        unreadable_share=facts.unreadable / rows,
        infinite_share=facts.infinite / rows,
        lowest=facts.lowest,
        highest=facts.highest,
        mean=facts.mean,
        deviation=facts.deviation,
        deciles=facts.deciles,
        distinct=facts.distinct,
        top="" if facts.top is None else f"{facts.top:g}",
        top_share=top_count / max(1, facts.n),
        relation=facts.relation,
    )


def with_companions(
    connection: duckdb.DuckDBPyConnection, reference: Table, columns: Sequence[Column], target: str
) -> tuple[Column, ...]:
    """The same columns; those of numbers that drifted now name what goes with them in the reference.

    One more pass over the reference, and none when nothing drifted. The target is nobody's companion: a model follows
    its inputs, right or wrong.
    """
    numbers = [column.name for column in columns if column.form is Form.NUMBER and column.name != target]
    drifted = [
        column.name
        for column in columns
        if column.name in numbers and column.drift.verdict in {Verdict.MODERATE, Verdict.HIGH}
    ][:MOST_DRIFTED]
    others = numbers[:MOST_OTHERS]
    place = {name: f"x{number}" for number, name in enumerate(dict.fromkeys([*others, *drifted]))}
    asks = {
        name: Ask(
            inner={f"{prefix}_{place[one]}": _inner("", one, reference)["_x"] for one in (name, *others)},
            aggregates=tuple(f"corr({prefix}_{place[name]}, {prefix}_{place[other]})" for other in others),
        )
        for name, prefix in ((name, f"k{number}") for number, name in enumerate(drifted))
    }
    found, _ = answers(connection, reference, asks)
    return tuple(replace(column, companions=_closest(column.name, others, found)) for column in columns)


def _closest(name: str, others: Sequence[str], found: Answers) -> tuple[Companion, ...]:
    pairs = zip(others, found.get(name, ()), strict=False)
    known = [
        Companion(name=other, relation=relation)
        for other, relation in pairs
        if other != name and relation is not None and abs(relation) >= RELATED
    ]
    return tuple(sorted(known, key=lambda companion: -abs(companion.relation))[:COMPANIONS])
