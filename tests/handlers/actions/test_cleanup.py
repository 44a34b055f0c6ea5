"""Cleaning up must never take what a rollback may need, whoever points at it and however late."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from bot.model import Draft, Outcome, Plan
from bot.policy import RecordProfile
from bot.ports import Foreign, ModelVersion, Package, Refusal, Scene
from handlers.actions.cleanup import ACTION, PROOF
from tests.handlers.fakes import DOWN, LOST, MODEL, FakeRegistry, World, plan_of, version

NAMES = [str(number) for number in range(1, 13)]


@dataclass
class Removable(FakeRegistry):
    """A registry that versions can be removed from."""

    doomed: set[str] = field(default_factory=set)

    def remove(self, model: str, version: ModelVersion) -> None:
        self._may("remove", model)
        self.known = [one for one in self.known if one.version != version.version]

    def is_doomed(self, model: str, version: ModelVersion) -> bool:
        return version.version in self.doomed

    def package(self, model: str, version: ModelVersion) -> Package:
        return Package(size_bytes=2048, files=3)


@pytest.fixture
def world() -> World:
    """Twelve versions: 9 was served long and well, 12 is champion; the rest never was anything."""
    registry = Removable(known=[version(name, age=1000 - int(name)) for name in NAMES], aliases={"champion": "12"})
    world = World(registry=registry, past=[(120, "9"), (5, "12")], accuracy={"9": 0.97, "12": 0.41})
    world.server.loaded = "12"
    return world


def scene(world: World, used: Mapping[str, str] | None = None, **more: Any) -> Scene:
    return world.scene(**{"used": lambda: used or {}, **more})


def drawn(world: World, keep: int = 2, used: Mapping[str, str] | None = None, **more: Any) -> Draft:
    found = ACTION.draw(scene(world, used, **more), {"model": MODEL, "keep": str(keep)})
    assert isinstance(found, Draft), found
    return found


def victims(draft: Draft) -> list[str]:
    return draft.args["victims"].split(",")


def plan(draft: Draft, keep: int = 2) -> Plan:
    return plan_of("cleanup", draft, request={"model": MODEL, "keep": str(keep)})


def test_old_versions_that_nobody_needs_are_proposed_oldest_first(world: World) -> None:
    draft = drawn(world)
    assert victims(draft) == ["1", "2", "3", "4", "5", "6", "7", "8"]
    assert draft.tier == "dangerous", "two people must agree"
    assert draft.inverse == {}
    assert "v9 (it is known-good)" in draft.because
    assert "v12 (champion points at it)" in draft.because
    assert draft.changes[0].endswith("2.0 kB in 3 files, run -")
    assert any("1 more could go" in text for text in draft.warnings)
    assert [step.name for step in draft.steps][-1] == PROOF


@pytest.mark.parametrize("alias", ["previous", "challenger"])
def test_whatever_an_alias_points_at_is_kept(world: World, alias: str) -> None:
    world.registry.aliases[alias] = "3"
    assert "3" not in victims(drawn(world))
    assert f"v3 ({alias} points at it)" in drawn(world).because


@pytest.mark.parametrize("stage, is_kept", [("Production", True), ("Staging", True), ("Archived", False)])
def test_a_stage_that_something_can_follow_is_kept(world: World, stage: str, is_kept: bool) -> None:
    world.registry.known = [replace(one, stage=stage) if one.version == "3" else one for one in world.registry.known]
    assert ("3" not in victims(drawn(world))) is is_kept


def test_what_is_served_is_kept_though_nothing_points_at_it(world: World) -> None:
    world.server.loaded = "4"
    assert "4" not in victims(drawn(world))


def test_what_the_ledger_or_an_open_plan_names_is_kept(world: World) -> None:
    used = {"1": "the ledger has it as alias champion (2026-01-01)", "2": "the open plan PLN-7 names it"}
    draft = drawn(world, used=used)
    assert not {"1", "2"} & set(victims(draft))
    assert "v2 (the open plan PLN-7 names it)" in draft.because


def test_what_a_second_registry_has_in_production_is_kept(world: World) -> None:
    profile = replace(world.profile, record=RecordProfile(backend="table", pointer="production", tag="deployed_as"))
    tagged = [replace(one, tags={"deployed_as": "blue"}) if one.version == "5" else one for one in world.registry.known]
    world.registry.known = tagged
    look = scene(world, model=profile)
    backends = {**look.backends, "table": FakeRegistry(aliases={"production": "blue"})}
    draft = ACTION.draw(replace(look, backends=backends), {"model": MODEL, "keep": "2"})
    assert isinstance(draft, Draft)
    assert "5" not in victims(draft)
    with pytest.raises(Foreign, match="no backend “table”"):
        ACTION.draw(look, {"model": MODEL, "keep": "2"})


def test_what_is_still_being_registered_is_kept(world: World) -> None:
    world.registry.known[0] = replace(world.registry.known[0], status="PENDING_REGISTRATION")
    assert "1" not in victims(drawn(world))


def test_when_everything_is_needed_it_says_why(world: World) -> None:
    found = ACTION.draw(scene(world), {"model": MODEL, "keep": "12"})
    assert isinstance(found, Refusal)
    assert "Every one of the 12 versions" in found.why
    assert "v11 (one of the 12 newest)" in found.why


def test_garbage_collection_that_would_take_a_needed_version_is_told(world: World) -> None:
    """`mlflow gc` looks at deleted runs only, and takes the files of what is registered."""
    assert isinstance(world.registry, Removable)
    world.registry.doomed = {"9", "1"}
    warned = next(text for text in drawn(world).warnings if "DANGER" in text)
    assert "v9" in warned
    assert "v1 " not in warned, "that one is to go anyhow"


SILENT: list[Callable[[World], object]] = [
    lambda world: world.registry.trouble.update(versions=DOWN),
    lambda world: world.registry.trouble.update(alias=DOWN),
    lambda world: world.server.trouble.update(served=LOST),
    lambda world: setattr(world.metrics, "trouble", DOWN),
]


@pytest.mark.parametrize("silence", SILENT, ids=["versions", "alias", "server", "metrics"])
def test_while_anything_that_protects_is_silent_nothing_is_proposed(
    world: World, silence: Callable[[World], object]
) -> None:  # fmt: skip
    silence(world)
    with pytest.raises(Foreign):
        ACTION.draw(scene(world), {"model": MODEL, "keep": "2"})


def test_without_a_ledger_nothing_is_proposed(world: World) -> None:
    with pytest.raises(Foreign, match="ledger cannot be read"):
        ACTION.draw(world.scene(), {"model": MODEL, "keep": "2"})


def test_a_registry_that_cannot_remove_is_told(world: World) -> None:
    look = scene(world)
    plain = FakeRegistry(known=world.registry.known)
    found = ACTION.draw(replace(look, backends={**look.backends, "registry": plain}), {"model": MODEL, "keep": "2"})
    assert isinstance(found, Refusal)
    assert "cannot remove versions" in found.why


# between the preview and the removal

CHANGES: dict[str, Callable[[World], object]] = {
    "an alias was set": lambda world: world.registry.aliases.update(challenger="3"),
    "it is served": lambda world: setattr(world.server, "loaded", "3"),
    "it was removed": lambda world: world.registry.known.pop(2),
    "it was made anew": lambda world: world.registry.known.__setitem__(2, version("3", age=1)),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_version_that_became_another_thing_voids_the_plan(world: World, name: str) -> None:
    draft = drawn(world)
    assert ACTION.fingerprint(scene(world), plan(draft)) == draft.fingerprint
    CHANGES[name](world)
    assert ACTION.fingerprint(scene(world), plan(draft)) != draft.fingerprint


@pytest.mark.parametrize("used", [{}, {"4": "the open plan PLN-9 names it"}])
def test_every_removal_is_judged_anew(world: World, used: dict[str, str]) -> None:
    """The plan runs already; the version after this one became a target meanwhile."""
    draft = drawn(world)
    done = ACTION.perform(scene(world), plan(draft), "remove_3")
    assert (done.outcome, done.detail) == (Outcome.DONE, "v3 is gone from the registry.")
    seen = ACTION.perform(scene(world, used), plan(draft), "remove_4")
    left = {one.version for one in world.registry.known}
    assert seen.outcome is (Outcome.FAILED if used else Outcome.DONE)
    assert ("4" in left) is bool(used)


def test_doing_it_twice_does_no_harm(world: World) -> None:
    draft = drawn(world)
    for _ in range(2):
        assert ACTION.perform(scene(world), plan(draft), "remove_1").outcome is Outcome.DONE
    assert len(world.registry.known) == len(NAMES) - 1


def test_a_version_of_the_same_name_that_is_another_one_is_left(world: World) -> None:
    draft = drawn(world)
    world.registry.known[0] = version("1", age=1)
    seen = ACTION.perform(scene(world), plan(draft), "remove_1")
    assert seen.outcome is Outcome.FAILED
    assert "another version" in seen.detail


def test_an_answer_that_was_lost_is_looked_at(world: World) -> None:
    draft = drawn(world)
    world.registry.trouble["remove"] = LOST
    with pytest.raises(Foreign):
        ACTION.perform(scene(world), plan(draft), "remove_1")
    assert ACTION.observe(scene(world), plan(draft), "remove_1").outcome is Outcome.NOT_YET
    world.registry.trouble["remove"] = DOWN
    assert ACTION.perform(scene(world), plan(draft), "remove_1").outcome is Outcome.NOT_YET


def test_the_proof_names_what_was_lost(world: World) -> None:
    draft = drawn(world)
    assert ACTION.observe(scene(world), plan(draft), PROOF).outcome is Outcome.DONE
    world.registry.known = [one for one in world.registry.known if one.version != "9"]
    seen = ACTION.observe(scene(world), plan(draft), PROOF)
    assert (seen.outcome, seen.detail) == (
        Outcome.FAILED,
        "v9 should have been kept, but is gone: somebody else removed it.",
    )


@pytest.mark.parametrize("words", [[], ["nobody"], [MODEL, "keep"], [MODEL, "keep", "0"], [MODEL, "keep", "-1"],
                                   [MODEL, "keep", "999"], [MODEL, "3"], [MODEL, "keep", "3", "4"]])  # fmt: skip
def test_what_cannot_be_meant_is_refused(world: World, words: list[str]) -> None:
    assert isinstance(ACTION.parse(words, world.system), Refusal)


def test_what_is_meant_is_read(world: World) -> None:
    assert ACTION.parse([MODEL], world.system) == (MODEL, {"model": MODEL, "keep": "5"})
    assert ACTION.parse([MODEL, "keep", "7"], world.system) == (MODEL, {"model": MODEL, "keep": "7"})
