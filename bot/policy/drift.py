"""What a drift report is worth, and what a person may decide about it. Pure.

A report is not an incident: most of them find nothing, and the weekly ones would bury what is wrong. So it is a row of
its own with a life of four states, and only its *exit* – what a person says the drift is – changes what the bot does:

    asked → running → done | failed          and, once done, any number of exits, of which the last one counts

Exits are appended, never changed: who said what when is part of the audit. A second click on the same exit is no news.

The lock on retraining follows from the last report that came to an end and its exit: broken data make a retrained
model worse, so while a data bug is likely nobody gets a plan, whoever asks and by whatever way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from bot.effects import Why
from bot.model import Who
from bot.policy import Policy
from bot.policy.approval import may_request, refuse

TOO_FEW = "not enough data"  # the proposal of a check that cannot tell
ACCEPTED_FOR = timedelta(days=90)  # an expected change is in the reference by then, or should be judged anew


class ReportState(StrEnum):
    """The life of one drift check."""

    ASKED = "asked"  # stored; nobody works on it yet
    RUNNING = "running"  # the worker has it
    DONE = "done"  # there is a result
    FAILED = "failed"  # there is none, and it is said why


ENDED = frozenset({ReportState.DONE, ReportState.FAILED})


class Exit(StrEnum):
    """What a person says the drift is. The same words as the proposal's."""

    DATA_BUG = "data bug"  # the data are wrong: fix the source
    VALID = "valid drift"  # the world changed: retrain
    EXPECTED = "expected change"  # it was announced: update the reference
    UNSURE = "unsure"  # somebody who knows the data must look


CODES: Mapping[str, Exit] = {"bug": Exit.DATA_BUG, "valid": Exit.VALID, "expected": Exit.EXPECTED,
                             "unsure": Exit.UNSURE}  # fmt: skip
