"""Drift reports for people: what is shown of a check, which buttons it has, and the weekly review."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from bot.policy.drift import CODES, NEXT_STEP, Exit, Report, ReportState, Result
from bot.render.contexts import Button, Confirm, DriftCard, DriftReview, Name, ReviewLine
from bot.render.parts import called

_ASIDE_SHOWN, _REMARKS_SHOWN, _SIGNS_SHOWN = 6, 6, 4
_UNDECIDED = frozenset({"quiet", "not enough data"})  # nobody has to say what this is
_LABELS = {
    "bug": "Data bug", "valid": "Valid drift", "expected": "Expected change", "unsure": "Not sure: ask data science",
}  # fmt: skip
_PROBABLY = {
    "data bug": "Probably a data bug. ", "valid drift": "Plausibly a valid drift. ",
    "expected change": "Probably an expected change. ", "unsure": "Not clear what it is. ",
}  # fmt: skip
_AFTER_ALL = {
    "bug": "It is a data bug after all", "valid": "It is valid drift after all",
    "expected": "It was expected after all", "unsure": "Not clear: ask data science",
}  # fmt: skip
_WHY = {"weekly": "weekly review", "incident": "for an incident"}


def drift_card(
    report: Report, *, picture_id: str = "", link: str = "", lasts: timedelta = timedelta(0), retrains: bool = True
) -> DriftCard:
    """A check as it stands. `retrains`: whether the profile says how the model is trained anew."""
    result = report.result
    said = _said(report)
    choice = report.choice
    return DriftCard(
        lead=f"{report.model[:80]}: drift check – {said[:600]}",
        report_id=report.id,
        model=report.model,
        feature=report.feature,
        state_words=said,
        is_done=result is not None,
        cause=result.cause if result else "",
        meaning=result.meaning.removeprefix("Probably a data bug: ") if result else "",  # the cause stands before it
        columns=_table(result) if result else (),
        signs=_signs(result) if result else (),
        set_aside=result.set_aside[:_ASIDE_SHOWN] if result else (),
        more_aside=max(len(result.set_aside) - _ASIDE_SHOWN, 0) if result else 0,
        picture_id=picture_id,
        picture_alt=result.picture_alt if result else "",
        lock=report.lock if result and choice is None and result.cause not in _UNDECIDED else "",
        chosen=str(choice.exit) if choice else "",
        chosen_by=called(choice.by) if choice else Name(name=""),
        chosen_at=choice.at if choice else None,
        next_step=NEXT_STEP[choice.exit] if choice else "",
        rows_words=_rows(result) if result else "",
        window_words=_days(report.days),
        why_words=_WHY.get(report.why) or f"asked for by {called(report.asked_by)}",
        took=timedelta(seconds=round(result.took_s, 1)) if result and result.took_s else None,
        ended_at=report.ended_at,
        link=link,
        link_lasts=_days(lasts.days).removeprefix("last ") if lasts else "",
        remarks=result.remarks[:_REMARKS_SHOWN] if result else (),
        buttons=_buttons(report, retrains=retrains),
        menu=_menu(report),
    )


def drift_review(system: str, reports: Sequence[Report]) -> DriftReview:
    """The weekly review as far as its checks have come."""
    lines = tuple(
        ReviewLine(model=one.model, report_id=one.id, said=_in_short(one)) for one in reports
    )  # fmt: skip
    ended = [one for one in reports if one.is_ended]
    noisy = [one.model for one in ended if one.result is None or one.result.cause not in _UNDECIDED]
    waiting = len(reports) - len(ended)
    summary = f"still under way: {waiting} of {len(reports)} checks." if waiting else _summary(reports, noisy)
    return DriftReview(
        lead=f"{system[:80]}: weekly drift review – {summary}", system=system, summary=summary, lines=lines,
        is_quiet=not waiting and not noisy,
    )  # fmt: skip


def _summary(reports: Sequence[Report], noisy: Sequence[str]) -> str:
    if not noisy:
        return f"nothing to decide about in {len(reports)} models." if len(reports) > 1 else "nothing to decide about."
    return f"look at {', '.join(noisy[:5])}{' and others' if len(noisy) > 5 else ''}."


def _in_short(report: Report) -> str:
    if report.choice is not None:
        return f"{report.choice.exit}, says {called(report.choice.by)}. {_said(report)}"
    return _said(report)


def _said(report: Report) -> str:
    match report.state:
        case ReportState.ASKED:
            return "waiting for the worker. The answer replaces this message."
        case ReportState.RUNNING:
            return f"{report.progress or 'reading the data.'} The answer replaces this message."
        case ReportState.FAILED:
            return f"no result. {report.problem} Nothing is concluded from it."
    if report.result is None:
        return "no result."
    # The number may be far from its line while one column is broken: what it probably is must come first.
    return f"{_PROBABLY.get(report.result.cause, '')}{report.result.sentence}"


def _signs(result: Result) -> tuple[tuple[str, str], ...]:
    """The evidence, without what the proposal's own sentence says already."""
    told = [(one.points, one.sentence) for one in result.signs if one.sentence not in result.meaning]
    return tuple(told[:_SIGNS_SHOWN])


