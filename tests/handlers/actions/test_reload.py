"""Reload: the alias stays, the server loads it again, and that can be seen."""

from __future__ import annotations

import pytest

from bot.model import Draft, Outcome
from bot.ports import Foreign, Refusal
from handlers.actions.reload import ACTION
from tests.handlers.fakes import DOWN, LOST, MODEL, World, plan_of, version


def drawn(world: World) -> Draft:
    draft = ACTION.draw(world.scene(), {"model": MODEL})
    assert isinstance(draft, Draft), draft
    return draft


def test_what_is_understood() -> None:
    assert ACTION.parse([MODEL], World().system) == (MODEL, {"model": MODEL})
    for words, told in (
        ([], "I read `reload <model>`"),
        ([MODEL, "now"], "I read"),
        (["intent"], "Did you mean intent_classifier?"),
    ):
        parsed = ACTION.parse(words, World().system)
        assert isinstance(parsed, Refusal)
        assert told in parsed.why


def test_a_server_that_is_behind_the_registry() -> None:
    world = World()
    world.registry.aliases["champion"] = "2"
    draft = drawn(world)
    assert (draft.title, draft.from_, draft.to, draft.tier) == ("Reload intent_classifier (v2)", "v3", "v2", "light")
    assert draft.because == "champion points at v2, the server says: v3."
    assert draft.warnings == ("Registry and server disagree: champion is v2, the server serves v3.",)
    assert draft.inverse == {}
    assert draft.marks_bad == ""
    assert [step.name for step in draft.steps] == ["reload_server", "prove_served"]
    plan = plan_of("reload", draft)
    assert ACTION.fingerprint(world.scene(), plan) == draft.fingerprint
    for step in ("reload_server", "prove_served"):
        assert ACTION.observe(world.scene(), plan, step).outcome is Outcome.NOT_YET
    for step in ("reload_server", "prove_served"):
        assert ACTION.perform(world.scene(), plan, step).outcome is Outcome.DONE
    assert (world.server.loaded, world.registry.moved) == ("2", [])


def test_loading_the_same_version_again_is_seen_by_its_time() -> None:
    world = World()
    plan = plan_of("reload", drawn(world))
    assert ACTION.observe(world.scene(), plan, "reload_server").outcome is Outcome.NOT_YET, (
        "it is served, but not reloaded"
    )
    assert ACTION.perform(world.scene(), plan, "reload_server").outcome is Outcome.DONE
    assert ACTION.observe(world.scene(), plan, "reload_server").outcome is Outcome.DONE


@pytest.mark.parametrize(
    "problem, outcome",
    [(DOWN, Outcome.NOT_YET), (LOST, Outcome.NOT_YET), (Foreign("refused", "No.", happened=False), Outcome.FAILED)],
)
def test_a_bad_day(problem: Foreign, outcome: Outcome) -> None:
    world = World()
    plan = plan_of("reload", drawn(world))
    world.server.trouble["reload"] = problem
    seen = ACTION.perform(world.scene(), plan, "reload_server")
    assert seen.outcome is outcome
    assert "rollback" not in seen.detail, "there is nothing to roll back"


def test_an_alias_on_a_version_that_cannot_be_loaded() -> None:
    world = World()
    world.registry.known[0] = version("3", "FAILED_REGISTRATION")
    refusal = ACTION.draw(world.scene(), {"model": MODEL})
    assert isinstance(refusal, Refusal)
    assert "FAILED_REGISTRATION" in refusal.why
