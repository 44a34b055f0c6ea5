"""What is said of the model as a whole: the number that stands for it, and when nothing may be said."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from bot.drift import wire
from bot.drift.asked import DataSource, DriftRequest, Known, Movement, Number, Roles, SourceKind, Span, Thresholds
from bot.drift.report import Cause, Direction, DriftReport, Role, Second, Verdict
from handlers.drift.answer import answered, clean, context_of, with_second
from handlers.drift.facts import Column, Form, Screen, SetAside, Side
from handlers.drift.psi import Drift, Lines, verdict_of
from handlers.drift.triage import Onset, proposal

NOW = datetime(2026, 3, 2, tzinfo=UTC)
FILE = DataSource(kind=SourceKind.CSV, path="/data/x.csv")
NONE, STABLE, MODERATE, HIGH = Verdict.NONE_YET, Verdict.STABLE, Verdict.MODERATE, Verdict.HIGH
ASKED = DriftRequest(
    system="credit", model="risk", reference=FILE, current=FILE, roles=Roles(prediction="score"),
    window=Span(start_at=NOW - timedelta(days=7), end_at=NOW),
)  # fmt: skip


def column(name: str, value: float | None, n: int = 1000, noise: float = 0.03, form: Form = Form.NUMBER) -> Column:
    """A column as the screen would judge it."""
    verdict, bound = verdict_of(n, value, noise, Lines())
    side = Side(rows=n, n=n, missing_share=0.0, mean=1.0, deviation=1.0, top="09 h")
    return Column(
        name=name, form=form, reference=side, current=replace(side, mean=1.0 + 4 * (value or 0.0)),
        drift=Drift(n=n, value=value, bound=bound, noise=noise, verdict=verdict), names=("a", "b"),
        reference_counts=(90, 10), current_counts=(40, 60),
    )  # fmt: skip


def report(values: list[float | None], n: int = 1000, asked: DriftRequest = ASKED, **more: object) -> DriftReport:
    columns = (*(column(f"x{place}", value, n) for place, value in enumerate(values)), column("score", 0.2, n))
    screen = replace(Screen(reference_rows=5000, current_rows=n, columns=columns, target="score"), **more)  # type: ignore[arg-type]
    found = answered(asked, screen, proposal(screen))
    assert wire.loads(wire.dumps(found), DriftReport) == found
    return found


@pytest.mark.parametrize(
    ("values", "n", "verdict", "bound"),
    [
        ([0.01] * 10, 1000, STABLE, 0.3),
        ([0.2] * 2 + [0.01] * 8, 1000, STABLE, 0.3),
        ([0.2] * 3 + [0.01] * 7, 1000, MODERATE, 0.3),  # the share is reached at its line
        ([0.2] * 5 + [0.01] * 5, 1000, HIGH, 0.5),
        ([0.5] * 5 + [0.01] * 5, 300, HIGH, 0.5),  # enough rows for the upper line
        ([0.5] * 1 + [0.01] * 9, 300, NONE, 0.3),  # the other nine cannot be judged, and may count either way
        ([0.5] * 3 + [0.01] * 7, 300, MODERATE, 0.3),
        ([0.9] * 10, 199, NONE, 0.3),
        ([], 1000, NONE, None),
    ],
)
def test_share_of_the_inputs(values: list[float | None], n: int, verdict: Verdict, bound: float | None) -> None:
    found = report(values, n)
    assert (found.verdict, found.bound) == (verdict, bound)
    assert (found.inputs, found.judged <= found.inputs) == (len(values), True)


@pytest.mark.parametrize(
    ("number", "known", "value", "verdict"),
    [
        (Number.HIGHEST, Known(), 0.4, HIGH),
        (Number.MEAN, Known(), 0.22, MODERATE),
        (Number.PREDICTION, Known(), 0.2, MODERATE),
        (Number.SCORE, Known(), None, NONE),
        (Number.SCORE, Known(score=0.05), 0.05, STABLE),
        (Number.SCORE, Known(score=0.1), 0.1, MODERATE),
        (Number.SCORE, Known(score=0.3), 0.3, HIGH),
        (Number.SCORE, Known(score=float("nan")), None, NONE),
    ],
)
def test_other_numbers_may_stand_for_the_model(
    number: Number, known: Known, value: float | None, verdict: Verdict
) -> None:
    found = report([0.4, 0.04], asked=replace(ASKED, number=number, known=known))
    assert (found.number, found.verdict) == (number.value, verdict)
    assert found.value == (None if value is None else pytest.approx(value))
    assert str(NOW.year) not in found.sentence


def test_prediction_comes_from_the_histogram_when_no_column_holds_it() -> None:
    moved = Movement(value=0.5, bound=0.3, noise=0.01, n=900, verdict=HIGH)
    asked = replace(ASKED, number=Number.PREDICTION, roles=Roles(), known=Known(prediction=moved))
    assert (report([0.01], asked=asked).verdict, report([0.01], asked=asked).value) == (HIGH, 0.5)
    nothing = report([0.01], asked=replace(asked, known=Known()))
    assert (nothing.verdict, nothing.sentence.startswith("No verdict yet: index of the predictions not known")) == (
        NONE,
        True,
    )


def test_rows_and_lines_are_said_in_the_sentence() -> None:
    assert report([0.2] * 3 + [0.01] * 7, 812).sentence == (
        "Moderate drift: 3 of 10 inputs drifted (30%, line 30%); 812 rows against 5,000."
    )


def test_columns_come_with_the_furthest_first_and_their_direction() -> None:
    found = report([0.01, 0.9, None, 0.2])
    assert [one.name for one in found.columns] == ["x1", "x3", "score", "x2", "x0"]
    assert [one.role for one in found.columns if one.name == "score"] == [Role.PREDICTION]
    assert (found.columns[0].direction, found.columns[0].change) == (Direction.UP, "mean 1 → 4.6")
    assert found.columns[-1].direction is Direction.SAME


def test_what_moved_is_named_for_each_form() -> None:
    columns = (column("c", 0.5, form=Form.CATEGORY), column("t", 0.5, form=Form.TIME))
    screen = Screen(reference_rows=9, current_rows=9, columns=columns)
    found = answered(ASKED, screen, proposal(screen))
    assert [one.change for one in found.columns] == ["a 90% → 40%", "busiest hour 09 h → 09 h"]
    assert {one.direction for one in found.columns} == {Direction.MIXED}


def test_one_feature_is_shown_and_the_verdict_stays_the_models() -> None:
    found = report([0.4, 0.4, 0.01], asked=replace(ASKED, feature="x2"))
    assert [one.name for one in found.columns] == ["x2"]
    assert (found.drifted, found.verdict) == (2, HIGH)


def test_what_could_not_be_compared_is_always_named() -> None:
    hostile = "a\n<!channel>" + "x" * 500
    aside = (SetAside(name=hostile, why="It could not be read."),)
    found = report([0.01], set_aside=aside, gone=("g",), added=("n",), current_rejected=7)
    assert len(found.aside[0].name) == 120
    assert "\n" not in found.aside[0].name
    assert (found.gone, found.added) == (("g",), ("n",))
    assert found.notes == ("7 lines of the current data could not be read.",)


def test_what_is_known_besides_the_data_reaches_triage() -> None:
    moved = Movement(value=0.01, bound=0.1, noise=0.01, n=900, verdict=STABLE)
    context = context_of(Known(prediction=moved, onset="step", step_at="deploy of v7\n", accepted=("x0",)))
    assert (context.onset, context.step_at, context.accepted) == (Onset.STEP, "deploy of v7", ("x0",))
    assert context.prediction == Drift(n=900, value=0.01, bound=0.1, noise=0.01, verdict=STABLE)
    assert context_of(Known(onset="sideways")).onset is None


@pytest.mark.parametrize(
    ("ours", "theirs", "disagrees"),
    [(0.9, 0.00007, True), (0.02, 0.6, True), (0.25, 0.29, False), (0.9, 1.4, False), (0.09, 0.12, False),
     (0.9, None, False)],
)  # fmt: skip
def test_a_second_opinion_that_differs_is_a_clue(ours: float, theirs: float | None, disagrees: bool) -> None:
    found = with_second(report([ours]), {"x0": Second(value=theirs, status="drift")}, Thresholds())
    one = next(each for each in found.columns if each.name == "x0")
    assert one.disagrees is disagrees
    assert [clue.column for clue in found.triage.clues if clue.sign == "second opinion"] == ["x0"] * disagrees


def test_too_few_rows_are_no_good_news() -> None:
    found = report([0.01] * 5, 150)
    assert (found.verdict, found.triage.cause) == (NONE, Cause.TOO_FEW)
    assert found.triage.retrain_locked


def test_clean_leaves_one_printable_line() -> None:
    assert clean("a\x00b\u202ec\r\n d", 80) == "a b c d"
    assert clean("x" * 50, 10) == "x" * 9 + "…"
