"""Promotion: the gate before anybody is asked, what an approver sees, and the proof that the server answers well."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest

from bot.model import Draft, Outcome, Plan, digest_of
from bot.policy import RecordProfile
from bot.policy.gate import Criterion, DataSet, Evaluation, Expectation, Gate, Smoke
from bot.ports import Foreign, Prediction, Refusal
from handlers.actions.promote import ACTION
from handlers.actions.rollback import ACTION as ROLLBACK
from tests.handlers.fakes import DOWN, LOST, MODEL, FakeRegistry, World, plan_of, version

GATE = Gate(
    criteria=(
        Criterion(metric="accuracy", at_least=0.95, improves_by=0.0),
        Criterion(metric="brier", at_most=0.2, worsens_by=0.005, lower_is_better=True),
    ),
    tags={"validation_status": "passed"},
)  # fmt: skip
DATA = (DataSet(name="held-out", digest="d1", context="validation"),)
GREETS = Smoke(
    path="/predict", body='{"text": "hello"}',
    expects=(Expectation(at="/label", equals="greeting"), Expectation(at="/sure/0", at_least=0.7)),
)  # fmt: skip


def recorded(accuracy: float, brier: float = 0.15, data: tuple[DataSet, ...] = DATA) -> Evaluation:
    return Evaluation(metrics={"accuracy": accuracy, "brier": brier}, tags={"validation_status": "passed"}, data=data)


def world(**more: object) -> World:
    """v2 is the champion and served; v3 is better."""
    made = World(gate=GATE, past=[(120, "1"), (60, "2")])
    made.registry.aliases["champion"], made.server.loaded = "2", "2"
    made.registry.recorded = {"1": recorded(0.953), "2": recorded(0.967), "3": recorded(0.971)}
    for name, value in more.items():
        setattr(made, name, value)
    return made


def drawn(made: World, to: str = "3", **request: str) -> Draft:
    draft = ACTION.draw(made.scene(), {"model": MODEL, "to": to} | request)
    assert isinstance(draft, Draft), draft
    return draft


def refused(made: World, to: str = "3") -> str:
    refusal = ACTION.draw(made.scene(), {"model": MODEL, "to": to})
    assert isinstance(refusal, Refusal), refusal
    return refusal.why


@pytest.mark.parametrize(
    "words, request_",
    [([MODEL, "3"], {"to": "3"}), ([MODEL, "V3"], {"to": "3"}), ([MODEL, "3", "ANYWAY"], {"to": "3", "anyway": "yes"})],
)
def test_what_is_understood(words: Sequence[str], request_: dict[str, str]) -> None:
    assert ACTION.parse(words, World().system) == (MODEL, {"model": MODEL} | request_)


@pytest.mark.parametrize(
    "words, told",
    [
        ([], "I read `promote <model> <version> [anyway]`, for example `promote intent_classifier 7`."),
        ([MODEL], "I read `promote"),
        ([MODEL, "3", "now"], "I read `promote"),
        (["intent_clasifier", "3"], "Did you mean intent_classifier?"),
        ([MODEL, "3; DROP TABLE"], "is no version"),
    ],
)
def test_what_is_not_understood_is_told_with_the_way_on(words: Sequence[str], told: str) -> None:
    parsed = ACTION.parse(words, World().system)
    assert isinstance(parsed, Refusal)
    assert told in parsed.why


def test_a_version_that_passes_is_proposed_with_its_table() -> None:
    made = world()
    draft = drawn(made)
    assert draft.title == "Promote intent_classifier from v2 to v3"
    assert draft.because == "it passed its gate: 6 of 6 criteria, as the registry recorded them."
    assert draft.checks == (
        ("pass", "evaluation data", "held-out d1", "held-out d1 (champion's)"),
        ("pass", "accuracy", "0.971", "at least 0.95"),
        ("pass", "accuracy vs champion", "0.971 vs 0.967", "at least as good"),
        ("pass", "brier", "0.15", "at most 0.2"),
        ("pass", "brier vs champion", "0.15 vs 0.15", "worse by at most 0.005"),
        ("pass", "tag validation_status", "passed", "passed"),
    )
    assert (draft.tier, draft.refusal, draft.warnings, draft.marks_bad) == ("change", "", (), "")
    assert [step.name for step in draft.steps] == ["move_alias", "reload_server", "prove_served", "prove_metric"]
    assert (made.registry.moved, made.server.reloads) == ([], 0), "a preview changes nothing"


def test_the_way_back_is_a_rollback_that_asks_no_gate() -> None:
    made = world()
    inverse = dict(drawn(made).inverse)
    assert inverse.pop("action") == "rollback"
    assert ROLLBACK.parse([MODEL, "to", "2"], made.system) == (MODEL, inverse)


def test_what_was_judged_is_part_of_what_is_approved() -> None:
    plan = plan_of("promote", drawn(world()))
    assert plan.draft is not None
    other = replace(plan.draft, checks=(*plan.draft.checks[:-1], ("pass", "tag validation_status", "x", "passed")))
    assert digest_of("promote", plan.subject, plan.draft) != digest_of("promote", plan.subject, other)


@pytest.mark.parametrize(
    "worse, told",
    [
        (recorded(0.94), "accuracy is 0.94, must be at least 0.95; accuracy vs champion is 0.94 vs 0.967"),
        (recorded(0.98, brier=0.156), "brier vs champion is 0.156 vs 0.15, must be worse by at most 0.005"),
        (recorded(0.98, brier=0.25), "brier is 0.25, must be at most 0.2"),
        (recorded(0.99, data=(replace(DATA[0], digest="d9"),)), "judged on other data (held-out d9) than the champion"),
        (Evaluation(data=DATA), "accuracy: not recorded, must be at least 0.95"),
    ],
)
def test_a_version_that_fails_is_refused_on_its_card_with_the_reason(worse: Evaluation, told: str) -> None:
    made = world()
    made.registry.recorded["3"] = worse
    draft = drawn(made)
    assert draft.refusal.startswith("The gate says no to v3: ")
    assert told in draft.refusal
    assert draft.refusal.endswith("Nothing was changed.")
    assert any(row[0] in ("FAIL", "not recorded") for row in draft.checks)


def test_a_gate_is_set_aside_only_where_the_profile_allows_it_and_by_two() -> None:
    made = world()
    made.registry.recorded["3"] = recorded(0.94)
    assert "does not allow setting the gate" in drawn(made, anyway="yes").refusal
    made.gate = replace(GATE, may_be_overruled=True)
    assert drawn(made).refusal.endswith("`promote intent_classifier 3 anyway`.")
    draft = drawn(made, anyway="yes")
    assert (draft.refusal, draft.tier) == ("", "dangerous")
    assert draft.warnings[0] == "The gate says no (accuracy and accuracy vs champion): this sets it aside."


def test_a_champion_whose_run_is_gone_cannot_be_compared_with() -> None:
    made = world()
    del made.registry.recorded["2"]
    assert "was not recorded for both" in drawn(made).refusal


def test_other_data_may_be_a_warning() -> None:
    made = world(gate=replace(GATE, same_data_is_must=False))
    made.registry.recorded["3"] = recorded(0.99, data=(replace(DATA[0], digest="d9"),))
    draft = drawn(made)
    assert draft.refusal == ""
    assert draft.warnings[0].startswith("It was judged on other data (held-out d9) than the champion (held-out d1)")


def test_what_cannot_be_promoted() -> None:
    assert "has no `gate`" in refused(world(gate=None))
    assert "has no version v9 in the registry. It has v3, v2 and v1." in refused(world(), "9")
    assert refused(world(), "2") == "Nothing to do: champion of intent_classifier points at v2 already."
    behind = world()
    behind.server.loaded = "1"
    assert refused(behind, "2").endswith("Use `reload intent_classifier`.")
    pending = world()
    pending.registry.known[0] = version("3", "PENDING_REGISTRATION")
    assert "has the status PENDING_REGISTRATION" in refused(pending)
    gone = world()
    del gone.registry.recorded["3"]
    assert "is gone from “registry”, so it cannot be judged" in refused(gone)


def test_a_version_that_is_marked_bad_or_older_is_said_to_be() -> None:
    draft = drawn(world(bad={"3": "left by plan PLN-9"}))
    assert (draft.tier, draft.warnings) == ("dangerous", ("v3 is marked bad: left by plan PLN-9",))
    lax = world(gate=Gate(criteria=(Criterion(metric="accuracy", at_least=0.95),)))
    assert drawn(lax, "1").warnings == ("v1 is older than v2. To go back, `rollback` is the verb.",)


def test_a_registry_that_is_down_is_tried_again() -> None:
    made = world()
    made.registry.trouble["evaluation"] = DOWN
    with pytest.raises(Foreign):
        ACTION.draw(made.scene(), {"model": MODEL, "to": "3"})


@pytest.mark.parametrize(
    "change, fact",
    [
        (lambda made: made.registry.aliases.update(champion="1"), "alias champion"),
        (lambda made: setattr(made.server, "loaded", "1"), "served"),
        (lambda made: made.registry.recorded.update({"3": recorded(0.972)}), "gate"),
        (lambda made: made.registry.recorded.update({"2": recorded(0.960)}), "gate"),
        (lambda made: made.registry.recorded.pop("3"), "gate"),
    ],
)
def test_what_moves_between_preview_and_approval_makes_the_plan_void(change: object, fact: str) -> None:
    made = world()
    plan = plan_of("promote", drawn(made))
    assert plan.draft is not None
    assert ACTION.fingerprint(made.scene(), plan) == plan.draft.fingerprint
    change(made)  # type: ignore[operator]
    assert ACTION.fingerprint(made.scene(), plan).get(fact) != plan.draft.fingerprint[fact]


# smoke predictions


def answering(data: object, status: int = 200) -> World:
    made = world(smoke=(GREETS,))
    made.server.answer = Prediction(status=status, data=data, took=timedelta(milliseconds=7))
    return made


def smoke(made: World) -> tuple[Outcome, str]:
    plan = plan_of("promote", drawn(made))
    assert [step.name for step in plan.steps][-2:] == ["prove_smoke", "prove_metric"]
    seen = ACTION.perform(made.scene(), plan, "prove_smoke")
    return seen.outcome, seen.detail


def test_a_smoke_prediction_that_comes_out_right() -> None:
    made = answering({"label": "greeting", "sure": [0.93]})
    assert smoke(made) == (Outcome.DONE, "1 of 1 as expected, in 7 ms.")
    assert made.server.asked == [("/predict", '{"text": "hello"}')]


@pytest.mark.parametrize(
    "data, told",
    [
        ({"label": "refund", "sure": [0.93]}, "/label is “refund”, not greeting"),
        ({"label": "greeting", "sure": [0.4]}, "/sure/0 is “0.4”, less than 0.7"),
        ({"label": "greeting", "sure": ["high"]}, "/sure/0 is “high”, no number"),
        ({"label": "greeting", "sure": [True]}, "/sure/0 is “true”, no number"),
        ({"label": "greeting", "sure": [float("nan")]}, "/sure/0 is “nan”, no number"),
        ({"label": {"greeting": 1}, "sure": [1]}, "/label is an object, not greeting"),
        ({"label": "greeting"}, "the answer has nothing at /sure/0"),
        (None, "the answer has nothing at /label"),
        ([[[[]]]], "the answer has nothing at /label"),
    ],
)
def test_a_wrong_answer_fails_the_plan(data: object, told: str) -> None:
    outcome, detail = smoke(answering(data))
    assert outcome is Outcome.FAILED
    assert told in detail


def test_a_hostile_answer_is_shown_short_and_inert() -> None:
    outcome, detail = smoke(answering({"label": "<!channel>\n\x1b[31m" + "A" * 900_000, "sure": [1]}))
    assert outcome is Outcome.FAILED
    assert len(detail) < 300
    assert "\n" not in detail
    assert "\x1b" not in detail


@pytest.mark.parametrize("status, outcome", [(500, Outcome.NOT_YET), (503, Outcome.NOT_YET), (429, Outcome.NOT_YET),
                                             (404, Outcome.FAILED), (302, Outcome.FAILED)])  # fmt: skip
def test_an_error_may_pass_and_a_refusal_does_not(status: int, outcome: Outcome) -> None:
    assert smoke(answering({"label": "greeting", "sure": [1]}, status))[0] is outcome


def test_a_rollback_proves_its_predictions_too() -> None:
    made = answering({"label": "greeting", "sure": [1]})
    draft = ROLLBACK.draw(made.scene(), {"model": MODEL, "to": "1"})
    assert isinstance(draft, Draft)
    assert "prove_smoke" in [step.name for step in draft.steps]


# a second place, and something else that makes the server load


@dataclass
class FakeRestarts:
    """A Reloads: restarts what the registry's server serves."""

    world: World
    trouble: Foreign | None = None
    asked: list[str] = field(default_factory=list)

    def how(self, name: str) -> str:
        return f"Restart the service {name}."

    def make_load(self, name: str) -> str:
        self.asked.append(name)
        if self.trouble is not None:
            raise self.trouble
        self.world.server.reload(MODEL, "champion")
        return f"The service {name} was restarted."


