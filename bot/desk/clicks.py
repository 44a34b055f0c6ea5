"""Buttons and menus of messages, answered."""

from __future__ import annotations

from abc import ABC, abstractmethod

from bot import events as ev
from bot.desk import acting, drift_clicks
from bot.desk.reply import Asker, Reply, told, why_of
from bot.desk.room import Room
from bot.effects import Decision
from bot.model import Incident, IncidentState, Plan, Severity
from bot.policy.approval import rule_for

_MENU = {  # the overflow's choices, and the words each stands for
    "snooze": "snooze 1h", "snooze_1h": "snooze 1h", "takeover": "ack",
    "escalate": "escalate", "resolve": "resolve", "unack": "unack", "diagnose": "diagnose", "runbook": "runbook",
}  # fmt: skip


class Clicks(ABC):
    """What the buttons do. The desk adds what people type."""

    def __init__(self, room: Room) -> None:
        self.room = room

    @abstractmethod
    def say(self, text: str, asker: Asker) -> Reply:
        """Answer typed words: a menu's choice means the same."""

    def click_ack(self, incident_id: str, epoch: int, asker: Asker) -> Reply:
        """The button Acknowledge, or Take over."""
        return self.room.apply(incident_id, ev.Acknowledged(by=asker.who, epoch=epoch), asker)

    def click_take_over(self, incident_id: str, asker: Asker) -> Reply:
        """The button Take over: acknowledges, or takes it from its owner."""
        incident = self.room.store.incident(incident_id)
        if incident is not None and incident.state is IncidentState.ACKNOWLEDGED:
            return self.room.apply(incident_id, ev.Assigned(by=asker.who, to=asker.who), asker)
        return self.room.apply(incident_id, ev.Acknowledged(by=asker.who), asker)

    def click_still_on_it(self, incident_id: str, epoch: int, asker: Asker) -> Reply:
        """The button Still on it."""
        return self.room.apply(incident_id, ev.StillOnIt(by=asker.who, epoch=epoch), asker)

    def click_escalate(self, incident_id: str, epoch: int, asker: Asker) -> Reply:
        """The button Page next level now."""
        return self.room.apply(incident_id, ev.EscalateClicked(by=asker.who, epoch=epoch), asker)

    def click_more(self, incident_id: str, choice: str, asker: Asker) -> Reply:
        """A choice from the headline's overflow menu: the same words as typed."""
        words = _MENU.get(choice)
        if words is None:
            return Reply(text="This menu is from an older message; use the current headline.", refused=True)
        return self.say(f"{words} {incident_id}", asker)

    def click_action(self, incident_id: str, action_name: str, asker: Asker) -> Reply:
        """A button that asks for a guarded action on the incident's subject."""
        incident = self.room.store.incident(incident_id)
        action = self.room.actions.get(action_name)
        if incident is None or action is None:
            return Reply(text="This button is outdated; look at the current headline.", refused=True)
        return acting.request(self.room, action, (incident.subject.label,), incident, asker)

    def click_approve(self, plan_id: str, prefix: str, asker: Asker, *, break_glass: str = "") -> Reply:
        """The button Approve. The digest prefix is that of the card that was clicked."""
        incident, plan = self.room.plan(plan_id)
        if incident is None or plan is None:
            return Reply(text="This plan is gone; ask again for a fresh one.", refused=True)
        digest = plan.digest if len(prefix) >= 16 and plan.digest.startswith(prefix) else prefix
        decision = self.room.engine.apply(
            incident.id,
            lambda facts, _: ev.ApproveClicked(
                plan_id=plan_id, digest=digest, by=asker.who, break_glass=break_glass,
                locked_by=facts.locked_by(plan.target_key, plan_id), frozen=facts.frozen(plan.subject.system),
                debts=facts.debts(asker.who),
            ),
            key=asker.key("approve"),
        )  # fmt: skip
        glass = f"{plan_id}|{prefix}" if _may_offer_glass(self.room, decision, incident, plan, asker) else ""
        return told(decision, why_of(decision), glass_for=glass)

    def click_reject(self, plan_id: str, reason: str, asker: Asker) -> Reply:
        """The button Reject, after its reason was asked for."""
        incident, _ = self.room.plan(plan_id)
        if incident is None:
            return Reply(text="This plan is gone; there is nothing to reject.", refused=True)
        return self.room.apply(incident.id, ev.RejectClicked(plan_id=plan_id, by=asker.who, reason=reason), asker)

    def click_drift(self, report_id: str, choice: str, asker: Asker) -> Reply:
        """A button or menu of a drift report: an exit's code, "again" or "retrain"."""
        return drift_clicks.click(self.room, report_id, choice, asker)

    def click_undo(self, plan_id: str, asker: Asker) -> Reply:
        """The button Undo on a finished plan: asks for the stored inverse as a new plan."""
        incident, plan = self.room.plan(plan_id)
        if incident is None or plan is None or plan.draft is None or not plan.draft.inverse:
            return Reply(text="There is no stored way back for this plan.", refused=True)
        inverse = dict(plan.draft.inverse)
        action = self.room.actions.get(inverse.pop("action", plan.action))
        if action is None:
            return Reply(text="The action that would undo this is not available here.", refused=True)
        return acting.ask_for(
            self.room, action, incident, plan.subject, inverse, asker, reason=f"undo of plan {plan.id}"
        )


def _may_offer_glass(room: Room, decision: Decision, incident: Incident, plan: Plan, asker: Asker) -> bool:
    system = room.policy.system(plan.subject.system)
    return (
        decision.why.code == "own_request"
        and incident.severity is Severity.P0
        and rule_for(system, plan.draft.tier if plan.draft else "").break_glass
        and room.policy.is_on_call(asker.who, plan.subject.system, room.engine.now())
    )
