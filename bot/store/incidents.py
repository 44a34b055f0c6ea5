"""Statements about incidents, their plans, and the alerts that belong to them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from sqlalchemy import and_, bindparam, func, or_, select, update
from sqlalchemy.engine import Connection, Row

from bot.model import LOCKING_PLAN_STATES, OPEN_STATES, Alert, Incident
from bot.policy.alerts import Verdict, judge_episode
from bot.store.database import Conflict, upsert
from bot.store.documents import bounded, clean, read_alert, read_incident, write_alert, write_incident
from bot.store.records import AlertRow, Merge
from bot.store.tables import alert, incident, plan

T = TypeVar("T")
_OPEN = tuple(sorted(OPEN_STATES))
_LOCKING = tuple(sorted(LOCKING_PLAN_STATES))
_STORED = (incident.c.version, incident.c.document)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """An incident with what its next save must find unchanged."""

    incident: Incident
    version: int
    document: str


def load(connection: Connection, incident_id: str, *, lock: bool) -> Stored | None:
    """The incident of that id; with `lock`, nobody else changes it before this transaction ends."""
    query = select(*_STORED).where(incident.c.id == incident_id)
    return _stored(connection.execute(query.with_for_update() if lock else query).first())


def load_for_key(connection: Connection, key: str, resolved_after: datetime) -> Stored | None:
    """The open incident of that key, else the newest that was resolved after that time; locked."""
    of_key = select(*_STORED).where(incident.c.key == bounded(key)).with_for_update()
    found = connection.execute(of_key.where(incident.c.state.in_(_OPEN))).first()
    if found is None:
        again = of_key.where(incident.c.state.not_in(_OPEN), incident.c.resolved_at > resolved_after)
        found = connection.execute(again.order_by(incident.c.resolved_at.desc()).limit(1)).first()
    return _stored(found)


def newest(connection: Connection, *, open_only: bool, limit: int, system: str) -> list[Incident]:
    """Incidents, newest first."""
    query = select(incident.c.document).order_by(incident.c.opened_at.desc(), incident.c.number.desc()).limit(limit)
    if open_only:
        query = query.where(incident.c.state.in_(_OPEN))
    if system:
        query = query.where(incident.c.system == system)
    return [read_incident(row.document) for row in connection.execute(query)]


def open_ids(connection: Connection, system: str) -> list[str]:
    """Ids of the open incidents of a system, in order."""
    is_open = incident.c.state.in_([str(state) for state in OPEN_STATES])
    query = select(incident.c.id).where(is_open, incident.c.system == system).order_by(incident.c.number)
    return [str(row.id) for row in connection.execute(query)]


def open_about(connection: Connection, system: str | None, label: str) -> list[Incident]:
    """Open incidents whose subject is called that, newest first."""
    named = or_(incident.c.model == label, incident.c.service == label, incident.c.system == label)
    query = select(incident.c.document).where(incident.c.state.in_(_OPEN), named)
    if system:
        query = query.where(incident.c.system == system)
    found = connection.execute(query.order_by(incident.c.opened_at.desc(), incident.c.number.desc()))
    return [read_incident(row.document) for row in found]


def save(connection: Connection, fresh: Incident, before: Stored | None) -> Stored:
    """Write an incident (anew when `before` is None) and its plans' rows. Raises Conflict when it changed meanwhile."""
    document = write_incident(fresh)
    if before is not None and before.document == document:
        return before
    version = before.version + 1 if before else 1
    values = _columns(fresh) | {"version": version, "document": document}
    if before is None:
        connection.execute(incident.insert().values(id=fresh.id, number=_number(fresh.id), **values))
    else:
        unchanged = and_(incident.c.id == fresh.id, incident.c.version == before.version)
        if connection.execute(update(incident).where(unchanged).values(values)).rowcount != 1:
            raise Conflict(f"{fresh.id} was changed by somebody else at the same time.")
    _save_plans(connection, fresh)
    return Stored(incident=fresh, version=version, document=document)


def next_serial(connection: Connection, incident_id: str) -> int:
    """The next number for a message or piece of work of that incident."""
    raised = update(incident).where(incident.c.id == incident_id).values(serial=incident.c.serial + 1)
    return int(connection.execute(raised.returning(incident.c.serial)).scalar_one())


def incident_of_plan(connection: Connection, plan_id: str) -> str | None:
    """Id of the incident that has the plan."""
    found: str | None = connection.execute(select(plan.c.incident_id).where(plan.c.plan_id == plan_id)).scalar()
    return found


