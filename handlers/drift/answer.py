"""The report, from what the screen found and triage proposes. Pure; strangers' texts are cleaned and capped."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import timedelta

from bot.drift.asked import Change, DriftRequest, Known, Movement, Number, Thresholds
from bot.drift.report import (
    Aside,
    Clue,
    ColumnReport,
    Direction,
    DriftReport,
    Role,
    Second,
    Triage,
    Verdict,
)
from handlers.drift.facts import Column, Form, Screen
from handlers.drift.psi import Drift, Lines, verdict_of
from handlers.drift.triage import Began, Context, Onset, Proposal

NAME_CAP, TEXT_CAP = 120, 400
MOST_COLUMNS, MOST_CLUES = 500, 40
MOVED = 0.1  # of the reference's standard deviation; a smaller move of the mean is not called a direction
WIDENED = 1.1  # ratio of the standard deviations
MISSING_TOLD = 0.02  # rise of the share of missing values that is worth a word
FITTING = 2  # changes that are named where a drift began
DISAGREEMENT = 0.1  # between our index and Evidently's
DRIFTED = (Verdict.MODERATE, Verdict.HIGH)
ORDER = {Verdict.HIGH: 0, Verdict.MODERATE: 1, Verdict.NONE_YET: 2, Verdict.STABLE: 3}
LEADS = {
    Verdict.HIGH: "High drift",
    Verdict.MODERATE: "Moderate drift",
    Verdict.STABLE: "No drift",
    Verdict.NONE_YET: "No verdict yet",
}


def clean(text: str, cap: int = TEXT_CAP) -> str:
    """One line of printable text, capped."""
    line = " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
    return line if len(line) <= cap else line[: cap - 1] + "…"


def lines_of(thresholds: Thresholds) -> Lines:
    """The lines for an index."""
    return Lines(moderate=thresholds.psi_moderate, high=thresholds.psi_high)


def context_of(known: Known) -> Context:
    """What triage is told besides the data."""
    return Context(
        prediction=_drift(known.prediction), last_year=_drift(known.last_year), step_at=clean(known.step_at),
        onset=Onset(known.onset) if known.onset in set(Onset) else None, upstream=known.upstream,
        accepted=known.accepted, expected_rows=known.expected_rows,
    )  # fmt: skip


def _drift(moved: Movement | None) -> Drift | None:
    if moved is None:
        return None
    return Drift(n=moved.n, value=moved.value, bound=moved.bound, noise=moved.noise, verdict=moved.verdict)


def answered(request: DriftRequest, screen: Screen, proposal: Proposal, notes: Iterable[str] = ()) -> DriftReport:
    """The report without its full part. A `feature` limits the columns, never the verdict on the model."""
    columns = [_column(column, request) for column in screen.columns]
    inputs = [column for column in columns if column.role is Role.INPUT]
    value, bound, verdict = _number(request, columns)
    drifted = sum(column.verdict in DRIFTED for column in inputs)
    shown = [column for column in columns if request.feature in {"", column.name}]
    return DriftReport(
        system=request.system, model=request.model, verdict=verdict, number=request.number.value,
        value=_finite(value), bound=_finite(bound), drifted=drifted, inputs=len(inputs),
        judged=sum(column.verdict is not Verdict.NONE_YET for column in inputs),
        share=drifted / len(inputs) if inputs else None,
        sentence=_sentence(request, screen, (value, bound, verdict), (drifted, len(inputs))),
        reference_rows=screen.reference_rows, current_rows=screen.current_rows,
        columns=tuple(sorted(shown, key=lambda one: (ORDER[one.verdict], -(one.value or 0.0)))[:MOST_COLUMNS]),
        aside=tuple(Aside(name=clean(one.name, NAME_CAP), why=clean(one.why)) for one in screen.set_aside),
        gone=tuple(clean(name, NAME_CAP) for name in screen.gone),
        added=tuple(clean(name, NAME_CAP) for name in screen.added),
        triage=_triage(proposal), notes=(*_rejected(screen), *notes),
    )  # fmt: skip


def _triage(proposal: Proposal) -> Triage:
    return Triage(
        cause=proposal.cause, sentence=clean(proposal.sentence), retrain_locked=proposal.retrain_locked,
        drifted=tuple(clean(name, NAME_CAP) for name in proposal.drifted),
        clues=tuple(
            Clue(sign=clue.sign, column=clean(clue.column, NAME_CAP), sentence=clean(clue.sentence), points=clue.points)
            for clue in proposal.evidence[:MOST_CLUES]
        ),
    )  # fmt: skip


def _rejected(screen: Screen) -> list[str]:
    sides = ("reference", screen.reference_rejected), ("current", screen.current_rejected)
    return [f"{count} lines of the {side} data could not be read." for side, count in sides if count]


def _column(column: Column, request: DriftRequest) -> ColumnReport:
    drift, roles = column.drift, request.roles
    role = Role.PREDICTION if column.name == roles.prediction else Role.INPUT
    return ColumnReport(
        name=clean(column.name, NAME_CAP), role=Role.TARGET if column.name == roles.target else role,
        form=column.form.value, verdict=drift.verdict, direction=_direction(column), value=_finite(drift.value),
        bound=_finite(drift.bound), noise=_finite(drift.noise), n=drift.n, change=clean(_change(column)),
        missing_before=column.reference.missing_share, missing_now=column.current.missing_share,
    )  # fmt: skip


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _direction(column: Column) -> Direction:
    was, now = column.reference, column.current
    otherwise = Direction.MIXED if column.drift.verdict in DRIFTED else Direction.SAME
    if column.form is not Form.NUMBER or was.mean is None or now.mean is None:
        return otherwise
    spread, spread_now = was.deviation or 0.0, now.deviation or 0.0
    if abs(now.mean - was.mean) > MOVED * spread:
        return Direction.UP if now.mean > was.mean else Direction.DOWN
    if spread_now > WIDENED * spread:
        return Direction.WIDER
    return Direction.NARROWER if spread > WIDENED * spread_now else otherwise


def _change(column: Column) -> str:
    """What moved, with numbers."""
    was, now = column.reference, column.current
    parts = []
    match column.form:
        case Form.NUMBER if was.mean is not None and now.mean is not None:
            parts.append(f"mean {was.mean:.4g} → {now.mean:.4g}")
        case Form.CATEGORY:
            parts.append(_largest_move(column))
        case Form.TIME:
            parts.append(f"busiest hour {was.top} → {now.top}")
    if now.missing_share - was.missing_share > MISSING_TOLD:
        parts.append(f"missing {was.missing_share:.0%} → {now.missing_share:.0%}")
    return ", ".join(part for part in parts if part)


def _largest_move(column: Column) -> str:
    before, after = max(1, sum(column.reference_counts)), max(1, sum(column.current_counts))
    moves = [
        (was / before, now / after, name)
        for name, was, now in zip(column.names, column.reference_counts, column.current_counts, strict=True)
    ]
    if not moves:
        return ""
    was, now, name = max(moves, key=lambda move: abs(move[1] - move[0]))
    return f"{clean(name, 40)} {was:.0%} → {now:.0%}"


Judged = tuple[float | None, float | None, Verdict]  # value, bound, verdict


def _number(request: DriftRequest, columns: list[ColumnReport]) -> Judged:
    """The number that stands for the model."""
    inputs = [column for column in columns if column.role is Role.INPUT]
    match request.number:
        case Number.SHARE:
            return _of_share(inputs, request.thresholds)
        case Number.HIGHEST:
            return _highest(inputs)
        case Number.MEAN:
            return _mean(inputs, request.thresholds)
        case Number.PREDICTION:
            return of_prediction(
                next((one for one in columns if one.role is Role.PREDICTION), request.known.prediction)
            )
        case Number.SCORE:
            return of_score(request.known.score, request.thresholds)


def _of_share(inputs: list[ColumnReport], thresholds: Thresholds) -> Judged:
    """Columns that cannot be judged yet may count either way; a verdict is given when that makes no difference."""
    if not inputs:
        return None, None, Verdict.NONE_YET
    drifted = sum(column.verdict in DRIFTED for column in inputs)
    open_ones = sum(column.verdict is Verdict.NONE_YET for column in inputs)
    least, most = drifted / len(inputs), (drifted + open_ones) / len(inputs)
    if least >= thresholds.share_critical:
        return least, thresholds.share_critical, Verdict.HIGH
    if least >= thresholds.share_warning:
        return least, thresholds.share_warning, Verdict.MODERATE
    return least, thresholds.share_warning, Verdict.STABLE if most < thresholds.share_warning else Verdict.NONE_YET


def _highest(inputs: list[ColumnReport]) -> Judged:
    found = min(inputs, key=lambda one: (ORDER[one.verdict], -(one.value or 0.0)), default=None)
    return (None, None, Verdict.NONE_YET) if found is None else (found.value, found.bound, found.verdict)


def _mean(inputs: list[ColumnReport], thresholds: Thresholds) -> Judged:
    known = [(one.value, one.noise, one.n) for one in inputs if one.value is not None and one.noise is not None]
    if not known:
        return None, None, Verdict.NONE_YET
    value, noise = (sum(one[place] for one in known) / len(known) for place in (0, 1))
    verdict, bound = verdict_of(min(n for _, _, n in known), value, noise, lines_of(thresholds))
    return value, bound, verdict


def of_prediction(found: ColumnReport | Movement | None) -> Judged:
    """The predictions' own index; no verdict without one."""
    return (None, None, Verdict.NONE_YET) if found is None else (found.value, found.bound, found.verdict)


