"""The worker as it is started in earnest, on real data: from the question to report, picture and HTML."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bot.drift.asked import Change, DataSource, DriftProfile, Known, Limits, Roles, SourceKind, request
from bot.drift.report import Cause, DriftReport, Verdict
from bot.drift.runner import DriftRunner, WorkerSettings
from bot.ports import Foreign
from tests.drift.real import FAULTS, SCORE, TIME, Frame, halves, real, write

NOW = datetime(2026, 3, 9, tzinfo=UTC)  # the sets' times are in the week before
QUICK = Limits(full=False, wall=timedelta(seconds=60))
WHOLE = Limits(wall=timedelta(seconds=110))
PNG = b"\x89PNG\r\n\x1a\n"
HOSTILE = "<script>alert('x')</script>{{7*7}}"

Ask = Callable[..., DriftReport]


@pytest.fixture
def ask(tmp_path: Path) -> Ask:
    """Compare two frames with a worker of our own."""
    runner = DriftRunner(WorkerSettings(reports=tmp_path / "reports", folders=(tmp_path,)))

    def run(
        before: Frame, now: Frame, limits: Limits = QUICK, feature: str = "", known: Known | None = None, **profile: Any
    ) -> DriftReport:
        sides = [
            DataSource(kind=SourceKind.PARQUET, path=str(write(frame, tmp_path / f"{name}.parquet")))
            for name, frame in (("before", before), ("now", now))
        ]
        usual = {"reference": sides[0], "current": sides[1], "roles": Roles(prediction=SCORE, time=TIME)}
        asked = DriftProfile(system="study", model="affairs", limits=limits, **usual | profile)
        return runner.run(request(asked, NOW, feature=feature, known=known))

    return run


def affairs(fault: str = "nothing") -> tuple[Frame, Frame]:
    one = real("fair")
    before, now = halves(one, 11)
    return before, one.scored(FAULTS[fault](now, one.main))


def test_screen_triage_and_picture_without_the_full_report(ask: Ask, tmp_path: Path) -> None:
    report = ask(*affairs("sentinel"))
    assert (report.system, report.model) == ("study", "affairs")
    assert (report.triage.cause, report.triage.clues[0].column) == (Cause.DATA_BUG, "yrs_married")
    assert "Fix the source first" in (report.triage.retrain_locked or "")
    assert (report.reference_rows, report.current_rows) == (3000, 3000)
    assert TIME not in [column.name for column in report.columns]
    assert [column.name for column in report.columns if column.is_pictured] == [one.name for one in report.columns[:3]]
    assert Path(report.png_path).read_bytes().startswith(PNG)
    assert (report.html_path, "does not ask for it" in report.full_missing) == ("", True)
    assert 0 < report.took.screen_s < report.took.total_s
    assert not list((tmp_path / "reports").glob("run-*/scratch"))


def test_only_the_rows_of_the_window_are_compared(ask: Ask) -> None:
    before, now = affairs()
    report = ask(before, now, window=timedelta(days=2), feature="religious")
    expected = int((now[TIME] >= np.datetime64("2026-03-07")).sum())
    assert 0 < expected < 3000
    assert (report.reference_rows, report.current_rows) == (3000, expected)
    assert report.triage.cause is Cause.QUIET
    assert [(column.name, column.is_pictured) for column in report.columns] == [("religious", True)]
    assert report.inputs > 5


def test_a_step_is_told_with_the_deploy_that_lies_near_it(ask: Ask) -> None:
    """From the ledger's line to the sentence that people read: half of the week is as before, then a column moved."""
    before, now = affairs()
    step_at = np.datetime64("2026-03-05T12:00:00")
    chance = np.random.default_rng(5)
    for frame in (before, now):
        frame["steps"] = chance.normal(0, 1, len(frame[TIME]))
    now["steps"] = now["steps"] + np.where(now[TIME] >= step_at, 1.2, 0.0)
    deploy, earlier = (datetime(2026, 3, day, 11, 40, tzinfo=UTC) for day in (5, 3))
    known = Known(changes=(
        Change(what="feeder was rolled out anew", earliest_at=deploy, latest_at=deploy),
        Change(what="the pipeline rows ran", earliest_at=earlier, latest_at=earlier),
    ))  # fmt: skip
    report = ask(before, now, known=known)
    assert (report.onset, report.triage.retrain_locked is None) == ("step", False)
    assert report.onset_at is not None
    assert abs(report.onset_at.replace(tzinfo=None) - step_at.astype(datetime)) <= timedelta(hours=12)
    [clue] = [clue for clue in report.triage.clues if clue.sign == "onset"]
    assert clue.sentence.startswith("It came in one step, at about 05 Mar")
    assert clue.sentence.endswith("near it: feeder was rolled out anew, 05 Mar 11:40 UTC.")