def locked_by(connection: Connection, target_key: str, but_not: str) -> str:
    """Id of the plan that may be changing the target, "" for none."""
    query = select(plan.c.plan_id).where(
        plan.c.target_key == bounded(target_key), plan.c.plan_id != but_not, plan.c.state.in_(_LOCKING)
    )
    return str(connection.execute(query).scalar() or "")


def merge(connection: Connection, said: Alert, now: datetime) -> Merge:
    """Store what a source said about one alert; see bot.policy.alerts for what it means."""
    of_alert = (alert.c.source == clean(said.source), alert.c.fingerprint == bounded(said.fingerprint))
    episode = (*of_alert, alert.c.starts_at == said.starts_at)
    known = connection.execute(
        select(alert.c.id, alert.c.firing, alert.c.incident_id).where(*episode).with_for_update()
    ).first()
    latest = connection.execute(
        select(alert.c.starts_at, alert.c.incident_id).where(*of_alert).order_by(alert.c.starts_at.desc()).limit(1)
    ).first()
    overtaken = (*of_alert, alert.c.starts_at < said.starts_at, alert.c.firing)
    older = connection.execute(select(alert.c.incident_id).where(*overtaken).with_for_update()).first()
    judged = judge_episode(
        firing=said.firing, starts_at=said.starts_at, known_firing=known.firing if known else None,
        latest_starts_at=latest.starts_at if latest else None, older_firing=older is not None,
    )  # fmt: skip
    if known is None:
        # What is not an episode of its own belongs where the episode belongs that it closes, or that overtook it.
        near = {Verdict.CHANGED: older, Verdict.STALE: latest}.get(judged.verdict)
        owner = near.incident_id if near is not None else None
        if judged.verdict in {Verdict.NEW, Verdict.CHANGED}:
            connection.execute(update(alert).where(*overtaken).values(firing=False, ends_at=said.starts_at))
        _add_alert(connection, said, judged.firing, owner, now)
        return Merge(verdict=judged.verdict, incident_id=owner)
    values: dict[str, object] = {"last_seen_at": now}
    if judged.verdict is Verdict.CHANGED:
        values |= {"firing": False, "ends_at": said.ends_at or now, "document": write_alert(said)}
    else:
        values["repeats"] = alert.c.repeats + 1
    connection.execute(update(alert).where(alert.c.id == known.id).values(values))
    return Merge(verdict=judged.verdict, incident_id=known.incident_id)


def merge_all(connection: Connection, said: Sequence[Alert], now: datetime) -> list[Merge]:
    """Store what a source said about many alerts: the same as `merge` for each in turn, in few statements.

    A storm is mostly alerts nobody has seen and repeats of what is known; both are plain. The rest goes one by one.
    """
    known = _known(connection, said)
    merges: dict[int, Merge] = {}
    fresh: list[Alert] = []
    repeated: list[int] = []
    seen: set[tuple[str, str]] = set()
    for index, one in enumerate(said):
        identity = (clean(one.source), bounded(one.fingerprint))
        is_first = identity not in seen
        seen.add(identity)
        episodes = known.get(identity, {})
        same = episodes.get(one.starts_at)
        if is_first and not episodes and one.firing:
            fresh.append(one)
            merges[index] = Merge(verdict=Verdict.NEW, incident_id=None)
        elif is_first and same is not None and same.firing == one.firing:
            repeated.append(same.id)
            merges[index] = Merge(verdict=Verdict.DUPLICATE, incident_id=same.incident_id)
    if fresh:
        connection.execute(alert.insert(), [_row(one, True, None, now) for one in fresh])
    for ids in _chunks(repeated):
        again = update(alert).where(alert.c.id.in_(ids))
        connection.execute(again.values(repeats=alert.c.repeats + 1, last_seen_at=now))
    return [merges[index] if index in merges else merge(connection, one, now) for index, one in enumerate(said)]


def attach(connection: Connection, said: Sequence[Alert], incident_id: str) -> None:
    """Let alerts' episodes belong to an incident."""
    episode = (
        alert.c.source == bindparam("of_source"), alert.c.fingerprint == bindparam("of_fingerprint"),
        alert.c.starts_at == bindparam("of_start"),
    )  # fmt: skip
    rows = [
        {"of_source": clean(one.source), "of_fingerprint": bounded(one.fingerprint), "of_start": one.starts_at}
        for one in said
    ]
    connection.execute(update(alert).where(*episode).values(incident_id=incident_id), rows)


