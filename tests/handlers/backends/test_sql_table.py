"""The table of deployments on a real PostgreSQL and on SQLite: one transaction, old values named, shares add up."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from bot.ports import Foreign
from handlers.backends import sql_table
from tests.handlers.odd_server import nobody
from tests.store.conftest import empty_url, kind, postgres  # noqa: F401

MODEL = "intent_classifier"
SECRET = "canary-4711"
TABLES = """\
CREATE TABLE model_registry (
    id INTEGER PRIMARY KEY, model_name VARCHAR(80), version VARCHAR(40), deployed_at TIMESTAMP
);
CREATE TABLE model_deployments (
    id {serial}, model_id INTEGER REFERENCES model_registry (id), environment VARCHAR(40), endpoint_url VARCHAR(200),
    traffic_percentage NUMERIC(5, 2), status VARCHAR(40)
)
"""
REGISTERED = [
    (1, MODEL, "v1.1.0", "2026-01-01"), (2, MODEL, "v1.2.0", "2026-02-01"), (3, MODEL, "v1.3.0", "2026-03-01"),
    (4, "risk", "v1.2.0", "2026-03-02"),
]  # fmt: skip
DEPLOYED = [
    # What `UPDATE … SET status = 'rolled_back'` leaves: the share stays in the row.
    (1, 1, "production", "http://old/", 100, "rolled_back"),
    (2, 2, "production", "http://server/predict", 100, "active"),
    (3, 2, "canary", "http://server/predict", 100, "active"),
    (4, 4, "production", "http://risk/", 100, "active"),
]
SETTINGS = {
    "table": "model_deployments", "names": "model_registry", "environment": "environment", "status": "status",
    "created": "deployed_at", "carry": "endpoint_url",
}  # fmt: skip


@pytest.fixture
def engine(empty_url: str) -> Iterator[sa.Engine]:  # noqa: F811
    url = sa.make_url(empty_url)
    if url.get_backend_name() == "postgresql":
        url = url.set(drivername="postgresql+psycopg")
    one = sa.create_engine(url, poolclass=sa.NullPool)
    serial = "SERIAL PRIMARY KEY" if url.get_backend_name() == "postgresql" else "INTEGER PRIMARY KEY"
    with one.begin() as connection:
        for statement in TABLES.split(";"):
            connection.execute(sa.text(statement.format(serial=serial)))
        for number, model, name, day in REGISTERED:
            connection.execute(
                sa.text("INSERT INTO model_registry VALUES (:i, :m, :v, :d)"),
                {"i": number, "m": model, "v": name, "d": f"{day} 00:00:00"},
            )
        for row in DEPLOYED:
            text = "INSERT INTO model_deployments VALUES (:a, :b, :c, :d, :e, :f)"
            connection.execute(sa.text(text), dict(zip("abcdef", row, strict=True)))
        if serial.startswith("SERIAL"):
            connection.execute(sa.text("SELECT setval('model_deployments_id_seq', 10)"))
    yield one
    one.dispose()


@pytest.fixture
def table(engine: sa.Engine) -> Any:
    url = engine.url.set(drivername=engine.url.get_backend_name()).render_as_string()
    return sql_table.BACKEND.build({"url": url, **SETTINGS})


def rows(engine: sa.Engine) -> dict[int, tuple[float, str, str]]:
    with engine.connect() as connection:
        found = connection.execute(sa.text("SELECT * FROM model_deployments ORDER BY id")).fetchall()
    return {row[0]: (float(row[4] or 0), row[5], row[3]) for row in found}


def conflict(table: Any, **more: str) -> Foreign:
    with pytest.raises(Foreign) as raised:
        table.move_alias(MODEL, "production", **({"expected": "v1.2.0", "to": "v1.1.0"} | more))
    return raised.value


def test_versions_are_told_newest_first_and_of_this_model_only(table: Any) -> None:
    assert [one.version for one in table.versions(MODEL)] == ["v1.3.0", "v1.2.0", "v1.1.0"]
    assert table.alias(MODEL, "production") == "v1.2.0", "a share left in a row that is not live counts nothing"
    assert table.alias("risk", "production") == "v1.2.0"
    assert table.alias(MODEL, "shadow") is None
    for ask in (lambda: table.alias("nope", "production"), lambda: table.versions("nope")):
        with pytest.raises(Foreign) as raised:
            ask()
        assert raised.value.reason == "not_found"
    assert sql_table.BACKEND.check(table) == "answers, 4 rows"


def test_all_of_the_traffic_goes_back_and_nothing_else_is_touched(table: Any, engine: sa.Engine) -> None:
    table.move_alias(MODEL, "production", expected="v1.2.0", to="v1.1.0")
    after = rows(engine)
    assert after[1] == (100, "active", "http://old/")
    assert after[2] == (0, "rolled_back", "http://server/predict")
    assert (after[3], after[4]) == ((100, "active", "http://server/predict"), (100, "active", "http://risk/"))
    assert table.alias(MODEL, "production") == "v1.1.0"
    table.move_alias(MODEL, "production", expected="v1.2.0", to="v1.1.0")  # a repeat of what is done is no conflict
    assert rows(engine) == after


def test_a_version_without_a_row_gets_one_like_the_live_one(table: Any, engine: sa.Engine) -> None:
    table.move_alias(MODEL, "production", expected="v1.2.0", to="v1.3.0")
    new = next(value for key, value in rows(engine).items() if key > 4)
    assert new == (100, "active", "http://server/predict")
    assert rows(engine)[2][0] == 0
    assert table.alias(MODEL, "production") == "v1.3.0"


def test_what_is_not_as_previewed_changes_nothing(table: Any, engine: sa.Engine) -> None:
    before = rows(engine)
    problem = conflict(table, expected="v1.3.0")
    assert (problem.reason, problem.happened) == ("conflict", False)
    assert "says v1.2.0 for production of intent_classifier, not v1.3.0" in problem.sentence
    problem = conflict(table, to="v9.9.9")
    assert (problem.reason, problem.happened) == ("not_found", False)
    assert rows(engine) == before, "the rows that were changed before the version turned out to be missing are back"


def test_split_traffic_is_told_and_compared_as_it_is(table: Any, engine: sa.Engine) -> None:
    """A deployment that closed no row leaves two at 100 %; a canary leaves 90 and 10. One move puts either right."""
    with engine.begin() as connection:
        insert = "INSERT INTO model_deployments VALUES (20, 3, 'production', 'http://new/', 100, 'active')"
        connection.execute(sa.text(insert))
    assert table.alias(MODEL, "production") == "split: v1.2.0 100, v1.3.0 100"
    assert conflict(table).reason == "conflict"
    table.move_alias(MODEL, "production", expected="split: v1.2.0 100, v1.3.0 100", to="v1.2.0")
    assert table.alias(MODEL, "production") == "v1.2.0"
    assert rows(engine)[20] == (0, "rolled_back", "http://new/")


def test_an_empty_share_is_no_share_and_can_be_set(table: Any, engine: sa.Engine) -> None:
    with engine.begin() as connection:
        connection.execute(
            sa.text("UPDATE model_deployments SET traffic_percentage = NULL, status = NULL WHERE id = 1")
        )
    table.move_alias(MODEL, "production", expected="v1.2.0", to="v1.1.0")
    assert rows(engine)[1][:2] == (100, "active")


def test_of_two_who_move_at_once_one_wins(table: Any, engine: sa.Engine) -> None:
    """Many times, because the moment is short: never both, never neither, and the shares always add up."""
    for _ in range(4):
        start, ends = threading.Barrier(2), []

        def go(to: str, start: threading.Barrier = start, ends: list[str] = ends) -> None:
            start.wait()
            try:
                table.move_alias(MODEL, "production", expected="v1.2.0", to=to)
                ends.append("done")
            except Foreign as problem:
                ends.append(problem.reason if problem.happened is False else problem.sentence)

        threads = [threading.Thread(target=go, args=[to]) for to in ("v1.1.0", "v1.3.0")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert ends.count("done") == 1, ends
        assert set(ends) <= {"done", "conflict", "overloaded"}
        now = table.alias(MODEL, "production")
        assert now in ("v1.1.0", "v1.3.0")
        table.move_alias(MODEL, "production", expected=now, to="v1.2.0")


def test_somebody_who_holds_the_rows_is_waited_for_and_then_told(
    table: Any, engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sql_table, "WAIT_S", 1)
    with engine.connect() as holder:
        holder.execute(sa.text("UPDATE model_deployments SET status = 'active' WHERE id = 2"))
        problem = conflict(table)
        holder.rollback()
    assert (problem.reason, problem.happened) == ("overloaded", False)
    assert table.alias(MODEL, "production") == "v1.2.0"


def test_one_table_may_hold_it_all(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        connection.execute(
            sa.text("CREATE TABLE weights (id INTEGER PRIMARY KEY, model VARCHAR(40), v VARCHAR(40), w INTEGER)")
        )
        connection.execute(sa.text("INSERT INTO weights VALUES (1, 'rank', '7', 100), (2, 'rank', '8', 0)"))
    url = engine.url.set(drivername=engine.url.get_backend_name()).render_as_string()
    one: Any = sql_table.BACKEND.build({"url": url, "table": "weights", "model": "model", "version": "v", "share": "w"})
    assert one.alias("rank", "production") == "7"
    one.move_alias("rank", "production", expected="7", to="8")
    assert one.alias("rank", "production") == "8"


def test_names_are_bound_and_quoted(table: Any, engine: sa.Engine) -> None:
    hostile = "x'; DROP TABLE model_deployments; --"
    with pytest.raises(Foreign):
        table.alias(hostile, "production")
    assert table.alias(MODEL, hostile) is None
    assert conflict(table, to=hostile).reason == "not_found"
    assert len(rows(engine)) == 4


def test_a_missing_table_or_column_is_told(engine: sa.Engine) -> None:
    url = engine.url.set(drivername=engine.url.get_backend_name()).render_as_string()
    for change in ({"table": "nowhere"}, {"share": "nothing"}):
        with pytest.raises(Foreign) as raised:
            sql_table.BACKEND.build({"url": url, **SETTINGS, **change}).alias(MODEL, "production")  # type: ignore[attr-defined]
        assert raised.value.reason == "invalid", raised.value.sentence
        assert raised.value.happened is False


def test_a_database_that_is_not_there() -> None:
    with nobody() as address:
        port = address.rpartition(":")[2]
        one: Any = sql_table.BACKEND.build(
            {"url": f"postgresql://bot@127.0.0.1:{port}/db", "password": SECRET, "table": "t"}
        )
        with pytest.raises(Foreign) as raised:
            one.alias(MODEL, "production")
    assert (raised.value.reason, raised.value.happened) == ("unreachable", False)
    assert SECRET not in raised.value.sentence


@pytest.mark.parametrize(
    "settings, told",
    [
        ({}, "needs `table`"),
        ({"table": "t"}, "needs `url`"),
        ({"table": "t", "url": f"postgresql://u:{SECRET}@h/d"}, "`url` holds a password"),
    ],
)
def test_wrong_settings(settings: dict[str, str], told: str) -> None:
    with pytest.raises(ValueError, match=told) as raised:
        sql_table.BACKEND.build(settings)
    assert SECRET not in str(raised.value)
