"""The store: what the rest of the bot may ask of the database. No caller sees a connection or a statement."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from bot.audit import AuditLine
from bot.model import Incident
from bot.policy import Hold
from bot.policy.roster import CalendarCopy, Entry, StandIn
from bot.ports import Move
from bot.store import beats, bundles, chain, drift, incidents, ledger, moves, outbox, roster, schema, timers
from bot.store.database import Database, StoreDown
from bot.store.documents import clean, write_json
from bot.store.drift_views import DriftReads
from bot.store.presence import Presence
from bot.store.records import AlertRow, Debt, Job, Overdue, Quarantined, QueueStats, Timer, Watch
from bot.store.tx import Tx as _Tx


class Store:
    """The database behind the bot. Safe to use from many threads, and on PostgreSQL from many processes.

    Every method raises StoreDown when the database cannot be used now, and Conflict when a constraint refuses a write.
    `now` is always given by the caller; the store knows no clock.
    """

    Tx = _Tx

    def __init__(self, url: str, *, audit_key: bytes) -> None:
        """`url`: sqlite:///file, postgresql://…, or the path of an SQLite file. Connects at first use only."""
        self._database = Database(url)
        self._audit_key = audit_key
        self.drift = DriftReads(self._database)
        self._presence: Presence | None = None

    @property
    def is_sqlite(self) -> bool:
        """True when the store is a file that one process at a time may serve."""
        return self._database.is_sqlite

    def migrate(self) -> list[str]:
        """Bring the tables to what this code needs; returns the names of the revisions applied."""
        self._database.make_file()
        with self._database.write() as connection:
            return schema.upgrade(connection)

    def schema_problem(self) -> str:
        """Why the tables are not what this code needs and what to do, "" when they are."""
        with self._database.read() as connection:
            return schema.problem(connection)

    def ping(self) -> None:
        """Raise StoreDown unless the database answers."""
        with self._database.read() as connection:
            connection.execute(sa.text("SELECT 1"))

    def time(self) -> datetime:
        """What time it is to the database; to PostgreSQL only, a file has no clock."""
        with self._database.read() as connection:
            found: datetime = connection.execute(sa.text("SELECT clock_timestamp()")).scalar_one()
        return found

    def close(self) -> None:
        """Give the connections back. The store may be used again afterwards."""
        if self._presence is not None:
            self._presence.close()
            self._presence = None
        self._database.close()

    @contextmanager
    def begin(self) -> Iterator[_Tx]:
        """One write transaction: stored as a whole at the end of the block, or, when anything is raised, not at all.

        Call no other method of the store that writes within the block: on SQLite it would wait for the block to end.
        """
        with self._writing() as connection:
            tx = _Tx(connection)
            yield tx
            tx.finish(self._audit_key)

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        """One transaction of this release: an older or newer one has other tables, and other meanings of rows.

        StoreDown when the tables are not this release's. A migration waits for whoever is inside, and nobody gets
        inside while one runs, so an older replica never writes after a newer one has changed what rows mean.
        """
        with self._database.write() as connection:
            if problem := schema.fence(connection):
                raise StoreDown(problem)
            yield connection

    # reads

    def holds(self, now: datetime) -> tuple[Hold, ...]:
        """Planned work that holds pages back now."""
        with self._database.read() as connection:
            return ledger.holds(connection, now)

    def beats(self) -> dict[str, beats.Beat]:
        """Every heartbeat that is waited for, by name."""
        with self._database.read() as connection:
            return beats.beats(connection)

    def incident(self, incident_id: str) -> Incident | None:
        """The incident as it is stored now."""
        with self._database.read() as connection:
            found = incidents.load(connection, clean(incident_id), lock=False)
        return found.incident if found else None

    def incidents(self, *, open_only: bool = False, limit: int = 50, system: str = "") -> list[Incident]:
        """Incidents, newest first."""
        with self._database.read() as connection:
            return incidents.newest(connection, open_only=open_only, limit=limit, system=clean(system))

    def incident_of_plan(self, plan_id: str) -> str | None:
        """Id of the incident that has the plan."""
        with self._database.read() as connection:
            return incidents.incident_of_plan(connection, clean(plan_id))

    def incident_of_thread(self, channel: str, ts: str) -> str | None:
        """Id of the incident whose headline is that message."""
        with self._database.read() as connection:
            return outbox.incident_at(connection, clean(channel), clean(ts)) if ts else None

    def open_incident_about(self, system: str | None, label: str) -> list[Incident]:
        """Open incidents about the model, service or system of that name, newest first."""
        with self._database.read() as connection:
            return incidents.open_about(connection, clean(system or ""), clean(label))

    def timeline(self, incident_id: str) -> list[AuditLine]:
        """Everything that happened to an incident, oldest first."""
        with self._database.read() as connection:
            return chain.timeline(connection, clean(incident_id))

    def alerts(self, incident_id: str, limit: int = 50) -> list[AlertRow]:
        """An incident's alerts, those that fire first."""
        with self._database.read() as connection:
            return incidents.alerts_of(connection, clean(incident_id), limit)

    def bad_versions(self, system: str, model: str) -> dict[str, str]:
        """Versions of a model that were marked bad, each with the reason."""
        with self._database.read() as connection:
            return ledger.bad_versions(connection, system, model)

    def moves(self, system: str, model: str, limit: int = 50, what: str = "") -> tuple[Move, ...]:
        """What changed in production of a model, newest first; with `what`, one fact about it alone."""
        with self._database.read() as connection:
            return moves.of_model(connection, system, model, limit, what)

    def watches(self, system: str, model: str) -> dict[str, Watch]:
        """Which facts about a model are watched, and since when."""
        with self._database.read() as connection:
            return moves.watches(connection, system, model)

    def counters(self) -> dict[str, int]:
        """Every counter that was ever raised."""
        with self._database.read() as connection:
            return ledger.counts(connection)

    def quarantined(self, limit: int = 50) -> list[Quarantined]:
        """Bad alerts, newest first."""
        with self._database.read() as connection:
            return ledger.quarantined(connection, limit)

    def debts_open(self) -> list[Debt]:
        """Break-glass approvals that nobody has reviewed, oldest first."""
        with self._database.read() as connection:
            return ledger.debts_open(connection)

    def place(self, incident_id: str, what: str = "headline") -> tuple[str, str] | None:
        """Where the headline or "card:PLN-1" of an incident is: channel id and time stamp; None while it is nowhere."""
        with self._database.read() as connection:
            return outbox.place(connection, outbox.place_id(incident_id, what))

    # who is on call by word of people and calendars

    def stand_ins(self, since: datetime) -> tuple[StandIn, ...]:
        """Stand-ins that end after that time and were not cancelled, in the order they were made."""
        with self._database.read() as connection:
            return roster.stand_ins(connection, since)

    def calendars(self) -> dict[str, CalendarCopy]:
        """The last good copy of each calendar, by rotation/layer."""
        with self._database.read() as connection:
            return roster.copies(connection)

    def calendar_marks(self) -> dict[str, tuple[datetime | None, datetime | None, str]]:
        """By which each copy is known to have changed, without reading it."""
        with self._database.read() as connection:
            return roster.marks(connection)

    def calendar_body(self, name: str) -> str:
        """The text of the last good copy, "" while there is none."""
        with self._database.read() as connection:
            return roster.body(connection, name)

    def take_calendar(self, name: str, now: datetime, before: datetime) -> bool:
        """Whether this caller reads the calendar now: nobody has tried since `before`, and now this one has."""
        with self._writing() as connection:
            return roster.take_turn(connection, name, now, before)

    def keep_calendar(self, name: str, body: str, entries: tuple[Entry, ...], now: datetime) -> None:
        """A calendar was read: this is its last good copy."""
        with self._writing() as connection:
            roster.keep_copy(connection, name, body, entries, now)

    def keep_older_calendar(self, name: str, entries: tuple[Entry, ...] | None, error: str, now: datetime) -> None:
        """A calendar could not be read; the last good copy stays. `entries`: that copy's, laid out anew."""
        with self._writing() as connection:
            roster.keep_older(connection, name, entries, error, now)

    # timers

    def due_timers(self, now: datetime, limit: int = 200) -> list[Timer]:
        """Timers whose time has come, the longest overdue first. `Tx.take_timer` decides who handles one."""
        with self._database.read() as connection:
            return timers.due(connection, now, limit)

    def overdue(self, now: datetime, than: timedelta) -> Overdue:
        """What should have happened `than` ago and has not, and open incidents that nothing will page anybody about."""
        with self._database.read() as connection:
            return Overdue(
                timers=timers.count_overdue(connection, now - than),
                outbox=outbox.count_overdue(connection, now - than),
                unattended=tuple(timers.unattended(connection)),
            )

    # delivery

    def claim(
        self, lane: str, owner: str, now: datetime, lease: timedelta, limit: int, held: Collection[str] = ()
    ) -> list[Job]:
        """Take up to `limit` rows of a lane ("slack", "work", "drift") that may go now, the most urgent first.

        Never one of `held`: a row that is in hand stays there when a clock that was set makes its lease look over.
        """
        with self._writing() as connection:
            return outbox.claim(connection, lane, owner, now, lease, limit, held)

    def still_mine(self, job: Job, now: datetime, margin: timedelta) -> bool:
        """The last question before a call: may it be made? True only with more than `margin` of the lease left.

        A yes is noted: if nothing is heard of the claim any more, the call counts as possibly made.
        """
        with self._writing() as connection:
            return outbox.begin_call(connection, job, now, margin)

    def extend(self, job: Job, now: datetime, lease: timedelta) -> bool:
        """Keep a claim until `now + lease`; False when it is lost already."""
        with self._writing() as connection:
            return outbox.extend(connection, job, now, lease)

    def delivered(self, job: Job, now: datetime, channel: str = "", ts: str = "") -> bool:
        """It is out (and there, for a message). False when the claim was lost; so for all that follow."""
        return self._settle(job, "delivered", now, unsure=False, error="", **_place(channel, ts))

    def found(self, job: Job, now: datetime, channel: str, ts: str) -> bool:
        """An earlier try had arrived after all. A living message goes out once more, to show what is true now."""
        return self._settle(job, "found", now, unsure=False, error="", **_place(channel, ts))

    def not_found(self, job: Job, now: datetime) -> bool:
        """An earlier try was looked for and is not there: it may be sent again."""
        return self._settle(job, "not_found", now, unsure=False, not_before=now)

    def try_later(self, job: Job, not_before: datetime, error: str, *, tried: bool = True) -> bool:
        """It surely did not happen; again from `not_before` on. `tried=False`: it was not even tried."""
        more: dict[str, object] = {} if tried else {"attempt": max(job.attempt - 1, 0)}
        return self._settle(job, "try_later", not_before, not_before=not_before, error=_error(error), **more)

    def no_answer(self, job: Job, not_before: datetime, error: str) -> bool:
        """It cannot be told whether it happened: from `not_before` on it is to be looked for."""
        return self._settle(
            job, "no_answer", not_before, not_before=not_before, error=_error(error), unsure=True,
            unanswered=job.unanswered + 1,
        )  # fmt: skip

    def dead(self, job: Job, now: datetime, error: str) -> bool:
        """Given up, visibly."""
        return self._settle(job, "refused_for_good", now, error=_error(error))

    def bundle(self, job: Job, now: datetime, note: str) -> bool:
        """Let one message stand for this page and those that wait for the same person; False when none does."""
        with self._writing() as connection:
            return bundles.bundle(connection, job, now, note)

    def part(self, job: Job, now: datetime, note: str) -> bool:
        """Let each page of a bundle go by itself again."""
        with self._writing() as connection:
            return bundles.part(connection, job, now, note)

    def drop(self, job: Job, now: datetime, note: str) -> bool:
        """Nothing is left to say: not a failure."""
        with self._writing() as connection:
            return bundles.drop(connection, job, now, note)

    def forget_place(self, job: Job, now: datetime, error: str) -> bool:
        """The message was deleted by somebody: it is posted anew."""
        return self._settle(job, "try_later", now, not_before=now, error=_error(error), unsure=False, **_place("", ""))

    def redirect(self, job: Job, now: datetime, target: str, error: str, says: dict[str, object] | None = None) -> bool:
        """It cannot go where it should: it goes to `target` instead, from now on; with `says` as its new content."""
        return self._settle(
            job, "try_later", now, not_before=now, error=_error(error), unsure=False, target=clean(target), attempt=0,
            **_place("", ""), **({"payload": write_json(says)} if says else {}),
        )  # fmt: skip

    def give_back(self, job: Job, now: datetime) -> bool:
        """End a claim that was left lying: it waits again, or is looked for when its call may have been made."""
        with self._writing() as connection:
            return outbox.let_go(connection, outbox.of_claim(job), now) == 1

    def release(self, owner: str, now: datetime) -> int:
        """Give back everything this owner holds (a clean shutdown). What was being called is looked for later."""
        with self._writing() as connection:
            return outbox.let_go(connection, outbox.of_owner(owner), now)

    def expire_leases(self, now: datetime, of_others_than: str) -> int:
        """Give back everything that others hold. Only where no other process can be alive: at the start, on SQLite."""
        with self._writing() as connection:
            return outbox.let_go(connection, outbox.of_others(of_others_than), now)

    def expire_leases_of_the_dead(self, owner: str, now: datetime, look_after: timedelta) -> int:
        """Show that `owner` is alive, and give back what replicas hold that are not; PostgreSQL only.

        Whose call may have been made is looked for from `now + look_after` on. Returns how many rows were given back.
        """
        with self._database.told():
            if self._presence is None:
                self._presence = Presence(self._database, owner)
            self._presence.hold()
            with self._database.read() as connection:
                others = outbox.owners(connection) - {owner}
            gone = [other for other in sorted(others) if self._presence.is_gone(other)]
        freed = 0
        for other in gone:
            with self._writing() as connection:
                freed += outbox.let_go(connection, outbox.of_owner(other), now, look_after)
        return freed

    def prune(self, now: datetime, keep: timedelta) -> int:
        """Remove what ended longer ago than `keep`: keys of handled events, timers, work, messages that never change.

        Incidents, alerts and the audit stay. Returns how many rows went.
        """
        with self._writing() as connection:
            before = now - keep
            return (
                ledger.forget_keys(connection, before)
                + ledger.forget_holds(connection, before)
                + timers.remove_ended(connection, before)
                + outbox.remove_settled(connection, before)
                + roster.forget_stand_ins(connection, before)
                + drift.remove_files(connection, before)
            )

    def queue_stats(self, now: datetime) -> QueueStats:
        """How full the queues are."""
        with self._database.read() as connection:
            return outbox.stats(connection, now)

    def due_in(self, now: datetime, lane: str = "") -> float | None:
        """Seconds until the next row may be claimed or the next timer falls due (0 when one is), None for never.

        `lane`: "slack" or "work" asks for that lane alone, without timers.
        """
        with self._database.read() as connection:
            times = [outbox.next_free(connection, lane), None if lane else timers.next_due(connection)]
        known = [at for at in times if at is not None]
        return max((min(known) - now).total_seconds(), 0.0) if known else None

    # audit

    def audit_head(self) -> tuple[int, str]:
        """Number and hash of the chain's last line."""
        with self._database.read() as connection:
            return chain.head(connection)

    def audit_lines(self, from_seq: int = 1) -> Iterator[AuditLine]:
        """Every line from that number on, read in portions."""
        while True:
            with self._database.read() as connection:
                lines = chain.lines_from(connection, from_seq, 1000)
            if not lines:
                return
            yield from lines
            from_seq = lines[-1].seq + 1

    def _settle(self, job: Job, event: str, now: datetime, **values: object) -> bool:
        with self._writing() as connection:
            return outbox.settle(connection, job, event, now, **values)


def _place(channel: str, ts: str) -> dict[str, object]:
    return {"place_channel": clean(channel), "place_ts": clean(ts)}


def _error(error: str) -> str:
    return clean(error)[:500]