def finish(made: World, plan: Plan) -> list[Outcome]:
    return [ACTION.perform(made.scene(), plan, step.name).outcome for step in plan.steps]


def test_a_service_is_restarted_where_the_profile_says_so() -> None:
    made = world(reload="stack/api", bounds=())
    made.more["stack"] = restarts = FakeRestarts(made)
    plan = plan_of("promote", drawn(made))
    assert plan.steps[1].sentence == "Restart the service api."
    assert finish(made, plan) == [Outcome.DONE] * 3
    assert (restarts.asked, made.server.loaded) == (["api"], "3")


@pytest.mark.parametrize("trouble, outcome", [(DOWN, Outcome.NOT_YET), (LOST, Outcome.NOT_YET),
                                              (Foreign("broken", "It exits 1."), Outcome.FAILED)])  # fmt: skip
def test_a_restart_that_does_not_work(trouble: Foreign, outcome: Outcome) -> None:
    made = world(reload="stack/api", bounds=())
    made.more["stack"] = FakeRestarts(made, trouble=trouble)
    plan = plan_of("promote", drawn(made))
    assert ACTION.perform(made.scene(), plan, "move_alias").outcome is Outcome.DONE
    seen = ACTION.perform(made.scene(), plan, "reload_server")
    assert seen.outcome is outcome
    assert seen.detail.startswith("champion is now v3, the server was last seen with v2: ")


