"""Drift checks from the wish to the person's choice: each change is one transaction with its messages and its audit.

    ask → (worker) begin → progress … → finish | fail          choose, once there is a result

Nothing here looks at data or talks to Slack: the check itself is `bot.drift_work`'s, the messages are rows. Everything
may happen twice: the same check asked for again is the one under way, a result of an attempt that was given up is worth
nothing, and a click that came before is answered as it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from bot import events as ev
from bot.decide import decide
from bot.effects import Why
from bot.engine import DUPLICATE, Engine
from bot.model import SYSTEM, Incident, Severity, Subject, Who
from bot.policy.approval import refuse
from bot.policy.drift import Choice, Exit, Report, ReportState, Result
from bot.policy.drift import choose as judge
from bot.store import Conflict, StoredFile, Tx
from bot.store.drift_views import message_id
from bot.store.outbox import headline_id

MOST_DAYS = 366
MOST_WAITING = 6  # checks of one model; anybody may ask, and each takes the one worker for up to minutes
TRIES = 3  # attempts at one check; each ended without a word, as when the machine went down
_TITLE = "What is the drift of {model}? {name} is not sure, and asks those who know the data"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """A check that somebody wants."""

    system: str
    model: str
    by: Who
    target: str  # where its message goes: "channel:C1", "at:C1:<ts>", "thread", "under:<row id>"
    why: str = "asked"
    days: int = 7
    feature: str = ""
    incident_id: str = ""
    review: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What became of a wish: the report, and whether it is a new one. None: the request was handled before."""

    report: Report | None
    is_new: bool = True
    refused: str = ""  # why it is not made


def ask(engine: Engine, wish: Wish, *, key: str = "") -> Asked:
    """Store a check, its work and its message. The same check under way is returned instead. Raises StoreDown."""
    try:
        with engine.store.begin() as tx:
            asked = ask_in(tx, engine, wish, key)
    except Conflict:  # another replica stored the same check in this instant
        with engine.store.begin() as tx:
            asked = ask_in(tx, engine, wish, "")
    engine.work_to_do.set()
    return asked


def ask_in(tx: Tx, engine: Engine, wish: Wish, key: str = "") -> Asked:
    """The same within a transaction of the caller's."""
    now = engine.now()
    if key and not tx.once(key, now):
        return Asked(report=None, is_new=False)
    report = Report(
        id="DRF-0", system=wish.system, model=wish.model, state=ReportState.ASKED, why=wish.why, asked_by=wish.by,
        asked_at=now, target=wish.target, days=wish.days, feature=wish.feature, incident_id=wish.incident_id,
        review=wish.review,
    )  # fmt: skip
    found = tx.drift.under_way(report)
    if found is not None:
        return Asked(report=found, is_new=False)
    if tx.drift.count_open(report) >= MOST_WAITING:
        text = f"{MOST_WAITING} checks of {report.model} wait already. Ask again when one of them has answered."
        return Asked(report=None, is_new=False, refused=text)
    report = replace(report, id=tx.next_id("DRF"))
    tx.drift.add(report)
    tx.drift.work(report, now)
    tx.drift.show(report, report.target, now)
    _note(tx, report, wish.by, "drift.asked", f"asked for {report.id}, a drift check of {report.model}", engine)
    return Asked(report=report)


def begin(engine: Engine, report_id: str, run: int) -> Report | None:
    """Take a check up as attempt number `run`; None when there is nothing (more) to do."""
    now = engine.now()
    with engine.store.begin() as tx:
        report = tx.drift.report(report_id)
        if report is None or report.is_ended or run <= report.run:
            return None
        again = "The attempt before ended without a word; trying again." if report.run else "Reading the data."
        report = replace(report, state=ReportState.RUNNING, run=run, started_at=now, progress=again)
        _keep(tx, report, engine)
    engine.work_to_do.set()
    return report


