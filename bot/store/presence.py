"""Which replicas are alive, as PostgreSQL sees it: each holds a lock for as long as its process and its line do.

A replica that is killed loses its lock at once, so the others need not wait for its leases. One that is merely cut off
loses it as well and may still be in the midst of a call; so whoever takes over goes by the rules for a lost claim: what
was not begun goes again, what may have been sent is looked for first, a moment later.
"""

from __future__ import annotations

import threading

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.engine import Connection

from bot.store.database import Database

_HOLD = sa.text("SELECT pg_try_advisory_lock(hashtextextended(:owner, 11))")
_FREE = sa.text("SELECT pg_advisory_unlock(hashtextextended(:owner, 11))")


class Presence:
    """This replica's own lock, and a look at others'. Used by one thread at a time; calls exclude each other."""

    def __init__(self, database: Database, owner: str) -> None:
        self._database, self._owner = database, owner
        self._line: Connection | None = None
        self._lock = threading.Lock()

    def is_gone(self, owner: str) -> bool:
        """True when nobody holds that owner's lock. Raises SQLAlchemy's errors; the lock is then to be taken anew."""
        with self._lock:
            line = self._held()
            try:
                if not line.execute(_HOLD, {"owner": owner}).scalar():
                    return False
                line.execute(_FREE, {"owner": owner})
            except exc.SQLAlchemyError:
                self._drop()
                raise
            return True

    def hold(self) -> None:
        """Take the own lock, or make sure that it is held still. Raises SQLAlchemy's errors."""
        with self._lock:
            line = self._held()
            try:
                line.execute(sa.text("SELECT 1"))
            except exc.SQLAlchemyError:
                self._drop()
                raise

    def close(self) -> None:
        """Give the lock up."""
        with self._lock:
            self._drop()

    def _held(self) -> Connection:
        if self._line is None or self._line.closed:
            self._line = self._database.line()
            self._line.execute(_HOLD, {"owner": self._owner})
        return self._line

    def _drop(self) -> None:
        if self._line is not None:
            line, self._line = self._line, None
            line.close()
