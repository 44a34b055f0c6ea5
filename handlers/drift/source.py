"""Where reference and current data come from, and how they get into DuckDB.

Each source is read once: a Parquet file stays where it is and is scanned column by column; a CSV file or the rows of a
database are written into a table on disk first, so that each further look sees the same rows and costs little.

DuckDB may touch the folders of its sources and its scratch folder, and nothing else: no other file, no network, no
extension. Object stores and databases are the caller's affair (`Fetch`), who holds their credentials.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

import duckdb

MISSING_WORDS = ("", "NA", "N/A", "NaN", "nan", "null", "NULL", "None", r"\N")  # what writers of CSV put for nothing
NOTHING = r"\N"  # how rows of a database carry NULL through the file between
CSV_OPTIONS = "all_varchar = true, header = true, ignore_errors = true, store_rejects = true, nullstr = $nothing"


class Kind(StrEnum):
    """The forms of data that can be read."""

    CSV = "csv"  # with a header line
    PARQUET = "parquet"  # one file, or a pattern with `*`
    SQL = "sql"  # a query with named, bound parameters


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One side of a comparison. Raises ValueError when the fields do not fit the kind."""

    kind: Kind
    path: str = ""  # of a CSV or Parquet file on this machine
    url: str = ""  # instead of a path: where `Fetch` gets the file, or which database it asks
    query: str = ""  # SQL only; values go into `params`, never into this text
    params: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        is_sql = self.kind is Kind.SQL
        if is_sql != bool(self.query) or (is_sql and (self.path or not self.url)):
            raise ValueError("A source of kind sql needs `url` and `query`; the other kinds have no query.")
        if not is_sql and bool(self.path) == bool(self.url):
            raise ValueError(f"A source of kind {self.kind} needs either `path` or `url`.")
        if self.params and not is_sql:
            raise ValueError("Only a source of kind sql has `params`.")
        if "://" in self.path:
            raise ValueError("`path` is a file on this machine; write an address as `url`.")


class Fetch(Protocol):
    """What the caller brings for sources that are not files on this machine. Both may raise OSError."""

    def file(self, url: str, folder: Path) -> Path:
        """Bring the file into the folder and name it."""

    def rows(self, url: str, query: str, params: Mapping[str, Any]) -> tuple[Sequence[str], Iterable[Sequence[Any]]]:
        """Run the query with its bound parameters; the column names, and the rows one by one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A source as DuckDB sees it."""

    sql: str  # what stands after FROM
    params: Mapping[str, Any]  # what `sql` binds
    types: Mapping[str, str]  # column → DuckDB's type, in the order of the source
    is_untyped: bool = False  # everything is text, as from a CSV file
    rejected: int = 0  # lines of a CSV file that could not be read


class Unreadable(Exception):
    """A whole source could not be read. The message says why and what to do."""


def localised(source: Source, fetch: Fetch | None, folder: Path) -> Source:
    """The same source as a file on this machine. Raises Unreadable."""
    if source.path:
        return source
    if fetch is None:
        raise Unreadable("This source is not a file on this machine, and nothing was given to fetch it with.")
    folder.mkdir()
    try:
        if source.kind is not Kind.SQL:
            return Source(kind=source.kind, path=str(fetch.file(source.url, folder)))
        names, rows = fetch.rows(source.url, source.query, source.params)
        return Source(kind=Kind.CSV, path=str(_written(names, rows, folder / "rows.csv")))
    except (OSError, ValueError) as error:
        # The address may hold a password, so it is not repeated here.
        raise Unreadable(
            f"Fetching the data failed ({type(error).__name__}). Check its address, credentials and query."
        ) from error


def _written(names: Sequence[str], rows: Iterable[Sequence[Any]], path: Path) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(names)
        writer.writerows([NOTHING if value is None else value for value in row] for row in rows)
    return path


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
    """The source, ready to be asked; `name` is ours. Raises Unreadable."""
    read = _parquet if source.kind is Kind.PARQUET else _csv
    return _explained(lambda: read(connection, str(Path(source.path).resolve()), name))


def _explained(read: Callable[[], Table]) -> Table:
    try:
        return read()
    except duckdb.Error as error:
        first_line = str(error).splitlines()[0][:200]
        raise Unreadable(
            f"The data could not be read: {first_line}. Check that the file exists and its kind."
        ) from error


def _parquet(connection: duckdb.DuckDBPyConnection, path: str, name: str) -> Table:
    sql, params = f"read_parquet(${name})", {name: path}
    return Table(sql=sql, params=params, types=_types(connection, sql, params))


def _csv(connection: duckdb.DuckDBPyConnection, path: str, name: str) -> Table:
    """Everything is read as text: one bad value must not change, or break, the type of a whole column."""
    params = {"path": path, "nothing": list(MISSING_WORDS)}
    options = f"{CSV_OPTIONS}, rejects_table = '{name}_errors', rejects_scan = '{name}_scans'"
    connection.execute(f"CREATE TABLE {name} AS SELECT * FROM read_csv($path, {options})", params)  # noqa: S608
    found = connection.execute(f"SELECT count(DISTINCT line) FROM {name}_errors").fetchone()  # noqa: S608
    rejected = int(found[0]) if found else 0
    return Table(sql=name, params={}, types=_types(connection, name, {}), is_untyped=True, rejected=rejected)


def _types(connection: duckdb.DuckDBPyConnection, sql: str, params: Mapping[str, Any]) -> dict[str, str]:
    described = connection.execute(f"DESCRIBE SELECT * FROM {sql}", dict(params)).fetchall()  # noqa: S608
    return {str(row[0]): str(row[1]) for row in described}


def quoted(name: str) -> str:
    """A column name as SQL takes it, whatever is in it."""
    return '"' + name.replace('"', '""') + '"'
