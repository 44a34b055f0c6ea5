"""Connections to SQLite and PostgreSQL, transactions, and what goes wrong with them in plain words.

SQLite: write-ahead log, every commit waits for the disk, and a write begins with BEGIN IMMEDIATE, so that two writers
queue up at the beginning and never meet in the middle. Writers of one process queue at a lock of ours first, because
SQLite's own waiting polls. PostgreSQL: READ COMMITTED with row locks; every wait has an end.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeAlias, cast

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql import psycopg
from sqlalchemy.engine import URL, Connection, Engine, make_url

Insert: TypeAlias = sqlite.Insert | postgresql.Insert  # both know ON CONFLICT
_WAIT_S = 5.0  # for a lock, a connection or the network, before the caller is told that the store is down
_STATEMENT_S = 15  # no statement of ours takes a tenth of it
_POOL: dict[str, Any] = {
    "pool_pre_ping": True, "pool_size": 8, "max_overflow": 8, "pool_timeout": _WAIT_S,
    "isolation_level": "READ COMMITTED",
}  # fmt: skip
_MISSING = ("no such table", "does not exist", "no such column")


class StoreDown(Exception):
    """The database cannot take or give anything now. The message is safe to show.

    Nothing of the transaction was stored, unless the connection broke during the commit itself: then it may have been,
    as a whole. Trying again is right in both cases, because every event carries a key.
    """


class Conflict(Exception):
    """The database refused the write because of a constraint: somebody else was first. Nothing was stored."""


class Database:
    """A pool of connections. Safe to use from many threads."""

    def __init__(self, url: str) -> None:
        self.url = _url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self.engine = _sqlite(self.url) if self.is_sqlite else _postgresql(self.url)
        self._writers = threading.Lock()

    @property
    def path(self) -> Path | None:
        """The SQLite file, None for PostgreSQL."""
        return Path(self.url.database or "") if self.is_sqlite else None

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """One transaction that may write: committed at the end, rolled back when anything is raised."""
        with self._in_turn(), self.told(), self.engine.connect() as connection:
            connection.execution_options(mlops_write=True)
            with connection.begin():
                yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """One transaction that only reads, with one view of the data."""
        with self.told(), self.engine.connect() as connection, connection.begin():
            yield connection

    def make_file(self) -> None:
        """Make an SQLite file that only its owner can read, if there is none. StoreDown when it cannot be made."""
        if self.path is None or self.path.exists():
            return
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.touch(mode=0o600)
        except OSError as error:
            raise StoreDown(
                f"The database file {self.path} cannot be made ({error.strerror}). Choose another."
            ) from None

    def line(self) -> Connection:
        """A connection of its own, beside the pool and without transactions; PostgreSQL only. Close it at the end."""
        return _postgresql(self.url, poolclass=sa.NullPool, isolation_level="AUTOCOMMIT").connect()

    def close(self) -> None:
        """Give every connection back."""
        self.engine.dispose()

    @contextmanager
    def _in_turn(self) -> Iterator[None]:
        if not self.is_sqlite:
            yield
            return
        if not self._writers.acquire(timeout=_WAIT_S):
            raise StoreDown(f"The database is busy: another write has taken longer than {_WAIT_S:.0f} s. Try again.")
        try:
            yield
        finally:
            self._writers.release()

    @contextmanager
    def told(self) -> Iterator[None]:
        """Turn what the driver raises within the block into StoreDown or Conflict."""
        try:
            yield
        except exc.IntegrityError as error:
            raise Conflict(f"Somebody else was first: {_short(error, self.url)}.") from None
        except exc.TimeoutError:
            raise StoreDown(f"No free database connection within {_WAIT_S:.0f} s. Try again in a moment.") from None
        except exc.DBAPIError as error:
            ours = isinstance(error, (exc.ProgrammingError, exc.DataError, exc.NotSupportedError))
            if ours and not any(word in str(error.orig) for word in _MISSING):
                raise  # a mistake in a statement, not the database's trouble
            raise StoreDown(_sentence(_short(error, self.url))) from None
        except sqlite3.Error as error:  # while a connection is being prepared
            raise StoreDown(_sentence(_short(error, self.url))) from None


def upsert(connection: Connection, table: sa.Table) -> sqlite.Insert | postgresql.Insert:
    """An INSERT that knows ON CONFLICT, in the connection's dialect."""
    return sqlite.insert(table) if connection.dialect.name == "sqlite" else postgresql.insert(table)


