"""How good predictions were, once their labels came: computed in a process of its own, out of the serving one.

`python -m handlers.drift.labelled`: one question on standard input, one answer on standard output. DuckDB joins and
counts, so that rows never come into Python. What is said rests on labelled rows only, and the answer says how many
those are, how long labels take, and whether they came in for all predicted classes alike.
"""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

from bot.drift import wire
from bot.drift.labelled import Labelled, LabelRequest
from handlers.drift.columns import quoted
from handlers.drift.fetch import Allowed, Missing, fetched
from handlers.drift.source import Source, Table, Unreadable, opened, table_of

if TYPE_CHECKING:
    from bot.drift.asked import DataSource, Span

CLASSES = 200  # more than that are no classes
UNEVEN = 0.15  # a predicted class whose share among labelled rows is off by more is told
_ENOUGH = 50  # labelled rows below which unevenness is noise
_CENTURY_S = 100 * 365 * 86_400.0


def answered(request: LabelRequest, folder: Path, allowed: Allowed) -> Labelled:
    """The answer. Raises Missing or Unreadable; `folder` is for scratch."""
    predictions = _source(request.predictions, request.window, request.columns.time, "predictions", folder, allowed)
    labels = None if request.labels is None else _source(request.labels, None, "", "labels", folder, allowed)
    readable = [Path(one.path).parent for one in (predictions, labels) if one is not None]
    with opened(folder, readable, memory_mb=request.limits.screen_memory_mb, threads=2) as connection:
        try:
            _joined(connection, request, predictions, labels)
            return _measured(connection, request)
        except duckdb.Error as error:
            first_line = str(error).splitlines()[0][:200]
            raise Unreadable(f"the rows could not be read: {first_line}. Check `columns` in the profile.") from None


def _source(source: DataSource, span: Span | None, time: str, side: str, folder: Path, allowed: Allowed) -> Source:
    place = folder / side
    place.mkdir()
    return fetched(source, span, time, side, place, allowed)


def _joined(
    connection: duckdb.DuckDBPyConnection, request: LabelRequest, predictions: Source, labels: Source | None
) -> None:
    """A table `seen` of (said, truth, p, delay_s), one row for each prediction; a row without label has truth NULL."""
    columns = request.columns
    left = table_of(connection, predictions, "predictions")
    right = table_of(connection, labels, "labels") if labels is not None else None
    _has(left, "predictions", columns.prediction, columns.probability, columns.time, *([columns.key] if right else []))
    _has(right or left, "labels" if right else "predictions", columns.target, columns.labelled_at,
         *([columns.key] if right else []))  # fmt: skip
    table, side = left.sql, "a"
    params = dict(left.params)
    if right is not None:
        # A key may have been labelled more than once: the last label counts, or any where nothing tells the order.
        order = f"epoch(TRY_CAST({quoted(columns.labelled_at)} AS TIMESTAMPTZ))" if columns.labelled_at else "0"
        target, key = quoted(columns.target), quoted(columns.key)
        came = f", max({quoted(columns.labelled_at)}) AS came" if columns.labelled_at else ""
        last = (
            f"(SELECT CAST({key} AS VARCHAR) AS k, arg_max({target}, {order}) AS target{came} FROM {right.sql} "  # noqa: S608
            f"WHERE {target} IS NOT NULL GROUP BY 1)"
        )
        table, side = f"{left.sql} a LEFT JOIN {last} b ON CAST(a.{key} AS VARCHAR) = b.k", "b"
        params |= dict(right.params)
    else:
        table = f"{left.sql} a"
    truth = f"{side}.target" if right is not None else f"a.{quoted(columns.target)}"
    came = f"{side}.came" if right is not None else f"a.{quoted(columns.labelled_at)}"
    p = f"TRY_CAST(a.{quoted(columns.probability)} AS DOUBLE)" if columns.probability else "NULL::DOUBLE"
    has_delay = bool(columns.labelled_at and columns.time)
    at = f"a.{quoted(columns.time)}"
    delay = f"epoch(TRY_CAST({came} AS TIMESTAMPTZ)) - epoch(TRY_CAST({at} AS TIMESTAMPTZ))" if has_delay else "NULL"
    connection.execute(
        f"CREATE TABLE seen AS SELECT {_class(f'a.{quoted(columns.prediction)}')} AS said, {_class(truth)} AS truth, "  # noqa: S608
        f"{p} AS p, CAST({delay} AS DOUBLE) AS delay_s FROM {table}",
        params,
    )


