"""What drift may mean: a data bug, a valid drift, an expected change, or unsure; each with its evidence. Pure.

Order matters and is fixed:

1. A sign that the *data* are broken wins over everything, at any sample size at which it is beyond chance. Retraining
   on broken data makes a model worse, so here a false lock is cheaper than a missed one.
2. Without rows enough for a verdict there is none; silence is never called healthy.
3. Drift that a person announced or accepted, or that the same week of last year shows too, is expected.
4. What contradicts a change of the world itself (a step at a deploy, a single upstream table, predictions that do not
   follow, relations that broke) makes it unsure.
5. What is left, and has something that speaks for it (the columns that go with it moved along, or it came slowly),
   is plausibly a valid drift. Only then is a retrain offered. That the predictions followed is no such sign: a model
   follows broken inputs just as well.

This proposes; a person decides. `retrain_locked` is None only for a valid drift; a person's choice of exit opens it.

Not promised: a fault that leaves every distribution, and every relation to the named prediction or label, as they were
is invisible here. Only quality measured against true labels can tell.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from bot.drift.report import Cause, Verdict
from handlers.drift import signs
from handlers.drift.facts import Column, Screen
from handlers.drift.psi import ROWS_FOR_HIGH, ROWS_FOR_MODERATE, Drift
from handlers.drift.signs import Evidence, Points

DRIFTED = (Verdict.MODERATE, Verdict.HIGH)
SHRUNK_RATIO = 0.5  # of the rows expected; fewer is a gap in the feed
ONE_TABLE_LEAST = 2  # drifted columns; one alone is always of one table


class Onset(StrEnum):
    """How the drift began, where a history of it is kept."""

    STEP = "step"  # from one window to the next
    RAMP = "ramp"  # over several windows


@dataclass(frozen=True, slots=True, kw_only=True)
class Began:
    """How and when; the time is that of a slice's beginning."""

    onset: Onset
    at: datetime
    within: timedelta  # length of a slice: how closely the time is known
    columns: tuple[str, ...]  # in which it was seen


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What is known besides the two windows. Everything may be missing."""

    prediction: Drift | None = None  # of the model's predictions; taken from the screen's target when None
    onset: Onset | None = None
    step_at: str = ""  # the deploy or pipeline run at which the step came, as shown to people
    upstream: Mapping[str, str] = field(default_factory=dict)  # column → the table it comes from
    last_year: Drift | None = None  # the current window against the same week a year ago
    accepted: Collection[str] = ()  # columns whose drift a person announced or accepted before
    expected_rows: int | None = None  # in a window like this


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """What the bot proposes, and why."""

    cause: Cause
    sentence: str  # one line for the summary
    evidence: tuple[Evidence, ...]  # that which speaks for the cause first
    retrain_locked: str | None  # why a retrain is not offered; None when it is
    n: int  # rows of the smaller window
    drifted: tuple[str, ...]  # columns past a line, the furthest first


def proposal(screen: Screen, context: Context | None = None) -> Proposal:
    """What the screen may mean, in the order of the module's theory."""
    context = context or Context()
    drifted = sorted(
        (column for column in screen.columns if column.drift.verdict in DRIFTED),
        key=lambda column: -(column.drift.value or 0.0),
    )
    inputs = [column for column in drifted if column.name != screen.target]
    evidence = [*_of_rows(screen, context), *signs.of_screen(screen), *_around(screen, inputs, context)]
    bugs = [found for found in evidence if found.points is Points.DATA_BUG]
    cause, sentence = _cause(screen, drifted, bugs, evidence, context)
    leading = {Cause.DATA_BUG: Points.DATA_BUG, Cause.EXPECTED: Points.EXPECTED, Cause.UNSURE: Points.UNSURE}
    first = leading.get(cause, Points.VALID)
    return Proposal(
        cause=cause,
        sentence=sentence,
        evidence=tuple(sorted(evidence, key=lambda found: found.points is not first)),
        retrain_locked=_lock(cause, bugs),
        n=min(screen.reference_rows, screen.current_rows),
        drifted=tuple(column.name for column in drifted),
    )


