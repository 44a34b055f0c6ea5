"""Drift reports as the rest of the bot may use them: in a write transaction (`DriftTx`), and read (`DriftReads`)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from sqlalchemy.engine import Connection

from bot.policy.drift import Choice, Report
from bot.store import drift, outbox
from bot.store.database import Database
from bot.store.records import StoredFile


def message_id(report_id: str) -> str:
    """Id of the row of a report's message."""
    return f"drift:{report_id}"


class DriftTx:
    """What one transaction may ask and store of drift reports; worth nothing after it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def under_way(self, report: Report) -> Report | None:
        """An unfinished report of the same check."""
        return drift.under_way(self._connection, drift.check_key(report))

    def count_open(self, report: Report) -> int:
        """How many checks of the report's model are asked for and not ended."""
        return drift.count_open(self._connection, report.system, report.model)

    def add(self, report: Report) -> None:
        """Add a report."""
        drift.add(self._connection, report)

    def report(self, report_id: str) -> Report | None:
        """The report, locked until the end of this transaction."""
        return drift.load(self._connection, report_id, lock=True)

    def save(self, report: Report) -> None:
        """Store a report that was read in this transaction."""
        drift.save(self._connection, report)

    def keep_numbers(self, report_id: str, numbers: str) -> None:
        """Keep everything that was measured, as the worker wrote it."""
        drift.keep_numbers(self._connection, report_id, numbers)

    def choose(self, report_id: str, choice: Choice) -> None:
        """Append what a person said."""
        drift.add_choice(self._connection, report_id, choice)

    def latest(self, system: str, model: str) -> Report | None:
        """The newest report with a result."""
        return next(iter(drift.latest(self._connection, system, model, 1, done=True)), None)

    def put_files(self, files: Iterable[StoredFile]) -> None:
        """Keep files."""
        drift.put_files(self._connection, files)

    def turn(self, name: str, due_at: datetime) -> bool:
        """True for exactly one caller per due time of something that recurs."""
        return drift.turn(self._connection, name, due_at)

    def first_seen(self, name: str, now: datetime) -> datetime:
        """When a name was seen first."""
        return drift.first_seen(self._connection, name, now)

    def work(self, report: Report, now: datetime, after: timedelta = timedelta(0)) -> None:
        """Let a worker make the check."""
        row = outbox.Wanted(
            id=f"drift:{report.id}:check", incident_id=report.incident_id, lane="drift", kind="drift",
            payload={"report": report.id},
        )  # fmt: skip
        outbox.arm(self._connection, row, now, after=after)

    def show(self, report: Report, target: str, now: datetime) -> None:
        """Post the report's message, or bring it up to date. Once posted it stays where it is."""
        self._living(message_id(report.id), "drift", {"report": report.id}, target, now, report.incident_id)

    def share(self, report: Report, file_id: str, target: str, now: datetime) -> None:
        """Upload a file of the report, once."""
        payload = {"report": report.id, "file": file_id}
        row = outbox.Wanted(
            id=f"drift:{report.id}:file", incident_id=report.incident_id, lane="slack", kind="drift_file",
            payload=payload, target=target,
        )  # fmt: skip
        outbox.add_once(self._connection, row, now)

    def show_review(self, review: str, payload: Mapping[str, object], target: str, now: datetime) -> None:
        """Post a weekly review's message, or bring it up to date."""
        self._living(review, "drift_review", payload, target, now, "")

    def _living(
        self, row_id: str, kind: str, payload: Mapping[str, object], target: str, now: datetime, incident_id: str
    ) -> None:
        row = outbox.Wanted(id=row_id, incident_id=incident_id, lane="slack", kind=kind, payload=payload, target=target)
        outbox.arm(self._connection, row, now)


class DriftReads:
    """What may be read of drift reports at any time. Every method raises StoreDown."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def report(self, report_id: str) -> Report | None:
        """The report as it is stored now."""
        with self._database.read() as connection:
            return drift.load(connection, report_id, lock=False)

    def latest(self, system: str, model: str, limit: int = 10, *, done: bool = False) -> Sequence[Report]:
        """Reports of a model, newest first; with `done` those with a result only."""
        with self._database.read() as connection:
            return drift.latest(connection, system, model, limit, done=done)

    def of_review(self, review: str) -> Sequence[Report]:
        """The reports of one weekly review."""
        with self._database.read() as connection:
            return drift.of_review(connection, review)

    def choices(self, report_id: str) -> Sequence[Choice]:
        """Everything that people said about a report."""
        with self._database.read() as connection:
            return drift.choices(connection, report_id)

    def accepted(self, system: str, model: str, since: datetime) -> tuple[str, ...]:
        """Columns whose drift a person called expected since then."""
        with self._database.read() as connection:
            return drift.accepted(connection, system, model, since)

    def numbers(self, report_id: str) -> str:
        """Everything that was measured, as the worker wrote it; "" when there is nothing."""
        with self._database.read() as connection:
            return drift.numbers(connection, report_id)

    def file(self, file_id: str) -> StoredFile | None:
        """A kept file."""
        with self._database.read() as connection:
            return drift.file(connection, file_id)

    def place(self, row_id: str) -> tuple[str, str] | None:
        """Where a message of ours is: channel id and time stamp; None while it is nowhere."""
        with self._database.read() as connection:
            return outbox.place(connection, row_id)
