"""The screen on files as people have them: broken columns, hostile names, lines that are none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bot.drift.asked import Span
from bot.drift.report import Verdict
from handlers.drift.facts import Form, Screen
from handlers.drift.screen import Limits, Wanted, compared, paired, screened
from handlers.drift.source import Kind, Source, Unreadable, opened
from tests.drift.real import halves, real, write

NOW = datetime(2026, 3, 2, tzinfo=UTC)
HOSTILE = ['a"; DROP TABLE x; --', "select", "mit leer", "'", "$bins", "ä" * 80, "%s", "{0}", "c\nd", "n0_x"]


def parquet(path: Path, columns: Mapping[str, Any]) -> Source:
    pq.write_table(pa.table(dict(columns)), path)
    return Source(kind=Kind.PARQUET, path=str(path))


def text(path: Path, content: str) -> Source:
    path.write_text(content, encoding="utf-8")
    return Source(kind=Kind.CSV, path=str(path))


def both(folder: Path, before: Mapping[str, Any], now: Mapping[str, Any], **more: Any) -> Screen:
    return screened(parquet(folder / "a.parquet", before), parquet(folder / "b.parquet", now), scratch=folder, **more)


def floats(n: int = 600, seed: int = 0) -> Any:
    return np.random.default_rng(seed).normal(size=n)


def test_all_about_a_number(tmp_path: Path) -> None:
    before = np.arange(1, 1001) / 10
    now = np.concatenate([before[:900], [np.nan] * 50, [np.inf] * 10, [-999.0] * 40])
    column = both(tmp_path, {"x": before}, {"x": now}).columns[0]
    assert column.form is Form.NUMBER
    assert (column.reference.n, column.current.n) == (1000, 940)
    assert (column.reference.lowest, column.reference.highest) == (0.1, 100.0)
    assert column.current.missing_share == pytest.approx(0.05)
    assert column.current.infinite_share == pytest.approx(0.01)
    assert (column.outside_top, column.outside_top_share) == (-999.0, pytest.approx(40 / 940))
    assert column.far_share == pytest.approx(40 / 940)
    assert sum(column.reference_counts) == 1000
    assert sum(column.current_counts) == 940
    assert column.drift.n == 940


def test_what_csv_and_parquet_say_is_the_same(tmp_path: Path) -> None:
    one = real("diabetes")
    pair = halves(one, 1)
    files = []
    for name, frame in zip(("a", "b"), pair, strict=True):
        rows = zip(*(frame[column] for column in frame), strict=True)
        lines = [",".join(f'"{column}"' for column in frame), *(",".join(map(str, row)) for row in rows)]
        files.append((write(frame, tmp_path / f"{name}.parquet"), text(tmp_path / f"{name}.csv", "\n".join(lines))))
    from_parquet = screened(*(Source(kind=Kind.PARQUET, path=str(file)) for file, _ in files), scratch=tmp_path)
    from_csv = screened(*(source for _, source in files), scratch=tmp_path)
    assert [(c.name, c.form) for c in from_csv.columns] == [(c.name, c.form) for c in from_parquet.columns]
    for one_side, other in zip(from_csv.columns, from_parquet.columns, strict=True):
        assert one_side.drift.value == pytest.approx(other.drift.value, abs=0.02)
    assert list(tmp_path.glob("drift-screen-*")) == []


def test_a_bad_value_or_line_in_csv_costs_itself_only(tmp_path: Path) -> None:
    good = "\n".join(f"{value},{value * 2}" for value in range(0, 3000, 7))
    before = text(tmp_path / "a.csv", f"x,y\n{good}\n")
    now = text(tmp_path / "b.csv", f"x,y\n{good}\nabc,NA\n1,2,3,4\n5\n")
    found = screened(before, now, scratch=tmp_path)
    assert (found.current_rows, found.current_rejected) == (found.reference_rows + 1, 2)
    x, y = found.columns
    assert x.current.unreadable_share == pytest.approx(1 / found.current_rows)
    assert (y.current.missing_share, y.current.unreadable_share) == (pytest.approx(1 / found.current_rows), 0)


def test_columns_that_cannot_be_compared_are_named_and_the_rest_is(tmp_path: Path) -> None:
    n = 600
    columns = {
        "fine": floats(n),
        "empty": pa.nulls(n, pa.float64()),
        "nested": [[1, 2]] * n,
        "bytes": [b"x"] * n,
        "id": np.arange(n),
        "free": [f"text {place} {place % 7}" for place in range(n)],
        "skipped": floats(n),
    }
    many = {name: values for name, values in columns.items() if name != "free"}
    wide = {"free": [f"note {place}" for place in range(3000)], "fine": floats(3000)}
    found = both(tmp_path, many, many, ignore={"skipped"})
    assert [column.name for column in found.columns] == ["fine"]
    assert [aside.name for aside in found.set_aside] == ["empty", "nested", "bytes", "id"]
    assert all(aside.why.endswith(".") for aside in found.set_aside)
    found = both(tmp_path, wide, wide)
    assert [(aside.name, "free text" in aside.why) for aside in found.set_aside] == [("free", True)]


def test_a_type_that_changed_is_said_and_whole_to_fraction_is_none(tmp_path: Path) -> None:
    whole = np.arange(600) % 50
    before = {"x": whole, "y": whole, "t": pa.array(whole, pa.timestamp("s")), "b": whole > 5}
    now = {"x": whole.astype(float), "y": [str(value) for value in whole], "t": whole, "b": whole}
    changes = {column.name: column.type_change for column in both(tmp_path, before, now).columns}
    assert changes["x"] == ""
    assert changes["y"].endswith("VARCHAR")
    assert changes["t"].startswith("TIMESTAMP")
    assert changes["b"].startswith("BOOLEAN")


def test_hostile_column_names_are_names(tmp_path: Path) -> None:
    columns = {name: floats(seed=place) for place, name in enumerate(HOSTILE)}
    words = {f"{name}w": ["red", "blue", "ä'\";--"] * 200 for name in HOSTILE}
    found = both(tmp_path, columns | words, columns | words, target=HOSTILE[0])
    assert [column.name for column in found.columns] == [*columns, *words]
    assert found.target == HOSTILE[0]
    assert {column.drift.verdict for column in found.columns} == {Verdict.STABLE}


def test_categories_new_and_lost(tmp_path: Path) -> None:
    column = both(tmp_path, {"c": ["a"] * 400 + ["b"] * 200}, {"c": ["a"] * 300 + ["z"] * 300}).columns[0]
    assert column.form is Form.CATEGORY
    assert column.new == (("z", 0.5),)
    assert column.lost == (("b", pytest.approx(1 / 3)),)
    assert column.drift.verdict is Verdict.HIGH


def test_hours_of_the_day_also_before_1970(tmp_path: Path) -> None:
    hours = np.array(["1969-12-31T23:00:00"] * 600, dtype="datetime64[s]")
    column = both(tmp_path, {"t": hours}, {"t": hours + np.timedelta64(2, "h")}).columns[0]
    assert (column.reference.top, column.current.top) == ("23 h", "01 h")


@pytest.mark.parametrize("kind", [Kind.CSV, Kind.PARQUET])
def test_rows_are_chosen_by_their_time_and_those_without_one_are_counted(tmp_path: Path, kind: Kind) -> None:
    hours = [NOW - timedelta(hours=hour) for hour in range(1, 241)]
    frame = {"x": floats(242), "at": [*(moment.replace(tzinfo=None) for moment in hours), None, None]}
    source = parquet(tmp_path / "a.parquet", frame)
    if kind is Kind.CSV:
        lines = [f"{x},{moment or ''}" for x, moment in zip(frame["x"], frame["at"], strict=True)]
        source = text(tmp_path / "a.csv", "\n".join(["x,at", *lines]))
    day = Span(start_at=NOW - timedelta(days=1), end_at=NOW)
    last = replace(source, time="at", span=day)
    wanted = Wanted(ignore={"at"})
    with paired(source, last, wanted, scratch=tmp_path) as pair:
        found = compared(pair, wanted)
        assert (found.reference_rows, found.current_rows) == (242, 24)
        assert (pair.reference.timeless, pair.current.timeless) == (0, 2)
    with pytest.raises(Unreadable, match="no column 'when'"):
        screened(source, replace(last, time="when"), scratch=tmp_path)


def test_what_a_column_means_may_be_said(tmp_path: Path) -> None:
    """A code is a category even where it is a number; and 1 in one file is 1.0 in the next."""
    before = {"code": np.arange(600) % 3, "size": [str(value) for value in range(600)]}
    now = {"code": (np.arange(600) % 3).astype(float), "size": [str(value) for value in range(600)]}
    sources = parquet(tmp_path / "a.parquet", before), parquet(tmp_path / "b.parquet", now)
    wanted = Wanted(forms={"code": Form.CATEGORY, "size": Form.NUMBER})
    with paired(*sources, wanted, scratch=tmp_path) as pair:
        code = compared(pair, wanted).columns[0]
        assert pair.forms == wanted.forms
    assert code.names == ("0", "1", "2")
    assert code.drift.verdict is Verdict.STABLE


@pytest.mark.parametrize("name", ["x", "file_row_number"])
def test_a_large_table_is_asked_in_part_for_what_is_approximate_only(tmp_path: Path, name: str) -> None:
    """Sorted, so that a part which is not drawn evenly would have other deciles; and one value stands out once."""
    rows = 450_000
    before = {name: np.arange(rows) / rows, "y": floats(rows)}
    now = {name: np.concatenate([before[name][1:], [7.0]]), "y": floats(rows, 1)}
    column = both(tmp_path, before, now).columns[0]
    assert column.reference.deciles == pytest.approx([step / 10 for step in range(1, 10)], abs=0.01)
    assert (column.reference.n, sum(column.reference_counts), sum(column.current_counts)) == (rows, rows, rows)
    assert (column.current.highest, column.outside_top, column.outside_share) == (7.0, 7.0, pytest.approx(1 / rows))


def test_columns_gone_added_and_too_many(tmp_path: Path) -> None:
    before = {f"x{place}": floats(30) for place in range(6)}
    found = both(tmp_path, before | {"old": floats(30)}, before | {"new": floats(30)}, limits=Limits(columns=4))
    assert (found.gone, found.added) == (("old",), ("new",))
    assert len(found.columns) == 4
    assert [aside.name for aside in found.set_aside] == ["x4", "x5"]


def test_an_empty_current_window_is_a_result(tmp_path: Path) -> None:
    found = both(tmp_path, {"x": floats()}, {"x": floats(0)})
    assert (found.current_rows, found.columns[0].drift.value) == (0, None)
    assert found.columns[0].drift.verdict is Verdict.NONE_YET


def test_repeated_rows_are_counted_at_equal_numbers(tmp_path: Path) -> None:
    """Twice as many rows of few different ones repeat more; that is no sign of a batch loaded twice."""
    chance = np.random.default_rng(4)
    few = {name: chance.integers(0, 12, 4000) for name in ("a", "b", "c")}
    found = both(tmp_path, {name: values[:1000] for name, values in few.items()}, few)
    assert found.reference_repeated_share is not None
    assert found.current_repeated_share == pytest.approx(found.reference_repeated_share, abs=0.05)


def test_a_source_that_cannot_be_read_says_what_to_do(tmp_path: Path) -> None:
    good = parquet(tmp_path / "a.parquet", {"x": floats()})
    with pytest.raises(Unreadable, match="Check that the file exists"):
        screened(good, Source(kind=Kind.PARQUET, path=str(tmp_path / "none.parquet")), scratch=tmp_path)
    with pytest.raises(Unreadable, match="Check that the file exists"):
        screened(good, Source(kind=Kind.PARQUET, path=text(tmp_path / "c.csv", "x\n1\n").path), scratch=tmp_path)


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": Kind.CSV, "path": ""},
        {"kind": Kind.CSV, "path": "https://x/y.csv"},
        {"kind": Kind.CSV, "path": "a", "span": Span(start_at=NOW - timedelta(days=1), end_at=NOW)},
    ],
)
def test_a_source_whose_fields_do_not_fit_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"fetched first|name it as"):
        Source(**fields)


def test_duckdb_reaches_nothing_but_its_folders(tmp_path: Path) -> None:
    import duckdb

    (tmp_path / "work").mkdir()
    outside = text(tmp_path / "secret.csv", "x\n1\n").path
    with opened(tmp_path / "work", [], memory_mb=100, threads=1) as connection:
        for statement in (f"FROM read_csv('{outside}')", "SET enable_external_access = true", "INSTALL httpfs"):
            with pytest.raises(duckdb.Error):
                connection.execute(statement)


def test_little_memory_is_enough(tmp_path: Path) -> None:
    columns = {f"x{place}": floats(20_000, place) for place in range(30)}
    found = both(tmp_path, columns, columns, limits=Limits(memory_mb=64, threads=1))
    assert len(found.columns) == 30
