"""Statements about outgoing messages and work: rows in, claimed under a lease, settled under a fence.

How a row's state changes is bot.states.DELIVERY and nothing else: `_takes` and `_becomes` turn its table into SQL.
Every settlement names the claim it belongs to (owner and fence), so that somebody whose lease ran out settles nothing
any more.

A claimed row whose call was not begun goes back as if nothing had happened; only one whose call may have been made is
`unsure` and has to be looked for. `begin_call` is what draws that line, just before the call.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, and_, case, exists, func, literal, literal_column, or_, select, true, update
from sqlalchemy.engine import Connection, Row

from bot.states import DELIVERY, DeliveryState
from bot.store.database import Insert, run_upsert
from bot.store.documents import clean, read_mapping, write_json
from bot.store.records import Job, QueueStats
from bot.store.tables import Moment, outbox

_PRIORITY = {
    "page": 0,
    "approval": 1,
    "headline": 2,
    "result": 3,
    "drift": 3,
    "diagnostic": 4,
    "drift_file": 4,
    "digest": 5,
}
_WORK_PRIORITY = {"reread": 0, "step": 1, "draw": 2, "diagnose": 3}
_WAITING = (DeliveryState.PENDING, DeliveryState.UNKNOWN)
_UNSENT = (*_WAITING, DeliveryState.SENDING)
# In the words of the partial index, or SQLite would not see that the index has every such row and read the whole table.
_IS_UNSENT = outbox.c.state.in_([literal_column(f"'{state}'") for state in sorted(map(str, _UNSENT))])
LADDER_PAGE = "level"  # `template` of a page that the ladder wanted, and may take back
_NO_CLAIM = {"owner": "", "lease_until": None, "calling": False}


def _takes(event: str) -> ColumnElement[bool]:
    return outbox.c.state.in_([state for state, name in DELIVERY.moves if name == event])


def _becomes(event: str) -> ColumnElement[str]:
    """The state after the event, by the table."""
    moves = {state.value: then.value for (state, name), then in DELIVERY.moves.items() if name == event}
    return case(moves, value=outbox.c.state, else_=outbox.c.state)


def headline_id(incident_id: str) -> str:
    """Id of the row of an incident's headline."""
    return f"{incident_id}:headline"


def place_id(incident_id: str, what: str) -> str:
    """Id of the row that "headline" or "card:PLN-1" of an incident means."""
    return f"{incident_id}:{what}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A message or piece of work that is wanted."""

    id: str
    incident_id: str  # "" for what belongs to none
    lane: str
    kind: str
    payload: Mapping[str, object] = field(default_factory=dict)
    target: str = ""
    template: str = ""


def add_once(connection: Connection, wanted: Wanted, now: datetime) -> None:
    """Add a row; one with the same id stays as it is."""
    run_upsert(connection, _stay, outbox, _new_row(wanted, now, now))


def _stay(row: Insert) -> Insert:
    return row.on_conflict_do_nothing(index_elements=[outbox.c.id])


def arm(connection: Connection, wanted: Wanted, now: datetime, after: timedelta = timedelta(0)) -> None:
    """Add a row, or let the one with the same id go (again) with newer content.

    A message that waits out a back-off goes on waiting; work is due when the newest wish says.
    """
    is_message = wanted.lane == "slack"
    fresh = _new_row(wanted, now, now + after) | {"living": is_message}
    run_upsert(connection, _renew_message if is_message else _renew_work, outbox, fresh)


def _renew_message(row: Insert) -> Insert:
    waits = outbox.c.state.in_(_WAITING)
    return _renew(row, case((waits, outbox.c.not_before), else_=row.excluded.not_before))


def _renew_work(row: Insert) -> Insert:
    return _renew(row, row.excluded.not_before)


def _renew(row: Insert, not_before: ColumnElement[datetime]) -> Insert:
    waits = outbox.c.state.in_(_WAITING)
    is_over = outbox.c.state.not_in(_UNSENT)
    changed = {
        "state": _becomes("changed"),
        "revision": outbox.c.revision + 1,
        "payload": row.excluded.payload,
        "attempt": case((is_over, 0), else_=outbox.c.attempt),
        "unanswered": case((is_over, 0), else_=outbox.c.unanswered),
        "not_before": not_before,
        "armed_at": case((waits, outbox.c.armed_at), else_=row.excluded.armed_at),
    }
    return row.on_conflict_do_update(index_elements=[outbox.c.id], set_=changed)


def drop_pages(connection: Connection, incident_id: str, now: datetime) -> None:
    """Let no page of the ladder of an incident go out any more; one under way fails its last look before the call."""
    of_ladder = and_(outbox.c.incident_id == incident_id, outbox.c.kind == "page", outbox.c.template == LADDER_PAGE)
    dropped = update(outbox).where(of_ladder, _takes("dropped"))
    connection.execute(dropped.values(state=_becomes("dropped"), settled_at=now))


