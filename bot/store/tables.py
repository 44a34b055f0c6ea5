"""The tables, once for SQLite and PostgreSQL. What must never be is a constraint here, not a check in code.

Times are whole microseconds since 1970 (UTC) in a BIGINT, so that they sort alike on both and none is ever rounded.
Documents are JSON text: nothing queries inside them, and PostgreSQL's own JSON type refuses a NUL that text may hold
escaped. The migrations make the tables; a test shows that both say the same.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, Integer, MetaData, Table, Text, text
from sqlalchemy.engine import Dialect

from bot.model import LOCKING_PLAN_STATES, OPEN_STATES

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Moment(sa.types.TypeDecorator[datetime]):
    """An aware datetime, kept as microseconds since 1970. A naive one is refused: nobody knows when it is."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        """Exact: whole numbers only, no float on the way."""
        del dialect
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value!r} has no time zone; pass an aware datetime")
        return (value - _EPOCH) // _MICROSECOND

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:
        """The same moment, in UTC."""
        del dialect
        return None if value is None else _EPOCH + value * _MICROSECOND


# SQLite numbers rows by itself only when the column is called INTEGER.
_RowId = BigInteger().with_variant(Integer(), "sqlite")

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _number(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=False, server_default=text("0"))


def _words(name: str) -> Column[str]:
    return Column(name, Text, nullable=False, server_default=text("''"))


def _flag(name: str) -> Column[bool]:
    return Column(name, Boolean, nullable=False, server_default=sa.false())


def _one_of(column: str, values: frozenset[str]) -> dict[str, Any]:
    """A partial index' condition, for both databases."""
    listed = ", ".join(f"'{value}'" for value in sorted(values))
    condition = text(f"{column} IN ({listed})")
    return {"sqlite_where": condition, "postgresql_where": condition}


# Keys of events that were handled; one that is here is never handled again.
event_key = Table(
    "event_key", metadata,
    Column("key", Text, primary_key=True),
    Column("at", Moment, nullable=False),
)  # fmt: skip

# The last number given out per kind of id. Numbers of transactions that failed are not used again.
sequence = Table(
    "sequence", metadata,
    Column("name", Text, primary_key=True),
    _number("value"),
)  # fmt: skip

counter = Table(
    "counter", metadata,
    Column("name", Text, primary_key=True),
    _number("value"),
)  # fmt: skip

