"""Statements about due times, and the auditor's question whether anything that is open has none."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import and_, exists, func, or_, select, update
from sqlalchemy.engine import Connection, Row

from bot.effects import SetTimer
from bot.model import IncidentKind, IncidentState, TimerKind
from bot.store.database import upsert
from bot.store.records import Timer
from bot.store.tables import incident, timer

ARMED, DONE, CANCELLED = "armed", "done", "cancelled"
_LADDER = (
    TimerKind.ESCALATE, TimerKind.REPEAT, TimerKind.UNSNOOZE, TimerKind.NUDGE, TimerKind.LAPSE, TimerKind.INFORM,
)  # fmt: skip


def arm(connection: Connection, incident_id: str, wanted: SetTimer) -> None:
    """Fall due then; one that was set for the same is moved, and armed again."""
    row = upsert(connection, timer).values(
        incident_id=incident_id, kind=wanted.kind, epoch=wanted.epoch, number=wanted.number, plan_id=wanted.plan_id,
        due_at=wanted.due_at, state=ARMED,
    )  # fmt: skip
    what = [timer.c[name] for name in ("incident_id", "epoch", "kind", "number", "plan_id")]
    connection.execute(
        row.on_conflict_do_update(index_elements=what, set_={"due_at": row.excluded.due_at, "state": ARMED})
    )


def cancel_ladder(connection: Connection, incident_id: str, epoch: int) -> None:
    """Let no timer of the ladder fall due that was set before this epoch."""
    older = and_(timer.c.incident_id == incident_id, timer.c.epoch < epoch, timer.c.kind.in_(_LADDER))
    connection.execute(update(timer).where(older, timer.c.state == ARMED).values(state=CANCELLED))


def due(connection: Connection, now: datetime, limit: int) -> list[Timer]:
    """Armed timers whose time has come, the longest overdue first."""
    query = select(timer).where(timer.c.state == ARMED, timer.c.due_at <= now)
    return [_timer(row) for row in connection.execute(query.order_by(timer.c.due_at, timer.c.id).limit(limit))]


def take(connection: Connection, timer_id: int, now: datetime) -> bool:
    """Mark a due timer done. True for one caller only.

    The incident is locked first, as everywhere: who acknowledges holds the incident when they cancel its timers.
    """
    of_timer = select(timer.c.incident_id).where(timer.c.id == timer_id).scalar_subquery()
    connection.execute(select(incident.c.id).where(incident.c.id == of_timer).with_for_update())
    mine = and_(timer.c.id == timer_id, timer.c.state == ARMED, timer.c.due_at <= now)
    return connection.execute(update(timer).where(mine).values(state=DONE)).rowcount == 1


def remove_ended(connection: Connection, before: datetime) -> int:
    """Remove timers that fell due before that time and are done or cancelled."""
    ended = and_(timer.c.state != ARMED, timer.c.due_at < before)
    return int(connection.execute(timer.delete().where(ended)).rowcount)


def next_due(connection: Connection) -> datetime | None:
    """When the next armed timer falls due."""
    found: datetime | None = connection.execute(select(func.min(timer.c.due_at)).where(timer.c.state == ARMED)).scalar()
    return found


def count_overdue(connection: Connection, before: datetime) -> int:
    """How many armed timers were due before that time."""
    query = select(func.count()).select_from(timer).where(timer.c.state == ARMED, timer.c.due_at < before)
    return int(connection.execute(query).scalar_one())


def unattended(connection: Connection) -> list[str]:
    """Open incidents that page nobody ever: open without a timer of the ladder, or snoozed without an end."""
    live = and_(timer.c.incident_id == incident.c.id, timer.c.state == ARMED, timer.c.epoch == incident.c.epoch)
    climbs = exists().where(live, timer.c.kind.in_((TimerKind.ESCALATE, TimerKind.REPEAT)))
    wakes = exists().where(live, timer.c.kind == TimerKind.UNSNOOZE)
    query = select(incident.c.id).where(
        incident.c.kind != IncidentKind.CHANGE,
        or_(
            and_(incident.c.state == IncidentState.OPEN, ~climbs),
            and_(incident.c.state == IncidentState.SNOOZED, ~wakes),
        ),
    )
    return [str(row.id) for row in connection.execute(query.order_by(incident.c.number))]


def _timer(row: Row[tuple[object, ...]]) -> Timer:
    return Timer(
        id=row.id, incident_id=row.incident_id, kind=TimerKind(row.kind), epoch=row.epoch, number=row.number,
        plan_id=row.plan_id, due_at=row.due_at,
    )  # fmt: skip
