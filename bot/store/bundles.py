"""Statements about pages that wait for each other: several for one person become one message, and parts again."""

from __future__ import annotations

import hashlib
from datetime import datetime

from sqlalchemy import and_, or_, select, update
from sqlalchemy.engine import Connection

from bot.states import DELIVERY, DeliveryState
from bot.store.documents import read_mapping
from bot.store.outbox import LADDER_PAGE, Wanted, add_once, settle
from bot.store.records import Job
from bot.store.tables import outbox

BUNDLE = "bundle"  # template of a message that stands for several pages
MOST = 15  # pages in one message; more follow in the next


def bundle(connection: Connection, job: Job, now: datetime, note: str) -> bool:
    """Let one new message stand for this page and the others that wait for the same person; False when none does.

    Only pages that wait because of `note` and whose call was not begun are taken, from under whoever holds them: their
    last look before the call fails. The rows stay, dropped, with the message's id: the page of an incident is known to
    have been decided, and can be sent by itself again.
    """
    is_waiting = or_(
        outbox.c.state == DeliveryState.PENDING, and_(outbox.c.state == DeliveryState.SENDING, ~outbox.c.calling)
    )
    waits = and_(
        outbox.c.kind == "page", outbox.c.template == LADDER_PAGE, outbox.c.target == job.target, is_waiting,
        outbox.c.error == note, ~outbox.c.unsure,
    )  # fmt: skip
    found = select(outbox.c.id, outbox.c.incident_id, outbox.c.payload).where(waits).order_by(outbox.c.seq)
    # Everybody locks them in the same order, this page among them, so two who gather at once do so one after the other.
    locked = connection.execute(found.limit(MOST).with_for_update()).all()
    rows = [row for row in locked if row.id != job.id]
    if len(rows) == len(locked) or not rows:
        return False
    ids = [job.id, *(str(row.id) for row in rows)]
    bundle_id = hashlib.sha256("\n".join(["bundle", *sorted(ids)]).encode()).hexdigest()[:32]
    if not settle(connection, job, "dropped", now, error=f"in {bundle_id}"):
        return False
    pages = [{**job.payload, "id": job.id, "incident": job.incident_id}]
    pages += [{**read_mapping(row.payload), "id": row.id, "incident": row.incident_id} for row in rows]
    dropped = DELIVERY.moves[DeliveryState.PENDING, "dropped"]
    others = update(outbox).where(outbox.c.id.in_(ids[1:]))
    connection.execute(
        others.values(state=dropped, settled_at=now, error=f"in {bundle_id}", owner="", lease_until=None)
    )
    wanted = Wanted(
        id=bundle_id, incident_id="", lane="slack", kind="page", payload={"pages": pages}, target=job.target,
        template=BUNDLE,
    )  # fmt: skip
    add_once(connection, wanted, now)
    return True


def part(connection: Connection, job: Job, now: datetime, note: str) -> bool:
    """Let each page of a bundle go by itself again, because Slack will not take them together where they should go."""
    if not settle(connection, job, "dropped", now, error=note):
        return False
    pages = job.payload.get("pages")
    ids = [str(one.get("id")) for one in pages if isinstance(one, dict)] if isinstance(pages, list) else []
    again = update(outbox).where(outbox.c.id.in_(ids), outbox.c.state == DeliveryState.DROPPED)
    again = again.where(outbox.c.error == f"in {job.id}")
    pending = DELIVERY.moves[DeliveryState.DROPPED, "changed"]
    connection.execute(again.values(state=pending, not_before=now, error=note, attempt=0, settled_at=None))
    return True


def drop(connection: Connection, job: Job, now: datetime, note: str) -> bool:
    """Nothing is left to say: not a failure."""
    return settle(connection, job, "dropped", now, error=note)
