"""Statements about the ledger of what was in production: lines are added, never changed."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import case, select
from sqlalchemy.engine import Connection, Row

from bot.ports import Move
from bot.store.database import lock_words, upsert
from bot.store.documents import clean
from bot.store.records import Watch
from bot.store.tables import move, watch


def lock(connection: Connection, system: str, model: str) -> None:
    """Until the end of this transaction, let nobody else add to the ledger of this model."""
    lock_words(connection, clean(f"ledger {system}/{model}"))


def add(connection: Connection, seen: Move) -> bool:
    """Note that something in production changed; False when it was noted before."""
    row = upsert(connection, move).values(
        system=clean(seen.system), model=clean(seen.model), what=clean(seen.what), from_version=clean(seen.from_),
        to_version=clean(seen.to), earliest_at=seen.earliest_at, latest_at=seen.latest_at, by=clean(seen.by),
        why=clean(seen.why), plan_id=clean(seen.plan_id), told_by=clean(seen.told_by),
    )  # fmt: skip
    return connection.execute(row.on_conflict_do_nothing().returning(move.c.id)).first() is not None


def of_model(connection: Connection, system: str, model: str, limit: int, what: str = "") -> tuple[Move, ...]:
    """What changed of a model, newest first; with `what`, one fact about it alone."""
    query = select(move).where(move.c.system == clean(system), move.c.model == clean(model))
    if what:
        query = query.where(move.c.what == clean(what))
    found = connection.execute(query.order_by(move.c.latest_at.desc(), move.c.id.desc()).limit(limit))
    return tuple(_move(row) for row in found)


def saw(connection: Connection, system: str, model: str, what: str, at: datetime) -> None:
    """Note that something was looked at, and is as the ledger's last line about it says."""
    row = upsert(connection, watch).values(
        system=clean(system), model=clean(model), what=clean(what), since_at=at, seen_at=at
    )
    later = case((row.excluded.seen_at > watch.c.seen_at, row.excluded.seen_at), else_=watch.c.seen_at)
    which = [watch.c[name] for name in ("system", "model", "what")]
    connection.execute(row.on_conflict_do_update(index_elements=which, set_={"seen_at": later}))


def watches(connection: Connection, system: str, model: str) -> dict[str, Watch]:
    """What is watched of a model, and since when."""
    found = connection.execute(select(watch).where(watch.c.system == clean(system), watch.c.model == clean(model)))
    return {row.what: Watch(since_at=row.since_at, seen_at=row.seen_at) for row in found}


def _move(row: Row[tuple[object, ...]]) -> Move:
    return Move(
        system=row.system, model=row.model, what=row.what, from_=row.from_version, to=row.to_version,
        earliest_at=row.earliest_at, latest_at=row.latest_at, by=row.by, why=row.why, plan_id=row.plan_id,
        told_by=row.told_by,
    )  # fmt: skip