def test_a_commands_own_words_are_shown_without_its_secrets() -> None:
    made = world(reload="stack/api", bounds=())
    made.more["stack"] = FakeRestarts(made, trouble=Foreign("broken", "It failed: login with password=hunter2canary."))
    plan = plan_of("promote", drawn(made))
    assert ACTION.perform(made.scene(), plan, "move_alias").outcome is Outcome.DONE
    detail = ACTION.perform(made.scene(), plan, "reload_server").detail
    assert "It failed: login with password=" in detail
    assert "hunter2canary" not in detail


def with_table(**says: str) -> World:
    """The table knows versions by the name in their tag."""
    made = world(record=RecordProfile(backend="deployments", pointer="production", tag="name"), bounds=())
    made.registry.known = [version(number, tags={"name": f"v1.{number}.0"}) for number in "321"]
    table = FakeRegistry(known=[], aliases={"production": "v1.2.0"} | says)
    table.known = [version(number) for number in ("v1.1.0", "v1.2.0", "v1.3.0")]
    made.more["deployments"] = table
    return made


def test_registry_and_table_move_together() -> None:
    made = with_table()
    plan = plan_of("promote", drawn(made))
    assert plan.draft is not None
    assert plan.draft.fingerprint["production in deployments"] == "v1.2.0"
    assert plan.steps[1].sentence == (
        "Set production of intent_classifier to v1.3.0 in “deployments”, only if it still says v1.2.0."
    )
    assert finish(made, plan) == [Outcome.DONE] * 4
    table = made.more["deployments"]
    assert isinstance(table, FakeRegistry)
    assert (table.aliases, made.registry.aliases) == ({"production": "v1.3.0"}, {"champion": "3"})


