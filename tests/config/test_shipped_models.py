"""The models of the profiles that come with the bot: each has a binding, and the gate its system asks for."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.app import build_backends
from bot.cli import names_of
from bot.config import Settings, inspect
from bot.policy import ModelProfile
from bot.policy.gate import DataSet, Evaluation, has_passed, judge
from bot.ports import Evaluations, Predicts, Releases, Reloads
from bot.registry import load

REPO = Path(__file__).resolve().parents[2]
REGISTRY = load()
DATA = (DataSet(name="holdout", digest="d1", context="test"),)
GATES = [
    # system, model, the champion's metrics, those of a version that passes, and of ones that do not
    ("self-healing", "credit-risk-model", {"f1": 0.80, "brier": 0.15}, {"f1": 0.816, "brier": 0.155},
     [{"f1": 0.815, "brier": 0.15}, {"f1": 0.9, "brier": 0.156}, {"f1": 0.9, "brier": 0.21}, {"f1": 0.9}]),
    ("credit-risk", "credit-risk-model", {"f1": 0.8, "roc_auc": 0.85}, {"f1": 0.8, "roc_auc": 0.86},
     [{"f1": 0.79, "roc_auc": 0.9}, {"f1": 0.9}]),
    ("nivesh", "intent_classifier", {}, {"accuracy": 0.991, "f1": 0.951},
     [{"accuracy": 0.99, "f1": 0.99}, {"accuracy": 0.999, "f1": 0.95}, {"accuracy": 0.999}]),
    ("nivesh", "financial_ner", {}, {"f1_amount": 0.91, "f1_date": 0.95, "f1": 0.1},
     [{"f1_amount": 0.90, "f1_date": 0.95}, {"f1": 0.99}]),
    ("nivesh", "credit_risk", {}, {"auc_roc": 0.86}, [{"auc_roc": 0.85}, {"auc": 0.9}]),
    ("nivesh", "anomaly_detection", {}, {"false_positive_rate": 0.009, "detection_rate": 0.96},
     [{"false_positive_rate": 0.01, "detection_rate": 0.96}, {"false_positive_rate": 0.001, "detection_rate": 0.95}]),
]  # fmt: skip


@pytest.fixture(scope="module")
def settings() -> Settings:
    found, problems = inspect(REPO / "deploy/example/mlops.yaml", {}, names_of(REGISTRY), is_lenient=True)
    assert [str(one) for one in problems if not one.warning] == []
    assert found is not None
    return found


def model_of(settings: Settings, system: str, name: str) -> ModelProfile:
    model = settings.policy.systems[system].model(name)
    assert model is not None
    return model


@pytest.mark.parametrize("system, name, champion, passes, fails", GATES, ids=lambda value: str(value)[:24])
def test_the_gate_asks_for_the_numbers_of_its_system(
    settings: Settings, system: str, name: str, champion: dict[str, float], passes: dict[str, float],
    fails: list[dict[str, float]],
) -> None:  # fmt: skip
    gate = model_of(settings, system, name).gate
    assert gate is not None
    old = Evaluation(metrics=champion, data=DATA)
    assert has_passed(judge(gate, Evaluation(metrics=passes, data=DATA), {}, old))
    for metrics in fails:
        assert not has_passed(judge(gate, Evaluation(metrics=metrics, data=DATA), {}, old)), metrics


def test_each_model_can_be_promoted_and_taken_back(settings: Settings) -> None:
    """By its own binding: a registry that is judged by, a server to ask, and something that makes it load anew."""
    built = build_backends(settings, REGISTRY)
    kinds = {}
    for name, system in settings.policy.systems.items():
        for model in system.models:
            backends = built[name]
            assert isinstance(backends[model.registry], Evaluations)
            assert isinstance(backends[model.server], Predicts)
            if model.reload:
                part, _, what = model.reload.partition("/")
                reloader = backends[part]
                assert isinstance(reloader, Reloads)
                assert what in reloader.how(what)
            record = settings.backends[name][model.record.backend].kind if model.record else ""
            kinds[f"{name}/{model.name}"] = (settings.backends[name][model.registry].kind, record)
    assert kinds["self-healing/credit-risk-model"] == ("mlflow-stages", "")
    assert kinds["credit-risk/credit-risk-model"] == ("registry-file", "")
    assert kinds["nivesh/intent_classifier"] == ("mlflow-stages", "sql-table")
    for system_name, service in (("khet-guard", "ml-service"), ("plant-disease", "plant-disease-classifier")):
        workload = settings.policy.systems[system_name].workload(service)
        assert workload is not None
        assert isinstance(built[system_name][workload.backend], Releases)
