"""Many questions about many columns in few passes, such that one bad column costs only its own answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import duckdb

from handlers.drift.source import Table, quoted

BATCH = 5  # columns in one pass; the sketches of more do not fit the processor's cache, which doubled the time measured
NUMBERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT",
           "UHUGEINT", "FLOAT", "DOUBLE", "DECIMAL", "BIGNUM")  # fmt: skip
TIMES = ("DATE", "TIMESTAMP")
TEXTS = ("VARCHAR", "ENUM", "UUID")
FAMILIES = {"number": NUMBERS, "time": TIMES, "text": TEXTS, "boolean": ("BOOLEAN",)}


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


def family(type_name: str) -> str:
    """The family of a DuckDB type: number, time, text or boolean; "" for nested and binary ones."""
    if type_name.endswith("]"):
        return ""
    head = type_name.split("(", maxsplit=1)[0].split(" ", maxsplit=1)[0]
    return next((name for name, heads in FAMILIES.items() if head in heads or (head.startswith("TIMESTAMP_")
                 and name == "time")), "")  # fmt: skip


def as_number(column: str, type_name: str) -> str:
    """The column as a DOUBLE, NULL where it is none. Goes by way of text where the type has no cast of its own."""
    direct = family(type_name) in {"number", "boolean", "text"}
    return f"TRY_CAST({quoted(column) if direct else _text(column)} AS DOUBLE)"


def as_time(column: str, type_name: str) -> str:
    """The column as a TIMESTAMP, NULL where it is none; a time with a zone is taken in UTC."""
    direct = family(type_name) in {"time", "text"}
    return f"TRY_CAST({quoted(column) if direct else _text(column)} AS TIMESTAMP)"


def _text(column: str) -> str:
    return f"CAST({quoted(column)} AS VARCHAR)"