def test_a_server_may_call_the_version_by_the_tables_name() -> None:
    made = with_table()
    made.server.loaded = "v1.2.0"
    plan = plan_of("promote", drawn(made))
    assert plan.draft is not None
    assert plan.draft.args["served"] == "2"
    made.server.loaded = "v1.3.0"
    assert ACTION.perform(made.scene(), plan, "prove_served").outcome is Outcome.DONE


def test_a_table_that_disagrees_stops_the_plan_before_anything_is_changed() -> None:
    assert "“deployments” says that production is v1.1.0, the registry says v1.2.0" in refused(
        with_table(production="v1.1.0")
    )
    split = drawn(with_table(production="split: v1.2.0 90, v1.3.0 10"))
    assert "“deployments” says split: v1.2.0 90, v1.3.0 10. Afterwards it will say v1.3.0 alone." in split.warnings
    nameless = with_table()
    nameless.registry.known[0] = version("3")
    assert "v3 of intent_classifier has no tag “name”" in refused(nameless)


def test_a_table_that_changes_in_between_leaves_a_state_that_is_told() -> None:
    made = with_table()
    plan = plan_of("promote", drawn(made))
    assert ACTION.perform(made.scene(), plan, "move_alias").outcome is Outcome.DONE
    table = made.more["deployments"]
    assert isinstance(table, FakeRegistry)
    table.aliases["production"] = "v1.1.0"
    seen = ACTION.perform(made.scene(), plan, "move_record")
    assert seen.outcome is Outcome.FAILED
    assert "points at v1.1.0, not at v1.2.0" in seen.detail