def progress(engine: Engine, report_id: str, run: int, words: str) -> None:
    """Tell how far an attempt is."""
    with engine.store.begin() as tx:
        report = tx.drift.report(report_id)
        if report is None or report.is_ended or report.run != run or report.progress == words:
            return
        _keep(tx, replace(report, progress=words[:200]), engine)
    engine.work_to_do.set()


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What an attempt found: what people are shown, everything that was measured, and the files."""

    result: Result
    numbers: str = ""
    files: Sequence[StoredFile] = ()


def finish(engine: Engine, report_id: str, run: int, found: Found) -> bool:
    """Store what an attempt found; False when the attempt was given up meanwhile. The result and its files, or none."""
    result = found.result
    now = engine.now()
    with engine.store.begin() as tx:
        report = tx.drift.report(report_id)
        if report is None or report.is_ended or report.run != run:
            return False
        report = replace(report, state=ReportState.DONE, ended_at=now, result=result, progress="", problem="")
        tx.drift.put_files(found.files)
        _keep(tx, report, engine)
        tx.drift.keep_numbers(report.id, found.numbers)
        if result.html:
            tx.drift.share(report, result.html, _beneath(report), now)
        text = f"{report.id} of {report.model}: {result.cause}. {result.sentence}"
        _note(tx, report, SYSTEM, "drift.reported", text, engine)
    engine.work_to_do.set()
    return True


def fail(engine: Engine, report_id: str, run: int, problem: str) -> bool:
    """Store that an attempt came to nothing, and why; False when it was given up meanwhile."""
    now = engine.now()
    with engine.store.begin() as tx:
        report = tx.drift.report(report_id)
        if report is None or report.is_ended or report.run > run:
            return False
        report = replace(report, state=ReportState.FAILED, ended_at=now, problem=problem[:500], progress="")
        _keep(tx, report, engine)
        _note(tx, report, SYSTEM, "drift.failed", f"{report.id} of {report.model} failed: {problem}", engine)
    engine.work_to_do.set()
    return True


def choose(engine: Engine, report_id: str, exit_: Exit, by: Who, *, key: str = "") -> Why:
    """Record what a person says the drift is, and take the step that follows. Refusals are written down too."""
    now = engine.now()
    try:
        with engine.store.begin() as tx:
            if key and not tx.once(key, now):
                return DUPLICATE
            report = tx.drift.report(report_id)
            why = judge(report, exit_, by, engine.policy)
            if report is None:
                return why
            if why.refused:
                _note(tx, report, by, f"refused.{why.code}", f"{report.id}: {why.text}", engine)
            elif why.code == "chosen":
                why = _chosen(tx, engine, report, Choice(exit=exit_, by=by, at=now), why)
    except Conflict:
        return refuse("conflict", f"Somebody else decided about {report_id} in this instant. Look at its message.")
    engine.work_to_do.set()
    return why


def _chosen(tx: Tx, engine: Engine, report: Report, choice: Choice, why: Why) -> Why:
    tx.drift.choose(report.id, choice)
    proposed = report.result.cause if report.result else ""
    text = f"said that {report.id} of {report.model} is: {choice.exit} (proposed: {proposed})"
    _note(tx, report, choice.by, "drift.exit", text, engine, exit=str(choice.exit), proposed=proposed)
    if choice.exit is Exit.UNSURE:
        why = _escalated(tx, engine, report, choice, why)
    _keep(tx, replace(report, choice=choice), engine)
    return why


def _escalated(tx: Tx, engine: Engine, report: Report, choice: Choice, why: Why) -> Why:
    """Page the next level: of the report's incident, or of a new one about the model. In the same transaction."""
    now = engine.now()
    incident = tx.incident(report.incident_id) if report.incident_id else None
    if incident is None or not incident.is_open:
        incident = _opened(tx, engine, report, choice)
    if incident is None:
        return Why(code=why.code, text=f"{why.text} Nobody could be paged: say `escalate` in an incident.")
    decision = decide(incident, ev.EscalateClicked(by=choice.by), now, engine.policy)
    tx.save(decision, now)
    return Why(code=why.code, text=f"{why.text} {incident.id}: {decision.why.text}")


def _opened(tx: Tx, engine: Engine, report: Report, choice: Choice) -> Incident | None:
    now = engine.now()
    model = engine.policy.system(report.system).model(report.model)
    subject = Subject(system=report.system, service=model.service if model else "", model=report.model)
    key = f"drift:{report.system}/{report.model}"
    tx.lock_key(key)
    found = tx.incident_for_key(key, now, timedelta(0))
    title = _TITLE.format(model=report.model, name=f"@{choice.by.name or choice.by.user_id}")
    event = ev.Declared(
        incident_id=found.id if found else tx.next_id("INC"), key=key, subject=subject, by=choice.by,
        title=f"{title} ({report.id})", severity=Severity.P2,
    )  # fmt: skip
    decision = decide(found, event, now, engine.policy)
    tx.save(decision, now)
    return decision.incident


def remember_file(engine: Engine, report_id: str, file_id: str, slack_id: str) -> None:
    """Note under which id Slack has a file, so that it is not uploaded again with each change of the message."""
    with engine.store.begin() as tx:
        report = tx.drift.report(report_id)
        if report is not None:
            tx.drift.save(replace(report, files={**report.files, file_id: slack_id}))


def _beneath(report: Report) -> str:
    """Where a report's file goes: into the thread that its message is in, or that begins with it.

    Never “thread” itself: posts there wait for each other, and a file that Slack will not take would hold up the rest.
    """
    if report.target == "thread":
        return f"under:{headline_id(report.incident_id)}"
    return f"under:{message_id(report.id)}" if report.target.startswith("channel:") else report.target


def _keep(tx: Tx, report: Report, engine: Engine) -> None:
    """Store a report and bring what shows it up to date."""
    now = engine.now()
    tx.drift.save(report)
    tx.drift.show(report, report.target, now)
    if report.review:
        tx.drift.show_review(report.review, {"review": report.review, "system": report.system}, "", now)


def _note(tx: Tx, report: Report, by: Who, kind: str, text: str, engine: Engine, **data: str) -> None:
    told = {"report": report.id, "system": report.system, "model": report.model, **data}
    tx.record(kind=kind, by=by, text=text, data=told, incident_id=report.incident_id, now=engine.now())
