"""What goes to the worker and what comes back: a worker that babbles must never become a report."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bot.drift import wire
from bot.drift.asked import (
    DataSource,
    DriftProfile,
    DriftRequest,
    Known,
    Movement,
    Number,
    Roles,
    SourceKind,
    Span,
    request,
)
from bot.drift.report import Cause, Clue, ColumnReport, Direction, DriftReport, Role, Second, Triage, Verdict

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
SQL = DataSource(
    kind=SourceKind.SQL, url="postgresql://reader:s3cret@db/features", query="SELECT * FROM f WHERE at >= :start",
    params={"region": "north", "least": 3, "ratio": 0.5, "live": True, "since": NOW, "none": None},
    options={"key": "k3y"},
)  # fmt: skip
PROFILE = DriftProfile(
    system="credit", model="risk", reference=replace(SQL, params={}), current=SQL, number=Number.HIGHEST,
    roles=Roles(prediction="p", ignore=("id",)),
)  # fmt: skip
REPORT = DriftReport(
    system="credit", model="risk", sentence="Two of 20 columns drifted.", verdict=Verdict.MODERATE, number="share",
    value=0.1, bound=0.3, drifted=2, judged=20, inputs=20, share=0.1, reference_rows=5000, current_rows=800,
    columns=(
        ColumnReport(
            name="age", role=Role.INPUT, form="number", verdict=Verdict.HIGH, direction=Direction.UP, value=0.4,
            bound=0.3, noise=0.05, n=800, second=Second(value=None, status="not compared"),
        ),
    ),
    aside=(), gone=("income",), added=(),
    triage=Triage(
        cause=Cause.DATA_BUG, sentence="Probably a data bug.", retrain_locked="Fix the source first.", drifted=("age",),
        clues=(Clue(sign="missing", column="age", sentence="30 % are missing.", points="data bug"),),
    ),
)  # fmt: skip


def test_request_survives_the_way_to_the_worker() -> None:
    known = Known(prediction=Movement(value=0.2, bound=0.1, noise=0.01, n=900, verdict=Verdict.MODERATE))
    asked = request(PROFILE, NOW, days=3, feature="age", known=known)
    assert asked.window == Span(start_at=NOW - timedelta(days=3), end_at=NOW)
    assert wire.loads(wire.dumps(asked), DriftRequest) == asked


def test_report_survives_the_way_back() -> None:
    assert wire.loads(wire.dumps(REPORT), DriftReport) == REPORT


def test_addresses_and_keys_are_never_shown() -> None:
    shown = repr(request(PROFILE, NOW))
    assert "s3cret" not in shown
    assert "k3y" not in shown


@pytest.mark.parametrize(
    ("profile", "window"),
    [
        (replace(PROFILE, reference_before=timedelta(days=28)), (NOW - timedelta(days=35), NOW - timedelta(days=28))),
        (replace(PROFILE, reference_from=NOW - timedelta(days=90), reference_until=NOW - timedelta(days=60)),
         (NOW - timedelta(days=90), NOW - timedelta(days=60))),
        (PROFILE, None),
    ],
)  # fmt: skip
def test_reference_has_its_own_window(profile: DriftProfile, window: tuple[datetime, datetime] | None) -> None:
    found = request(profile, NOW).reference_window
    assert found == (Span(start_at=window[0], end_at=window[1]) if window else None)


@pytest.mark.parametrize("days", [0, -1, 400])
def test_window_of_no_sense_is_refused(days: int) -> None:
    with pytest.raises(ValueError, match="1 to 366 days"):
        request(PROFILE, NOW, days=days)


def test_model_without_data_has_no_question() -> None:
    with pytest.raises(ValueError, match="No data source is set for risk"):
        request(replace(PROFILE, reference=None, current=None), NOW)


def _changed(**fields: Any) -> str:
    return json.dumps({**json.loads(wire.dumps(REPORT)), **fields})


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "is not JSON"),
        ("[" * 200_000, "is not JSON"),
        ("[]", "is not an object"),
        ("{}", "lacks a field"),
        (_changed(value="high"), "DriftReport.value"),
        (_changed(value=True), "DriftReport.value"),
        (_changed(verdict="fine"), "not a valid Verdict"),
        (_changed(drifted=1.5), "DriftReport.drifted"),
        (_changed(columns={"a": 1}), "DriftReport.columns is not a list"),
        (_changed(columns=[{"name": "age"}]), r"DriftReport.columns\[0\] lacks a field"),
        (_changed(shell="rm"), "unknown field 'shell'"),
        (_changed(triage=None), "DriftReport.triage is not an object"),
        (_changed(value=10**400), "beyond all bounds"),
        (_changed(gone=[1]), r"DriftReport.gone\[0\]"),
    ],
)  # fmt: skip
def test_babble_is_refused_and_the_field_is_named(text: str, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        wire.loads(text, DriftReport)


def test_number_that_is_none_is_not_sent() -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        wire.dumps(replace(REPORT, value=float("nan")))