def _has(table: Table, side: str, *names: str) -> None:
    for name in names:
        if name and name not in table.types:
            raise Unreadable(f"the {side} have no column {name[:60]!r}. Correct `columns` in the profile.")


def _class(column: str) -> str:
    """A class as text, so that 1, 1.0 and "1" are the same one."""
    number = f"TRY_CAST({column} AS DOUBLE)"
    return f"CASE WHEN isfinite({number}) THEN CAST({number} AS VARCHAR) ELSE CAST({column} AS VARCHAR) END"


def _one(connection: duckdb.DuckDBPyConnection, sql: str, params: list[Any] | None = None) -> tuple[Any, ...]:
    return connection.execute(sql, params or []).fetchone() or ()


def _measured(connection: duckdb.DuckDBPyConnection, request: LabelRequest) -> Labelled:
    rows, labelled, unsaid = _one(
        connection, "SELECT count(*), count(truth) FILTER (said IS NOT NULL), count(*) FILTER (said IS NULL) FROM seen"
    )
    notes = [f"{unsaid:,} rows have no prediction and count as not labelled."] if unsaid else []
    metrics: dict[str, float] = {}
    if labelled:
        metrics = dict(_of_classes(connection, request, notes)) | dict(_of_probabilities(connection, request, notes))
        notes += _unevenness(connection, labelled)
    good = f"delay_s BETWEEN 0 AND {_CENTURY_S}"
    p50, p90, odd = _one(
        connection,
        f"SELECT quantile_cont(delay_s, 0.5) FILTER ({good}), quantile_cont(delay_s, 0.9) FILTER ({good}), "  # noqa: S608
        "count(*) FILTER (delay_s < 0) FROM seen WHERE truth IS NOT NULL",
    )
    notes += [f"{odd:,} labels are older than their prediction: check the clocks and time zones."] if odd else []
    return Labelled(
        system=request.system, model=request.model, rows=rows, labelled=labelled, metrics=metrics, delay_p50_s=p50,
        delay_p90_s=p90, notes=tuple(notes),
    )  # fmt: skip


def _of_classes(
    connection: duckdb.DuckDBPyConnection, request: LabelRequest, notes: list[str]
) -> Iterator[tuple[str, float]]:
    """Accuracy and F1: of the positive class, or the mean over all classes."""
    pairs: list[tuple[str, str, int]] = connection.execute(
        "SELECT said, truth, count(*) FROM seen WHERE said IS NOT NULL AND truth IS NOT NULL GROUP BY ALL"
    ).fetchall()
    total = sum(count for _, _, count in pairs)
    yield "accuracy", sum(count for said, true, count in pairs if said == true) / total
    classes = sorted({name for said, true, _ in pairs for name in (said, true)})
    if len(classes) > CLASSES:
        notes.append(f"{len(classes)} classes are too many for F1; the columns may hold numbers, not classes.")
        return
    chosen = [_normal(connection, request.positive)] if request.positive else classes
    scores = []
    for name in chosen:
        both = sum(count for said, true, count in pairs if said == true == name)
        either = sum(count * ((said == name) + (true == name)) for said, true, count in pairs)
        scores.append(2 * both / either if either else 0.0)
    if request.positive and chosen[0] not in classes:
        notes.append(f"The positive class {request.positive[:40]!r} is neither predicted nor true in any labelled row.")
        return
    yield "f1", sum(scores) / len(scores)