def drop_unsent(connection: Connection, incident_id: str, template: str, now: datetime) -> None:
    """Let no message of that template of an incident go out that waits: a newer one says what is true."""
    waiting = and_(outbox.c.incident_id == incident_id, outbox.c.template == template, outbox.c.kind != "page")
    dropped = update(outbox).where(waiting, outbox.c.state == DeliveryState.PENDING)
    connection.execute(dropped.values(state=_becomes("dropped"), settled_at=now))


def claim(
    connection: Connection, lane: str, owner: str, now: datetime, lease: timedelta, limit: int, held: Collection[str]
) -> list[Job]:
    """Take rows that may go now, but none of `held`, the most urgent first: nobody else's before the lease ends."""
    free = select(outbox.c.seq).where(_may_go(lane), _free_at() <= now)
    if held:
        free = free.where(outbox.c.id.not_in(held))
    free = free.order_by(outbox.c.priority, outbox.c.seq).limit(limit)  # as the index has them: nothing to sort
    picked = [row.seq for row in connection.execute(free.with_for_update(skip_locked=True, of=outbox))]
    if not picked:
        return []
    lapsed = outbox.c.state == DeliveryState.SENDING
    may_have_gone = and_(lapsed, _may_have_gone())
    taken = update(outbox).where(outbox.c.seq.in_(picked)).values(
        state=DeliveryState.SENDING, owner=owner, lease_until=now + lease, calling=False, fence=outbox.c.fence + 1,
        attempt=outbox.c.attempt + 1, unsure=or_(outbox.c.unsure, may_have_gone),
        unanswered=outbox.c.unanswered + case((may_have_gone, 1), else_=0),
    )  # fmt: skip
    jobs = [_job(row) for row in connection.execute(taken.returning(outbox))]
    order = {seq: number for number, seq in enumerate(picked)}
    return [job for _, job in sorted(jobs, key=lambda pair: order[pair[0]])]


def begin_call(connection: Connection, job: Job, now: datetime, margin: timedelta) -> bool:
    """True when the row is still this claim's, wanted, and for longer than `margin`: the call may be made now."""
    enough = outbox.c.lease_until > now + margin
    mine = update(outbox).where(of_claim(job), outbox.c.state == DeliveryState.SENDING, enough)
    return connection.execute(mine.values(calling=True)).rowcount == 1


def extend(connection: Connection, job: Job, now: datetime, lease: timedelta) -> bool:
    """Keep a claim for longer; False when it is lost already."""
    mine = and_(of_claim(job), outbox.c.state == DeliveryState.SENDING, outbox.c.lease_until > now)
    return connection.execute(update(outbox).where(mine).values(lease_until=now + lease)).rowcount == 1


def settle(connection: Connection, job: Job, event: str, now: datetime, **values: object) -> bool:
    """Bring a claim to its end by an event of the table; False when the claim was lost, and nothing changes then.

    What changed while it was under way goes out next: the row is pending again at once.
    """
    mine = update(outbox).where(of_claim(job), outbox.c.state == DeliveryState.SENDING)
    after = DELIVERY.moves[DeliveryState.SENDING, event]
    if after in _WAITING:
        changed = mine.values(state=after, **(_NO_CLAIM | values))
        return connection.execute(changed).rowcount == 1
    # A message that was found shows what it showed when it was sent; what it should show now may be newer.
    newer = true() if event == "found" and job.living else outbox.c.revision > job.revision
    done = mine.values(
        state=case((newer, DELIVERY.moves[after, "changed"].value), else_=after.value),
        attempt=case((newer, 0), else_=outbox.c.attempt), unanswered=case((newer, 0), else_=outbox.c.unanswered),
        settled_at=now, **(_NO_CLAIM | values),
    )  # fmt: skip
    return connection.execute(done).rowcount == 1


def let_go(
    connection: Connection, which: ColumnElement[bool], now: datetime, look_after: timedelta = timedelta(0)
) -> int:
    """End claims before their lease does, by one rule: begun calls are to be looked for, the rest just wait again."""
    over = DELIVERY.moves[DeliveryState.SENDING, "lease_over"]
    back = DELIVERY.moves[DeliveryState.SENDING, "try_later"]
    gone = _may_have_gone()
    freed = update(outbox).where(outbox.c.state == DeliveryState.SENDING, which).values(
        state=case((gone, over.value), else_=back.value), unsure=or_(outbox.c.unsure, gone),
        unanswered=outbox.c.unanswered + case((gone, 1), else_=0),
        not_before=case((gone, literal(now + look_after, Moment)), else_=literal(now, Moment)), **_NO_CLAIM,
    )  # fmt: skip
    return int(connection.execute(freed).rowcount)


def owners(connection: Connection) -> set[str]:
    """Whoever holds a claim."""
    query = select(outbox.c.owner).where(_IS_UNSENT, outbox.c.owner != "").distinct()
    return {str(row.owner) for row in connection.execute(query)}


def of_owner(owner: str) -> ColumnElement[bool]:
    """Rows that this owner holds."""
    return outbox.c.owner == owner


def of_others(owner: str) -> ColumnElement[bool]:
    """Rows that somebody else holds."""
    return outbox.c.owner != owner


