"""Statements about who is on call by word of people and calendars: stand-ins, and the last good copy of a calendar."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from sqlalchemy import or_, select, update
from sqlalchemy.engine import Connection, Row

from bot.model import Who
from bot.policy.roster import CalendarCopy, Entry, StandIn
from bot.store.database import upsert
from bot.store.documents import clean, write_json
from bot.store.tables import calendar_copy, stand_in


def add_stand_in(connection: Connection, one: StandIn) -> None:
    """Keep a stand-in. Ids are given once, so this is too."""
    connection.execute(stand_in.insert().values(
        id=one.id, rotation=clean(one.rotation), person=clean(one.person), start_at=one.start_at, end_at=one.end_at,
        team_id=clean(one.by.team_id), user_id=clean(one.by.user_id), name=clean(one.by.name), made_at=one.made_at,
    ))  # fmt: skip


def stand_ins(connection: Connection, since: datetime) -> tuple[StandIn, ...]:
    """Stand-ins that end after that time and were not cancelled, in the order they were made."""
    query = select(stand_in).where(stand_in.c.cancelled_at.is_(None), stand_in.c.end_at > since)
    return tuple(_stand_in(row) for row in connection.execute(query.order_by(stand_in.c.seq)))


def cancel_stand_in(connection: Connection, which: str, now: datetime, by: Who) -> StandIn | None:
    """End a stand-in that is not over yet; the one that was ended, None when there is none (any more).

    What was is not undone: of one that runs, the hours that are past stay.
    """
    mine = (stand_in.c.id == clean(which), stand_in.c.cancelled_at.is_(None), stand_in.c.end_at > now)
    row = connection.execute(select(stand_in).where(*mine).with_for_update()).first()
    if row is None:
        return None
    values = {"cancelled_by": clean(by.name or by.user_id)}
    is_running = row.start_at < now
    ended: dict[str, object] = {"end_at": now} if is_running else {"cancelled_at": now}
    connection.execute(update(stand_in).where(stand_in.c.seq == row.seq).values(**values, **ended))
    return _stand_in(row)


def forget_stand_ins(connection: Connection, before: datetime) -> int:
    """Remove stand-ins that ended before that time."""
    over = or_(stand_in.c.end_at < before, stand_in.c.cancelled_at < before)
    return int(connection.execute(stand_in.delete().where(over)).rowcount)


def take_turn(connection: Connection, name: str, now: datetime, before: datetime) -> bool:
    """Whether this caller is the one who reads the calendar now: nobody has tried since `before`."""
    row = upsert(connection, calendar_copy).values(name=clean(name), tried_at=now)
    due = calendar_copy.c.tried_at <= before
    taken = row.on_conflict_do_update(index_elements=[calendar_copy.c.name], set_={"tried_at": now}, where=due)
    return connection.execute(taken.returning(calendar_copy.c.name)).first() is not None


def keep_copy(connection: Connection, name: str, body: str, entries: tuple[Entry, ...], now: datetime) -> None:
    """A calendar was read: this is its last good copy from now on."""
    laid_out = [[one.title, list(one.emails), one.start_at.timestamp(), one.end_at.timestamp()] for one in entries]
    values = {
        "body": clean(body), "entries": write_json(laid_out), "fetched_at": now, "laid_out_at": now, "tried_at": now,
        "error": "",
    }  # fmt: skip
    row = upsert(connection, calendar_copy).values(name=clean(name), **values)
    connection.execute(row.on_conflict_do_update(index_elements=[calendar_copy.c.name], set_=values))


def keep_older(connection: Connection, name: str, entries: tuple[Entry, ...] | None, error: str, now: datetime) -> None:
    """A calendar could not be read: the last good copy stays, its repeats laid out anew where that was possible."""
    values: dict[str, object] = {"error": clean(error)[:500], "tried_at": now}
    if entries is not None:
        laid_out = [[one.title, list(one.emails), one.start_at.timestamp(), one.end_at.timestamp()] for one in entries]
        values |= {"entries": write_json(laid_out), "laid_out_at": now}
    row = upsert(connection, calendar_copy).values(name=clean(name), **values)
    connection.execute(row.on_conflict_do_update(index_elements=[calendar_copy.c.name], set_=values))


def marks(connection: Connection) -> dict[str, tuple[datetime | None, datetime | None, str]]:
    """By which each copy is known to have changed, without reading it."""
    columns = (calendar_copy.c.name, calendar_copy.c.laid_out_at, calendar_copy.c.tried_at, calendar_copy.c.error)
    return {row.name: (row.laid_out_at, row.tried_at, row.error) for row in connection.execute(select(*columns))}


def copies(connection: Connection) -> dict[str, CalendarCopy]:
    """Every copy, by name."""
    columns = (calendar_copy.c[one] for one in ("name", "entries", "fetched_at", "tried_at", "error"))
    return {
        row.name: CalendarCopy(
            name=row.name, entries=_entries(row.entries), fetched_at=row.fetched_at, tried_at=row.tried_at,
            error=row.error,
        )
        for row in connection.execute(select(*columns))
    }  # fmt: skip


def body(connection: Connection, name: str) -> str:
    """The text of the last good copy, "" while there is none."""
    query = select(calendar_copy.c.body).where(calendar_copy.c.name == clean(name))
    return str(connection.execute(query).scalar() or "")


def _entries(text: str) -> tuple[Entry, ...]:
    return tuple(
        Entry(
            title=title, emails=tuple(emails), start_at=datetime.fromtimestamp(start, UTC),
            end_at=datetime.fromtimestamp(end, UTC),
        )
        for title, emails, start, end in json.loads(text or "[]")
    )  # fmt: skip


def _stand_in(row: Row[tuple[object, ...]]) -> StandIn:
    return StandIn(
        id=row.id, rotation=row.rotation, person=row.person, start_at=row.start_at, end_at=row.end_at,
        by=Who(team_id=row.team_id, user_id=row.user_id, name=row.name), made_at=row.made_at,
    )  # fmt: skip
