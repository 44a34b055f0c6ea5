"""Which revision the tables have, and how they get to the newest one."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text
from sqlalchemy.engine import Connection

import bot.migrations
from bot.store.database import lock_words


def upgrade(connection: Connection) -> list[str]:
    """Apply what is missing, all or nothing; returns the revisions. Of two at once the second finds nothing to do."""
    if connection.dialect.name != "sqlite":  # changing tables may take its time, and so may waiting for who does
        connection.execute(text("SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0"))
    lock_words(connection, "schema")
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
