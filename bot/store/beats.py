"""Statements about heartbeats that are waited for: when each was last seen, and when its silence is one too many."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.engine import Connection

from bot.store.database import upsert
from bot.store.documents import clean
from bot.store.tables import heartbeat


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """What is known of one heartbeat. The due time is absolute, so a restart changes nothing."""

    name: str
    seen_at: datetime | None  # None: never
    due_at: datetime  # silence until then is one too many
    silent_since: datetime | None  # the due time that passed; None while it beats


def beats(connection: Connection) -> dict[str, Beat]:
    """Every heartbeat, by name."""
    return {
        row.name: Beat(name=row.name, seen_at=row.seen_at, due_at=row.due_at, silent_since=row.silent_since)
        for row in connection.execute(select(heartbeat).order_by(heartbeat.c.name))
    }


def seen(connection: Connection, name: str, now: datetime, due_at: datetime) -> None:
    """It beat; the next one is due then."""
    row = upsert(connection, heartbeat).values(name=clean(name), seen_at=now, due_at=due_at)
    changed = {"seen_at": now, "due_at": due_at, "silent_since": None}
    connection.execute(row.on_conflict_do_update(index_elements=[heartbeat.c.name], set_=changed))


def wait_for(connection: Connection, name: str, due_at: datetime) -> None:
    """Begin to wait for one that is not waited for yet."""
    row = upsert(connection, heartbeat).values(name=clean(name), due_at=due_at)
    connection.execute(row.on_conflict_do_nothing())


def overdue(connection: Connection, name: str, now: datetime) -> None:
    """It said itself that it has stopped: nothing more is waited for."""
    mine = (heartbeat.c.name == clean(name), heartbeat.c.silent_since.is_(None), heartbeat.c.due_at > now)
    connection.execute(update(heartbeat).where(*mine).values(due_at=now))


def missed(connection: Connection, name: str, due_at: datetime) -> bool:
    """Its due time passed. False when it beat in the meantime, or when this is known."""
    mine = (heartbeat.c.name == clean(name), heartbeat.c.due_at == due_at, heartbeat.c.silent_since.is_(None))
    return connection.execute(update(heartbeat).where(*mine).values(silent_since=due_at)).rowcount == 1


def give_grace(connection: Connection, until: Mapping[str, datetime]) -> None:
    """Let nothing that is not silent yet be missed before those times."""
    for name, at in sorted(until.items()):
        mine = (heartbeat.c.name == clean(name), heartbeat.c.silent_since.is_(None), heartbeat.c.due_at < at)
        connection.execute(update(heartbeat).where(*mine).values(due_at=at))


def forget(connection: Connection, name: str) -> None:
    """Wait no more for it."""
    connection.execute(heartbeat.delete().where(heartbeat.c.name == clean(name)))
