"""The drift screen: current data against a reference, without pandas, in bounded memory.

Per column: quantile index with its verdict, missing, unreadable and infinite values, values outside the reference's
range, the most frequent value, new and lost categories, the hour of the day, change of type; for the whole: rows,
unreadable lines, repeated rows, columns gone and added. `triage` says what it may mean.

Meant for a worker process: DuckDB's memory limit bounds its buffers, not the last byte of the process. A column that
cannot be compared is set aside and named; only a source that cannot be read at all is an error (`Unreadable`).
"""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import duckdb

from handlers.drift import labels, numbers
from handlers.drift.ask import Ask, answers
from handlers.drift.columns import as_number, as_time, family, quoted
from handlers.drift.facts import Column, Form, Screen, SetAside
from handlers.drift.psi import DEFAULT_LINES, Lines
from handlers.drift.source import Source, Table, Unreadable, opened, table_of, typed

MOST_COLUMNS = 500
FITS_RATIO = 0.95  # of the texts in a reference column that must read as numbers for it to be one
TRIED = 50_000  # rows of a reference that are tried for it
NEARLY_EQUAL_RATIO = 0.95  # row counts this close need no thinning before repeated rows are compared
SEED = 7  # of the thinning; any fixed number, so that a second run says the same


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one run may use."""

    memory_mb: int = 256  # of DuckDB; the process adds about 120 MB of its own
    threads: int = 2
    columns: int = MOST_COLUMNS


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is looked at, and how."""

    target: str = ""  # the prediction or label column
    ignore: Collection[str] = ()  # columns that are left alone
    forms: Mapping[str, Form] = field(default_factory=dict)  # of columns whose form is known better than can be guessed
    lines: Lines = DEFAULT_LINES


