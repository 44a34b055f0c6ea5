"""Many questions about many columns in few passes, such that one bad column costs only its own answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import duckdb

from handlers.drift.source import Table

BATCH = 5  # columns in one pass; the sketches of more do not fit the processor's cache, which doubled the time measured


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What is asked about one column in one pass. Names inside must carry a prefix of the column's own."""

    inner: Mapping[str, str]  # our name → expression over the source's columns
    aggregates: tuple[str, ...]  # over those names
    params: Mapping[str, Any] = field(default_factory=dict)


Answers = dict[str, tuple[Any, ...]]
Broken = dict[str, str]


def answers(connection: duckdb.DuckDBPyConnection, table: Table, asks: Mapping[str, Ask]) -> tuple[Answers, Broken]:
    """The row of answers for each column, and for the others why there is none."""
    found: Answers = {}
    broken: Broken = {}
    names = list(asks)
    for start in range(0, len(names), BATCH):
        batch = names[start : start + BATCH]
        try:
            found |= _together(connection, table, {name: asks[name] for name in batch})
        except duckdb.Error:
            # One of them is to blame; asked one by one, the others answer.
            for name in batch:
                try:
                    found |= _together(connection, table, {name: asks[name]})
                except duckdb.Error as error:
                    broken[name] = f"It could not be read: {str(error).splitlines()[0][:160]}"
    return found, broken


def _together(connection: duckdb.DuckDBPyConnection, table: Table, asks: Mapping[str, Ask]) -> Answers:
    inner = ", ".join(f"{sql} AS {name}" for ask in asks.values() for name, sql in ask.inner.items())
    outer = ", ".join(aggregate for ask in asks.values() for aggregate in ask.aggregates)
    params = dict(table.params)
    for ask in asks.values():
        params |= ask.params
    row = connection.execute(f"SELECT {outer} FROM (SELECT {inner} FROM {table.sql})", params).fetchone()  # noqa: S608
    rest: Iterable[Any] = iter(row or ())
    return {name: tuple(next(rest) for _ in ask.aggregates) for name, ask in asks.items()}  # type: ignore[call-overload]