# `document` is the incident itself; the other columns are what it is looked up by, written with it.
incident = Table(
    "incident", metadata,
    Column("id", Text, primary_key=True),
    _number("number"),  # of the id, to sort INC-10 after INC-9
    Column("key", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("severity", Text, nullable=False),
    _words("system"),
    _words("service"),
    _words("model"),
    Column("opened_at", Moment, nullable=False),
    Column("resolved_at", Moment),
    Column("epoch", BigInteger, nullable=False),
    Column("version", BigInteger, nullable=False),  # grows with each save
    _number("serial"),  # the last number given to a message or piece of work of this incident
    Column("document", Text, nullable=False),
)  # fmt: skip

# One open incident per key, whatever two replicas try at once.
Index("uq_incident_open_key", incident.c.key, unique=True, **_one_of("state", frozenset(map(str, OPEN_STATES))))
Index("ix_incident_key_resolved", incident.c.key, incident.c.resolved_at)
Index("ix_incident_newest", incident.c.opened_at, incident.c.number)
Index("ix_incident_open", incident.c.state, **_one_of("state", frozenset(map(str, OPEN_STATES))))

# A narrow row per plan: what the lock on a target is made of.
plan = Table(
    "plan", metadata,
    Column("plan_id", Text, primary_key=True),
    Column("incident_id", Text, ForeignKey("incident.id"), nullable=False),
    Column("state", Text, nullable=False),
    Column("target_key", Text, nullable=False),
)  # fmt: skip
Index("ix_plan_incident_id", plan.c.incident_id)
# The lock: at most one plan that may be changing a target.
Index("uq_plan_target", plan.c.target_key, unique=True, **_one_of("state", frozenset(map(str, LOCKING_PLAN_STATES))))

alert = Table(
    "alert", metadata,
    Column("id", _RowId, primary_key=True, autoincrement=True),
    Column("source", Text, nullable=False),
    Column("fingerprint", Text, nullable=False),
    Column("starts_at", Moment, nullable=False),
    Column("ends_at", Moment),
    Column("firing", Boolean, nullable=False),
    Column("incident_id", Text, ForeignKey("incident.id", deferrable=True, initially="DEFERRED")),
    _number("repeats"),
    Column("first_seen_at", Moment, nullable=False),
    Column("last_seen_at", Moment, nullable=False),
    Column("document", Text, nullable=False),
)  # fmt: skip
Index("uq_alert_episode", alert.c.source, alert.c.fingerprint, alert.c.starts_at, unique=True)
Index("ix_alert_incident_id", alert.c.incident_id, alert.c.firing)

quarantine = Table(
    "quarantine", metadata,
    Column("id", _RowId, primary_key=True, autoincrement=True),
    Column("at", Moment, nullable=False),
    Column("raw", Text, nullable=False),
    Column("why", Text, nullable=False),
)  # fmt: skip

timer = Table(
    "timer", metadata,
    Column("id", _RowId, primary_key=True, autoincrement=True),
    Column("incident_id", Text, ForeignKey("incident.id"), nullable=False),
    Column("kind", Text, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("number", BigInteger, nullable=False),
    Column("plan_id", Text, nullable=False),
    Column("due_at", Moment, nullable=False),
    Column("state", Text, nullable=False),  # armed, done, cancelled
)  # fmt: skip
Index("uq_timer_what", *(timer.c[name] for name in ("incident_id", "epoch", "kind", "number", "plan_id")), unique=True)
Index("ix_timer_due", timer.c.due_at, **_one_of("state", frozenset({"armed"})))

outbox = Table(
    "outbox", metadata,
    Column("seq", _RowId, primary_key=True, autoincrement=True),  # the order of creation
    Column("id", Text, nullable=False),  # travels with the message
    Column("incident_id", Text, ForeignKey("incident.id")),
    Column("lane", Text, nullable=False),
    Column("kind", Text, nullable=False),
    _words("template"),
    Column("payload", Text, nullable=False),
    _words("target"),
    _flag("living"),
    Column("state", Text, nullable=False),  # of bot.states.DeliveryState
    Column("priority", BigInteger, nullable=False),
    _number("attempt"),
    _number("unanswered"),
    _flag("unsure"),
    _flag("calling"),  # the call may have been made under the present claim
    Column("revision", BigInteger, nullable=False, server_default=text("1")),
    _words("owner"),
    _number("fence"),
    Column("lease_until", Moment),
    Column("not_before", Moment, nullable=False),
    Column("armed_at", Moment, nullable=False),  # since when it wants to go
    _words("place_channel"),
    _words("place_ts"),
    _words("error"),
    Column("created_at", Moment, nullable=False),
    Column("settled_at", Moment),
)  # fmt: skip
_WAITING = frozenset({"pending", "unknown", "sending"})
Index("uq_outbox_id", outbox.c.id, unique=True)
Index("ix_outbox_waiting", outbox.c.lane, outbox.c.priority, outbox.c.seq, **_one_of("state", _WAITING))
Index("ix_outbox_incident_id", outbox.c.incident_id, outbox.c.state)
Index("ix_outbox_place", outbox.c.place_channel, outbox.c.place_ts)

bad_version = Table(
    "bad_version", metadata,
    Column("system", Text, primary_key=True),
    Column("model", Text, primary_key=True),
    Column("version", Text, primary_key=True),
    Column("why", Text, nullable=False),
    Column("plan_id", Text, nullable=False),
    Column("at", Moment, nullable=False),
)  # fmt: skip

debt = Table(
    "debt", metadata,
    Column("plan_id", Text, primary_key=True),
    Column("incident_id", Text, nullable=False),
    Column("team_id", Text, nullable=False),
    Column("user_id", Text, nullable=False),
    _words("name"),
    Column("reason", Text, nullable=False),
    Column("opened_at", Moment, nullable=False),
    Column("reviewed_at", Moment),
    _words("reviewer_team_id"),
    _words("reviewer_user_id"),
    # Nobody reviews what they did themselves.
    sa.CheckConstraint("NOT (reviewer_team_id = team_id AND reviewer_user_id = user_id)", name="ck_debt_reviewer"),
)  # fmt: skip
Index("ix_debt_open", debt.c.team_id, debt.c.user_id,
      sqlite_where=debt.c.reviewed_at.is_(None), postgresql_where=debt.c.reviewed_at.is_(None))  # fmt: skip

freeze = Table(
    "freeze", metadata,
    Column("system", Text, primary_key=True),
    Column("until", Moment, nullable=False),
    Column("by_name", Text, nullable=False),
    Column("reason", Text, nullable=False),
)  # fmt: skip

# Who is on call because a person said so; the one that was made last wins.
stand_in = Table(
    "stand_in", metadata,
    Column("seq", _RowId, primary_key=True, autoincrement=True),  # the order in which they were made
    Column("id", Text, nullable=False),
    Column("rotation", Text, nullable=False),
    Column("person", Text, nullable=False),
    Column("start_at", Moment, nullable=False),
    Column("end_at", Moment, nullable=False),
    Column("team_id", Text, nullable=False),  # of who asked for it
    Column("user_id", Text, nullable=False),
    _words("name"),
    Column("made_at", Moment, nullable=False),
    Column("cancelled_at", Moment),
    _words("cancelled_by"),
)  # fmt: skip
Index("uq_stand_in_id", stand_in.c.id, unique=True)
Index("ix_stand_in_end_at", stand_in.c.end_at)

# The last good copy of a calendar: its text, and the events of the coming weeks with their repeats laid out.
calendar_copy = Table(
    "calendar_copy", metadata,
    Column("name", Text, primary_key=True),  # rotation/layer
    _words("body"),
    Column("entries", Text, nullable=False, server_default=text("'[]'")),
    Column("fetched_at", Moment),
    Column("laid_out_at", Moment),
    Column("tried_at", Moment, nullable=False),
    _words("error"),
)  # fmt: skip

# Planned work: pages about a part ("" for the whole system) wait until then.
hold = Table(
    "hold", metadata,
    Column("system", Text, primary_key=True),
    Column("part", Text, primary_key=True),
    Column("until", Moment, nullable=False),
    Column("why", Text, nullable=False),
    Column("by_name", Text, nullable=False),
)  # fmt: skip

# Heartbeats that are waited for, and the bot's own ("@bot"), by which it knows that it was away.
heartbeat = Table(
    "heartbeat", metadata,
    Column("name", Text, primary_key=True),
    Column("seen_at", Moment),
    Column("due_at", Moment, nullable=False),
    Column("silent_since", Moment),
)  # fmt: skip

# What was in production and changed. Triggers, made by the migration, refuse to change or remove a line.
move = Table(
    "move", metadata,
    Column("id", _RowId, primary_key=True, autoincrement=True),
    Column("system", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("what", Text, nullable=False),
    _words("from_version"),
    Column("to_version", Text, nullable=False),
    Column("earliest_at", Moment, nullable=False),
    Column("latest_at", Moment, nullable=False),
    _words("by"),
    _words("why"),
    _words("plan_id"),
    _words("told_by"),
)  # fmt: skip
Index("uq_move_once", *(move.c[name] for name in ("system", "model", "what", "latest_at", "to_version")), unique=True)
Index("ix_move_latest", *(move.c[name] for name in ("system", "model", "what", "latest_at")))

# Since when something is watched for the ledger, and when it was last seen to be as the ledger's last line says.
watch = Table(
    "watch", metadata,
    Column("system", Text, primary_key=True),
    Column("model", Text, primary_key=True),
    Column("what", Text, primary_key=True),
    Column("since_at", Moment, nullable=False),
    Column("seen_at", Moment, nullable=False),
)  # fmt: skip

# One drift check from the wish for it to its result. `document` is the report; the rest is what it is looked up by.
drift_report = Table(
    "drift_report", metadata,
    Column("id", Text, primary_key=True),
    _number("number"),  # of the id
    Column("system", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("state", Text, nullable=False),  # of bot.policy.drift.ReportState
    Column("key", Text, nullable=False),  # what makes two checks the same
    Column("asked_at", Moment, nullable=False),
    Column("ended_at", Moment),
    _words("review"),
    _number("run"),
    Column("document", Text, nullable=False),
    _words("numbers"),  # everything the worker measured, as it answered; "" while there is none
)  # fmt: skip
# The same check is not made twice at a time, whatever two people or replicas ask at once.
Index("uq_drift_report_open", drift_report.c.key, unique=True, **_one_of("state", frozenset({"asked", "running"})))
Index("ix_drift_report_model", drift_report.c.system, drift_report.c.model, drift_report.c.ended_at)
Index("ix_drift_report_review", drift_report.c.review, drift_report.c.number)

# What people said about a report, one row after the other; the last one counts.
drift_exit = Table(
    "drift_exit", metadata,
    Column("report_id", Text, ForeignKey("drift_report.id"), primary_key=True),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("exit", Text, nullable=False),
    Column("team_id", Text, nullable=False),
    Column("user_id", Text, nullable=False),
    _words("name"),
    Column("at", Moment, nullable=False),
)  # fmt: skip

# Reports and pictures, packed. In the database, so that every replica can show them and none is without its result.
report_file = Table(
    "report_file", metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("media_type", Text, nullable=False),
    Column("body", sa.LargeBinary, nullable=False),
    Column("made_at", Moment, nullable=False),
)  # fmt: skip
Index("ix_report_file_made", report_file.c.made_at)

# What comes again and again, and until when it was done: a restart neither doubles nor loses one.
recurring = Table(
    "recurring", metadata,
    Column("name", Text, primary_key=True),
    Column("done_for", Moment, nullable=False),
)  # fmt: skip

# The chain (see bot.audit). Triggers, made by the migration, refuse to change or remove a line.
audit = Table(
    "audit", metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("at", Moment, nullable=False),
    Column("kind", Text, nullable=False),
    Column("by_team", Text, nullable=False),
    Column("by_user", Text, nullable=False),
    Column("by_name", Text, nullable=False),
    Column("incident_id", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("data", Text, nullable=False),
    Column("prev", Text, nullable=False),
    Column("mac", Text, nullable=False),
)  # fmt: skip
Index("ix_audit_incident_id", audit.c.incident_id, audit.c.seq)
# No line is followed by two: a fork is refused by the database itself.
Index("uq_audit_prev", audit.c.prev, unique=True)

# The one row that every writer of the chain locks, so that replicas queue up instead of forking it.
audit_head = Table(
    "audit_head", metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("seq", BigInteger, nullable=False),
    Column("mac", Text, nullable=False),
    sa.CheckConstraint("id = 1", name="ck_audit_head_one_row"),
)  # fmt: skip
