"""Rollback: which version, why, what an approver sees, and what each step does on a good and on a bad day."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from bot.model import SYSTEM, Draft, Outcome, Plan, StepState, Subject
from bot.policy import Bound
from bot.ports import Action, Foreign, Move, Refusal, Seen
from handlers.actions.rollback import ACTION
from tests.handlers.fakes import ACCURACY, DOWN, LATENCY, LOST, MODEL, NOW, World, minutes, plan_of, version

ASK = {"model": MODEL}


def drawn(world: World, **request: str) -> Draft:
    draft = ACTION.draw(world.scene(), ASK | request)
    assert isinstance(draft, Draft), draft
    return draft


def refused(world: World, **request: str) -> str:
    refusal = ACTION.draw(world.scene(), ASK | request)
    assert isinstance(refusal, Refusal), refusal
    return refusal.why


# what is typed


@pytest.mark.parametrize(
    "words, request_",
    [
        ([MODEL], {}),
        ([MODEL, "to", "2"], {"to": "2"}),
        ([MODEL, "TO", "v2"], {"to": "2"}),
        ([MODEL, "to", "V2"], {"to": "2"}),
        ([MODEL, "to", "2024-04"], {"to": "2024-04"}),
    ],
)
def test_what_is_understood(words: Sequence[str], request_: dict[str, str]) -> None:
    assert ACTION.parse(words, World().system) == (MODEL, {"model": MODEL} | request_)


@pytest.mark.parametrize(
    "words, told",
    [
        ([], "I read `rollback <service|model> [to <version>]`, for example `rollback intent_classifier`."),
        ([MODEL, "2"], "I read `rollback"),
        ([MODEL, "from", "2"], "I read `rollback"),
        ([MODEL, "to", "2", "now"], "I read `rollback"),
        (["intent_clasifier"], "playground has no model “intent_clasifier”. Did you mean intent_classifier?"),
        (["zzz"], "playground has no model “zzz”. playground has intent_classifier."),
        ([MODEL, "to", "2; rm -rf /"], "“2; rm -rf /” is no version. Write it as `to 2` or `to v2`."),
        ([MODEL, "to", ""], "“” is no version."),
        ([MODEL, "to", "9" * 99], "is no version"),
    ],
)
def test_what_is_not_understood_is_told_with_the_way_on(words: Sequence[str], told: str) -> None:
    parsed = ACTION.parse(words, World().system)
    assert isinstance(parsed, Refusal)
    assert told in parsed.why


# which version


def test_the_newest_earlier_version_that_served_well() -> None:
    """The story: v2 served well for 55 minutes, v3 is bad since 5."""
    world = World()
    draft = drawn(world)
    assert draft.title == "Roll back intent_classifier from v3 to v2"
    assert (
        draft.because
        == "v2 is the last known-good: it served from 13:35 to 14:29 UTC (54 min) within its bounds: accuracy 0.97."
    )
    assert (draft.from_, draft.to, draft.tier, draft.warnings) == ("v3", "v2", "change", ())
    assert draft.fingerprint == {"alias champion": "3", "served": "3", "target status": "READY"}
    assert draft.inverse == {"model": MODEL, "to": "3"}
    assert draft.inverse_text == "/mlops rollback intent_classifier to 3"
    assert ACTION.parse(draft.inverse_text.split()[2:], world.system) == (MODEL, draft.inverse), (
        "the way back can be typed"
    )
    assert draft.marks_bad == "3"
    assert draft.args["signals"] == "accuracy"
    assert "intent-server (playground, production)" in draft.blast
    assert [(step.name, step.proves) for step in draft.steps] == [
        ("move_alias", False),
        ("reload_server", False),
        ("prove_served", True),
        ("prove_metric", True),
    ]
    assert world.registry.moved == [], "a preview changes nothing"
    assert world.server.reloads == 0


def test_steps_say_exactly_what_will_be_called() -> None:
    sentences = [step.sentence for step in drawn(World()).steps]
    assert sentences == [
        "Point champion of intent_classifier at v2 in the registry “registry”, only if it is still v3.",
        "Reload intent_classifier on the model server “server”.",
        "Proof: the model server itself reports v2 (up to 10 min).",
        "Proof: “metrics” shows accuracy at least 0.8, in values from after the reload.",
    ]


def test_a_version_that_is_marked_bad_is_passed_over() -> None:
    world = World(bad={"2": "left by plan PLN-9"})
    draft = drawn(world)
    assert draft.to == "v1"
    assert draft.warnings == ("Passed over: v2 (marked bad: left by plan PLN-9).",)


@pytest.mark.parametrize(
    "change, why",
    [
        ({"past": [(120, "1"), (9, "2"), (5, "3")]}, "v2 (served only 4 min, of 5 min needed)"),
        ({"past": [(120, "1"), (5, "3")]}, "v2 (never seen serving alone)"),
        ({"accuracy": {"1": 0.95, "2": 0.6, "3": 0.4}}, "v2 (served 54 min, but not 5 min on end within its bounds)"),
    ],
)
def test_a_version_without_proof_is_passed_over_with_the_reason(change: dict[str, object], why: str) -> None:
    draft = drawn(World(**change))  # type: ignore[arg-type]
    assert draft.to == "v1"
    assert draft.warnings == (f"Passed over: {why}.",)


def test_a_version_that_is_not_ready_is_passed_over() -> None:
    world = World()
    world.registry.known[1] = version("2", "FAILED_REGISTRATION")
    assert drawn(world).warnings == ("Passed over: v2 (status FAILED_REGISTRATION in the registry).",)


def test_versions_are_ordered_by_number_not_as_text() -> None:
    world = World(past=[(120, "9"), (60, "10"), (5, "11")], accuracy={"9": 0.9, "10": 0.97, "11": 0.4})
    world.registry.known = [version("9"), version("10"), version("11")]
    world.registry.aliases["champion"], world.server.loaded = "11", "11"
    assert drawn(world).to == "v10"


def test_every_bound_with_values_must_be_kept() -> None:
    slow = World(bounds=(ACCURACY, LATENCY), latency={"1": 0.1, "2": 2.5, "3": 0.1})
    assert drawn(slow).to == "v1"
    fine = World(bounds=(ACCURACY, LATENCY), latency={"1": 0.1, "2": 0.2, "3": 0.1})
    assert "within its bounds: accuracy 0.97, latency 0.2 s" in drawn(fine).because
    silent = World(bounds=(ACCURACY, LATENCY))
    assert "latency had no values then" in drawn(silent).because


def test_a_bad_patch_in_a_long_time_leaves_the_good_stretch() -> None:
    """v2 was slow to warm up: only the time within bounds counts, and the numbers are of that time."""
    world = World()
    world.metrics.answers[ACCURACY.query] = lambda at: [({}, 0.5 if minutes(60) <= at < minutes(40) else 0.97)]
    assert drawn(world).because.startswith("v2 is the last known-good: it served from 13:55 to 14:29 UTC (34 min)")


def test_the_worst_value_is_told_beside_the_mean() -> None:
    world = World()
    world.metrics.answers[ACCURACY.query] = lambda at: [({}, 0.85 if at.minute % 10 == 0 else 0.97)]
    assert "(worst 0.85)" in drawn(world).because


def test_without_metrics_of_the_past_the_ledger_tells_what_served() -> None:
    def move(old: str, new: str, ago: float) -> Move:
        return Move(
            system="playground",
            model=MODEL,
            what="served",
            from_=old,
            to=new,
            earliest_at=minutes(ago),
            latest_at=minutes(ago),
        )

    world = World(served_query="", moves=(move("2", "3", 5), move("1", "2", 60)))
    assert drawn(world).because == (
        "v2 is the last known-good: it served from 13:35 to 14:29 UTC (54 min), as our own ledger says, "
        "within its bounds: accuracy 0.97."
    )


def test_long_ago_is_found_by_a_coarser_look() -> None:
    """v3 has been live for four days: beyond the fine grid, within the coarse one."""
    day = 24 * 60
    world = World(past=[(20 * day, "1"), (10 * day, "2"), (4 * day, "3")])
    assert drawn(world).to == "v2"


@pytest.mark.parametrize(
    "change, told",
    [
        ({"past": [(5, "3")]}, "v2 (never seen serving alone) and v1 (never seen serving alone)"),
        ({"bounds": ()}, "the profile has no bounds to judge by"),
        ({"bad": {"1": "x", "2": "y"}}, "v2 (marked bad: y) and v1 (marked bad: x)"),
    ],
)
def test_nothing_provable_asks_for_a_name(change: dict[str, object], told: str) -> None:
    why = refused(World(**change))  # type: ignore[arg-type]
    assert why.startswith("No earlier version can be shown to be known-good:")
    assert told in why
    assert why.endswith("If you know one, name it: `rollback intent_classifier to 2`.")


def test_metrics_that_do_not_answer_prove_nothing() -> None:
    world = World()
    world.metrics.trouble = DOWN
    assert refused(world).startswith(f"No version can be shown to be known-good: {DOWN.sentence} If you know one")
    draft = drawn(world, to="2")
    assert draft.because == f"you named it. It could not be checked: {DOWN.sentence}"
    assert "v2 is not shown to be known-good." in draft.warnings


def test_there_is_nothing_earlier() -> None:
    world = World()
    world.registry.aliases["champion"] = "1"
    world.server.loaded = "1"
    assert refused(world) == "There is no version of intent_classifier before v1 to go back to."


def test_what_an_older_version_replaced_is_named() -> None:
    """Somebody promoted v1 over v2: the way back is forward, and only a person can say so."""
    moved = Move(
        system="playground", model=MODEL, what="alias champion", from_="2", to="1", earliest_at=minutes(5),
        latest_at=minutes(5),
    )  # fmt: skip
    world = World(moves=(moved,))
    world.registry.aliases["champion"] = world.server.loaded = "1"
    assert refused(world).endswith("It replaced v2, which is newer: `rollback intent_classifier to 2` takes it back.")


def test_an_alias_that_is_not_there() -> None:
    world = World()
    world.registry.aliases.clear()
    assert "no alias “champion”" in refused(world)


def test_a_registry_that_is_down_is_no_refusal_but_a_failure_to_be_tried_again() -> None:
    world = World()
    world.registry.trouble["alias"] = DOWN
    with pytest.raises(Foreign):
        ACTION.draw(world.scene(), ASK)


# a version that was named


def test_a_named_version_that_is_proven() -> None:
    draft = drawn(World(), to="1")
    assert draft.because.startswith(
        "you named it. It has been proven: it served from 12:35 to 13:34 UTC (60 min) within its bounds: accuracy 0.95"
    )
    assert (draft.tier, draft.warnings) == ("change", ())


def test_a_named_version_that_is_not_proven_carries_a_warning() -> None:
    draft = drawn(World(past=[(120, "1"), (5, "3")]), to="2")
    assert draft.because == "you named it. It has not been proven: never seen serving alone."
    assert draft.warnings == ("v2 is not shown to be known-good.",)


def test_a_named_version_that_is_marked_bad_needs_the_dangerous_tier() -> None:
    draft = drawn(World(bad={"2": "left by plan PLN-9"}), to="2")
    assert draft.tier == "dangerous"
    assert draft.warnings[0] == "v2 is marked bad: left by plan PLN-9"


def test_a_step_forward_is_named_as_one_and_marks_nothing_bad() -> None:
    """What Undo of a rollback asks for: the version that is left was the good one."""
    world = World(bad={"3": "left by plan PLN-1"})
    world.registry.aliases["champion"], world.server.loaded = "2", "2"
    draft = drawn(world, to="3")
    assert draft.tier == "dangerous"
    assert "v3 is newer than v2: this is a step forward, not back." in draft.warnings
    assert draft.marks_bad == ""


def test_what_cannot_be_named() -> None:
    assert refused(World(), to="3") == "Nothing to do: champion of intent_classifier points at v3 already."
    assert refused(World(), to="9") == "intent_classifier has no version v9 in the registry. It has v3, v2 and v1."
    world = World()
    world.registry.known[1] = version("2", "PENDING_REGISTRATION")
    assert "v2 of intent_classifier has the status PENDING_REGISTRATION" in refused(world, to="2")


# registry and server apart


def test_the_alias_was_moved_back_already_and_the_server_does_not_know() -> None:
    """Going back once more would leave the good version; a reload is what is missing."""
    world = World()
    world.registry.aliases["champion"] = "2"
    told = "champion points at v2 already, which is known-good, but the server still serves v3."
    assert refused(world).startswith(told)
    assert refused(world, to="2").startswith("champion points at v2 already, but the server still serves v3.")


def test_going_back_starts_at_what_is_served_when_the_alias_was_moved_further_back() -> None:
    """Somebody moved the alias to v1, which nobody can vouch for; what users get is v3, so v2 is the version before
    it."""
    world = World(past=[(60, "2"), (5, "3")])
    world.registry.aliases["champion"] = "1"
    draft = drawn(world)
    assert (draft.from_, draft.to, draft.marks_bad) == ("v1", "v2", "3")
    assert "Registry and server disagree: champion is v1, the server serves v3." in draft.warnings


def test_registry_and_server_disagree_and_the_approver_is_told() -> None:
    world = World()
    world.server.loaded = "1"
    draft = drawn(world)
    assert draft.to == "v2"
    assert "Registry and server disagree: champion is v3, the server serves v1." in draft.warnings
    assert draft.fingerprint["served"] == "1"


def test_a_server_that_is_down_is_told_and_tried_later() -> None:
    world = World()
    world.server.trouble["served"] = DOWN
    draft = drawn(world)
    assert draft.fingerprint["served"] == "no answer"
    assert draft.warnings == (f"{DOWN.sentence} The reload is tried until it answers.",)
    assert draft.marks_bad == "3"


def test_a_second_rollback_within_ten_minutes_is_dangerous() -> None:
    first = Plan(
        id="PLN-7",
        action="rollback",
        subject=Subject(system="playground", model=MODEL),
        request={},
        requested_by=SYSTEM,
        requested_at=minutes(9),
        started_at=minutes(8),
    )
    draft = drawn(World(plans=(first,)))
    assert draft.tier == "dangerous"
    assert draft.warnings == ("champion was rolled back only 8 min ago (plan PLN-7); it may not be the cause.",)
    assert drawn(World(plans=(replace(first, started_at=minutes(30)),))).tier == "change"
    assert drawn(World(plans=(replace(first, started_at=None),))).tier == "change"


# the fingerprint


def test_the_fingerprint_is_read_again() -> None:
    world = World()
    draft = drawn(world)
    plan = plan_of("rollback", draft)
    assert ACTION.fingerprint(world.scene(), plan) == draft.fingerprint
    world.registry.aliases["champion"] = "1"
    world.registry.known[1] = version("2", "FAILED_REGISTRATION")
    assert ACTION.fingerprint(world.scene(), plan) == {
        "alias champion": "1",
        "served": "3",
        "target status": "FAILED_REGISTRATION",
    }
    del world.registry.known[1]
    assert ACTION.fingerprint(world.scene(), plan)["target status"] == "gone"
    world.registry.aliases.clear()
    assert ACTION.fingerprint(world.scene(), plan) == {}, "nothing of it can be confirmed"


# the steps


def do(world: World, plan: Plan, step: str, *, at: float = 0.0) -> Seen:
    return ACTION.perform(world.scene(now=NOW + timedelta(seconds=at)), plan, step)


def look(world: World, plan: Plan, step: str, *, at: float = 0.0) -> Seen:
    return ACTION.observe(world.scene(now=NOW + timedelta(seconds=at)), plan, step)


def ready(world: World) -> Plan:
    return plan_of("rollback", drawn(world))


def reloaded(plan: Plan) -> Plan:
    """The plan after its reload, which ended now."""
    return replace(
        plan,
        steps=tuple(
            replace(step, state=StepState.DONE, ended_at=NOW) if step.name in ("move_alias", "reload_server") else step
            for step in plan.steps
        ),
    )


def test_all_goes_well() -> None:
    world = World()
    plan = ready(world)
    for step in ("move_alias", "reload_server", "prove_served"):
        assert look(world, plan, step).outcome is Outcome.NOT_YET
    for step in ("move_alias", "reload_server", "prove_served"):
        assert do(world, plan, step).outcome is Outcome.DONE
        assert look(world, plan, step).outcome is Outcome.DONE, "what was done can be seen afterwards"
    world.past.append((0, "2"))
    seen = do(world, reloaded(plan), "prove_metric")
    assert seen == Seen(
        outcome=Outcome.DONE, detail="Back within bounds with v2 served: accuracy is 0.97 (at least 0.8)."
    )
    assert (world.registry.aliases["champion"], world.server.loaded, world.server.reloads) == ("2", "2", 1)


def test_somebody_else_moved_the_alias() -> None:
    world = World()
    plan = ready(world)
    world.registry.aliases["champion"] = "1"
    seen = do(world, plan, "move_alias")
    assert seen.outcome is Outcome.FAILED
    assert "points at 1, not at 3" in seen.detail
    assert "Nothing was changed" in seen.detail
    looked = look(world, plan, "move_alias")
    assert looked.outcome is Outcome.FAILED
    assert "points at v1, which is neither v3 nor v2: somebody else moved it" in looked.detail
    assert world.registry.aliases["champion"] == "1"


@pytest.mark.parametrize(
    "happened, readable, outcome",
    [
        (True, True, Outcome.DONE),  # the change was made, its answer was lost
        (False, True, Outcome.NOT_YET),  # it surely was not: the engine may try again
        (False, False, Outcome.UNKNOWN),  # nobody can tell
    ],
)
def test_the_answer_of_the_move_is_lost(happened: bool, readable: bool, outcome: Outcome) -> None:
    world = World()
    plan = ready(world)
    world.registry.moves_though_lost = happened
    world.registry.trouble["move_alias"] = LOST
    if not readable:
        world.registry.trouble["alias"] = DOWN
    seen = do(world, plan, "move_alias")
    assert seen.outcome is outcome
    if outcome is Outcome.UNKNOWN:
        assert "cannot be told" in seen.detail


def test_a_registry_that_is_down_surely_moved_nothing() -> None:
    world = World()
    plan = ready(world)
    world.registry.trouble["move_alias"] = DOWN
    seen = do(world, plan, "move_alias")
    assert (seen.outcome, seen.detail) == (Outcome.NOT_YET, f"{DOWN.sentence} Nothing was changed.")


@pytest.mark.parametrize("problem", [DOWN, LOST, Foreign("overloaded", "It cannot reload now: busy.", happened=False)])
def test_a_server_that_may_come_up_again_is_tried_again(problem: Foreign) -> None:
    world = World()
    plan = ready(world)
    do(world, plan, "move_alias")
    world.server.trouble["reload"] = problem
    seen = do(world, plan, "reload_server")
    assert seen.outcome is Outcome.NOT_YET
    assert seen.detail == (
        f"champion is now v2, the server was last seen with v3: {problem.sentence} "
        "Next: /mlops reload intent_classifier, or /mlops rollback intent_classifier to 3."
    )
    world.server.trouble["served"] = DOWN
    assert do(world, plan, "reload_server").outcome is Outcome.NOT_YET
    assert look(world, plan, "reload_server").outcome is Outcome.NOT_YET
    world.server.trouble.clear()
    assert do(world, plan, "reload_server").outcome is Outcome.DONE


def test_a_reload_whose_answer_was_lost_is_seen_to_have_worked() -> None:
    world = World()
    plan = ready(world)
    do(world, plan, "move_alias")
    world.server.loaded = "2"
    world.server.trouble["reload"] = LOST
    assert do(world, plan, "reload_server").outcome is Outcome.DONE


def test_a_server_that_refuses_ends_the_plan_with_the_way_on() -> None:
    world = World()
    plan = ready(world)
    world.server.trouble["reload"] = Foreign(
        "refused", "It could not load the model: the artifact is gone.", happened=False
    )
    seen = do(world, plan, "reload_server")
    assert seen.outcome is Outcome.FAILED
    assert "the artifact is gone. Next: /mlops reload intent_classifier" in seen.detail


def test_the_server_loads_something_else() -> None:
    world = World()
    plan = ready(world)
    world.registry.aliases["champion"] = "1"
    assert do(world, plan, "reload_server").outcome is Outcome.FAILED
    seen = do(world, plan, "prove_served")
    assert seen.outcome is Outcome.FAILED
    assert "serves v1, not v2: somebody else loaded it" in seen.detail


def test_proof_from_a_server_that_is_silent_is_asked_for_again() -> None:
    world = World()
    plan = ready(world)
    world.server.trouble["served"] = DOWN
    with pytest.raises(Foreign):  # the engine makes "not yet" of it, and "unknown" when the time is over
        do(world, plan, "prove_served")


def test_the_metric_is_not_believed_too_early() -> None:
    """Each reason to wait: the metrics have not seen the new version; they look back over the reload; no value;
    outside."""
    slow = Bound(signal="latency", query="latency[30s]", above=1.0, unit="s")
    world = World(bounds=(ACCURACY, slow), latency={"1": 0.1, "2": 0.1, "3": 0.1})
    plan = reloaded(ready(world))
    details = [do(world, plan, "prove_metric", at=second).detail for second in (10, 20)]
    assert details == ["The metrics look 30 s back: what they say counts from 14:35:30 UTC on."] * 2, (
        "nothing new is not told anew"
    )
    assert do(world, plan, "prove_metric", at=31).detail == "The metrics know of v3 so far, not yet of v2 alone."
    world.past.append((0, "2"))
    world.accuracy["2"] = 0.5
    assert do(world, plan, "prove_metric", at=31).detail == "Still outside: accuracy is 0.5, not yet at least 0.8."
    del world.accuracy["2"]
    seen = do(world, plan, "prove_metric", at=31)
    assert (seen.outcome, seen.detail) == (Outcome.NOT_YET, "No value yet for accuracy; no news is not good news.")
    world.accuracy["2"] = 0.97
    world.latency["2"] = 3.0
    assert do(world, plan, "prove_metric", at=31).outcome is Outcome.NOT_YET, (
        "a bound that was kept must not break instead"
    )
    del world.latency["2"]
    seen = do(world, plan, "prove_metric", at=31)
    assert (seen.outcome, seen.detail) == (
        Outcome.DONE,
        "Back within bounds with v2 served: accuracy is 0.97 (at least 0.8). latency: no value.",
    )


def test_metrics_that_fall_silent_prove_nothing() -> None:
    world = World()
    plan = reloaded(ready(world))
    world.metrics.trouble = DOWN
    with pytest.raises(Foreign):
        do(world, plan, "prove_metric", at=60)


def test_a_model_without_bounds_has_no_metric_to_prove_and_says_so() -> None:
    draft = drawn(World(bounds=()), to="2")
    assert [step.name for step in draft.steps] == ["move_alias", "reload_server", "prove_served"]
    assert any("only the served version can be proven" in text for text in draft.warnings)


def test_an_unknown_step_does_nothing() -> None:
    world = World()
    assert do(world, ready(world), "drop_database").outcome is Outcome.FAILED
    assert world.registry.moved == []
    assert isinstance(ACTION, Action)