def _rows(result: Result) -> str:
    noise = f", noise up to {result.noise:.2f}" if result.noise is not None else ""
    return f"n = {result.n:,} rows now, {result.reference_n:,} in the reference{noise}"


def _days(days: int) -> str:
    return f"last {days} days" if days != 1 else "last day"


def _table(result: Result) -> tuple[tuple[str, ...], ...]:
    """The furthest columns: direction, value, bound with its noise, verdict."""
    rows = [
        (
            one.name, one.direction, "–" if one.value is None else f"{one.value:.2f}",
            "–" if one.bound is None else f"{one.bound:.2f}", "–" if one.noise is None else f"{one.noise:.2f}",
            one.verdict,
        )
        for one in result.columns
    ]  # fmt: skip
    return (("column", "direction", "index", "bound", "noise", "verdict"), *rows) if rows else ()


def _buttons(report: Report, *, retrains: bool) -> tuple[Button, ...]:
    again = Button(action_id="drift:again", label="Check again", value=report.id)
    if not report.is_ended:
        return ()
    if report.result is None:
        return (again,)
    if report.choice is None and report.result.cause not in _UNDECIDED:
        return (*(_exit(report, code) for code in CODES), *_retrain(report, retrains=retrains))
    return (*_retrain(report, retrains=retrains), again) if report.choice else (again,)


def _exit(report: Report, code: str) -> Button:
    proposed = report.result is not None and CODES[code] == report.result.cause
    return Button(
        action_id=f"drift:{code}", label=_LABELS[code], value=report.id, style="primary" if proposed else "",
        confirm=_confirm(report, CODES[code]),
    )  # fmt: skip


def _confirm(report: Report, exit_: Exit) -> Confirm | None:
    """What is asked before a click that opens the lock on broken data, or that calls somebody."""
    result = report.result
    if exit_ is Exit.VALID and result is not None and result.cause == Exit.DATA_BUG:
        text = f"{result.meaning[:160]} Calling it valid unlocks retraining, in your name."
        return Confirm(title="The data look broken", text=text, yes="It is valid drift")
    if exit_ is Exit.UNSURE:
        text = f"The next level of the ladder is paged now about the drift of {report.model[:80]}."
        return Confirm(title="Ask data science", text=text, yes="Page them")
    return None


def _retrain(report: Report, *, retrains: bool) -> tuple[Button, ...]:
    """Slack has no button that is greyed out; a locked one says so, and a click on it says why."""
    if not retrains:
        return ()
    label = "Retrain (locked)" if report.is_locked else "Retrain…"
    return (Button(action_id="drift:retrain", label=label, value=report.id, style=""),)


def _menu(report: Report) -> tuple[tuple[str, str], ...]:
    """The other exits, for somebody who knows better by now."""
    if report.choice is None:
        return ()
    others = [code for code, exit_ in CODES.items() if exit_ is not report.choice.exit]
    return tuple((_AFTER_ALL[code], f"{code}|{report.id}") for code in others)
