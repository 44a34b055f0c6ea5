"""Promotion as people meet it: the gate's table in the channel, the approval, and a registry that goes away."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from bot.desk import Asker
from bot.model import PlanState
from bot.policy.gate import Criterion, Evaluation, Expectation, Gate, Smoke
from bot.ports import Prediction
from bot.store import Store
from handlers.actions import promote, rollback
from playground.slack import Workspace
from tests.engine.office import ALICE, BOB, Office, policy, posts, system
from tests.handlers.fakes import DOWN, LOST, MODEL, FakeRegistry, World

GATE = Gate(criteria=(Criterion(metric="accuracy", at_least=0.95),))
SMOKE = Smoke(path="/predict", body="{}", expects=(Expectation(at="/label", equals="greeting"),))
ASK = f"promote {MODEL} 3"


@pytest.fixture
def world() -> World:
    """v2 is in production, v3 waits; both were recorded."""
    made = World(gate=GATE, bounds=(), smoke=(SMOKE,))
    made.registry.aliases["champion"], made.server.loaded = "2", "2"
    made.registry.recorded = {
        number: Evaluation(metrics={"accuracy": value}) for number, value in (("1", 0.951), ("2", 0.96), ("3", 0.97))
    }
    made.server.answer = replace(made.server.answer, data={"label": "greeting"})
    return made


@pytest.fixture
def office(file_store: Store, new_office: Callable[..., Office], world: World) -> Office:
    shop = replace(system("alice", ("channel:#x",)), models=(world.profile,), services=("intent-server",))
    return new_office(
        file_store, rules=policy(shop), backends=world.scene().backends,
        actions={"promote": promote.ACTION, "rollback": rollback.ACTION},
    )  # fmt: skip


class Dying(FakeRegistry):
    """The change takes place, but its answer and every look afterwards get lost."""

    def move_alias(self, model: str, alias: str, *, expected: str, to: str) -> None:
        super().move_alias(model, alias, expected=expected, to=to)
        self.trouble["alias"] = DOWN
        raise LOST


def card(ws: Workspace) -> str:
    """The newest state of the newest card."""
    shown = [*posts(ws), *ws.calls("chat.update", ok=True)]
    return next(
        str(call.args.get("blocks")) for call in reversed(shown) if "asked for by" in str(call.args.get("blocks"))
    )


def approved(office: Office) -> None:
    """Ask, and let bob approve what was shown."""
    office.say(ASK)
    office.settle(3)
    assert office.plan.state is PlanState.PENDING, office.plan.ended_why
    assert not office.approve(office.plan).refused


def test_a_version_that_fails_is_refused_with_the_table_and_nobody_is_asked(
    office: Office, ws: Workspace, world: World
) -> None:
    world.registry.recorded["3"] = Evaluation(metrics={"accuracy": 0.41})
    office.say(ASK)
    office.settle(3)
    assert office.plan.state is PlanState.REFUSED
    assert office.plan.ended_why.startswith("The gate says no to v3: accuracy is 0.41, must be at least 0.95.")
    told = card(ws)
    assert "Not done: Promote intent_classifier from v2 to v3" in told
    assert "FAIL  accuracy  0.41  at least 0.95" in told
    assert '"approve"' not in told
    assert office.approve(office.plan).refused
    assert world.registry.aliases == {"champion": "2"}


def test_a_version_that_passes_is_approved_and_proven(office: Office, ws: Workspace, world: World) -> None:
    office.say(ASK)
    office.settle(3)
    assert "pass  accuracy  0.97  at least 0.95" in card(ws)
    approved_by = office.approve(office.plan, who=BOB)
    assert not approved_by.refused
    office.settle(6)
    assert office.plan.state is PlanState.VERIFIED, office.plan.ended_why
    assert (world.registry.aliases, world.server.loaded) == ({"champion": "3"}, "3")
    assert world.server.asked == [("/predict", "{}")]
    back = office.desk.click_undo(office.plan.id, Asker(who=ALICE))
    office.settle(3)
    assert not back.refused, back.text
    assert (office.plan.action, office.plan.request) == ("rollback", {"model": MODEL, "to": "2"})


def test_the_champion_moves_between_preview_and_approval(office: Office, world: World) -> None:
    office.say(ASK)
    office.settle(3)
    world.registry.aliases["champion"] = "1"
    world.server.loaded = "1"
    assert not office.approve(office.plan).refused
    office.settle(3)
    void, fresh = office.incident.plans
    assert void.state is PlanState.VOID
    assert "alias champion was 2, is 1" in void.ended_why
    assert (fresh.state, fresh.draft and fresh.draft.from_) == (PlanState.PENDING, "v1")
    assert world.registry.moved == [], "nothing was changed"


@pytest.mark.parametrize("lost", [False, True])
def test_a_registry_that_dies_in_the_move_and_comes_back(office: Office, world: World, lost: bool) -> None:
    """Whether the alias had moved or not when the answer got lost: it ends verified, with one move."""
    if lost:
        world.registry.__class__ = Dying
    else:
        world.registry.trouble["move_alias"] = DOWN
    approved(office)
    office.settle(2)
    assert office.plan.state is PlanState.RUNNING, "neither done nor given up"
    world.registry.trouble.clear()
    office.settle(20)
    assert office.plan.state is PlanState.VERIFIED, office.plan.ended_why
    assert world.registry.aliases == {"champion": "3"}


def test_a_registry_that_stays_away_leaves_clear_words(office: Office, ws: Workspace, world: World) -> None:
    approved(office)
    world.registry.trouble["move_alias"] = DOWN
    office.settle(60)
    assert office.plan.state is PlanState.FAILED
    assert "the connection was refused" in office.plan.ended_why
    assert "Nothing was changed." in card(ws)
    assert world.registry.aliases == {"champion": "2"}


def test_a_wrong_smoke_prediction_ends_the_plan_with_a_way_back(office: Office, ws: Workspace, world: World) -> None:
    world.server.answer = Prediction(status=200, data={"label": "refund"}, took=world.server.answer.took)
    approved(office)
    office.settle(6)
    assert office.plan.state is PlanState.FAILED
    assert "/label is “refund”, not greeting" in office.plan.ended_why
    assert "Part of it was changed" in card(ws)
    assert "Undo" in card(ws)
