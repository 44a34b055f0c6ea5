"""A replica on a real SQLite file or a real PostgreSQL, with a local Slack workspace at the other end."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from bot.store import Store
from playground.slack import Workspace
from tests.engine.office import Clock, Office
from tests.store.builders import AUDIT_KEY
from tests.store.conftest import kind, migrated_file, open_store, postgres, store, url  # noqa: F401

NewOffice = Callable[..., Office]


@pytest.fixture
def ws() -> Iterator[Workspace]:
    """A workspace in which nothing is limited; a test that is about limits sets them."""
    with Workspace(limits="off", fails_on_exit=False) as one:
        yield one


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def file_store(migrated_file: Path, tmp_path: Path) -> Iterator[Store]:  # noqa: F811
    shutil.copy(migrated_file, tmp_path / "bot.db")
    one = Store(f"sqlite:///{tmp_path / 'bot.db'}", audit_key=AUDIT_KEY)
    yield one
    one.close()


@pytest.fixture
def new_office(ws: Workspace, clock: Clock) -> Iterator[NewOffice]:
    """Makes replicas; each is closed at the end."""
    with ExitStack() as stack:

        def make(store: Store, **more: Any) -> Office:
            one = Office(store, ws, clock, **more)
            stack.callback(one.close)
            return one

        yield make


@pytest.fixture
def office(file_store: Store, new_office: NewOffice) -> Office:
    """One replica on an SQLite file."""
    return new_office(file_store)