DEFAULT_LIMITS = Limits()


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Both sides, ready to be asked."""

    connection: duckdb.DuckDBPyConnection
    reference: Table
    current: Table
    forms: Mapping[str, Form]  # of the columns that are compared
    unfit: Mapping[str, str]  # why others are not

    @property
    def sides(self) -> tuple[Table, Table]:
        """The reference first."""
        return self.reference, self.current


def screened(
    reference: Source,
    current: Source,
    *,
    target: str = "",
    ignore: Collection[str] = (),
    lines: Lines = DEFAULT_LINES,
    limits: Limits = DEFAULT_LIMITS,
    scratch: Path | None = None,
) -> Screen:
    """Compare two sources. Raises Unreadable when one of them cannot be read at all.

    `scratch` is an existing folder to work in (the system's own otherwise); what is written there is removed again.
    """
    wanted = Wanted(target=target, ignore=ignore, lines=lines)
    with paired(reference, current, wanted, limits=limits, scratch=scratch) as pair:
        return compared(pair, wanted)


@contextmanager
def paired(
    reference: Source, current: Source, wanted: Wanted, *, limits: Limits = DEFAULT_LIMITS, scratch: Path | None = None
) -> Iterator[Pair]:
    """Both sources in one database, as long as the block lasts. Raises Unreadable."""
    with tempfile.TemporaryDirectory(prefix="drift-screen-", dir=scratch) as folder:
        work = Path(folder)
        folders = [Path(source.path).parent for source in (reference, current)]
        with opened(work, folders, memory_mb=limits.memory_mb, threads=limits.threads) as connection:
            before = table_of(connection, reference, "reference")
            now = table_of(connection, current, "current")
            common = [name for name in before.types if name in now.types and name not in wanted.ignore]
            known = {**reference.forms, **wanted.forms}
            forms, unfit = _forms(connection, before, common[: limits.columns], known)
            unfit |= dict.fromkeys(common[limits.columns :], f"Only the first {limits.columns} columns are compared.")
            before, now = (
                typed(connection, table, forms, name) for table, name in ((before, "reference"), (now, "current"))
            )
            yield Pair(connection=connection, reference=before, current=now, forms=forms, unfit=unfit)


def compared(pair: Pair, wanted: Wanted) -> Screen:
    """Every column of the pair compared."""
    connection, sides, forms = pair.connection, pair.sides, pair.forms
    reference, current = sides
    target = wanted.target if wanted.target in reference.types and wanted.target in current.types else ""
    aside = dict(pair.unfit)
    by_form = {form: [name for name, of in forms.items() if of is form] for form in Form}
    found, broken = numbers.compared(connection, sides, by_form[Form.NUMBER], target, wanted.lines, len(forms))
    for look, form in ((labels.categories, Form.CATEGORY), (labels.times, Form.TIME)):
        more, failed = look(connection, sides, by_form[form], wanted.lines, len(forms))
        found += more
        broken |= failed
    aside |= broken
    order = {name: place for place, name in enumerate(reference.types)}
    found = [_with_type_change(column, sides) for column in sorted(found, key=lambda column: order[column.name])]
    columns = numbers.with_companions(connection, reference, found, target)
    rows = reference.rows, current.rows
    repeated = _repeated(connection, sides, sorted({*forms, *pair.unfit}, key=order.__getitem__), rows)
    return Screen(
        reference_rows=rows[0],
        current_rows=rows[1],
        columns=columns,
        set_aside=tuple(SetAside(name=name, why=aside[name]) for name in sorted(aside, key=order.__getitem__)),
        gone=tuple(name for name in reference.types if name not in current.types and name not in wanted.ignore),
        added=tuple(name for name in current.types if name not in reference.types and name not in wanted.ignore),
        target=target if any(column.name == target for column in columns) else "",
        reference_rejected=reference.rejected,
        current_rejected=current.rejected,
        reference_repeated_share=repeated[0],
        current_repeated_share=repeated[1],
    )


def _forms(
    connection: duckdb.DuckDBPyConnection, reference: Table, columns: Sequence[str], known: Mapping[str, Form]
) -> tuple[dict[str, Form], dict[str, str]]:
    """How each column is looked at, and why some are not. Text from a CSV file is what its values read as."""
    forms: dict[str, Form] = {name: known[name] for name in columns if name in known}
    unfit: dict[str, str] = {}
    texts: list[str] = []
    for name in (name for name in columns if name not in forms):
        match family(reference.types[name]):
            case "number":
                forms[name] = Form.NUMBER
            case "time":
                forms[name] = Form.TIME
            case "boolean":
                forms[name] = Form.CATEGORY
            case "text":
                texts.append(name)
            case _:
                unfit[name] = f"Columns of type {reference.types[name][:60]} cannot be compared."
    if not reference.is_untyped:
        return forms | dict.fromkeys(texts, Form.CATEGORY), unfit
    drawn = reference.is_drawn(TRIED)
    asks = {
        name: Ask(
            inner={
                f"p{place}": f"CASE WHEN {drawn} THEN {quoted(name)} END",
                f"p{place}_d": f"CASE WHEN {drawn} THEN {as_number(name, 'VARCHAR')} END",
                f"p{place}_t": f"CASE WHEN {drawn} THEN {as_time(name, 'VARCHAR')} END",
            },
            aggregates=(f"count(p{place})", f"count(p{place}_d)", f"count(p{place}_t)"),
        )
        for place, name in enumerate(texts)
    }
    found, broken = answers(connection, reference, asks)
    return forms | {name: _read_as(*row) for name, row in found.items()}, unfit | broken


def _read_as(n: int, as_numbers: int, as_times: int) -> Form:
    if n and as_numbers >= FITS_RATIO * n:
        return Form.NUMBER
    return Form.TIME if n and as_times >= FITS_RATIO * n else Form.CATEGORY


def _with_type_change(column: Column, sides: tuple[Table, Table]) -> Column:
    """Whole numbers that became fractions are no change: a single missing value does that."""
    was, now = (side.types[column.name] for side in sides)
    if any(side.is_untyped for side in sides) or family(was) == family(now):
        return column
    return replace(column, type_change=f"{was} → {now}")


def _repeated(
    connection: duckdb.DuckDBPyConnection, sides: tuple[Table, Table], columns: Sequence[str], rows: tuple[int, int]
) -> tuple[float | None, float | None]:
    """The share of rows that stand there already, on both sides at about the same number of rows.

    More rows of the same population repeat each other more often, so the larger side is thinned first.
    """
    fewest = min(rows)
    if not columns or not fewest:
        return None, None
    shares = []
    for table, count in zip(sides, rows, strict=True):
        ratio = fewest / count
        thinned = f" TABLESAMPLE {100 * ratio:.6f}% (bernoulli, {SEED})" if ratio < NEARLY_EQUAL_RATIO else ""
        hashes = f"SELECT hash({', '.join(quoted(name) for name in columns)}) AS h FROM {table.sql}"  # noqa: S608
        query = f"SELECT sum(n), count(*) FROM (SELECT count(*) AS n FROM ({hashes}){thinned} GROUP BY h)"  # noqa: S608
        try:
            found = connection.execute(query, dict(table.params)).fetchone()
        except duckdb.OutOfMemoryException:
            return None, None  # not known, which is not the same as none; the columns were compared all the same
        shares.append(1 - found[1] / found[0] if found and found[0] else 0.0)
    return shares[0], shares[1]


__all__ = ["DEFAULT_LIMITS", "Limits", "Pair", "Unreadable", "Wanted", "compared", "paired", "screened"]