def count_alerts(connection: Connection, incident_id: str) -> tuple[int, int]:
    """How many episodes of an incident fire, and how many there are."""
    query = select(alert.c.firing, func.count()).where(alert.c.incident_id == incident_id).group_by(alert.c.firing)
    counts = {bool(firing): int(number) for firing, number in connection.execute(query)}
    return counts.get(True, 0), sum(counts.values())


def alerts_of(connection: Connection, incident_id: str, limit: int) -> list[AlertRow]:
    """An incident's episodes, those that fire first, then newest first."""
    query = select(alert).where(alert.c.incident_id == incident_id).limit(limit)
    query = query.order_by(alert.c.firing.desc(), alert.c.starts_at.desc(), alert.c.id.desc())
    return [_alert_row(row) for row in connection.execute(query)]


def _add_alert(connection: Connection, said: Alert, firing: bool, owner: str | None, now: datetime) -> None:  # noqa: FBT001
    connection.execute(alert.insert().values(_row(said, firing, owner, now)))


def _row(said: Alert, firing: bool, owner: str | None, now: datetime) -> dict[str, object]:  # noqa: FBT001
    return {
        "source": clean(said.source), "fingerprint": bounded(said.fingerprint), "starts_at": said.starts_at,
        "firing": firing, "ends_at": None if firing else said.ends_at or now, "incident_id": owner,
        "first_seen_at": now, "last_seen_at": now, "document": write_alert(said),
    }  # fmt: skip


def _known(
    connection: Connection, said: Sequence[Alert]
) -> dict[tuple[str, str], dict[datetime, Row[tuple[object, ...]]]]:
    """What is stored about these alerts: (source, fingerprint) → start → row."""
    found: dict[tuple[str, str], dict[datetime, Row[tuple[object, ...]]]] = {}
    columns = (alert.c.id, alert.c.source, alert.c.fingerprint, alert.c.starts_at, alert.c.firing, alert.c.incident_id)
    sources = sorted({clean(one.source) for one in said})
    for names in _chunks(sorted({bounded(one.fingerprint) for one in said})):
        query = select(*columns).where(alert.c.source.in_(sources), alert.c.fingerprint.in_(names))
        for row in connection.execute(query.order_by(alert.c.id).with_for_update()):
            found.setdefault((row.source, row.fingerprint), {})[row.starts_at] = row
    return found


def _chunks(items: Sequence[T], size: int = 500) -> Iterator[Sequence[T]]:
    """In parts that fit into one statement of either database."""
    return (items[start : start + size] for start in range(0, len(items), size))


def _save_plans(connection: Connection, fresh: Incident) -> None:
    # Ended plans first: one that gives its target up must not stand in the way of the one that takes it.
    for one in sorted(fresh.plans, key=lambda candidate: candidate.state in LOCKING_PLAN_STATES):
        row = {"incident_id": fresh.id, "state": one.state, "target_key": bounded(one.target_key)}
        added = upsert(connection, plan).values(plan_id=one.id, **row)
        changed = added.on_conflict_do_update(
            index_elements=[plan.c.plan_id], set_={"state": one.state, "target_key": row["target_key"]},
            where=and_(plan.c.incident_id == fresh.id, plan.c.state != one.state),
        )  # fmt: skip
        connection.execute(changed)


def _columns(fresh: Incident) -> dict[str, object]:
    return {
        "key": bounded(fresh.key), "kind": fresh.kind, "state": fresh.state, "severity": fresh.severity,
        "system": clean(fresh.subject.system), "service": clean(fresh.subject.service),
        "model": clean(fresh.subject.model), "opened_at": fresh.opened_at, "resolved_at": fresh.resolved_at,
        "epoch": fresh.epoch,
    }  # fmt: skip


def _number(incident_id: str) -> int:
    tail = incident_id.rpartition("-")[2]
    return int(tail) if tail.isascii() and tail.isdigit() else 0


def _stored(row: Row[tuple[int, str]] | None) -> Stored | None:
    if row is None:
        return None
    return Stored(incident=read_incident(row.document), version=row.version, document=row.document)


def _alert_row(row: Row[tuple[object, ...]]) -> AlertRow:
    said = read_alert(row.document)
    return AlertRow(
        source=row.source, fingerprint=row.fingerprint, name=said.name, firing=row.firing, starts_at=row.starts_at,
        ends_at=row.ends_at, labels=said.labels, annotations=said.annotations, url=said.url,
        incident_id=row.incident_id or "", repeats=row.repeats, first_seen_at=row.first_seen_at,
        last_seen_at=row.last_seen_at,
    )  # fmt: skip
