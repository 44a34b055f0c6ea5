"""Statements about due times, and the auditor's question whether anything that is open has none."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import and_, exists, func, or_, select, update
from sqlalchemy.engine import Connection, Row

from bot.effects import SetTimer
from bot.model import IncidentKind, IncidentState, TimerKind
from bot.store.database import Insert, run_upsert
from bot.store.records import Timer
from bot.store.tables import incident, timer

ARMED, DONE, CANCELLED = "armed", "done", "cancelled"
_LADDER = (
    TimerKind.ESCALATE, TimerKind.REPEAT, TimerKind.UNSNOOZE, TimerKind.NUDGE, TimerKind.LAPSE, TimerKind.INFORM,
)  # fmt: skip


def arm(connection: Connection, incident_id: str, wanted: SetTimer) -> None:
    """Fall due then; one that was set for the same is moved, and armed again."""
    row = {
        "incident_id": incident_id, "kind": wanted.kind, "epoch": wanted.epoch, "number": wanted.number,
        "plan_id": wanted.plan_id, "due_at": wanted.due_at, "state": ARMED,
    }  # fmt: skip
    run_upsert(connection, _move, timer, row)


def _move(row: Insert) -> Insert:
    what = [timer.c[name] for name in ("incident_id", "epoch", "kind", "number", "plan_id")]
    return row.on_conflict_do_update(index_elements=what, set_={"due_at": row.excluded.due_at, "state": ARMED})


def cancel_ladder(connection: Connection, incident_id: str, epoch: int) -> None:
    """Let no timer of the ladder fall due that was set before this epoch."""
    older = and_(timer.c.incident_id == incident_id, timer.c.epoch < epoch, timer.c.kind.in_(_LADDER))
    connection.execute(update(timer).where(older, timer.c.state == ARMED).values(state=CANCELLED))


def due(connection: Connection, now: datetime, limit: int) -> list[Timer]:
    """Armed timers whose time has come, the longest overdue first."""
    query = select(timer).where(timer.c.state == ARMED, timer.c.due_at <= now)
    return [_timer(row) for row in connection.execute(query.order_by(timer.c.due_at, timer.c.id).limit(limit))]


def take(connection: Connection, timer_ids: Sequence[int], now: datetime) -> frozenset[int]:
    """Mark due timers done. Each is given to one caller only.

    Incidents are locked first, as everywhere: who acknowledges holds the incident when they cancel its timers. One
    that somebody else holds is left for the next time: whoever locks many must wait for nobody, or two of them would
    wait for each other.
    """
    of_timers = select(timer.c.incident_id).where(timer.c.id.in_(timer_ids))
    locked = select(incident.c.id).where(incident.c.id.in_(of_timers)).with_for_update(skip_locked=True)
    free = [row.id for row in connection.execute(locked)]
    if not free:
        return frozenset()
    due = and_(timer.c.id.in_(timer_ids), timer.c.incident_id.in_(free), timer.c.state == ARMED, timer.c.due_at <= now)
    taken = connection.execute(update(timer).where(due).values(state=DONE).returning(timer.c.id))
    return frozenset(int(row.id) for row in taken)


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
