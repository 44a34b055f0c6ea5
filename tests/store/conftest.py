"""Every test that takes `store` runs twice: on SQLite and on a real PostgreSQL. What one promises, both promise."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from bot.store import Store
from bot.store.tables import metadata
from playground import parts
from tests.store.builders import AUDIT_KEY
from tests.store.postgres_server import Server, running

NewUrl = Callable[[], str]
Open = Callable[[str], Store]


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """A server with a migrated database called `migrated`."""
    program = parts.find("postgres")
    if program is None:
        pytest.skip(
            "PostgreSQL is not on this machine: nothing the store promises was proven on it (make test gets it)"
        )
    with running(program) as server:
        server.run("CREATE DATABASE migrated")
        store = Store(server.url("migrated"), audit_key=AUDIT_KEY)
        store.migrate()
        store.close()
        server.run("CREATE DATABASE shared TEMPLATE migrated")
        yield server


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite file with the tables and nothing in them."""
    path = tmp_path_factory.mktemp("migrated") / "bot.db"
    store = Store(str(path), audit_key=AUDIT_KEY)
    store.migrate()
    store.close()
    return path


@pytest.fixture(params=["sqlite", "postgresql"])
def kind(request: pytest.FixtureRequest) -> str:
    """Which database the test runs on."""
    return str(request.param)


@pytest.fixture
def empty_url(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database without tables."""
    if kind == "sqlite":
        yield f"sqlite:///{tmp_path / 'bot.db'}"
        return
    server: Server = request.getfixturevalue("postgres")
    url = server.new_database()
    yield url
    server.drop(url)


@pytest.fixture
def url(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A migrated database with nothing in it. A test that changes the tables themselves takes `own_url`."""
    if kind == "sqlite":
        shutil.copy(request.getfixturevalue("migrated_file"), tmp_path / "bot.db")
        return f"sqlite:///{tmp_path / 'bot.db'}"
    server: Server = request.getfixturevalue("postgres")
    return server.emptied("shared", [name for name in metadata.tables if name != "alembic_version"])


@pytest.fixture
def own_url(kind: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """A migrated database that nobody uses afterwards."""
    if kind == "sqlite":
        yield request.getfixturevalue("url")
        return
    server: Server = request.getfixturevalue("postgres")
    url = server.new_database("migrated")
    yield url
    server.drop(url)


@pytest.fixture
def open_store() -> Iterator[Open]:
    """Opens stores and closes them after the test: a second one on the same database is another replica."""
    with ExitStack() as stack:

        def opened(url: str) -> Store:
            store = Store(url, audit_key=AUDIT_KEY)
            stack.callback(store.close)
            return store

        yield opened


@pytest.fixture
def store(url: str, open_store: Open) -> Store:
    """A store on a migrated, empty database."""
    return open_store(url)


@pytest.fixture
def own_store(own_url: str, open_store: Open) -> Store:
    """A store on a migrated, empty database whose tables may be changed."""
    return open_store(own_url)
