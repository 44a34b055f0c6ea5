"""Asking for a guarded action: which system is meant, which incident it belongs to, and who may ask."""

from __future__ import annotations

from collections.abc import Sequence

from bot import events as ev
from bot.desk.reply import SENTENCE_CAP, Asker, Reply, told, why_of
from bot.desk.room import Room, subject_of
from bot.engine import Facts, change_of
from bot.model import Incident, Subject
from bot.policy import System
from bot.policy.approval import may_request
from bot.ports import Action, Refusal
from bot.words import spoken
from handlers import commands as cmd


def act(room: Room, action: Action, command: cmd.Command, asker: Asker) -> Reply:
    """A verb that is an action: on the thread's incident, or on what the words name."""
    incident = room.incident_here(asker)
    return request(room, action, command.words, incident, asker)


def request(room: Room, action: Action, words: Sequence[str], here: Incident | None, asker: Asker) -> Reply:
    """Find the one system whose profile knows the name, then its open incident, then ask for a plan."""
    systems = [room.policy.systems[here.subject.system]] if here and here.subject.system in room.policy.systems else []
    systems += [system for system in room.policy.systems.values() if system not in systems]
    nothing = "No system is set up, so there is nothing to act on. Add a folder to runbooks/."
    refusal = Refusal(why="" if systems else nothing)
    able: list[tuple[System, str, dict[str, str]]] = []
    for system in systems:
        parsed = action.parse(words, system)
        if isinstance(parsed, Refusal):
            refusal = parsed if not refusal.why or "Did you mean" in parsed.why else refusal
        else:
            able.append((system, *parsed))
    if not able:
        return Reply(text=spoken(refusal.why, SENTENCE_CAP), refused=True)
    chosen = _chosen(room, [(system, name) for system, name, _ in able], here)
    if isinstance(chosen, Reply):
        return chosen
    system, name, asked = next(one for one in able if one[0] is chosen)
    incident = here if here is not None and here.subject.label == name else room.open_about(system, name)
    return ask_for(room, action, incident, subject_of(system, name), asked, asker)


def _chosen(room: Room, able: Sequence[tuple[System, str]], here: Incident | None) -> System | Reply:
    """Of the systems that know the name: the only one, the thread's, or the only one with an open incident."""
    systems = [system for system, _ in able]
    near = [system for system in systems if here is not None and system.name == here.subject.system]
    wrong = [system for system, name in able if room.open_about(system, name) is not None]
    for found in (near, systems, wrong):
        if len(found) == 1:
            return found[0]
    known = ", ".join(system.name for system in systems)
    text = f"{able[0][1]} is in more than one system: {known}. Say it in the thread of the incident you mean."
    return Reply(text=spoken(text), refused=True)


def ask_for(
    room: Room,
    action: Action,
    incident: Incident | None,
    subject: Subject,
    request: dict[str, str],
    asker: Asker,
    reason: str = "",
) -> Reply:
    """Ask for a plan, in the incident or in a change of its own; refused for people who may not ask."""
    allowed = may_request(room.policy, room.policy.system(subject.system), asker.who)
    if allowed.refused:
        room.engine.note_refusal(allowed, asker.who, incident.id if incident else "", action.name)
        return Reply(text=allowed.text, refused=True)

    def asked(facts: Facts, _: Incident) -> ev.Event:
        return ev.ActionRequested(
            plan_id=facts.new_plan_id(), action=action.name, subject=subject, request=request, by=asker.who,
            reason=reason, frozen=facts.frozen(subject.system),
        )  # fmt: skip

    key = asker.key("action")
    if incident is not None:
        decision = room.engine.apply(incident.id, asked, key=key)
    else:
        title = f"{action.name} {subject.label}"
        decision = room.engine.open_change(
            lambda incident_id: change_of(incident_id, subject, asker.who, title), asked, key=key
        )
    if decision.why.refused or decision.incident is None:
        return told(decision, why_of(decision))
    return told(decision, f"{why_of(decision)} The card comes into the thread of {decision.incident.id}.")
