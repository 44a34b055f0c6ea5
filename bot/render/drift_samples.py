"""Sample drift reports: what a check looks like at its main moments."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta

from bot.model import Who
from bot.policy.drift import Choice, Exit, Report, ReportState, Result, Shown, Sign
from bot.render.contexts import DriftCard, DriftReview
from bot.render.drift import drift_card, drift_review

Says = Callable[[str], str]
LASTS = timedelta(days=7)


def cards(says: Says, who: Who, now: datetime) -> Iterator[tuple[str, DriftCard]]:
    """A check under way, failed, and done with each proposal, before and after a person's choice."""
    waiting = _report(says, who, now)
    yield "waiting", drift_card(waiting)
    running = replace(waiting, state=ReportState.RUNNING, progress="Reading and comparing both sides, 20 s so far.")
    yield "running", drift_card(running)
    problem = says("The drift worker ended in the middle, perhaps for lack of memory. Ask again, or raise its limit.")
    yield "failed", drift_card(replace(waiting, state=ReportState.FAILED, problem=problem, ended_at=now))
    quiet = replace(
        _result(says), verdict="stable", cause="quiet", drifted=(), signs=(), set_aside=(),
        sentence=says("No drift seen at 1,240 rows: 4 of 4 columns are stable."), meaning=says("No drift seen."),
        retrain_locked="Nothing drifted, so there is no reason in the data to retrain.",
    )  # fmt: skip
    yield "quiet", drift_card(_done(waiting, quiet, now))
    bug = _done(waiting, _result(says), now)
    link = "https://example.com/reports/DRF-3-html.1773456789.signature"
    yield "a data bug is likely", drift_card(bug, picture_id="F1", link=link, lasts=LASTS)
    for exit_ in Exit:
        yield f"chosen: {exit_}", drift_card(replace(bug, choice=Choice(exit=exit_, by=who, at=now)), picture_id="F1")
    valid = replace(
        _result(says), cause="valid drift", retrain_locked="", set_aside=(),
        meaning=says("3 of 4 columns drifted: plausibly the world changed."),
        signs=(Sign(points="valid drift", sentence=says("The columns that go with age moved along.")),),
    )  # fmt: skip
    yield "plausibly valid", drift_card(_done(waiting, valid, now))
    yield "no way to retrain", drift_card(_done(waiting, valid, now), retrains=False)


def reviews(says: Says, who: Who, now: datetime) -> Iterator[tuple[str, DriftReview]]:
    """A weekly review under way, quiet, and with something to look at."""
    waiting = replace(_report(says, who, now), why="weekly")
    yield "under way", drift_review(says("playground"), (waiting,))
    quiet = replace(_result(says), cause="quiet", sentence=says("No drift seen at 1,240 rows."))
    yield "quiet", drift_review(says("playground"), (_done(waiting, quiet, now),))
    yield "to look at", drift_review(says("playground"), (_done(waiting, _result(says), now),))


def _report(says: Says, who: Who, now: datetime) -> Report:
    return Report(
        id="DRF-3", system="playground", model=says("intent_classifier"), state=ReportState.ASKED, why="asked",
        asked_by=who, asked_at=now, target="channel:C1", feature=says("pixel_2_3"),
    )  # fmt: skip


def _done(report: Report, result: Result, now: datetime) -> Report:
    return replace(report, state=ReportState.DONE, result=result, ended_at=now, feature="")


def _result(says: Says) -> Result:
    columns = (
        Shown(name=says("pixel_2_3"), direction="↑ higher", value=1.92, bound=0.3, noise=0.02, verdict="high"),
        Shown(name=says("pixel_4_4"), direction="↓ lower", value=0.21, bound=0.1, noise=0.02, verdict="moderate"),
        Shown(name=says("channel"), direction="", value=None, bound=None, noise=None, verdict="none-yet"),
    )
    return Result(
        sentence=says("High drift: 2 of 4 columns are past a line, most of all pixel_2_3, at 1,240 rows."),
        verdict="high", cause="data bug",
        meaning=says("Probably a data bug: 12 % of pixel_2_3 are -999, which the reference never holds. (1 more sign)"),
        retrain_locked=says("Retraining would teach the model broken data. Fix the source first."),
        n=1240, reference_n=5000, judged=4, noise=0.02, drifted=(says("pixel_2_3"), says("pixel_4_4")),
        columns=columns,
        signs=(
            Sign(points="data bug", sentence=says("9 % of pixel_4_4 are missing; it was 0 % in the reference.")),
            Sign(points="neither", sentence=says("The predictions drifted with it, so the model is touched.")),
        ),
        set_aside=((says("query_text"), says("It has more than 1000 different values: an identifier or free text.")),),
        remarks=(says("The full report is of 50,000 rows of each side, drawn at random."),),
        html="DRF-3-html", picture="DRF-3-png", picture_alt=says("Reference against current of pixel_2_3."), took_s=4.2,
    )  # fmt: skip