def _of_probabilities(
    connection: duckdb.DuckDBPyConnection, request: LabelRequest, notes: list[str]
) -> Iterator[tuple[str, float]]:
    if not (request.columns.probability and request.positive):
        return
    positive = _normal(connection, request.positive)
    usable = "truth IS NOT NULL AND p BETWEEN 0 AND 1"
    odd, count, ones, brier = _one(
        connection,
        "SELECT count(*) FILTER (truth IS NOT NULL AND (p IS NULL OR NOT p BETWEEN 0 AND 1)), "  # noqa: S608
        f"count(*) FILTER ({usable}), count(*) FILTER ({usable} AND truth = ?), "
        f"avg(power(p - CAST(truth = ? AS INTEGER), 2)) FILTER ({usable}) FROM seen",
        [positive, positive],
    )
    if odd:
        notes.append(f"{odd:,} labelled rows have no probability from 0 to 1 and were left out of AUC and Brier.")
    if count:
        yield "brier", float(brier)
    if not 0 < ones < count:
        notes.append("All labelled rows are of one class, so there is no AUC.")
        return
    # The mean rank of equal probabilities, by the Mann-Whitney count.
    (ranks,) = _one(
        connection,
        "WITH r AS (SELECT truth, rank() OVER (ORDER BY p) + (count(*) OVER (PARTITION BY p) - 1) / 2.0 AS place "  # noqa: S608
        f"FROM seen WHERE {usable}) SELECT sum(place) FROM r WHERE truth = ?",
        [positive],
    )
    yield "auc", (float(ranks) - ones * (ones + 1) / 2) / (ones * (count - ones))


def _normal(connection: duckdb.DuckDBPyConnection, name: str) -> str:
    return str(_one(connection, f"SELECT {_class('x')} FROM (SELECT CAST(? AS VARCHAR) AS x)", [name])[0])  # noqa: S608


def _unevenness(connection: duckdb.DuckDBPyConnection, labelled: int) -> list[str]:
    """Whether some predicted class got its labels more often than others: then the numbers are not about all rows."""
    if labelled < _ENOUGH:
        return []
    found = connection.execute(
        "SELECT said, count(*) / sum(count(*)) OVER () AS of_all, "
        "count(truth) / sum(count(truth)) OVER () AS of_labelled FROM seen WHERE said IS NOT NULL GROUP BY said "
        "ORDER BY abs(count(truth) / sum(count(truth)) OVER () - count(*) / sum(count(*)) OVER ()) DESC LIMIT 1"
    ).fetchone()
    if found is None or abs(found[2] - found[1]) <= UNEVEN:
        return []
    name = str(found[0]).removesuffix(".0")[:40]
    text = (
        f"Labels came in unevenly: “{name}” is {found[1]:.0%} of all predictions, but {found[2]:.0%} of the labelled."
    )
    return [f"{text} The numbers need not hold for the rest."]


def _bounded(limit_mb: int) -> None:
    limit = limit_mb * 2 * 1_000_000  # libraries reserve more than they use
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _told(work: Callable[[], Labelled]) -> str:
    try:
        return wire.dumps(work())
    except Missing as missing:
        reason, sentence = missing.reason, missing.sentence
    except Unreadable as unreadable:
        reason, sentence = "invalid", str(unreadable)
    except MemoryError:
        reason, sentence = "overloaded", "the rows did not fit into memory. Choose a shorter window."
    return json.dumps({"reason": reason, "sentence": sentence})


def main(arguments: list[str]) -> int:
    """Answer one question."""
    if "--check" in arguments:
        sys.stdout.write("everything needed is there\n")
        return 0
    given = json.loads(sys.stdin.buffer.read())
    request = wire.of_plain(given["request"], LabelRequest)
    _bounded(request.limits.memory_mb)
    allowed = Allowed(
        folders=[Path(one) for one in given["folders"]], schemes=frozenset(given["schemes"]), limits=request.limits
    )
    sys.stdout.write(_told(lambda: answered(request, Path(given["folder"]), allowed)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