NEXT_STEP: Mapping[Exit, str] = {
    Exit.DATA_BUG: "Fix the source, then check again. Retraining stays locked until then.",
    Exit.VALID: "Retrain: the button asks for a plan, which still needs its approval.",
    Exit.EXPECTED: "Update the reference to the data as they are now; until then these columns count as accepted.",
    Exit.UNSURE: "Those who know the data are being asked. Retraining stays locked until somebody decides.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """One column in the summary's table."""

    name: str
    direction: str  # "higher", "lower", "wider", … ; "" where there is none
    value: float | None  # the index; None when nothing can be said
    bound: float | None  # the line it was held against
    noise: float | None  # unchanged data stay below this
    verdict: str  # as the screen words it
    what: str = ""  # more in a few words: "12 % missing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sign:
    """One piece of evidence."""

    points: str  # which cause it speaks for; "neither"
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a drift check found, as far as people are shown it. Texts may hold a stranger's column names."""

    sentence: str  # the verdict on one line
    verdict: str  # of the number that stands for the model: "none-yet", "stable", "moderate", "high"
    cause: str  # what is proposed: "data bug", "valid drift", "expected change", "unsure", "quiet", "not enough data"
    meaning: str = ""  # the proposal in a sentence
    retrain_locked: str = ""  # why a retrain is not offered; "" when it is
    n: int = 0  # rows of the current window
    reference_n: int = 0
    judged: int = 0  # columns about which anything may be said
    noise: float | None = None  # the highest of any column: unchanged data stay below it
    drifted: tuple[str, ...] = ()  # the furthest first
    columns: tuple[Shown, ...] = ()  # the furthest first, at most a few
    signs: tuple[Sign, ...] = ()
    set_aside: tuple[tuple[str, str], ...] = ()  # (column, why)
    remarks: tuple[str, ...] = ()  # what else must be said: sampled, no second opinion, …
    html: str = ""  # id of the stored page
    picture: str = ""  # id of the stored PNG
    picture_alt: str = ""
    began_at: datetime | None = None  # of the current window
    until_at: datetime | None = None
    took_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """An exit that a person chose."""

    exit: Exit
    by: Who
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One drift check, from the wish for it to the person's choice."""

    id: str  # "DRF-3"
    system: str
    model: str
    state: ReportState
    why: str  # "asked", "weekly", "incident"
    asked_by: Who
    asked_at: datetime
    target: str = ""  # where its message goes, as the outbox knows it
    days: int = 7  # of the current window
    feature: str = ""  # the one column that was asked for
    incident_id: str = ""
    review: str = ""  # id of the weekly review it belongs to
    run: int = 0  # number of the attempt that has it; results of an earlier one are worth nothing
    progress: str = ""
    started_at: datetime | None = None
    ended_at: datetime | None = None
    problem: str = ""  # why it failed
    result: Result | None = None
    choice: Choice | None = None  # the last one
    files: Mapping[str, str] = field(default_factory=dict)  # our file's id → Slack's, of what was uploaded

    @property
    def is_ended(self) -> bool:
        """True when nothing more will be found."""
        return self.state in ENDED

    @property
    def is_locked(self) -> bool:
        """True while a retrain must not be offered because of this report."""
        return self.lock != ""

    @property
    def lock(self) -> str:
        """Why a retrain is not offered, "" when nothing here stands against it. A person's choice comes first."""
        match self.choice.exit if self.choice else None:
            case Exit.VALID:
                return ""
            case Exit.DATA_BUG:
                return f"{self._said_by} said that the data are broken. Fix the source, then check again."
            case Exit.EXPECTED:
                return f"{self._said_by} said that the change was expected. Update the reference instead."
            case Exit.UNSURE:
                return f"{self._said_by} is not sure what it is. Choose “valid drift” once it is clear."
        return self.result.retrain_locked if self.result else ""

    @property
    def _said_by(self) -> str:
        return f"@{self.choice.by.name or self.choice.by.user_id}" if self.choice else "nobody"


def choose(report: Report | None, exit_: Exit, by: Who, policy: Policy) -> Why:
    """Whether this person may say so now; refused with the reason when not."""
    if report is None:
        return refuse("no_report", "This drift report is gone. Ask for a new one with `drift`.")
    allowed = may_request(policy, policy.system(report.system), by)
    if allowed.refused:
        return allowed
    if report.state is not ReportState.DONE:
        return refuse("not_done", f"{report.id} has no result, so there is nothing to decide about.")
    if report.choice is not None and report.choice.exit is exit_:
        return Why(code="already", text=f"{report.id} is “{exit_}” already.")
    return Why(code="chosen", text=f"{report.id}: {exit_}. {NEXT_STEP[exit_]}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What the last finished drift check means for a model now; what actions and diagnostics are told."""

    report_id: str
    at: datetime
    sentence: str
    cause: str
    lock: str  # why a retrain is not offered; "" when nothing stands against it
    is_bug: bool  # … and the reason is that the data are probably broken
    overruled: str = ""  # "@bob", who said valid drift although a data bug was proposed

    @property
    def fact(self) -> str:
        """What a plan binds: a newer report, or another exit, makes it void."""
        return f"{self.report_id}: {self.cause}, {'locked' if self.lock else 'open'}"


LOOKED_BACK = 20  # finished reports among which the one that counts is looked for


def counts(reports: Sequence[Report]) -> Report | None:
    """Of finished reports, newest first, the one whose word stands; None when there is none.

    One that found too few rows to tell has nothing to say, so it takes back no lock: else a check of an hour's data
    would open what a week's had closed.
    """
    telling = (one for one in reports if one.choice or (one.result and one.result.cause != TOO_FEW))
    return next(telling, next(iter(reports), None))


def standing(report: Report | None) -> Standing | None:
    """The same of the finished report that counts; None when there is none."""
    if report is None or report.result is None or report.ended_at is None:
        return None
    proposed_bug = report.result.cause == Exit.DATA_BUG
    chosen = report.choice.exit if report.choice else None
    by = report.choice.by if report.choice else None
    return Standing(
        report_id=report.id, at=report.ended_at, sentence=report.result.sentence,
        cause=str(chosen or report.result.cause), lock=report.lock,
        is_bug=chosen is Exit.DATA_BUG or (chosen is None and proposed_bug),
        overruled=f"@{by.name or by.user_id}" if by and proposed_bug and chosen is Exit.VALID else "",
    )  # fmt: skip
