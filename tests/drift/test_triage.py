"""What surrounds a drift, and each sign by itself, on made records: no data are read here."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bot.drift.report import Cause, Verdict
from handlers.drift.facts import Column, Companion, Form, Screen, Side
from handlers.drift.psi import Drift
from handlers.drift.signs import Points, unit_change
from handlers.drift.triage import Context, Onset, Proposal, proposal

N = 2000
DECILES = (1.0, 2.2, 3.1, 4.6, 5.0, 6.3, 7.7, 8.4, 9.9)
SIDE = Side(rows=N, n=N, missing_share=0, lowest=0, highest=12, deciles=DECILES, mean=5, deviation=2, distinct=900)
MOVED = replace(SIDE, mean=6.0)


def drift(verdict: Verdict) -> Drift:
    value = {Verdict.STABLE: 0.01, Verdict.MODERATE: 0.2, Verdict.HIGH: 0.6}.get(verdict)
    return Drift(n=N, value=value, bound=0.1, noise=0.02, verdict=verdict)


def column(name: str = "x", verdict: Verdict = Verdict.STABLE, **more: object) -> Column:
    fields = {"form": Form.NUMBER, "reference": SIDE, "current": SIDE} | more
    return Column(name=name, drift=drift(verdict), **fields)  # type: ignore[arg-type]


def screen(*columns: Column, **more: object) -> Screen:
    fields = {"reference_rows": N, "current_rows": N} | more
    return Screen(columns=columns, **fields)  # type: ignore[arg-type]


CONFIRMED = (
    column("x", Verdict.HIGH, current=MOVED, companions=(Companion(name="y", relation=0.8),)),
    column("y", current=replace(SIDE, mean=5.8)),
)


def signs(found: Proposal) -> list[str]:
    return [evidence.sign for evidence in found.evidence]


def test_a_drift_that_its_company_confirms_is_valid() -> None:
    found = proposal(screen(*CONFIRMED))
    assert (found.cause, found.retrain_locked, found.drifted) == (Cause.VALID, None, ("x",))


def test_a_drift_that_moved_alone_is_not() -> None:
    found = proposal(screen(CONFIRMED[0], column("y")))
    assert found.cause is Cause.UNSURE
    assert "moved alone" in found.sentence


def test_without_anything_that_confirms_it_is_unsure() -> None:
    assert proposal(screen(column("x", Verdict.HIGH))).cause is Cause.UNSURE
    assert proposal(screen(column("x", Verdict.HIGH)), Context(onset=Onset.RAMP)).cause is Cause.VALID


@pytest.mark.parametrize(
    ("context", "cause", "sign"),
    [
        (Context(onset=Onset.STEP, step_at="deploy of v7"), Cause.UNSURE, "onset"),
        (Context(onset=Onset.STEP), Cause.VALID, "company"),  # a step at nothing known
        (Context(prediction=drift(Verdict.STABLE)), Cause.UNSURE, "prediction"),
        (Context(prediction=drift(Verdict.HIGH)), Cause.VALID, "prediction"),
        (Context(prediction=drift(Verdict.NONE_YET)), Cause.VALID, "company"),
        (Context(last_year=drift(Verdict.STABLE)), Cause.EXPECTED, "season"),
        (Context(last_year=drift(Verdict.HIGH)), Cause.VALID, "company"),
        (Context(accepted=("x",)), Cause.EXPECTED, "accepted"),
        (Context(accepted=("z",)), Cause.VALID, "company"),
        (Context(expected_rows=5000), Cause.DATA_BUG, "rows"),
        (Context(expected_rows=3000), Cause.VALID, "company"),
    ],
)
def test_what_surrounds_it_decides(context: Context, cause: Cause, sign: str) -> None:
    found = proposal(screen(*CONFIRMED), context)
    assert found.cause is cause
    assert sign in signs(found)
    assert (found.retrain_locked is None) == (cause is Cause.VALID)


@pytest.mark.parametrize("verdict", [Verdict.MODERATE, Verdict.HIGH])
def test_predictions_that_drift_without_any_input_are_told(verdict: Verdict) -> None:
    """What Prometheus alone saw: another version, or something that is no column here."""
    found = proposal(screen(column("x"), column("y")), Context(prediction=drift(verdict)))
    assert found.cause is Cause.UNSURE
    assert "predictions drifted all the same" in found.sentence
    assert found.retrain_locked
    assert proposal(screen(column("x")), Context(prediction=drift(Verdict.STABLE))).cause is Cause.QUIET


def test_one_upstream_table_or_many() -> None:
    two = (CONFIRMED[0], replace(CONFIRMED[1], drift=drift(Verdict.MODERATE)), column("z"))
    one_table = Context(upstream={"x": "orders", "y": "orders", "z": "users"})
    many = Context(upstream={"x": "orders", "y": "users", "z": "users"})
    only_one_exists = Context(upstream={"x": "orders", "y": "orders", "z": "orders"})
    assert proposal(screen(*two), one_table).cause is Cause.UNSURE
    assert "orders" in proposal(screen(*two), one_table).sentence
    assert proposal(screen(*two), many).cause is Cause.VALID
    assert proposal(screen(*two), only_one_exists).cause is Cause.VALID


def test_an_accepted_column_does_not_excuse_another() -> None:
    two = (CONFIRMED[0], replace(CONFIRMED[1], drift=drift(Verdict.MODERATE)))
    assert proposal(screen(*two), Context(accepted=("x",))).cause is Cause.VALID


BROKEN = {
    "missing": {"current": replace(SIDE, missing_share=0.3)},
    "unreadable": {"current": replace(SIDE, unreadable_share=0.05)},
    "infinite": {"current": replace(SIDE, infinite_share=0.05)},
    "stuck": {"current": replace(SIDE, top="4", top_share=1.0)},
    "sentinel": {"outside_share": 0.1, "far_share": 0.1, "outside_top": -999.0, "outside_top_share": 0.1},
    "range": {"outside_share": 0.1, "far_share": 0.1, "outside_top": 99.0, "outside_top_share": 0.001},
    "unit": {"current": replace(SIDE, deciles=tuple(100 * decile for decile in DECILES))},
    "type": {"type_change": "DOUBLE → VARCHAR"},
    "renamed": {"form": Form.CATEGORY, "lost": (("north", 0.4),), "new": (("N", 0.41),), "new_share": 0.41},
}


@pytest.mark.parametrize("sign", BROKEN)
def test_a_sign_of_broken_data_wins_over_everything(sign: str) -> None:
    """Even over a confirmed drift that somebody accepted and that came slowly."""
    context = Context(accepted=("x", "broken"), onset=Onset.RAMP, last_year=drift(Verdict.STABLE))
    found = proposal(screen(*CONFIRMED, column("broken", **BROKEN[sign])), context)
    assert (found.cause, found.evidence[0].sign) == (Cause.DATA_BUG, sign)
    assert found.evidence[0].points is Points.DATA_BUG
    assert found.retrain_locked is not None
    assert "broken" in found.retrain_locked
    assert found.evidence[0].sentence in found.sentence


@pytest.mark.parametrize(
    "whole",
    [
        {"current_rows": 0},
        {"gone": ("price",)},
        {"current_rejected": 100},
        {"reference_repeated_share": 0.0, "current_repeated_share": 0.2},
    ],
)
def test_signs_of_the_whole_window(whole: dict[str, object]) -> None:
    assert proposal(screen(column(), **whole)).cause is Cause.DATA_BUG


@pytest.mark.parametrize(
    "doubt",
    [
        {"reference": replace(SIDE, missing_share=0.5)},  # filled in now?
        {"outside_share": 0.1, "outside_top": 13.0, "outside_top_share": 0.001},
        {"form": Form.CATEGORY, "new": (("z", 0.1),), "new_share": 0.1},
        {"form": Form.CATEGORY, "lost": (("z", 0.1),)},
        {"reference": replace(SIDE, top_share=0.2), "current": replace(SIDE, top="4", top_share=0.5)},
    ],
)
def test_doubts_lock_without_a_verdict_on_the_cause(doubt: dict[str, object]) -> None:
    assert proposal(screen(column("odd", **doubt))).cause is Cause.UNSURE
    assert proposal(screen(*CONFIRMED, column("odd", **doubt))).cause is Cause.UNSURE


def test_hours_that_slipped_and_hours_that_changed() -> None:
    day = (0,) * 6 + (100, 200, 300, 300, 200, 200, 300, 200, 100, 60, 30, 10) + (0,) * 6
    slipped = column("at", Verdict.HIGH, form=Form.TIME, reference_counts=day, current_counts=day[-5:] + day[:-5])
    night = column("at", Verdict.HIGH, form=Form.TIME, reference_counts=day, current_counts=(80,) * 24)
    found = proposal(screen(slipped))
    assert (found.cause, found.evidence[0].sign, found.evidence[0].value) == (Cause.DATA_BUG, "time zone", 5)
    assert "5 h later" in found.sentence
    assert proposal(screen(night)).cause is Cause.UNSURE


def test_relations_that_broke_while_all_looks_as_before() -> None:
    target = column("score")
    torn = [
        column(name, reference=replace(SIDE, relation=0.6), current=replace(SIDE, relation=0.02)) for name in ("a", "b")
    ]
    found = proposal(screen(*torn, target, target="score"))
    assert (found.cause, signs(found)) == (Cause.DATA_BUG, ["relation"])
    moved = replace(target, drift=drift(Verdict.HIGH))
    assert proposal(screen(*torn, moved, target="score")).cause is Cause.UNSURE
    kept = column("c", reference=replace(SIDE, relation=0.6), current=replace(SIDE, relation=0.55))
    assert proposal(screen(kept, target, target="score")).cause is Cause.QUIET


def test_too_few_rows_and_quiet_are_two_things() -> None:
    few = proposal(screen(column("x", Verdict.NONE_YET), current_rows=80))
    assert (few.cause, few.n) == (Cause.TOO_FEW, 80)
    assert "80 rows" in few.sentence
    quiet = proposal(screen(column()))
    assert (quiet.cause, quiet.evidence) == (Cause.QUIET, ())
    assert few.retrain_locked is not None
    assert quiet.retrain_locked is not None


@pytest.mark.parametrize(
    ("factor", "offset"), [(1000, 0), (0.01, 0), (60, 0), (1 / 2.54, 0), (2.20462, 0), (1.8, 32), (1, 273.15), (-1, 0)]
)
def test_units_are_recognised(factor: float, offset: float) -> None:
    def changed(side: Side) -> Side:
        low, high = sorted((value or 0.0) * factor + offset for value in (side.lowest, side.highest))
        return replace(
            side, deciles=tuple(sorted(d * factor + offset for d in side.deciles)), lowest=low, highest=high
        )  # fmt: skip

    assert unit_change(SIDE, changed(SIDE)) is not None


@pytest.mark.parametrize("factor", [1.0, 1.1, 1.3, 2.0, 4.5])
def test_a_growth_that_is_no_unit_is_not(factor: float) -> None:
    grown = replace(SIDE, deciles=tuple(factor * decile for decile in DECILES), highest=12 * factor)
    assert unit_change(SIDE, grown) is None


def test_a_scale_that_keeps_its_ends_did_not_change_its_unit() -> None:
    leaning = replace(SIDE, deciles=tuple(min(12.0, 1.60934 * decile) for decile in DECILES))
    assert unit_change(SIDE, leaning) is None
