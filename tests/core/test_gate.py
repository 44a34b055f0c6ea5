"""The gate: what passes, what fails, and that nothing unknown ever passes."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.policy.gate import APART, FAIL, MISSING, PASS, WARN, Criterion, DataSet, Evaluation, Gate, has_passed, judge

HELD_OUT = DataSet(name="intents", digest="abc123", context="validation")
OLD = Evaluation(metrics={"f1": 0.90, "brier": 0.150, "accuracy": 0.95}, data=(HELD_OUT,))


def verdicts(criterion: Criterion, ours: Evaluation, champion: Evaluation | None = OLD) -> list[str]:
    rows = judge(Gate(criteria=(criterion,)), ours, {}, champion)
    return [row.verdict for row in rows if row.what != "evaluation data"]


def made(**metrics: float) -> Evaluation:
    return Evaluation(metrics=metrics, data=(HELD_OUT,))


@pytest.mark.parametrize(
    "criterion, value, verdict",
    [
        (Criterion(metric="accuracy", above=0.99), 0.991, PASS),
        (Criterion(metric="accuracy", above=0.99), 0.99, FAIL),
        (Criterion(metric="accuracy", at_least=0.99), 0.99, PASS),
        (Criterion(metric="accuracy", at_most=0.01), 0.01, PASS),
        (Criterion(metric="accuracy", below=0.01), 0.01, FAIL),
        (Criterion(metric="accuracy", at_least=0.5), float("nan"), FAIL),
        (Criterion(metric="accuracy", at_least=0.5), float("inf"), FAIL),
        (Criterion(metric="accuracy", at_most=0.5), float("-inf"), FAIL),
    ],
)
def test_bounds_on_the_value_alone(criterion: Criterion, value: float, verdict: str) -> None:
    assert verdicts(criterion, made(accuracy=value)) == [verdict]
    assert verdicts(criterion, made(other=value)) == [MISSING]


@pytest.mark.parametrize(
    "criterion, value, verdict",
    [
        # two per cent of 0.90 are 0.018
        (Criterion(metric="f1", improves_by=0.02, is_share=True), 0.918, PASS),
        (Criterion(metric="f1", improves_by=0.02, is_share=True), 0.917, FAIL),
        (Criterion(metric="f1", improves_by=0.02), 0.918, FAIL),
        (Criterion(metric="f1", improves_by=0.02), 0.92, PASS),
        (Criterion(metric="f1", worsens_by=0.02), 0.88, PASS),
        (Criterion(metric="f1", worsens_by=0.02), 0.8799, FAIL),
        # Brier: lower is better, half a hundredth may be lost
        (Criterion(metric="brier", worsens_by=0.005, lower_is_better=True), 0.155, PASS),
        (Criterion(metric="brier", worsens_by=0.005, lower_is_better=True), 0.156, FAIL),
        (Criterion(metric="brier", improves_by=0.01, lower_is_better=True), 0.139, PASS),
        (Criterion(metric="brier", improves_by=0.01, lower_is_better=True), 0.16, FAIL),
    ],
)
def test_comparisons_with_the_champion(criterion: Criterion, value: float, verdict: str) -> None:
    ours = made(**{criterion.metric: value})
    assert verdicts(criterion, ours) == [verdict]
    assert verdicts(criterion, ours, made()) == [MISSING], "the champion's value was not recorded"
    assert verdicts(criterion, ours, None) == [MISSING], "the champion's run is gone"


def test_every_metric_of_a_pattern_counts_and_at_least_one_must_be_there() -> None:
    per_entity = Criterion(metric="f1_*", above=0.90)
    assert verdicts(per_entity, made(f1_date=0.95, f1_money=0.89, f1=0.1)) == [PASS, FAIL]
    assert verdicts(per_entity, made(f1=0.99)) == [MISSING]
    lost = Criterion(metric="f1_*", worsens_by=0.01)
    assert verdicts(lost, made(f1_date=0.9), made(f1_date=0.9, f1_money=0.9)) == [PASS, MISSING]


def test_other_data_makes_a_comparison_worthless() -> None:
    """A version judged on other labels than the champion looks better and is not."""
    gate = Gate(criteria=(Criterion(metric="accuracy", improves_by=0.0),))
    ours = replace(made(accuracy=0.99), data=(replace(HELD_OUT, digest="other"),))
    first, compared = judge(gate, ours, {}, OLD)
    assert (first.verdict, first.value, first.bound) == (FAIL, "intents other", "intents abc123 (champion's)")
    assert (compared.verdict, compared.value) == (APART, "0.99 vs 0.95")
    assert not has_passed((first, compared))
    first, compared = judge(replace(gate, same_data_is_must=False), ours, {}, OLD)
    assert (first.verdict, compared.verdict) == (WARN, PASS)


@pytest.mark.parametrize("data", [(), (replace(HELD_OUT, context="training"),), (replace(HELD_OUT, digest=""),)])
def test_data_that_was_not_recorded_is_not_the_same_data(data: tuple[DataSet, ...]) -> None:
    gate = Gate(criteria=(Criterion(metric="accuracy", improves_by=0.0),))
    blind = replace(OLD, data=data)
    for pair in ((blind, OLD), (OLD, blind), (blind, blind)):
        assert judge(gate, pair[0], {}, pair[1])[0].verdict == MISSING


def test_the_data_may_be_named_by_a_parameter() -> None:
    gate = Gate(criteria=(Criterion(metric="accuracy", improves_by=0.0),), same_data_by="validation_digest")
    ours = Evaluation(metrics={"accuracy": 0.96}, params={"validation_digest": "d1"})
    theirs = replace(OLD, tags={"validation_digest": "d1"})
    assert [row.verdict for row in judge(gate, ours, {}, theirs)] == [PASS, PASS]
    long = "d" * 60
    rows = judge(gate, replace(ours, params={"validation_digest": long + "1"}), {}, replace(
        theirs, tags={"validation_digest": long + "2"}
    ))  # fmt: skip
    assert rows[0].verdict == FAIL, "compared whole, shown cut"
    assert len(rows[0].value) == 40


def test_tags_are_the_versions_or_its_runs() -> None:
    gate = Gate(tags={"validation_status": "passed"})
    assert judge(gate, made(), {"validation_status": "passed"}, None)[0].verdict == PASS
    assert judge(gate, Evaluation(tags={"validation_status": "passed"}), {}, None)[0].verdict == PASS
    both = judge(gate, Evaluation(tags={"validation_status": "passed"}), {"validation_status": "no"}, None)
    assert both[0].verdict == FAIL, "the version's own tag is the later word"
    assert judge(gate, made(), {}, None)[0].verdict == MISSING


def test_an_empty_gate_is_not_passed() -> None:
    assert not has_passed(judge(Gate(), made(accuracy=1.0), {}, OLD))


names = st.sampled_from(["a", "b", "a_1", "a_2"])
numbers = st.floats(allow_nan=True, allow_infinity=True) | st.just(0.0)
data_sets = st.builds(DataSet, name=names, digest=st.sampled_from(["", "x"]), context=st.just("test"))
evaluations = st.builds(
    Evaluation, metrics=st.dictionaries(names, numbers), params=st.dictionaries(names, st.text(max_size=4)),
    data=st.lists(data_sets, max_size=3).map(tuple),
)  # fmt: skip
bounds = st.none() | st.floats(-2, 2)
criteria = st.builds(
    Criterion, metric=st.sampled_from(["a", "a_*", "c", "*"]), at_least=bounds, above=bounds, at_most=bounds,
    below=bounds, improves_by=st.none() | st.floats(0, 1), worsens_by=st.none() | st.floats(0, 1),
    is_share=st.booleans(), lower_is_better=st.booleans(),
)  # fmt: skip


@given(st.lists(criteria, max_size=4), evaluations, st.none() | evaluations)
def test_whatever_was_recorded_it_is_judged_and_the_unknown_never_passes(
    wanted: list[Criterion], ours: Evaluation, theirs: Evaluation | None
) -> None:
    gate = Gate(criteria=tuple(wanted))
    rows = judge(gate, ours, {}, theirs)
    assert all(isinstance(cell, str) and len(cell) < 200 for row in rows for cell in row.row)
    if has_passed(rows):
        assert all(one.metric in ours.metrics or "*" in one.metric for one in wanted if one.at_least is not None)
        assert theirs is not None or not gate.compares
