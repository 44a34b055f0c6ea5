"""Statements about the audit chain. Lines are added at the very end of a transaction, under a lock on the chain's head.

At the end, because the head is what every writer needs: locked last and shortly, it can be part of no circle of
waiting.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select, update
from sqlalchemy.engine import Connection, Row

from bot.audit import START, AuditLine, seal
from bot.model import Who
from bot.store.database import upsert
from bot.store.documents import clean, read_words, write_json
from bot.store.tables import audit, audit_head


def add_lines(connection: Connection, lines: Sequence[AuditLine], key: bytes) -> None:
    """Seal the lines as the next ones of the chain."""
    if not lines:
        return
    connection.execute(upsert(connection, audit_head).values(id=1, seq=0, mac=START).on_conflict_do_nothing())
    found = connection.execute(select(audit_head).with_for_update()).one()
    last = (int(found.seq), str(found.mac))
    rows = []
    for line in lines:
        sealed = seal(last, line, key)
        last = (sealed.seq, sealed.mac)
        rows.append(_row(sealed))
    connection.execute(audit.insert(), rows)
    connection.execute(update(audit_head).values(seq=last[0], mac=last[1]))


def head(connection: Connection) -> tuple[int, str]:
    """Number and hash of the last line; (0, START) for an empty chain."""
    found = connection.execute(select(audit_head)).first()
    return (int(found.seq), str(found.mac)) if found else (0, START)


def lines_from(connection: Connection, seq: int, limit: int) -> list[AuditLine]:
    """Lines from that number on, in the order of their numbers."""
    found = connection.execute(select(audit).where(audit.c.seq >= seq).order_by(audit.c.seq).limit(limit))
    return [_line(row) for row in found]


def timeline(connection: Connection, incident_id: str) -> list[AuditLine]:
    """Every line of an incident, oldest first."""
    found = connection.execute(select(audit).where(audit.c.incident_id == incident_id).order_by(audit.c.seq))
    return [_line(row) for row in found]


def cleaned(line: AuditLine) -> AuditLine:
    """The line as the database will give it back, so that its hash is over what is stored."""
    who = Who(team_id=clean(line.by.team_id), user_id=clean(line.by.user_id), name=clean(line.by.name))
    return AuditLine(
        seq=0, at=line.at, kind=clean(line.kind), by=who, incident_id=clean(line.incident_id), text=clean(line.text),
        data=read_words(write_json(line.data)),
    )  # fmt: skip


def _row(line: AuditLine) -> dict[str, object]:
    return {
        "seq": line.seq, "at": line.at, "kind": line.kind, "by_team": line.by.team_id, "by_user": line.by.user_id,
        "by_name": line.by.name, "incident_id": line.incident_id, "text": line.text, "data": write_json(line.data),
        "prev": line.prev, "mac": line.mac,
    }  # fmt: skip


def _line(row: Row[tuple[object, ...]]) -> AuditLine:
    return AuditLine(
        seq=row.seq, at=row.at, kind=row.kind, by=Who(team_id=row.by_team, user_id=row.by_user, name=row.by_name),
        incident_id=row.incident_id, text=row.text, data=read_words(row.data), prev=row.prev, mac=row.mac,
    )  # fmt: skip
