"""A gate and smoke predictions as an SRE writes them, and what is said of mistakes."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from bot.policy import RecordProfile
from bot.policy.gate import Criterion, Expectation, Gate, Smoke
from tests.config.folder import Folder

BOUND = "      accuracy: {query: acc, below: 0.8}\n"
GATE = """\
    gate:
      same_data_by: validation_digest
      overrule: two_approvers
      criteria:
        - {metric: f1, at_least: 0.95, improves_by: 2%}
        - {metric: brier, at_most: 0.2, worsens_by: 0.005, better: lower}
        - {metric: "f1_*", above: 0.9}
      tags: {validation_status: passed, reviewed: true}
    smoke:
      - path: /predict/intent
        body: {query: how is my portfolio doing}
        within: 200ms
        expect:
          - {at: /intent, equals: portfolio}
          - {at: /confidence, at_least: 0.7}
          - {at: /cached, equals: false}
    record: {backend: registry, tag: version}
"""


def folder(tmp_path: Path, text: str = GATE) -> Folder:
    one = Folder(tmp_path)
    one.profile = one.profile.replace(BOUND, BOUND + text)
    return one


def test_what_is_written_is_what_is_judged_by(tmp_path: Path) -> None:
    settings, problems = folder(tmp_path).inspect()
    assert [str(one) for one in problems if not one.warning] == []
    assert settings is not None
    model = settings.policy.systems["shop"].models[0]
    assert model.gate == Gate(
        criteria=(
            Criterion(metric="f1", at_least=0.95, improves_by=0.02, is_share=True),
            Criterion(metric="brier", at_most=0.2, worsens_by=0.005, lower_is_better=True),
            Criterion(metric="f1_*", above=0.9),
        ),
        tags={"validation_status": "passed", "reviewed": "true"}, same_data_by="validation_digest",
        may_be_overruled=True,
    )  # fmt: skip
    assert model.smoke == (
        Smoke(
            path="/predict/intent", body='{"query": "how is my portfolio doing"}', within=timedelta(milliseconds=200),
            expects=(
                Expectation(at="/intent", equals="portfolio"), Expectation(at="/confidence", at_least=0.7),
                Expectation(at="/cached", equals="false"),
            ),
        ),
    )  # fmt: skip
    assert model.record == RecordProfile(backend="registry", pointer="production", tag="version")


@pytest.mark.parametrize(
    "old, new, told",
    [
        (
            "improves_by: 2%",
            "improves_by: a bit",
            '"a bit" is no amount; write a number like 0.005, or a share like 2%',
        ),
        ("improves_by: 2%", "improves_by: -1", '"-1" is no amount'),
        ("improves_by: 2%", "improves_by: 2%, worsens_by: 1", "both with % or both without"),
        (", above: 0.9}", "}", '"f1_*" demands nothing; add one of at_least, above, at_most'),
        (", above: 0.9}", ", over: 0.9}", 'unknown key "over"'),
        ("better: lower", "better: smaller", "\"better\" must be 'higher' or 'lower'"),
        ("path: /predict/intent", "path: http://elsewhere/", '"path"'),
        (", equals: portfolio}", "}", '"/intent" expects nothing; add `equals`'),
        ("at: /intent", "at: intent", '"at"'),
        ("{query: how is my portfolio doing}", "'{query'", "the body is no JSON"),
        ("within: 200ms", "within: 6s", "at most 5s"),
        ("backend: registry, tag", "backend: tables, tag", 'registry: unknown backend "tables"'),
        ("backend: registry, tag", "backend: metrics, tag", 'backend "metrics" is no registry'),
        ("    record:", "    reload: stack/api\n    record:", 'reload: unknown backend "stack"'),
        ("    record:", "    reload: metrics\n    record:", 'backend "metrics" is no reload'),
    ],
)
def test_mistakes_are_told(tmp_path: Path, old: str, new: str, told: str) -> None:
    assert old in GATE
    found = folder(tmp_path, GATE.replace(old, new)).errors()
    assert any(told in one for one in found), found


def test_predictions_that_take_too_long_together_and_an_empty_gate(tmp_path: Path) -> None:
    slow = "    smoke: [{body: {}, within: 4s}, {body: {}, within: 4s}, {body: {}, within: 4s}]\n"
    assert any("may take more than 10s together" in one for one in folder(tmp_path, slow).errors())
    assert any("the gate demands nothing" in one for one in folder(tmp_path, "    gate: {}\n").errors())


@pytest.mark.parametrize(
    "env, told",
    [
        ("{name: MODEL_URI, value: models:/rank}", "`value` must hold {version} exactly once"),
        ("{name: MODEL-URI}", '"name"'),
        ("{name: MODEL_VERSION}", "`env` needs a service that a cluster runs"),
    ],
)
def test_mistakes_about_a_variable(tmp_path: Path, env: str, told: str) -> None:
    found = folder(tmp_path, f"    env: {env}\n").errors()
    assert any(told in one for one in found), found
