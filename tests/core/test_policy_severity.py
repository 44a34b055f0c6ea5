"""How bad, and why in words: rules with bounds, the alert's own label, and what happens when neither can be read."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from bot.model import Alert, Severity
from bot.policy import SeverityRule, System
from bot.policy.severity import LABEL_WORDS, classify, figures, judge

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
CRITICAL = SeverityRule(name="accuracy", severity=Severity.P1, because="", signal="accuracy", below=0.80)
WARNING = SeverityRule(name="soft", severity=Severity.P2, because="", signal="accuracy", below=0.9, word="warning")
SLOW = SeverityRule(name="slow", severity=Severity.P1, because="people wait", signal="latency", above=2.0)
BAND = SeverityRule(name="band", severity=Severity.P2, because="", signal="share", below=0.2, above=0.8)
DOWN = SeverityRule(
    name="down", severity=Severity.P0, because="nothing is served", match={"alertname": ("ServerDown", "AllDown")}
)
SHOP = System(name="shop", severity_rules=(CRITICAL, WARNING, SLOW, BAND, DOWN))


def alert(value: str | None = None, **labels: str) -> Alert:
    return Alert(
        source="alertmanager", fingerprint="f1", firing=True, starts_at=NOW, ends_at=None,
        labels={"alertname": "AccuracyLow", **labels}, annotations={} if value is None else {"value": value},
    )  # fmt: skip


def test_the_reason_names_value_bound_and_environment() -> None:
    verdict = judge(alert("0.41", signal="accuracy", model="intent"), SHOP)

    assert verdict == (Severity.P1, "accuracy 0.41 under the critical bound 0.80 on a production model")


def test_the_worst_matching_rule_wins_whatever_its_place() -> None:
    turned = System(name="shop", severity_rules=(WARNING, CRITICAL))

    assert judge(alert("0.41", signal="accuracy"), turned)[0] is Severity.P1
    assert judge(alert("0.85", signal="accuracy", severity="warning"), turned) == (
        Severity.P2, "accuracy 0.85 under the warning bound 0.90 in production",
    )  # fmt: skip


def test_a_rule_above_its_bound_says_over() -> None:
    assert judge(alert("3.25", signal="latency"), SHOP)[1] == (
        "latency 3.25 over the critical bound 2.00 in production; people wait"
    )


@pytest.mark.parametrize(("value", "words"), [
    ("0.10", "share 0.10 under the critical bound 0.20 in production"),
    ("0.95", "share 0.95 over the critical bound 0.80 in production"),
])  # fmt: skip
def test_a_rule_with_two_bounds_names_the_one_that_was_broken(value: str, words: str) -> None:
    assert judge(alert(value, signal="share"), SHOP)[1] == words


@pytest.mark.parametrize(("value", "limit", "shown"), [
    (0.41, 0.8, ("0.41", "0.80")),
    (0.7996, 0.8, ("0.7996", "0.8000")),
    (0.004, 0.01, ("0.004", "0.010")),
    (0.0, 0.8, ("0.00", "0.80")),
    (float("inf"), 0.5, ("inf", "0.50")),
    (1e300, 5.0, ("1e+300", "5")),
    (0.79999999, 0.8, ("0.79999999", "0.8")),
])  # fmt: skip
def test_figures_can_be_told_apart(value: float, limit: float, shown: tuple[str, str]) -> None:
    assert figures(value, limit) == shown


@pytest.mark.parametrize("value", [None, "NaN", "nan", "", "41 %", "0,41", "0x1p-2", "😀"])
def test_a_value_that_is_no_number_meets_no_bound(value: str | None) -> None:
    assert judge(alert(value, signal="accuracy"), SHOP) == (
        Severity.P2, "the alert carries no severity; P2 is the safe middle",
    )  # fmt: skip


def test_a_value_at_its_bound_is_within_it() -> None:
    assert judge(alert("0.9", signal="accuracy"), SHOP)[1] == "the alert carries no severity; P2 is the safe middle"


def test_a_rule_without_a_bound_gives_its_own_reason() -> None:
    assert judge(alert("0.1", alertname="AllDown"), SHOP) == (Severity.P0, "nothing is served")
    assert judge(alert(alertname="ServerDown"), SHOP) == (Severity.P0, "nothing is served")
    assert judge(alert(alertname="Other"), SHOP)[0] is Severity.P2


@pytest.mark.parametrize(("word", "severity"), LABEL_WORDS.items())
def test_words_of_public_rule_sets_are_known(word: str, severity: Severity) -> None:
    assert judge(alert(severity=word), SHOP) == (severity, f"the alert says severity {word}")
    assert judge(alert(severity=f"  {word.upper()} "), SHOP) == (severity, f"the alert says severity {word}")


@pytest.mark.parametrize(("word", "shown"), [("fatal", "fatal"), ("schlimm!", "schlimm!"), ("x" * 100_000, "x" * 40)])
def test_an_unknown_word_is_the_safe_middle_and_is_told(word: str, shown: str) -> None:
    assert judge(alert(severity=word), SHOP) == (
        Severity.P2, f"severity word “{shown}” is not known; P2 is the safe middle",
    )  # fmt: skip


def test_a_word_cannot_hide_what_it_is() -> None:
    assert judge(alert(severity="cri\u202etical\x00\n"), SHOP) == (Severity.P1, "the alert says severity critical")
    assert judge(alert(severity="fa\u202etal\x00"), SHOP)[1].startswith("severity word “fatal” is not known")


def test_a_label_raises_what_the_rules_say_and_never_lowers_it() -> None:
    assert judge(alert("0.41", signal="accuracy", severity=" Disaster "), SHOP)[0] is Severity.P0
    assert judge(alert("0.41", signal="accuracy", severity="info"), SHOP)[0] is Severity.P1
    assert judge(alert("0.41", signal="accuracy", severity="???"), SHOP)[0] is Severity.P1


def test_the_worst_alert_of_many_decides() -> None:
    severity, why = classify(
        (alert(severity="info"), alert("0.41", signal="accuracy"), alert(severity="warning")), SHOP
    )

    assert (severity, why) == (Severity.P1, "accuracy 0.41 under the critical bound 0.80 in production")


def test_no_alert_at_all_is_the_safe_middle() -> None:
    assert classify((), SHOP) == (Severity.P2, "no alert says how bad it is")
