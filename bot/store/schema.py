"""Which revision the tables have, and how they get to the newest one."""

from __future__ import annotations

import functools
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text
from sqlalchemy.engine import Connection

import bot.migrations
from bot.store.database import lock_words


def upgrade(connection: Connection) -> list[str]:
    """Apply what is missing, all or nothing; returns the revisions. Of two at once the second finds nothing to do."""
    if connection.dialect.name != "sqlite":  # changing tables may take its time, and so may waiting for who does
        connection.execute(text("SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0"))
    lock_words(connection, "schema")
    if connection.dialect.name != "sqlite" and inspect(connection).has_table("alembic_version"):
        # Whoever is writing finishes first, and nobody begins: see `fence`.
        connection.execute(text("LOCK TABLE alembic_version IN EXCLUSIVE MODE"))
    config = _config()
    scripts = ScriptDirectory.from_config(config)
    current = _current(connection)
    if not current <= _known(scripts):
        return []  # newer than this code: schema_problem says so
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
    applied = _known(scripts) - _ancestors(scripts, current)
    return sorted(applied)


def problem(connection: Connection) -> str:
    """Why the tables are not what this code needs, and what to do; "" when they are."""
    scripts = ScriptDirectory.from_config(_config())
    current, heads = _current(connection), frozenset(scripts.get_heads())
    if current == heads:
        return ""
    if not current:
        return "The database is empty. Run `mlops-bot migrate`."
    if not current <= _known(scripts):
        found = ", ".join(sorted(current))
        return f"The database was made by a newer mlops-bot (revision {found}). Start that version, or a newer one."
    found, needed = ", ".join(sorted(current)), ", ".join(sorted(heads))
    return f"The database is at revision {found}, this code needs {needed}. Run `mlops-bot migrate`."


def fence(connection: Connection) -> str:
    """Why this code must not write, "" when it may; asked at the beginning of every transaction that writes.

    The shared lock costs no row and conflicts with a migration only. The revision is read after it, so what a
    migration has just committed is seen.
    """
    if connection.dialect.name != "sqlite":
        connection.exec_driver_sql("LOCK TABLE alembic_version IN ROW SHARE MODE")
    found = frozenset(row[0] for row in connection.exec_driver_sql("SELECT version_num FROM alembic_version"))
    return "" if found == _heads() else problem(connection)


@functools.cache
def _heads() -> frozenset[str]:
    return frozenset(ScriptDirectory.from_config(_config()).get_heads())


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(bot.migrations.__file__).parent).replace("%", "%%"))
    return config


def _current(connection: Connection) -> frozenset[str]:
    return frozenset(MigrationContext.configure(connection).get_current_heads())


def _known(scripts: ScriptDirectory) -> frozenset[str]:
    return frozenset(script.revision for script in scripts.walk_revisions())


def _ancestors(scripts: ScriptDirectory, current: frozenset[str]) -> frozenset[str]:
    if not current:
        return frozenset()
    return frozenset(script.revision for script in scripts.iterate_revisions(tuple(current), "base"))
