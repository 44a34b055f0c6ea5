"""How the tables come to be: from nothing, twice, at once, and with a version of the bot that is too old or too new."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

import bot.migrations
from bot.effects import SetTimer, ShowHeadline
from bot.model import TimerKind
from bot.store import Store, StoreDown
from bot.store.tables import metadata
from tests.store.builders import LEASE, T0, claim, incident, save
from tests.store.conftest import Open

ALL = sorted(path.stem.split("_")[0] for path in Path(bot.migrations.__file__ or "").parent.glob("versions/r[0-9]*.py"))


def test_tables_are_made_once(empty_url: str, open_store: Open) -> None:
    store = open_store(empty_url)

    assert "empty" in store.schema_problem()
    assert "mlops-bot migrate" in store.schema_problem()
    assert store.migrate() == ALL
    assert store.schema_problem() == ""
    save(store, incident())
    assert store.migrate() == []
    assert store.incident("INC-1") is not None


def test_without_tables_the_store_is_down_and_says_what_to_do(empty_url: str, open_store: Open) -> None:
    store = open_store(empty_url)

    with pytest.raises(StoreDown, match="mlops-bot migrate"):
        store.incidents()
    with pytest.raises(StoreDown, match="mlops-bot migrate"), store.begin() as tx:
        tx.next_id("INC")
    store.ping()


def test_two_that_start_at_once_make_them_once(empty_url: str, open_store: Open) -> None:
    stores = [open_store(empty_url) for _ in range(3)]
    gate = threading.Barrier(len(stores))
    applied: list[list[str]] = []

    def start(store: Store) -> None:
        gate.wait()
        applied.append(store.migrate())

    threads = [threading.Thread(target=start, args=(store,)) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)

    assert sorted(applied) == [[], [], ALL]
    assert stores[0].schema_problem() == ""


def test_a_newer_database_is_refused_and_left_alone(own_store: Store) -> None:
    with own_store._database.write() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = 'r9999'"))

    assert "newer mlops-bot (revision r9999)" in own_store.schema_problem()
    assert own_store.migrate() == []
    assert "r9999" in own_store.schema_problem()


def newer(store: Store) -> None:
    """What the migration of a newer release does last."""
    with store._database.write() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = 'r9999'"))


def test_an_older_replica_writes_nothing_once_a_newer_one_has_changed_the_tables(own_store: Store) -> None:
    """Not five seconds later, when it looks: the next thing it tries is refused, whatever it is."""
    save(own_store, incident(), ShowHeadline(), SetTimer(kind=TimerKind.ESCALATE, due_at=T0, epoch=1, number=1))
    [job] = claim(own_store)
    newer(own_store)
    writes: tuple[Callable[[], object], ...] = (
        lambda: save(own_store, incident(title="changed by the old")),
        lambda: claim(own_store, "work"),
        lambda: own_store.still_mine(job, T0, LEASE / 2),
        lambda: own_store.delivered(job, T0, "C1", "1.0"),
        lambda: own_store.prune(T0, LEASE),
        lambda: own_store.release("one", T0),
    )
    for write in writes:
        with pytest.raises(StoreDown, match=r"newer mlops-bot \(revision r9999\)"):
            write()
    found = own_store.incident("INC-1")  # it may look
    assert found is not None
    assert found.title == incident().title


def test_a_migration_waits_for_whoever_writes_and_whoever_comes_then_is_refused(
    empty_url: str, open_store: Open
) -> None:
    """Two replicas and an upgrade on PostgreSQL: the old one's transaction ends first, and it begins no other."""
    old = open_store(empty_url)
    if old.is_sqlite:
        pytest.skip("an SQLite file has one process, so nobody writes while it migrates")
    old.migrate()
    inside, may_end = threading.Event(), threading.Event()
    order: list[str] = []

    def write() -> None:
        with old.begin() as tx:
            inside.set()
            may_end.wait(10)
            tx.count("written")
        order.append("the old one's write")

    def upgrade() -> None:
        with old._database.write() as connection:
            connection.execute(sa.text("LOCK TABLE alembic_version IN EXCLUSIVE MODE"))
            connection.execute(sa.text("UPDATE alembic_version SET version_num = 'r9999'"))
            order.append("the upgrade")

    writing, upgrading = threading.Thread(target=write), threading.Thread(target=upgrade)
    writing.start()
    assert inside.wait(10)
    upgrading.start()
    upgrading.join(timeout=0.3)
    assert upgrading.is_alive(), "it did not wait"
    may_end.set()
    writing.join(timeout=10)
    upgrading.join(timeout=10)

    assert sorted(order) == ["the old one's write", "the upgrade"]
    with pytest.raises(StoreDown, match="newer mlops-bot"), old.begin() as tx:
        tx.count("written")
    assert old.counters() == {"written": 1}


def test_the_migrations_make_what_the_code_believes(store: Store) -> None:
    """Else a statement works in the tests and fails at an operator's."""
    with store._database.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
        names = {index["name"] for table in metadata.tables for index in sa.inspect(connection).get_indexes(table)}

    assert names >= {index.name for table in metadata.tables.values() for index in table.indexes}


def test_partial_indices_hold_what_the_states_say(store: Store) -> None:
    """The conditions of the migration are text; the states are code. One must not move without the other."""
    table = "sqlite_master" if store.is_sqlite else "pg_indexes"
    columns = ("name", "sql") if store.is_sqlite else ("indexname", "indexdef")
    with store._database.read() as connection:
        found = dict(connection.execute(sa.text(f"SELECT {columns[0]}, {columns[1]} FROM {table}")).tuples().all())
    for name in ("uq_incident_open_key", "uq_plan_target", "ix_timer_due", "ix_outbox_waiting"):
        index = next(index for each in metadata.tables.values() for index in each.indexes if index.name == name)
        words = str(index.dialect_options["sqlite"]["where"]).split("'")[1::2]
        assert words
        assert all(f"'{word}'" in found[name] for word in words), found[name]
        assert found[name].count("'") == 2 * len(words)


def test_migrations_travel_with_the_package() -> None:
    import bot.migrations

    folder = Path(bot.migrations.__file__).parent
    assert (folder / "env.py").is_file()
    assert list((folder / "versions").glob("r*.py"))