def _cause(
    screen: Screen, drifted: list[Column], bugs: list[Evidence], evidence: list[Evidence], context: Context
) -> tuple[Cause, str]:
    if bugs:
        more = f" ({len(bugs) - 1} more signs)" if len(bugs) > 1 else ""
        return Cause.DATA_BUG, f"Probably a data bug: {bugs[0].sentence}{more}"
    n = min(screen.reference_rows, screen.current_rows)
    doubts = [found for found in evidence if found.points is Points.UNSURE]
    if not drifted:
        if doubts:
            return Cause.UNSURE, f"No column drifted, but: {doubts[0].sentence}"
        stable = sum(column.drift.verdict is Verdict.STABLE for column in screen.columns)
        if not stable:
            need = f"{ROWS_FOR_HIGH} are needed to see a big move, {ROWS_FOR_MODERATE} to call it stable"
            return Cause.TOO_FEW, f"Not enough data for a verdict: {n} rows; {need}."
        return Cause.QUIET, f"No drift seen: {stable} of {len(screen.columns)} columns are stable, at {n} rows."
    what = f"{len(drifted)} of {len(screen.columns)} columns drifted, most of all {drifted[0].name}"
    if any(found.points is Points.EXPECTED for found in evidence) and _is_expected(drifted, context):
        return Cause.EXPECTED, f"{what}; this was expected."
    if doubts:
        return Cause.UNSURE, f"{what}, but: {doubts[0].sentence}"
    speaking = [found for found in evidence if found.points is Points.VALID]
    if not speaking:
        return Cause.UNSURE, f"{what}; nothing speaks for broken data, but nothing confirms a change of the world."
    return Cause.VALID, f"{what}: plausibly the world changed. {speaking[0].sentence}"


def _is_expected(drifted: list[Column], context: Context) -> bool:
    if context.last_year is not None and context.last_year.verdict is Verdict.STABLE:
        return True
    return all(column.name in context.accepted for column in drifted)


def _lock(cause: Cause, bugs: list[Evidence]) -> str | None:
    match cause:
        case Cause.VALID:
            return None
        case Cause.DATA_BUG:
            return f"Retraining would teach the model broken data: {bugs[0].sentence} Fix the source first."
        case Cause.EXPECTED:
            return (
                "The change was expected. Update the reference instead, or choose “valid drift” if the model suffers."
            )
        case Cause.UNSURE:
            return "It is not clear whether the data are right. Choose “valid drift” once you know that they are."
        case Cause.TOO_FEW:
            return "There are too few rows to tell. Wait for more, or take a longer window."
        case Cause.QUIET:
            return "Nothing drifted, so there is no reason in the data to retrain."


def _of_rows(screen: Screen, context: Context) -> list[Evidence]:
    """Signs in the window as a whole."""
    rows = screen.current_rows
    if not rows:
        return [_bug("The current window has no rows at all.")]
    expected = context.expected_rows
    if expected and rows < SHRUNK_RATIO * expected:
        return [_bug(f"Only {rows} rows came where about {expected} were expected.", value=rows / expected)]
    return []


def _bug(sentence: str, value: float = 0.0) -> Evidence:
    return Evidence(sign="rows", column="", sentence=sentence, points=Points.DATA_BUG, value=value)


def _around(screen: Screen, drifted: list[Column], context: Context) -> list[Evidence]:
    """What the surroundings say of inputs that drifted; when none did, only that the predictions moved all the same."""
    found: list[Evidence] = []

    def says(sign: str, points: Points, sentence: str) -> None:
        found.append(Evidence(sign=sign, column="", sentence=sentence, points=points, value=0.0))

    if not drifted:
        is_seen = any(one.name == screen.target and one.drift.verdict in DRIFTED for one in screen.columns)
        if context.prediction is not None and context.prediction.verdict in DRIFTED and not is_seen:
            says(
                "prediction", Points.UNSURE, "The predictions drifted all the same. Look at the version that is served."
            )
        return found
    if context.onset is Onset.STEP and context.step_at:
        says("onset", Points.UNSURE, f"It came in one step, at {context.step_at}.")
    elif context.onset is Onset.RAMP:
        says("onset", Points.VALID, "It came slowly, as changes of the world mostly do.")
    _tables(drifted, context, says)
    match _prediction_verdict(screen, context):
        case Verdict.MODERATE | Verdict.HIGH:
            says("prediction", Points.NEITHER, "The predictions drifted with it, so the model is touched.")
        case Verdict.STABLE:
            says("prediction", Points.UNSURE, "The predictions did not follow, so the model may not be touched by it.")
    if context.last_year is not None and context.last_year.verdict is Verdict.STABLE:
        says("season", Points.EXPECTED, "The same week of last year looked like this.")
    accepted = [column.name for column in drifted if column.name in context.accepted]
    if accepted:
        says("accepted", Points.EXPECTED, f"Announced or accepted before: {', '.join(accepted[:5])}.")
    return found


def _tables(drifted: list[Column], context: Context, says: signs.Says) -> None:
    tables = {context.upstream[column.name] for column in drifted if column.name in context.upstream}
    is_known = all(column.name in context.upstream for column in drifted)
    if not is_known or len(drifted) < ONE_TABLE_LEAST or len(set(context.upstream.values())) < 2:
        return
    if len(tables) == 1:
        says("upstream", Points.UNSURE, f"All of it comes from one upstream table, {next(iter(tables))}.")
    else:
        says("upstream", Points.VALID, f"It comes from {len(tables)} upstream tables, not from one.")


def _prediction_verdict(screen: Screen, context: Context) -> Verdict | None:
    if context.prediction is not None:
        return context.prediction.verdict
    return next((column.drift.verdict for column in screen.columns if column.name == screen.target), None)