def of_score(score: float | None, thresholds: Thresholds) -> Judged:
    """A gauge against its lines; no verdict without one."""
    if score is None or not math.isfinite(score):
        return None, None, Verdict.NONE_YET
    if score >= thresholds.score_critical:
        return score, thresholds.score_critical, Verdict.HIGH
    is_past = score >= thresholds.score_warning
    return score, thresholds.score_warning, Verdict.MODERATE if is_past else Verdict.STABLE


WORDS = {
    Number.HIGHEST: "highest index",
    Number.MEAN: "mean index",
    Number.PREDICTION: "index of the predictions",
    Number.SCORE: "drift score",
}


def _sentence(request: DriftRequest, screen: Screen, judged: Judged, counted: tuple[int, int]) -> str:
    value, bound, verdict = judged
    rows = f"{screen.current_rows:,} rows against {screen.reference_rows:,}"
    if request.number is Number.SHARE:
        line = f", line {bound:.0%}" if bound is not None else ""
        what = f"{counted[0]} of {counted[1]} inputs drifted ({value or 0.0:.0%}{line})"
    else:
        what = number_words(request.number, value, bound)
    return f"{LEADS[verdict]}: {what}; {rows}."


def number_words(number: Number, value: float | None, bound: float | None) -> str:
    """As in: mean index 0.21, line 0.10."""
    if value is None:
        return f"{WORDS[number]} not known"
    return f"{WORDS[number]} {value:.2f}" + (f", line {bound:.2f}" if bound is not None else "")