def test_what_cannot_be_answered_is_a_sentence(ask: Ask, tmp_path: Path) -> None:
    before, now = affairs()
    with pytest.raises(Foreign, match=r"The reference has no column 'religous'. The nearest is 'religious'") as unknown:
        ask(before, now, feature="religous")
    assert unknown.value.reason == "invalid"
    (tmp_path / "no.parquet").write_bytes(b"PAR1 nothing of the kind")
    broken = DataSource(kind=SourceKind.PARQUET, path=str(tmp_path / "no.parquet"))
    with pytest.raises(Foreign, match=r"No drift report for affairs: The data could not be read") as unreadable:
        ask(before, now, current=broken)
    assert unreadable.value.reason == "invalid"


def test_check_says_what_is_there() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "handlers.drift.worker", "--check"], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0
    assert "evidently 0.7.23" in ended.stdout.splitlines()


@pytest.mark.slow
def test_the_full_report_of_real_data(ask: Ask) -> None:
    """Sampled, with a column that kills Evidently and names that would run in a browser."""
    before, now = affairs("population")
    chance = np.random.default_rng(3)
    for frame, moved in ((before, 0.0), (now, 1.0)):
        rows = len(frame[SCORE])
        frame[HOSTILE] = np.array(["<b>1</b>", "ok"], dtype=object)[chance.integers(0, 2, rows)]
        frame["endless"] = chance.choice([-1.7e308, 1.7e308, 0.0], rows)
        frame["wild"] = chance.normal(moved, 1, rows)
    now["wild"][0] = -999_999.0
    report = ask(before, now, Limits(wall=WHOLE.wall, sample_rows=2_000))
    assert report.full_missing == ""
    assert report.sampled.startswith("The full report looked at 2,000 of 3,000 reference rows and 2,000 of 2,")
    html = Path(report.html_path).read_text(encoding="utf-8")
    assert len(html) > 1_000_000
    assert (HOSTILE in html, "<b>1</b>" in html) == (False, False)
    columns = {column.name: column for column in report.columns}
    assert columns[HOSTILE].second is not None
    assert columns["religious"].second is not None
    assert columns["religious"].second.status in {"drift", "no drift"}
    assert columns["endless"].second is not None
    assert columns["endless"].second.status == "not compared"
    assert any(note.startswith("Evidently could not look at endless") for note in report.notes), report.notes
    assert columns["wild"].verdict is Verdict.HIGH


@pytest.mark.slow
def test_a_full_report_that_needs_too_much_leaves_the_screen(ask: Ask) -> None:
    report = ask(*affairs("population"), Limits(wall=WHOLE.wall, memory_mb=250))
    assert report.full_missing.startswith("it needed more than 250 MB")
    assert report.triage.drifted
    assert Path(report.png_path).read_bytes().startswith(PNG)


@pytest.mark.slow
def test_one_bad_value_blinds_evidently_and_not_us(ask: Ask) -> None:
    """The danger that made us keep our own index: a shift of a whole standard deviation beside a single -999999."""
    chance = np.random.default_rng(5)
    before, now = {"x": chance.normal(0, 1, 5000)}, {"x": chance.normal(1, 1, 5000)}
    now["x"][0] = -999_999.0
    column = ask(before, now, WHOLE, roles=Roles()).columns[0]
    assert column.second is not None
    assert (column.verdict, column.second.status, column.disagrees) == (Verdict.HIGH, "no drift", True)
