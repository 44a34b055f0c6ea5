"""Statements about everything small: ids, counters, handled events, freezes, debts, bad versions, bad alerts."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from sqlalchemy import func, select, update
from sqlalchemy.engine import Connection

from bot.effects import MarkBad, OpenDebt
from bot.model import Subject, Who
from bot.policy import Hold
from bot.store.database import upsert
from bot.store.documents import bounded, clean
from bot.store.records import Debt, Quarantined
from bot.store.tables import bad_version, counter, debt, event_key, freeze, hold, quarantine, sequence

_RAW_CHARS = 4_000  # of a bad alert: enough to see what is wrong with it
_QUARANTINED = 1_000  # kept; a sender that is broken for a week must not fill the disk


def first_time(connection: Connection, key: str, now: datetime) -> bool:
    """Remember that an event was handled; False when it was before."""
    row = upsert(connection, event_key).values(key=bounded(key), at=now)
    return connection.execute(row.on_conflict_do_nothing().returning(event_key.c.key)).first() is not None


def forget_keys(connection: Connection, before: datetime) -> int:
    """Forget the keys of events that were handled before that time."""
    return int(connection.execute(event_key.delete().where(event_key.c.at < before)).rowcount)


def next_number(connection: Connection, name: str) -> int:
    """The next number of a sequence, from 1."""
    row = upsert(connection, sequence).values(name=name, value=1)
    raised = row.on_conflict_do_update(index_elements=[sequence.c.name], set_={"value": sequence.c.value + 1})
    return int(connection.execute(raised.returning(sequence.c.value)).scalar_one())


def add_counts(connection: Connection, counts: Mapping[str, int]) -> None:
    """Raise counters, always in the same order, so that two transactions never wait for each other in a circle."""
    for name in sorted(counts):
        row = upsert(connection, counter).values(name=name, value=counts[name])
        total = counter.c.value + row.excluded.value
        connection.execute(row.on_conflict_do_update(index_elements=[counter.c.name], set_={"value": total}))


def counts(connection: Connection) -> dict[str, int]:
    """Every counter."""
    return {row.name: int(row.value) for row in connection.execute(select(counter).order_by(counter.c.name))}


def set_aside(connection: Connection, raw: str, why: str, now: datetime) -> None:
    """Keep a bad alert for people to look at; the oldest make room."""
    values = {"at": now, "raw": clean(raw)[:_RAW_CHARS], "why": clean(why)[:_RAW_CHARS]}
    added = quarantine.insert().values(values).returning(quarantine.c.id)
    newest = int(connection.execute(added).scalar_one())
    connection.execute(quarantine.delete().where(quarantine.c.id <= newest - _QUARANTINED))


def quarantined(connection: Connection, limit: int) -> list[Quarantined]:
    """Bad alerts, newest first."""
    found = connection.execute(select(quarantine).order_by(quarantine.c.id.desc()).limit(limit))
    return [Quarantined(at=row.at, raw=row.raw, why=row.why) for row in found]


def set_freeze(connection: Connection, system: str, until: datetime, by: Who, reason: str) -> None:
    """Let no change of the system start before that time."""
    name = clean(by.name or by.user_id)
    row = upsert(connection, freeze).values(system=clean(system), until=until, by_name=name, reason=clean(reason))
    changed = {column: row.excluded[column] for column in ("until", "by_name", "reason")}
    connection.execute(row.on_conflict_do_update(index_elements=[freeze.c.system], set_=changed))


def end_freeze(connection: Connection, system: str) -> None:
    """End a freeze."""
    connection.execute(freeze.delete().where(freeze.c.system == clean(system)))


def frozen(connection: Connection, system: str, now: datetime) -> str:
    """Why changes of the system are frozen, with who and until when; "" when they are not."""
    query = select(freeze).where(freeze.c.system == clean(system), freeze.c.until > now)
    row = connection.execute(query).first()
    if row is None:
        return ""
    return f"{row.reason} (by {row.by_name}, until {row.until.astimezone(UTC):%Y-%m-%d %H:%M} UTC)"


def set_hold(connection: Connection, one: Hold) -> None:
    """Hold pages about a part of a system until a time; what was said of the same part before is replaced."""
    values = {"until": one.until, "why": clean(one.why), "by_name": clean(one.by)}
    row = upsert(connection, hold).values(system=clean(one.system), part=clean(one.part), **values)
    connection.execute(row.on_conflict_do_update(index_elements=[hold.c.system, hold.c.part], set_=values))


def end_hold(connection: Connection, system: str, part: str, now: datetime) -> bool:
    """Hold no more; False when nothing was held there."""
    mine = (hold.c.system == clean(system), hold.c.part == clean(part))
    ended = connection.execute(hold.delete().where(*mine).returning(hold.c.until)).first()
    return ended is not None and ended.until > now


def holds(connection: Connection, now: datetime) -> tuple[Hold, ...]:
    """What holds now."""
    found = connection.execute(select(hold).where(hold.c.until > now).order_by(hold.c.system, hold.c.part))
    return tuple(Hold(system=row.system, part=row.part, until=row.until, why=row.why, by=row.by_name) for row in found)


def forget_holds(connection: Connection, before: datetime) -> int:
    """Remove what ended before that time."""
    return int(connection.execute(hold.delete().where(hold.c.until < before)).rowcount)


def open_debt(connection: Connection, owed: OpenDebt, incident_id: str, now: datetime) -> None:
    """Somebody else must look at this break-glass approval."""
    row = upsert(connection, debt).values(
        plan_id=owed.plan_id, incident_id=incident_id, team_id=clean(owed.by.team_id), user_id=clean(owed.by.user_id),
        name=clean(owed.by.name), reason=clean(owed.reason), opened_at=now,
    )  # fmt: skip
    connection.execute(row.on_conflict_do_nothing())


def count_debts(connection: Connection, who: Who) -> int:
    """How many break-glass approvals of a person nobody has looked at."""
    mine = (debt.c.team_id == clean(who.team_id), debt.c.user_id == clean(who.user_id), debt.c.reviewed_at.is_(None))
    return int(connection.execute(select(func.count()).select_from(debt).where(*mine)).scalar_one())


def review_debt(connection: Connection, plan_id: str, by: Who, now: datetime) -> bool:
    """Somebody looked at it; False when there is none open, or it is their own."""
    is_own = (debt.c.team_id == clean(by.team_id)) & (debt.c.user_id == clean(by.user_id))
    reviewed = {"reviewed_at": now, "reviewer_team_id": clean(by.team_id), "reviewer_user_id": clean(by.user_id)}
    of_plan = update(debt).where(debt.c.plan_id == plan_id, debt.c.reviewed_at.is_(None), ~is_own)
    return connection.execute(of_plan.values(reviewed)).rowcount == 1


def debts_open(connection: Connection) -> list[Debt]:
    """Break-glass approvals that nobody has looked at, oldest first."""
    query = select(debt).where(debt.c.reviewed_at.is_(None)).order_by(debt.c.opened_at, debt.c.plan_id)
    return [
        Debt(
            plan_id=row.plan_id, incident_id=row.incident_id, reason=row.reason, opened_at=row.opened_at,
            by=Who(team_id=row.team_id, user_id=row.user_id, name=row.name),
        )
        for row in connection.execute(query)
    ]  # fmt: skip


def mark_bad(connection: Connection, about: Subject, marked: MarkBad, now: datetime) -> None:
    """Remember that a version is not to be chosen as known-good; the last reason stays."""
    row = upsert(connection, bad_version).values(
        system=clean(about.system), model=clean(about.model or about.service), version=clean(marked.version),
        why=clean(marked.why), plan_id=marked.plan_id, at=now,
    )  # fmt: skip
    which = [bad_version.c[name] for name in ("system", "model", "version")]
    changed = {column: row.excluded[column] for column in ("why", "plan_id", "at")}
    connection.execute(row.on_conflict_do_update(index_elements=which, set_=changed))


def bad_versions(connection: Connection, system: str, model: str) -> dict[str, str]:
    """Versions of a model that were marked bad, each with the reason."""
    of_model = (bad_version.c.system == clean(system), bad_version.c.model == clean(model))
    found = connection.execute(select(bad_version).where(*of_model).order_by(bad_version.c.at))
    return {row.version: row.why for row in found}