def run_upsert(
    connection: Connection, build: Callable[[Insert], Insert], table: sa.Table, values: Mapping[str, object]
) -> None:
    """Execute an INSERT with ON CONFLICT that is compiled once, not each time.

    SQLAlchemy keeps no compiled form of these, and compiling one costs many times what executing it does. `build` adds
    the conflict's clause to an INSERT and must always add the same; `values` always has the same columns.
    """
    compiled = _compiled(build, connection.dialect.name, table, tuple(values))
    connection.execute(cast("sa.Executable", compiled), dict(values))


@lru_cache(maxsize=64)
def _compiled(build: Callable[[Insert], Insert], name: str, table: sa.Table, columns: tuple[str, ...]) -> sa.Compiled:
    insert: Insert = sqlite.insert(table) if name == "sqlite" else postgresql.insert(table)
    dialect: Callable[[], sa.Dialect] = sqlite.dialect if name == "sqlite" else psycopg.dialect
    return build(insert).compile(dialect=dialect(), column_keys=list(columns))


def lock_words(connection: Connection, words: str) -> None:
    """Let only one transaction at a time go on that names these words; SQLite has only one writer anyhow."""
    if connection.dialect.name != "sqlite":
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(hashtextextended(:words, 7))"), {"words": words})


def _url(given: str) -> URL:
    """The URL of a database we know. ValueError, without the password, for any other."""
    if "://" not in given:
        given = f"sqlite:///{given}"
    try:
        url = make_url(given)
    except exc.ArgumentError:
        raise ValueError(
            "The database URL cannot be read; write sqlite:///file or postgresql://user@host/name"
        ) from None
    if url.drivername == "sqlite":
        if url.database in {None, "", ":memory:"}:
            raise ValueError("SQLite needs a file, so that nothing is lost at a restart: sqlite:///mlops.db")
        return url
    if url.drivername in {"postgres", "postgresql", "postgresql+psycopg"}:
        return url.set(drivername="postgresql+psycopg")
    raise ValueError(f"Unknown database {url.drivername!r}; use sqlite:///file or postgresql://user@host/name")


def _sqlite(url: URL) -> Engine:
    engine = sa.create_engine(
        url, hide_parameters=True, pool_size=8, max_overflow=24, pool_timeout=_WAIT_S, connect_args={"timeout": _WAIT_S}
    )
    sa.event.listen(engine, "connect", _prepare_sqlite)
    sa.event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: sqlite3.Connection, _record: Any) -> None:
    connection.isolation_level = None  # the driver would begin transactions by itself, and too late
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout={_WAIT_S * 1000:.0f}")
    _use_wal(cursor)
    for pragma in ("synchronous=FULL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _use_wal(cursor: sqlite3.Cursor) -> None:
    """Switch a new file to the write-ahead log. SQLite does not wait for its lock here, so we do."""
    deadline = time.monotonic() + _WAIT_S
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("mlops_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _postgresql(url: URL, **pool: Any) -> Engine:
    milliseconds = {
        "lock_timeout": int(_WAIT_S * 1000),
        "statement_timeout": _STATEMENT_S * 1000,
        "idle_in_transaction_session_timeout": _STATEMENT_S * 1000,
    }
    options = " ".join(f"-c {name}={value}" for name, value in milliseconds.items())
    try:
        return sa.create_engine(
            url, hide_parameters=True, **(pool or _POOL),
            connect_args={
                "options": f"{options} -c timezone=UTC", "connect_timeout": int(_WAIT_S),
                "application_name": "mlops-bot",
            },
        )  # fmt: skip
    except ImportError:
        raise ValueError("PostgreSQL needs its driver: install mlops-bot with the extra 'postgres'") from None


def _short(error: Exception, url: URL) -> str:
    """The driver's own first line, capped, without the password or any value of ours."""
    cause = error.orig if isinstance(error, exc.DBAPIError) else error
    lines = str(cause).strip().splitlines() or [type(cause).__name__]
    line = lines[0]
    for secret in {url.password, str(url.password)} - {None, "None", ""}:
        line = line.replace(str(secret), "***")
    return line[:200].rstrip(".")


def _sentence(reason: str) -> str:
    if any(word in reason for word in _MISSING):
        return f"The database lacks our tables ({reason}). Run `mlops-bot migrate`."
    if "full" in reason or "No space" in reason:
        return f"The database cannot store anything more ({reason}). Free some space, then try again."
    if "lock" in reason:
        return f"The database is busy ({reason}). Try again in a moment."
    return f"The database cannot be reached or used ({reason}). Try again when it is back."