def with_onset(known: Known, began: Began | None) -> Known:
    """What triage is told of how the drift began: a step, which raises doubt. A ramp proves nothing."""
    if began is None or began.onset is not Onset.STEP:
        return known
    hours = began.within.total_seconds() / 3600
    step_at = f"about {began.at:%d %b %H:%M} UTC, to {hours:.0f} hours; {_fitting(known.changes, began)}"
    return replace(known, onset=began.onset.value, step_at=step_at)


def _fitting(changes: Iterable[Change], began: Began) -> str:
    """The changes that lie where a drift began, the nearest first."""
    first, last = began.at - began.within, began.at + began.within
    fits = [one for one in changes if one.earliest_at <= last and one.latest_at >= first]
    if not fits:
        return "no deploy or pipeline run that is known here fits it"
    fits.sort(key=lambda one: abs(one.latest_at - began.at))
    more = f", and {len(fits) - FITTING} more" if len(fits) > FITTING else ""
    return f"near it: {'; '.join(f'{clean(one.what, NAME_CAP)}, {_when(one)}' for one in fits[:FITTING])}{more}"


def _when(change: Change) -> str:
    latest = f"{change.latest_at:%d %b %H:%M} UTC"
    is_exact = change.latest_at - change.earliest_at < timedelta(minutes=10)
    return latest if is_exact else f"between {change.earliest_at:%d %b %H:%M} and {latest}"


def with_began(report: DriftReport, began: Began | None) -> DriftReport:
    """The report with how its drift began."""
    if began is None:
        return report
    report = replace(report, onset=began.onset.value, onset_at=began.at)
    if began.onset is Onset.STEP:  # triage has said so itself
        return report
    since = f"{clean(began.columns[0], 60)} moved slowly, from about {began.at:%d %b} on"
    sentence = f"{since}: so does the world, and so does a sensor that wears out."
    clue = Clue(sign="onset", column=clean(began.columns[0], NAME_CAP), sentence=sentence, points="neither")
    return replace(report, triage=replace(report.triage, clues=(*report.triage.clues, clue)))


def with_second(report: DriftReport, second: Mapping[str, Second], thresholds: Thresholds) -> DriftReport:
    """The report with Evidently's opinions beside ours, by our names of the columns."""
    columns = tuple(
        replace(column, second=found, disagrees=_disagrees(column, found, thresholds))
        if (found := second.get(column.name))
        else column
        for column in report.columns
    )
    clues = tuple(_second_clue(column) for column in columns if column.disagrees)
    return replace(report, columns=columns, triage=replace(report.triage, clues=(*report.triage.clues, *clues)))


def _second_clue(column: ColumnReport) -> Clue:
    theirs = column.second.value if column.second else None
    sentence = (
        f"{column.name}: our index is {column.value or 0.0:.2f}, Evidently's {theirs or 0.0:.2f}. Its bins are of "
        "equal width, so a few wild values can blind or alarm it: look at the column's extremes."
    )
    return Clue(sign="second opinion", column=column.name, points="neither", sentence=sentence)


def _disagrees(column: ColumnReport, second: Second, thresholds: Thresholds) -> bool:
    """Whether the two lie on different sides of the lower line, and far from each other."""
    if column.value is None or second.value is None or column.verdict is Verdict.NONE_YET:
        return False
    line = thresholds.psi_moderate
    return abs(column.value - second.value) > DISAGREEMENT and (column.value > line) != (second.value > line)
