"""How reference and current data get into DuckDB, once they are files on this machine.

Each source is read once: a Parquet file stays where it is and is scanned column by column; a CSV file is read as text
and then written into a table with types, so that each further look sees the same rows and costs little.

DuckDB may touch the folders of its sources and its scratch folder, and nothing else: no other file, no network, no
extension. Object stores and databases are `fetch`'s affair, which holds their credentials.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

import duckdb

from bot.drift.asked import Span
from handlers.drift.columns import as_time, quoted
from handlers.drift.facts import Form

MISSING_WORDS = ("", "NA", "N/A", "NaN", "nan", "null", "NULL", "None", r"\N")  # what writers of CSV put for nothing
CSV_OPTIONS = "all_varchar = true, header = true, ignore_errors = true, store_rejects = true, nullstr = $nothing"
ENOUGH = 200_000  # rows for a quantile or a most frequent value: the error of a share is then about 0.1 %
ROW = "file_row_number"  # what DuckDB calls it
TYPES = {Form.NUMBER: "DOUBLE", Form.TIME: "TIMESTAMP"}  # what texts become


class Kind(StrEnum):
    """The forms of files that can be read."""

    CSV = "csv"  # with a header line
    PARQUET = "parquet"  # one file, or a pattern with `*`


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One side of a comparison, as a file on this machine. Raises ValueError for an address."""

    kind: Kind
    path: str
    forms: Mapping[str, Form] = field(default_factory=dict)  # of a CSV file's columns, where they are known
    time: str = ""  # column by which rows are chosen, when there is a span
    span: Span | None = None

    def __post_init__(self) -> None:
        if not self.path or "://" in self.path:
            raise ValueError("A source is a file on this machine; an address must be fetched first.")
        if self.span is not None and not self.time:
            raise ValueError("Rows of a span are chosen by a column; name it as `time`.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A source as DuckDB sees it."""

    sql: str  # what stands after FROM
    params: Mapping[str, Any]  # what `sql` binds
    types: Mapping[str, str]  # column → DuckDB's type, in the order of the source
    is_untyped: bool = False  # everything was text, as from a CSV file
    rejected: int = 0  # lines of a CSV file that could not be read
    unreadable: Mapping[str, int] = field(default_factory=dict)  # texts that have not become a value, by column
    timeless: int = 0  # rows without a readable time, which a span leaves out
    rows: int = 0
    number: str = ""  # column that numbers the rows, "" when there is none

    def is_drawn(self, enough: int = ENOUGH) -> str:
        """What is true for about so many of the rows, the same ones each time; for all where there are fewer."""
        if self.rows <= enough or not self.number:
            return "true"
        return f"hash({self.number}) % 1000 < {max(1, 1000 * enough // self.rows)}"


class Unreadable(Exception):
    """A whole source could not be read. The message says why and what to do."""


def opened(scratch: Path, readable: Iterable[Path], *, memory_mb: int, threads: int) -> duckdb.DuckDBPyConnection:
    """A database in the scratch folder that spills there, bounded in memory, and locked to the folders given."""
    connection = duckdb.connect(
        str(scratch / "screen.db"),
        config={
            "memory_limit": f"{memory_mb}MB",
            "threads": threads,
            "temp_directory": str(scratch / "spill"),
            "preserve_insertion_order": False,  # costs memory, and no question here is about order
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
        },
    )
    folders = sorted({str(folder.resolve()) for folder in (scratch, *readable)})
    connection.execute("SET allowed_directories = $folders", {"folders": folders})
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return connection


def table_of(connection: duckdb.DuckDBPyConnection, source: Source, name: str) -> Table:
    """The source, ready to be asked; `name` is ours. A CSV file is all text until `typed`. Raises Unreadable."""
    read = _parquet if source.kind is Kind.PARQUET else _csv
    path = str(Path(source.path).resolve())
    return _explained(lambda: _counted(connection, _within(connection, read(connection, path, name), source)))


def typed(connection: duckdb.DuckDBPyConnection, table: Table, forms: Mapping[str, Form], name: str) -> Table:
    """An untyped table with its texts turned into values, as the forms say; a typed one as it is. Raises Unreadable."""
    return _explained(lambda: _typed(connection, table, forms, name)) if table.is_untyped else table


def _typed(connection: duckdb.DuckDBPyConnection, table: Table, forms: Mapping[str, Form], name: str) -> Table:
    become = {column: TYPES[form] for column, form in forms.items() if form in TYPES and column in table.types}
    columns = ", ".join(
        f"TRY_CAST({quoted(column)} AS {become[column]}) AS {quoted(column)}" if column in become else quoted(column)
        for column in table.types
    )
    texts = _counts(connection, table, become)
    params = dict(table.params)
    connection.execute(f"CREATE TABLE {name}_typed AS SELECT {columns} FROM {table.sql}", params)  # noqa: S608
    connection.execute(f"DROP TABLE {name}")
    done = replace(
        table,
        sql=f"{name}_typed",
        params={},
        number="rowid",
        types={column: become.get(column, "VARCHAR") for column in table.types},
    )
    values = _counts(connection, done, become)
    return replace(done, unreadable={column: texts[column] - values[column] for column in become})


def _counts(connection: duckdb.DuckDBPyConnection, table: Table, columns: Iterable[str]) -> dict[str, int]:
    """Rows with something in the column."""
    names = list(columns)
    if not names:
        return {}
    counts = ", ".join(f"count({quoted(name)})" for name in names)
    row = connection.execute(f"SELECT {counts} FROM {table.sql}", dict(table.params)).fetchone()  # noqa: S608
    return dict(zip(names, row or (), strict=True))


def _counted(connection: duckdb.DuckDBPyConnection, table: Table) -> Table:
    found = connection.execute(f"SELECT count(*) FROM {table.sql}", dict(table.params)).fetchone()  # noqa: S608
    return replace(table, rows=int(found[0]) if found else 0)


def _within(connection: duckdb.DuckDBPyConnection, table: Table, source: Source) -> Table:
    """The rows of the source's span only; all of them when it has none."""
    span = source.span
    if span is None:
        return table
    if source.time not in table.types:
        raise Unreadable(
            f"The data have no column {source.time[:60]!r} to choose the window's rows by. Correct `columns.time`."
        )
    at = as_time(source.time, table.types[source.time])
    count = f"SELECT count(*) FILTER ({at} IS NULL) FROM {table.sql}"  # noqa: S608
    lost = connection.execute(count, dict(table.params)).fetchone()
    # The bounds are written out, since the statement that makes a table of this may not bind any.
    start, end = (f"TIMESTAMP '{_utc(moment)}'" for moment in (span.start_at, span.end_at))
    sql = f"(SELECT * FROM {table.sql} WHERE {at} >= {start} AND {at} < {end})"  # noqa: S608
    number = table.number if table.number != "rowid" else ""  # which a subquery does not hand on
    return replace(table, sql=sql, number=number, timeless=int(lost[0]) if lost else 0)


def _utc(moment: datetime) -> str:
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(sep=" ")


def _explained(read: Callable[[], Table]) -> Table:
    try:
        return read()
    except duckdb.Error as error:
        first_line = str(error).splitlines()[0][:200]
        raise Unreadable(
            f"The data could not be read: {first_line}. Check that the file exists and its kind."
        ) from error


def _parquet(connection: duckdb.DuckDBPyConnection, path: str, name: str) -> Table:
    params = {name: path}
    types = _types(connection, f"read_parquet(${name})", params)
    if ROW in types:
        return Table(sql=f"read_parquet(${name})", params=params, types=types)
    return Table(sql=f"read_parquet(${name}, {ROW} = true)", params=params, types=types, number=ROW)


def _csv(connection: duckdb.DuckDBPyConnection, path: str, name: str) -> Table:
    """Everything is read as text: one bad value must not change, or break, the type of a whole column."""
    params = {"path": path, "nothing": list(MISSING_WORDS)}
    options = f"{CSV_OPTIONS}, rejects_table = '{name}_errors', rejects_scan = '{name}_scans'"
    connection.execute(f"CREATE TABLE {name} AS SELECT * FROM read_csv($path, {options})", params)  # noqa: S608
    found = connection.execute(f"SELECT count(DISTINCT line) FROM {name}_errors").fetchone()  # noqa: S608
    rejected = int(found[0]) if found else 0
    return Table(
        sql=name, params={}, types=_types(connection, name, {}), is_untyped=True, rejected=rejected, number="rowid"
    )


def _types(connection: duckdb.DuckDBPyConnection, sql: str, params: Mapping[str, Any]) -> dict[str, str]:
    described = connection.execute(f"DESCRIBE SELECT * FROM {sql}", dict(params)).fetchall()  # noqa: S608
    return {str(row[0]): str(row[1]) for row in described}