def place(connection: Connection, row_id: str) -> tuple[str, str] | None:
    """Channel and time stamp of a message, None while it is nowhere."""
    row = connection.execute(select(outbox.c.place_channel, outbox.c.place_ts).where(outbox.c.id == row_id)).first()
    return (row.place_channel, row.place_ts) if row is not None and row.place_ts else None


def incident_at(connection: Connection, channel: str, ts: str) -> str | None:
    """Id of the incident whose headline is there."""
    there = (outbox.c.place_channel == channel, outbox.c.place_ts == ts, outbox.c.kind == "headline")
    found: str | None = connection.execute(select(outbox.c.incident_id).where(*there)).scalar()
    return found


def next_free(connection: Connection, lane: str) -> datetime | None:
    """When the next row of a lane ("" for any) may be claimed."""
    lanes = [lane] if lane else ["slack", "work", "media", "drift"]
    found = [connection.execute(select(func.min(_free_at())).where(_may_go(one))).scalar() for one in lanes]
    times: list[datetime] = [one for one in found if one is not None]
    return min(times, default=None)


def count_overdue(connection: Connection, before: datetime) -> int:
    """How many rows have been waiting since before that time."""
    query = select(func.count()).select_from(outbox).where(_IS_UNSENT, outbox.c.armed_at < before)
    return int(connection.execute(query).scalar_one())


def remove_settled(connection: Connection, before: datetime) -> int:
    """Remove rows that came to an end before that time. Living messages stay: they know where they are."""
    ended = and_(outbox.c.state.not_in(_UNSENT), ~outbox.c.living, outbox.c.settled_at < before)
    return int(connection.execute(outbox.delete().where(ended)).rowcount)


def stats(connection: Connection, now: datetime) -> QueueStats:
    """How many rows are in which state, and how long the oldest one of each lane has been waiting."""
    which = (outbox.c.lane, outbox.c.kind, outbox.c.state)
    counts = connection.execute(select(*which, func.count().label("rows")).group_by(*which))
    waiting = _IS_UNSENT
    oldest = select(outbox.c.lane, func.min(outbox.c.armed_at).label("since")).where(waiting).group_by(outbox.c.lane)
    return QueueStats(
        counts={(row.lane, row.kind, row.state): int(row.rows) for row in counts},
        oldest_s={row.lane: max((now - row.since).total_seconds(), 0.0) for row in connection.execute(oldest)},
    )


def _new_row(wanted: Wanted, now: datetime, due_at: datetime) -> dict[str, object]:
    ranks = _WORK_PRIORITY if wanted.lane == "work" else _PRIORITY
    return {
        "id": wanted.id, "incident_id": wanted.incident_id or None, "lane": wanted.lane, "kind": wanted.kind,
        "payload": write_json(wanted.payload), "target": clean(wanted.target), "template": wanted.template,
        "state": DeliveryState.PENDING, "priority": ranks.get(wanted.kind, max(ranks.values())), "not_before": due_at,
        "armed_at": due_at, "created_at": now,
    }  # fmt: skip


def of_claim(job: Job) -> ColumnElement[bool]:
    """The row, as long as it is this claim's."""
    return and_(outbox.c.id == job.id, outbox.c.owner == job.owner, outbox.c.fence == job.fence)


def _may_have_gone() -> ColumnElement[bool]:
    """Of a claim that ended without a word. Work asks nobody before its call, so it may always have been begun."""
    return or_(outbox.c.calling, outbox.c.lane != "slack")


def _free_at() -> ColumnElement[datetime]:
    """When a row may be claimed (again)."""
    return case((outbox.c.state == DeliveryState.SENDING, outbox.c.lease_until), else_=outbox.c.not_before)


def _may_go(lane: str) -> ColumnElement[bool]:
    """Rows of a lane that nothing but time holds back.

    What goes into a thread needs the headline it hangs on, and posts of one thread keep their order: the next one goes
    when the one before is out, or given up. Pages wait for nothing.
    """
    unsettled = and_(outbox.c.lane == lane, _IS_UNSENT)
    if lane != "slack":
        return unsettled
    head, older = outbox.alias("head"), outbox.alias("older")
    has_head = exists().where(head.c.id == outbox.c.incident_id + ":headline", head.c.place_ts != "")
    has_older = exists().where(
        older.c.incident_id == outbox.c.incident_id, older.c.target == "thread", ~older.c.living,
        older.c.seq < outbox.c.seq, older.c.state.in_(_UNSENT),
    )  # fmt: skip
    return and_(
        unsettled,
        or_(outbox.c.target != "thread", has_head),
        or_(outbox.c.target != "thread", outbox.c.living, ~has_older),
    )


def _job(row: Row[tuple[object, ...]]) -> tuple[int, Job]:
    return row.seq, Job(
        id=row.id, incident_id=row.incident_id or "", lane=row.lane, kind=row.kind, template=row.template,
        payload=read_mapping(row.payload), target=row.target, living=row.living, attempt=row.attempt,
        unanswered=row.unanswered, unsure=row.unsure, revision=row.revision, owner=row.owner, fence=row.fence,
        lease_until=row.lease_until, place_channel=row.place_channel, place_ts=row.place_ts, created_at=row.created_at,
        priority=row.priority, error=row.error,
    )  # fmt: skip
