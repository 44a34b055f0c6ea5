"""Quality by late labels: what is not known is never called fine."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest

from bot.drift.labelled import Labelled
from bot.model import Finding
from bot.policy.gate import Evaluation
from bot.policy.quality import QualityProfile
from bot.ports import Foreign, ModelVersion, Move
from handlers.diagnostics.quality import DIAGNOSTIC
from tests.handlers.fakes import DOWN, MODEL, FakeRegistry, World, minutes

RULES = QualityProfile(has_rows=True, worse_by={"brier": 0.02, "*": 0.03})
RECORDED = {"accuracy": 0.95, "f1": 0.94, "brier": 0.05}


@dataclass
class Recorded(FakeRegistry):
    """A registry that recorded metrics."""

    def evaluation(self, model: str, version: ModelVersion) -> Evaluation:
        self._may("evaluation", model)
        return Evaluation(metrics=RECORDED if version.version == "3" else {})


def labelled(rows: int = 1000, count: int = 800, **metrics: float) -> Labelled:
    return Labelled(
        system="playground", model=MODEL, rows=rows, labelled=count, metrics=metrics, delay_p50_s=7200.0,
        delay_p90_s=86_400.0,
    )  # fmt: skip


def ask(found: Labelled | None, rules: QualityProfile = RULES, **more: Any) -> Finding:
    world = more.pop("world", None) or World(registry=Recorded())
    profile = replace(world.profile, quality=rules)
    labels = (lambda: found) if found is not None else None
    return DIAGNOSTIC.ask(world.scene(model=profile, labels=labels, **more))


def rows(finding: Finding) -> dict[str, tuple[str, str]]:
    return {what: (value, remark) for what, value, remark in finding.rows}


def test_numbers_stand_beside_baseline_coverage_and_delay() -> None:
    finding = ask(labelled(accuracy=0.94, f1=0.93, brier=0.055))
    assert finding.sentence.startswith(f"{MODEL} is as good as v3 was when registered: accuracy 0.940, f1 0.930")
    assert rows(finding)["accuracy"] == ("0.940", "baseline 0.950 of v3: worse by 0.01, 0.03 worse is allowed")
    assert rows(finding)["label coverage"] == ("800 labels", "share of the predictions: 80%, last 7 days")
    assert rows(finding)["label delay"] == ("half come within 2 h", "nine of ten within 24 h")


@pytest.mark.parametrize("metrics, named", [({"accuracy": 0.91}, "accuracy"), ({"brier": 0.08}, "brier")])
def test_worse_than_the_baseline_is_told_whichever_way_is_good(metrics: dict[str, float], named: str) -> None:
    assert ask(labelled(**metrics)).sentence.startswith(f"WORSE than when v3 was registered: {named} ")


@pytest.mark.parametrize("metrics", [{"accuracy": 0.99}, {"brier": 0.001}])
def test_better_than_the_baseline_is_fine(metrics: dict[str, float]) -> None:
    assert "is as good as v3" in ask(labelled(**metrics)).sentence


NOT_FINE: dict[str, tuple[Labelled, str]] = {
    "no label": (labelled(1000, 0), "NO DATA: no label has come in"),
    "no prediction": (labelled(0, 0), "NO DATA"),
    "few labels": (labelled(300, 150, accuracy=0.99), "NOT ENOUGH LABELS"),
    "few of many": (labelled(100_000, 500, accuracy=0.99), "only 0% of the predictions"),
}


@pytest.mark.parametrize("name", NOT_FINE)
def test_what_is_not_known_is_never_fine(name: str) -> None:
    found, told = NOT_FINE[name]
    finding = ask(found)
    assert told in finding.sentence
    assert "as good as" not in finding.sentence


def test_a_worker_that_is_silent_is_no_number() -> None:
    with pytest.raises(Foreign, match="no worker is running"):
        ask(None)


def test_without_a_baseline_nothing_is_judged() -> None:
    world = World(registry=Recorded())
    world.server.loaded = "2"
    finding = ask(labelled(accuracy=0.5), world=world)
    assert "Nothing to compare it with: v2 has no recorded metric" in finding.sentence


def test_a_silent_registry_costs_the_comparison_only() -> None:
    finding = ask(labelled(accuracy=0.95), world=World(registry=Recorded(trouble={"evaluation": DOWN})))
    assert rows(finding)["accuracy"][0] == "0.950"
    assert "Nothing to compare it with: It does not answer" in finding.sentence


def test_a_baseline_may_be_a_tag_of_the_version_under_another_name() -> None:
    world = World(registry=Recorded())
    world.registry.known[0] = replace(world.registry.known[0], tags={"validation_auc": "0.9", "bad": "much"})
    rules = replace(RULES, baseline={"auc": "validation_auc", "accuracy": "bad", "f1": "bad", "brier": "bad"})
    finding = ask(labelled(auc=0.8, accuracy=0.1), rules, world=world)
    assert finding.sentence.startswith("WORSE than when v3 was registered: auc 0.800 against 0.900")
    assert rows(finding)["accuracy"][1].startswith("no baseline")


def test_two_versions_in_one_window_are_told() -> None:
    move = Move(system="playground", model=MODEL, what="served", from_="2", to="3", earliest_at=minutes(9),
                latest_at=minutes(9))  # fmt: skip
    finding = ask(labelled(accuracy=0.95), moves=(move,))
    assert any("v2 and v3 were served within this window" in row[2] for row in finding.rows)


# measured by Prometheus

BY_QUERY = QualityProfile(
    queries={"accuracy": "acc", "f1": "f1"}, labels_query="n", coverage_query="share", delay_query="delay"
)


def measured(**values: float) -> World:
    world = World(registry=Recorded())
    world.metrics.answers |= {name: (lambda _, value=value: [({}, value)]) for name, value in values.items()}  # type: ignore[misc]
    return world


def test_a_metric_without_a_value_is_its_own_state() -> None:
    finding = ask(None, BY_QUERY, world=measured(acc=0.95, n=900, share=0.5, delay=60))
    assert rows(finding)["f1"] == ("no data", "NO DATA, which is not the same as fine")
    assert finding.sentence.endswith("No data for f1.")


def test_nothing_measured_is_no_data() -> None:
    finding = ask(None, BY_QUERY, world=measured(n=900, share=0.5))
    assert finding.sentence.startswith("NO DATA: none of its queries has a value")


def test_labels_that_nobody_counts_give_no_verdict() -> None:
    rules = replace(BY_QUERY, labels_query="", coverage_query="")
    finding = ask(None, rules, world=measured(acc=0.99, f1=0.99))
    assert "nobody measures how many predictions have a label" in finding.sentence
    assert "as good as" not in finding.sentence


def test_several_series_are_no_one_number() -> None:
    world = measured()
    world.metrics.answers["acc"] = lambda _: [({"pod": "a"}, 0.9), ({"pod": "b"}, 0.1)]
    with pytest.raises(Foreign, match="2 series where one number is needed"):
        ask(None, BY_QUERY, world=world)


def test_a_profile_that_says_nothing_is_told() -> None:
    with pytest.raises(Foreign, match="has no `quality`"):
        DIAGNOSTIC.ask(World().scene())
