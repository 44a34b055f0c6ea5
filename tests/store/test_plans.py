"""What is asked many times a second is answered from an index, however much has gathered in the tables."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from bot.store import Store
from bot.store.tables import outbox, timer
from tests.store.builders import LEASE, T0, claim, incident, save

PENDING, SENT = 4_000, 4_000


@pytest.fixture
def full_store(store: Store) -> Store:
    """Thousands of timers that wait, thousands of messages that are out."""
    save(store, incident())
    waiting = [
        {"incident_id": "INC-1", "kind": "escalate", "epoch": 0, "number": number, "plan_id": "-",
         "due_at": T0 + timedelta(days=1, seconds=number), "state": "armed"}
        for number in range(PENDING)
    ]  # fmt: skip
    sent = [
        {"id": f"m{number}", "incident_id": "INC-1", "lane": "slack", "kind": "page", "payload": "{}", "state": "sent",
         "priority": 0, "not_before": T0, "armed_at": T0, "created_at": T0}
        for number in range(SENT)
    ]  # fmt: skip
    with store._database.write() as connection:
        connection.execute(timer.insert(), waiting)
        connection.execute(outbox.insert(), sent)
        connection.execute(sa.text("ANALYZE"))
    return store


def plans(store: Store, ask: Any) -> str:
    """How the database finds what `ask` asks for."""
    found: list[str] = []
    words = "EXPLAIN QUERY PLAN " if store.is_sqlite else "EXPLAIN "

    def explain(connection: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.startswith("SELECT") and ("FROM timer" in statement or "FROM outbox" in statement):
            beside = connection.connection.cursor()
            beside.execute(words + statement, parameters)
            found.extend(str(row) for row in beside.fetchall())
            beside.close()

    engine = store._database.engine
    sa.event.listen(engine, "before_cursor_execute", explain)
    try:
        ask()
    finally:
        sa.event.remove(engine, "before_cursor_execute", explain)
    return "\n".join(found)


def test_due_timers_are_found_by_their_time(full_store: Store) -> None:
    plan = plans(full_store, lambda: full_store.due_timers(T0))
    assert "ix_timer_due" in plan
    assert "SCAN timer" not in plan
    assert "Seq Scan" not in plan


def test_what_may_go_is_found_among_what_waits_only(full_store: Store) -> None:
    """The most urgent one is the first of the index: nothing is sorted, and nothing that is out is read."""
    plan = plans(full_store, lambda: full_store.claim("slack", "one", T0, LEASE, 8))
    assert "ix_outbox_waiting" in plan
    assert "SCAN outbox" not in plan
    assert "ORDER BY" not in plan
    assert "Sort" not in plan
    assert claim(full_store) == []
