"""Statements about drift reports: their rows, what people said about them, and the files that belong to them."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime

from pydantic import TypeAdapter
from sqlalchemy import func, select, update
from sqlalchemy.engine import Connection, Row

from bot.model import Who
from bot.policy.drift import Choice, Exit, Report, ReportState
from bot.store.database import upsert
from bot.store.documents import clean, write_json
from bot.store.records import StoredFile
from bot.store.tables import drift_exit, drift_report, recurring, report_file

_REPORT: TypeAdapter[Report] = TypeAdapter(Report)
_MOST_BYTES = 40_000_000  # of one file, unpacked; a report that is larger tells nobody anything


def add(connection: Connection, report: Report) -> None:
    """Add a report. Conflict when the same check of the same model is under way already."""
    connection.execute(drift_report.insert().values(_values(report)))


def save(connection: Connection, report: Report) -> None:
    """Store a report that was read in this transaction. What people chose is not part of it."""
    changed = update(drift_report).where(drift_report.c.id == report.id)
    connection.execute(changed.values(_values(report)))


def keep_numbers(connection: Connection, report_id: str, numbers: str) -> None:
    """Keep everything that was measured, as the worker wrote it."""
    kept = update(drift_report).where(drift_report.c.id == report_id)
    connection.execute(kept.values(numbers=clean(numbers)))


def numbers(connection: Connection, report_id: str) -> str:
    """What `keep_numbers` kept, "" when there is nothing."""
    query = select(drift_report.c.numbers).where(drift_report.c.id == clean(report_id))
    return str(connection.execute(query).scalar() or "")


def load(connection: Connection, report_id: str, *, lock: bool) -> Report | None:
    """The report with its last exit, None when there is none of that id."""
    query = select(drift_report).where(drift_report.c.id == clean(report_id))
    row = connection.execute(query.with_for_update() if lock else query).first()
    return _with_choices(connection, [_report(row)])[0] if row is not None else None


def under_way(connection: Connection, key: str) -> Report | None:
    """The unfinished report of a check, None when there is none."""
    query = select(drift_report).where(drift_report.c.key == clean(key), drift_report.c.state.in_(_OPEN))
    row = connection.execute(query).first()
    return _report(row) if row is not None else None


def count_open(connection: Connection, system: str, model: str) -> int:
    """How many checks of a model are asked for and not ended."""
    of_model = (drift_report.c.system == clean(system), drift_report.c.model == clean(model))
    query = select(func.count()).select_from(drift_report).where(*of_model, drift_report.c.state.in_(_OPEN))
    return int(connection.execute(query).scalar_one())


def latest(connection: Connection, system: str, model: str, limit: int, *, done: bool) -> list[Report]:
    """Reports of a model, newest first; with `done` only those with a result, by the time of their end."""
    query = select(drift_report).where(drift_report.c.system == clean(system), drift_report.c.model == clean(model))
    if done:
        query = query.where(drift_report.c.state == ReportState.DONE).order_by(drift_report.c.ended_at.desc())
    found = connection.execute(query.order_by(drift_report.c.number.desc()).limit(limit))
    return _with_choices(connection, [_report(row) for row in found])


def of_review(connection: Connection, review: str) -> list[Report]:
    """The reports of one weekly review, in the order in which they were asked for."""
    query = select(drift_report).where(drift_report.c.review == clean(review)).order_by(drift_report.c.number)
    return _with_choices(connection, [_report(row) for row in connection.execute(query)])


def add_choice(connection: Connection, report_id: str, choice: Choice) -> None:
    """Append what a person said. Conflict when somebody else did in the same instant."""
    last = select(func.coalesce(func.max(drift_exit.c.number), 0)).where(drift_exit.c.report_id == report_id)
    connection.execute(drift_exit.insert().values(
        report_id=report_id, number=int(connection.execute(last).scalar_one()) + 1, exit=str(choice.exit),
        team_id=clean(choice.by.team_id), user_id=clean(choice.by.user_id), name=clean(choice.by.name), at=choice.at,
    ))  # fmt: skip


def choices(connection: Connection, report_id: str) -> list[Choice]:
    """Everything that was said about a report, in order."""
    query = select(drift_exit).where(drift_exit.c.report_id == clean(report_id)).order_by(drift_exit.c.number)
    return [_choice(row) for row in connection.execute(query)]


def accepted(connection: Connection, system: str, model: str, since: datetime) -> tuple[str, ...]:
    """Columns whose drift a person called expected since then, and has not called anything else afterwards."""
    names: dict[str, None] = {}
    for report in reversed(latest(connection, system, model, 200, done=True)):
        if report.choice is None or report.result is None or report.choice.at < since:
            continue
        for name in report.result.drifted:
            names.pop(name, None)
            if report.choice.exit is Exit.EXPECTED:
                names[name] = None
    return tuple(names)


def put_files(connection: Connection, files: Iterable[StoredFile]) -> None:
    """Keep files, packed; a file of the same id is replaced."""
    for file in files:
        if len(file.body) > _MOST_BYTES:
            raise ValueError(f"{file.name} has {len(file.body)} bytes; at most {_MOST_BYTES} are kept")
        row = upsert(connection, report_file).values(
            id=clean(file.id), name=clean(file.name), media_type=clean(file.media_type),
            body=zlib.compress(file.body, 6), made_at=file.made_at,
        )  # fmt: skip
        changed = {name: row.excluded[name] for name in ("name", "media_type", "body", "made_at")}
        connection.execute(row.on_conflict_do_update(index_elements=[report_file.c.id], set_=changed))


def file(connection: Connection, file_id: str) -> StoredFile | None:
    """A kept file, None when it is not there (any more)."""
    row = connection.execute(select(report_file).where(report_file.c.id == clean(file_id))).first()
    if row is None:
        return None
    body = zlib.decompress(bytes(row.body))
    return StoredFile(id=row.id, name=row.name, media_type=row.media_type, body=body, made_at=row.made_at)


def remove_files(connection: Connection, before: datetime) -> int:
    """Remove files that were made before that time; the reports themselves stay."""
    return int(connection.execute(report_file.delete().where(report_file.c.made_at < before)).rowcount)


def turn(connection: Connection, name: str, due_at: datetime) -> bool:
    """Take the turn of something that recurs: True for exactly one caller per due time, and for the latest one only.

    The first time that a name is seen is remembered as taken: what was due before the bot existed was not missed.
    """
    row = upsert(connection, recurring).values(name=clean(name), done_for=due_at)
    if connection.execute(row.on_conflict_do_nothing().returning(recurring.c.name)).first() is not None:
        return False
    later = update(recurring).where(recurring.c.name == clean(name), recurring.c.done_for < due_at)
    return connection.execute(later.values(done_for=due_at)).rowcount == 1


def first_seen(connection: Connection, name: str, now: datetime) -> datetime:
    """When a name was seen first; now, when it is now."""
    row = upsert(connection, recurring).values(name=clean(name), done_for=now)
    connection.execute(row.on_conflict_do_nothing())
    found: datetime = connection.execute(
        select(recurring.c.done_for).where(recurring.c.name == clean(name))
    ).scalar_one()
    return found


_OPEN = (str(ReportState.ASKED), str(ReportState.RUNNING))


def check_key(report: Report) -> str:
    """What makes two checks the same: they would read the same data and say the same."""
    return f"{report.system}/{report.model}/{report.days}/{report.feature}"


def _values(report: Report) -> dict[str, object]:
    document = _REPORT.dump_python(replace(report, choice=None), mode="json", warnings="error")
    return {
        "id": report.id, "number": int(report.id.rpartition("-")[2]), "system": clean(report.system),
        "model": clean(report.model), "state": str(report.state), "key": clean(check_key(report)),
        "asked_at": report.asked_at, "ended_at": report.ended_at, "review": clean(report.review), "run": report.run,
        "document": write_json(document),
    }  # fmt: skip


def _report(row: Row[tuple[object, ...]]) -> Report:
    return _REPORT.validate_json(row.document)


def _with_choices(connection: Connection, reports: Sequence[Report]) -> list[Report]:
    ids = [one.id for one in reports]
    query = select(drift_exit).where(drift_exit.c.report_id.in_(ids)).order_by(drift_exit.c.number)
    last = {row.report_id: _choice(row) for row in connection.execute(query)} if ids else {}
    return [replace(one, choice=last.get(one.id)) for one in reports]


def _choice(row: Row[tuple[object, ...]]) -> Choice:
    by = Who(team_id=row.team_id, user_id=row.user_id, name=row.name)
    return Choice(exit=Exit(row.exit), by=by, at=row.at)
