"""What the diagnostics say of drift, and that they say no more than they can know."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest

from bot.drift.asked import DriftProfile, Histogram
from bot.model import Draft, Step
from bot.policy import ModelProfile, System
from bot.policy.drift import Standing
from bot.ports import Foreign, Refusal, Sample, Scene, Series
from handlers.actions import _drift_lock
from handlers.diagnostics import drift, prediction_drift

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
MODEL = ModelProfile(name="risk", service="api", metrics="prometheus", drift=frozenset({"histogram"}))
PROFILE = DriftProfile(system="credit", model="risk", histogram=Histogram(metric="p_bucket"))
STANDING = Standing(
    report_id="DRF-7", at=NOW - timedelta(hours=3), sentence="2 of 20 inputs drifted.", cause="data bug",
    lock="Fix the source first.", is_bug=True,
)  # fmt: skip


@dataclass
class Buckets:
    """A Prometheus that knows two windows: the present, and whatever is asked for with an offset."""

    now: dict[str, float]
    before: dict[str, float]

    def instant(self, query: str) -> Sequence[Sample]:
        found = self.before if " offset " in query else self.now
        return [Sample(labels={"le": bound}, at=NOW, value=value) for bound, value in found.items()]

    def over(self, query: str, start: datetime, end: datetime, step: timedelta) -> Sequence[Series]:
        raise AssertionError(query)


def scene(**changes: object) -> Scene:
    base = Scene(
        now=NOW, system=System(name="credit", models=(MODEL,)), model=MODEL, service="api", backends={}, drift=PROFILE
    )
    return replace(base, **changes)  # type: ignore[arg-type]


def asked(now: dict[str, float], before: dict[str, float]) -> str:
    finding = prediction_drift.DIAGNOSTIC.ask(scene(backends={"prometheus": Buckets(now, before)}))
    assert {row[0] for row in finding.rows} == {
        "index of the predictions",
        "bound that decides",
        "noise",
        "predictions",
    }
    return finding.sentence


EVEN = {"0.5": 500.0, "+Inf": 1000.0}


def test_predictions_that_moved_are_told_with_what_cannot_be_told() -> None:
    said = asked({"0.5": 100.0, "+Inf": 1000.0}, EVEN)
    assert said.startswith("risk: high drift of the predictions of the last 60 min against 28 days before.")
    assert "Which input moved, why, and whether the model is worse cannot be told from this." in said


def test_predictions_that_did_not_move_prove_nothing_about_inputs() -> None:
    said = asked(EVEN, EVEN)
    assert "are spread as 28 days before" in said
    assert "cannot be told from this" in said


def test_few_predictions_are_no_verdict() -> None:
    assert "too few predictions for a verdict (100 in the smaller window" in asked({"0.5": 9.0, "+Inf": 100.0}, EVEN)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"drift": None}, "names no histogram"),
        ({"drift": replace(PROFILE, histogram=None)}, "names no histogram"),
        ({"backends": {}}, "No backend answers metric queries"),
        ({"backends": {"prometheus": Buckets({}, EVEN)}}, "no data in the current window"),
    ],
)
def test_without_both_windows_it_says_what_is_missing(change: dict[str, object], said: str) -> None:
    with pytest.raises(Foreign, match=said):
        prediction_drift.DIAGNOSTIC.ask(scene(**change))


def test_the_last_check_is_told_with_its_age_and_the_lock() -> None:
    finding = drift.DIAGNOSTIC.ask(scene(standing=STANDING))
    assert finding.sentence == "risk, 3 h ago: 2 of 20 inputs drifted."
    assert ("retraining", "locked", "Fix the source first.") in finding.rows


def test_no_check_and_an_old_check_are_no_news() -> None:
    assert "no drift check has come to an end yet" in drift.DIAGNOSTIC.ask(scene()).sentence
    assert "DRF-9 is under way" in drift.DIAGNOSTIC.ask(scene(checking="DRF-9")).sentence
    old = replace(STANDING, at=NOW - timedelta(days=20))
    assert "too old to say anything about now" in drift.DIAGNOSTIC.ask(scene(standing=old)).sentence


# the lock on retraining

DRAFT = Draft(
    title="Retrain", from_="", to="", because="", steps=(Step(name="run", sentence="Run it"),), inverse={},
    inverse_text="none", fingerprint={"job": "1"}, args={}, tier="light",
)  # fmt: skip


@pytest.mark.parametrize(
    ("standing", "tier", "warns"),
    [
        (None, "light", ""),
        (STANDING, "refused", "Locked by DRF-7: Fix the source first."),
        (replace(STANDING, cause="unsure", is_bug=False), "dangerous", "DRF-7 is not clear yet"),
        (replace(STANDING, cause="valid drift", is_bug=False, lock=""), "light", ""),
        (replace(STANDING, cause="valid drift", is_bug=False, lock="", overruled="@bob"), "change", "@bob said"),
        (replace(STANDING, cause="quiet", is_bug=False, lock="Nothing drifted."), "light", "Nothing drifted."),
        (replace(STANDING, cause="expected change", is_bug=False, lock="Update."), "light", "DRF-7: Update."),
    ],
)
def test_the_last_check_has_a_say_in_every_retrain(standing: Standing | None, tier: str, warns: str) -> None:
    drawn = _drift_lock.guarded(scene(standing=standing), DRAFT)
    if tier == "refused":
        assert isinstance(drawn, Refusal)
        assert warns in drawn.why
        assert "valid drift" in drawn.why
        return
    assert isinstance(drawn, Draft)
    assert drawn.tier == tier
    assert warns in " ".join(drawn.warnings)
    assert bool(warns) == bool(drawn.warnings)
    assert drawn.fingerprint == _drift_lock.facts(scene(standing=standing), {"job": "1"})


def test_a_tier_is_never_lowered_and_a_refusal_stays() -> None:
    unsure = replace(STANDING, cause="valid drift", is_bug=False, lock="", overruled="@bob")
    assert _drift_lock.guarded(scene(standing=unsure), replace(DRAFT, tier="dangerous")).tier == "dangerous"
    refusal = Refusal(why="no")
    assert _drift_lock.guarded(scene(standing=STANDING), refusal) is refusal
    assert _drift_lock.facts(scene(standing=STANDING), {}) == {}
