"""Claimed work: a frozen worker, a fault of ours, a backend that is down."""

from __future__ import annotations

from typing import Any

import pytest

from bot import events as ev
from bot.model import PlanState
from bot.store import Store
from playground.slack import Workspace
from tests.engine.conftest import NewOffice
from tests.engine.office import DOWN, Clock, Office, answering, failing, posts, text_of


def approved(office: Office) -> None:
    office.alert()
    office.work()
    office.say("flip intent")
    office.work()
    assert not office.approve(office.plan).refused
    [reread] = office.claim_work()
    office.worker.do(reread)
    assert office.plan.state is PlanState.RUNNING


def freeze_after_intent(first: Office, second: Office, clock: Clock) -> int:
    """A worker stops for longer than its lease between the stored intent and the call; how often it was pulled."""
    approved(first)
    apply = first.engine.apply

    def apply_and_freeze(incident_id: str, event: Any, **more: Any) -> Any:
        decision = apply(incident_id, event, **more)
        if isinstance(event, ev.StepBegun):
            clock.advance(seconds=61)
            second.work()
            first.lever.at = "new"
        return decision

    first.engine.apply = apply_and_freeze  # type: ignore[method-assign]
    [step] = first.claim_work()
    first.worker.do(step)
    return first.lever.pulled


def test_a_worker_frozen_before_its_call_makes_none(file_store: Store, new_office: NewOffice, clock: Clock) -> None:
    """G2: whoever took over looked, and pulled; the one that wakes up does nothing."""
    one = new_office(file_store)
    two = new_office(file_store, owner="two", lever=one.lever)
    assert freeze_after_intent(one, two, clock) == 1
    assert one.plan.steps[0].attempts == 2


def test_without_the_last_look_it_would_be_pulled_twice(
    file_store: Store, new_office: NewOffice, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Store, "still_mine", lambda *_: True)
    one = new_office(file_store)
    two = new_office(file_store, owner="two", lever=one.lever)
    assert freeze_after_intent(one, two, clock) == 2


def test_a_call_that_raised_is_looked_at_and_not_repeated(office: Office, clock: Clock) -> None:
    """G2: the effect is there although the answer is not."""
    approved(office)

    def lose_the_answer() -> None:
        raise ConnectionResetError

    office.lever.on_perform = lose_the_answer
    for _ in range(5):
        office.work()
        clock.advance(seconds=4)
    assert office.lever.pulled == 1
    assert office.plan.state is PlanState.VERIFIED


def test_an_action_with_a_fault_says_so_and_stands_in_nobodys_way(office: Office, ws: Workspace, clock: Clock) -> None:
    """A plan that cannot be drawn ends in words, within a minute, and the same may be asked for again."""
    office.alert()
    office.deliver()
    office.lever.trouble = [KeyError("a bug"), KeyError("a bug"), KeyError("a bug")]
    assert not office.say("flip intent").refused
    office.settle(40)
    assert office.plan.state is PlanState.REFUSED
    assert any("failed inside the bot" in text_of(call) for call in posts(ws))
    assert not office.say("flip intent").refused
    office.work()
    assert office.plan.state is PlanState.PENDING


def test_a_backend_that_is_down_costs_its_own_finding_only(
    file_store: Store, new_office: NewOffice, ws: Workspace
) -> None:
    """T5: and so does a diagnostic with a fault."""
    questions = [answering("good"), failing("blind", DOWN), failing("faulty", ZeroDivisionError("secret detail"))]
    office = new_office(file_store, questions=questions)
    office.alert()
    office.settle(8)
    told = "\n".join(text_of(call) for call in posts(ws))
    assert "good is fine" in told
    assert "Prometheus does not answer" in told
    assert "faulty failed inside the bot" in told
    assert "secret detail" not in told


def test_a_finding_is_told_once_however_often_it_is_asked(file_store: Store, new_office: NewOffice) -> None:
    """A worker that dies after half of its findings: the next one asks again and tells only what is missing."""
    office = new_office(file_store, questions=[answering("good")])
    office.alert()
    [job] = office.claim_work()
    office.worker._diagnose(job, office.incident)
    office.worker.do(job)
    assert office.kinds().count("finding") <= 1
    assert sum(count for (_, kind, _), count in office.store.queue_stats(office.clock()).counts.items()
               if kind == "diagnostic") == 1  # fmt: skip
