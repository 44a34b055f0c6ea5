"""The buttons of a drift report: what a person says it is, a second look, and the way to a retrain."""

from __future__ import annotations

from bot import drift_checks
from bot.desk import acting
from bot.desk.reply import SENTENCE_CAP, Asker, Reply
from bot.desk.room import Room
from bot.desk.verbs import drift
from bot.policy.approval import refuse
from bot.policy.drift import CODES, LOOKED_BACK, Report, counts
from bot.words import spoken

_RETRAIN = "retrain"


def click(room: Room, report_id: str, choice: str, asker: Asker) -> Reply:
    """Answer one click. Everything is judged anew: what the button said when it was drawn counts for nothing."""
    report = room.store.drift.report(report_id)
    if report is None:
        return Reply(text="This drift report is gone. Ask for a new one with `drift`.", refused=True)
    if choice in CODES:
        why = drift_checks.choose(room.engine, report.id, CODES[choice], asker.who, key=asker.key("exit"))
        return Reply(text="" if why.code == "duplicate" else spoken(why.text, SENTENCE_CAP), refused=why.refused)
    if choice == "again":
        return _again(room, report, asker)
    if choice == _RETRAIN:
        return _retrain(room, report, asker)
    return Reply(text="This button is from an older message; ask for a new report with `drift`.", refused=True)


def _again(room: Room, report: Report, asker: Asker) -> Reply:
    system = room.policy.systems.get(report.system)
    model = system.model(report.model) if system else None
    if system is None or model is None or not model.drift:
        text = f"The profile says nothing about the drift of {spoken(report.model, 80)} any more."
        return Reply(text=text, refused=True)
    return drift.asked(room, asker, system, model, days=report.days, feature=report.feature)


def _retrain(room: Room, report: Report, asker: Asker) -> Reply:
    """Ask for the retrain action's plan, unless the last finished report stands against it."""
    newest = counts(room.store.drift.latest(report.system, report.model, LOOKED_BACK, done=True)) or report
    if newest.is_locked:
        newer = "" if newest.id == report.id else f"{newest.id}, which counts, says: "
        why = refuse("retrain_locked", f"Retraining {report.model} is locked. {newer}{newest.lock}")
        room.engine.note_refusal(why, asker.who, report.incident_id, _RETRAIN)
        return Reply(text=spoken(why.text, SENTENCE_CAP), refused=True)
    action = room.actions.get(_RETRAIN)
    if action is None:
        return Reply(text="The action `retrain` is not available here.", refused=True)
    incident = room.store.incident(report.incident_id) if report.incident_id else None
    here = incident if incident is not None and incident.is_open else None
    return acting.request(room, action, (report.model,), here, asker)
