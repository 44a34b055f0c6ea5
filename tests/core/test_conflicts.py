"""What only the database can refuse: two plans on one target, two open incidents about one thing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from bot import events as ev
from bot.engine import Engine
from bot.model import IncidentState, PlanState, Severity
from bot.store import Store
from tests.core.stage import ALICE, BOB, POLICY, SUBJECT, T0, draft


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    store = Store(f"sqlite:///{tmp_path / 'bot.db'}", audit_key=b"a key that only this test knows.....")
    store.migrate()
    yield Engine(store, POLICY, lambda: T0 + timedelta(minutes=1))
    store.close()


def declare(engine: Engine, key: str) -> str:
    event = ev.Declared(incident_id="", key=key, subject=SUBJECT, by=ALICE, title="it is bad", severity=Severity.P0)
    decision = engine.open_incident(lambda incident_id: replace(event, incident_id=incident_id), key)
    assert decision.incident is not None
    return decision.incident.id


def test_two_incidents_cannot_lock_one_target(engine: Engine) -> None:
    codes = []
    for number in (1, 2):
        plan_id = f"PLN-{number}"
        incident_id = declare(engine, f"key {number}")
        engine.apply(
            incident_id,
            ev.ActionRequested(plan_id=plan_id, action="rollback", subject=SUBJECT, request={}, by=ALICE),
        )
        shown = engine.apply(incident_id, ev.PlanDrawn(plan_id=plan_id, draft=draft())).incident
        assert shown is not None
        # `locked_by` was asked before the other approval was stored: both clicks believe that the target is free
        click = ev.ApproveClicked(plan_id=plan_id, digest=shown.plans[0].digest, by=BOB)
        codes.append(engine.apply(incident_id, click).why.code)

    assert codes == ["approved", "locked"]
    second = engine.store.incident("INC-2")
    assert second is not None
    assert (second.plans[0].state, second.plans[0].votes) == (PlanState.PENDING, ())


def test_an_old_incident_is_not_reopened_beside_a_newer_one(engine: Engine) -> None:
    first = declare(engine, "one key")
    engine.apply(first, ev.Resolved(by=ALICE))
    second = declare(engine, "one key")

    refused = engine.apply(first, ev.Reopened(by=BOB)).why

    assert first != second
    assert refused.text == "A newer incident about the same thing is open; go on there."
    kept = engine.store.incident(first)
    assert kept is not None
    assert kept.state is IncidentState.RESOLVED
