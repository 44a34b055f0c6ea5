"""Columns of categories and of times: each is counted by value, or by hour of the day."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import duckdb

from handlers.drift.ask import Ask, Broken, answers
from handlers.drift.columns import as_category, as_time, quoted
from handlers.drift.facts import Column, Form, Side
from handlers.drift.psi import POOLED, Lines, judged, of_categories
from handlers.drift.source import Table

MOST = 1000  # different values; more is an identifier or free text, for which this index means nothing
SHOWN = 200  # characters of a category; the rest is of no help in a message
NAMED = 5  # new and lost categories that are named
HOURS = 24
HOUR_US = 3_600_000_000  # microseconds


def categories(
    connection: duckdb.DuckDBPyConnection,
    sides: tuple[Table, Table],
    columns: Sequence[str],
    lines: Lines,
    looked_at: int,
) -> tuple[list[Column], Broken]:
    """The columns of categories compared, and those that could not be with the reason."""
    reference, current = sides
    (before, broken), (now, failed) = (
        answers(connection, side, {name: _sizes(f"c{place}", name, side) for place, name in enumerate(columns)})
        for side in sides
    )
    broken |= failed
    done: list[Column] = []
    for name in (name for name in columns if name in before and name in now):
        sizes = before[name], now[name]
        if not sizes[0][1]:
            broken[name] = "The reference has no value in it, so there is nothing to compare with."
        elif sizes[0][2] > MOST * 1.05:  # the estimate is off by a few per cent
            broken[name] = f"It has more than {MOST} different values: an identifier or free text."
        else:
            try:
                counts = _counts(connection, reference, name), _counts(connection, current, name)
            except duckdb.Error as error:
                broken[name] = f"It could not be counted: {str(error).splitlines()[0][:160]}"
                continue
            done.append(_category(name, counts, sizes, lines, looked_at))
    return done, broken


def _sizes(prefix: str, column: str, table: Table) -> Ask:
    return Ask(
        inner={prefix: as_category(column, table.types[column])},
        aggregates=("count(*)", f"count({prefix})", f"approx_count_distinct({prefix})"),
    )


def _counts(connection: duckdb.DuckDBPyConnection, table: Table, column: str) -> dict[str, int]:
    """Rows by value, the most frequent ones; the rest is pooled."""
    value = as_category(column, table.types[column])
    rows = connection.execute(
        f"SELECT left({value}, {SHOWN}) AS value, count(*) AS n FROM {table.sql} "  # noqa: S608
        f"WHERE {value} IS NOT NULL GROUP BY value ORDER BY n DESC, value LIMIT {MOST}",
        dict(table.params),
    ).fetchall()
    return {str(value): int(count) for value, count in rows}


def _category(
    name: str,
    counts: tuple[dict[str, int], dict[str, int]],
    sizes: tuple[tuple[int, ...], tuple[int, ...]],
    lines: Lines,
    looked_at: int,
) -> Column:
    before, now = (
        kept | ({POOLED: rest} if (rest := size[1] - sum(kept.values())) > 0 else {})
        for kept, size in zip(counts, sizes, strict=True)
    )
    names = sorted(set(before) | set(now), key=lambda value: (-before.get(value, 0), -now.get(value, 0), value))
    n_before, n_now = max(1, sizes[0][1]), max(1, sizes[1][1])
    new = [(value, now[value] / n_now) for value in names if value not in before]
    lost = [(value, before[value] / n_before) for value in names if value not in now]
    if POOLED in before:  # what is not listed may have been there
        new = []
    return Column(
        name=name,
        form=Form.CATEGORY,
        reference=_side(before, sizes[0]),
        current=_side(now, sizes[1]),
        drift=of_categories(before, now, columns=looked_at, lines=lines),
        names=tuple(names),
        reference_counts=tuple(before.get(value, 0) for value in names),
        current_counts=tuple(now.get(value, 0) for value in names),
        new=tuple(sorted(new, key=lambda pair: -pair[1])[:NAMED]),
        new_share=sum(share for _, share in new),
        lost=tuple(sorted(lost, key=lambda pair: -pair[1])[:NAMED]),
    )


def _side(counts: dict[str, int], size: tuple[int, ...]) -> Side:
    rows, n, distinct = size
    top = max(counts, key=lambda value: counts[value], default="")
    return Side(
        rows=rows,
        n=n,
        missing_share=(rows - n) / max(1, rows),
        distinct=distinct,
        top=top,
        top_share=counts.get(top, 0) / max(1, n),
    )


def times(
    connection: duckdb.DuckDBPyConnection,
    sides: tuple[Table, Table],
    columns: Sequence[str],
    lines: Lines,
    looked_at: int,
) -> tuple[list[Column], Broken]:
    """The columns of times compared by hour of the day, and those that could not be with the reason."""
    (before, broken), (now, failed) = (
        answers(connection, side, {name: _hours(f"h{place}", name, side) for place, name in enumerate(columns)})
        for side in sides
    )
    broken |= failed
    done: list[Column] = []
    for name in (name for name in columns if name in before and name in now):
        was, counts_before = _time_side(before[name], sides[0].unreadable.get(name, 0))
        is_now, counts_now = _time_side(now[name], sides[1].unreadable.get(name, 0))
        if not was.n:
            broken[name] = "The reference has no usable time in it, so there is nothing to compare with."
            continue
        done.append(
            Column(
                name=name,
                form=Form.TIME,
                reference=was,
                current=is_now,
                drift=judged(counts_before, counts_now, columns=looked_at, lines=lines),
                names=tuple(f"{hour:02d}" for hour in range(HOURS)),
                reference_counts=counts_before,
                current_counts=counts_now,
            )
        )
    return done, broken


def _hours(prefix: str, column: str, table: Table) -> Ask:
    inner = {f"{prefix}_nothing": f"{quoted(column)} IS NULL", f"{prefix}_t": as_time(column, table.types[column])}
    hour = f"(epoch_us({prefix}_t) // {HOUR_US}) % {HOURS}"
    return Ask(
        inner=inner,
        aggregates=(
            "count(*)",
            f"count(*) FILTER ({prefix}_nothing)",
            f"count({prefix}_t)",
            f"approx_count_distinct({prefix}_t)",
            # Before 1970 the remainder is negative; 24 more brings it back.
            *(f"count(*) FILTER (({hour} + {HOURS}) % {HOURS} = {number})" for number in range(HOURS)),
        ),
    )


def _time_side(row: tuple[int, ...], lost: int) -> tuple[Side, tuple[int, ...]]:
    """`lost`: texts that became no time when the table was given types; they read as missing now."""
    rows, missing, n, distinct, *hours = row
    missing -= lost
    side = Side(
        rows=rows,
        n=n,
        missing_share=missing / max(1, rows),
        unreadable_share=(rows - missing - n) / max(1, rows),
        distinct=distinct,
    )
    busiest = max(range(HOURS), key=lambda hour: hours[hour])
    return replace(side, top=f"{busiest:02d} h", top_share=hours[busiest] / max(1, n)), tuple(hours)
