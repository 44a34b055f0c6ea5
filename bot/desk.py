"""What people ask for, answered: the one place behind slash commands, thread mentions, buttons and the shell.

Every way in ends in the same functions, so there is one set of rules about who may do what. A reply says at once, in
one specific sentence, what happens; work that needs a foreign system follows as `later`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from bot import events as ev
from bot.effects import Decision
from bot.engine import DUPLICATE, Engine, Facts, change_of
from bot.model import Incident, IncidentState, Plan, Severity, Subject, Who
from bot.policy import Policy, System
from bot.policy.approval import may_request, may_steer, rule_for
from bot.ports import Action, Diagnostic, Foreign, Refusal
from bot.words import escaped, harmless, spoken
from bot.work import Worker
from handlers import commands as cmd

_ADDRESS = re.compile(r"\b(user|channel):([#\w-]+)")  # how a page's target stands in the audit
_SENTENCE_CAP = 1_500  # the longest of ours says why each of many versions was passed over


_MENU = frozenset({"snooze", "snooze_1h", "takeover", "escalate", "resolve", "unack", "diagnose", "runbook"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer to one person. `later` gives the rest, when it needs time."""

    text: str
    later: Callable[[], Reply] | None = None
    refused: bool = False
    glass_for: str = ""  # "plan id|digest prefix": offer to break the glass
    url: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asker:
    """Who asks, and from where."""

    who: Who
    channel: str = ""  # id
    thread_ts: str = ""  # "" outside a thread
    request: str = ""  # Slack's id of the request: what it asks for happens once, however often it is delivered

    def key(self, what: str) -> str:
        """The event key of one thing this request asks for, "" when there is no id to know it by."""
        return f"request:{self.request}:{what}" if self.request else ""


class Desk:
    """Turns what people say and click into events and answers."""

    def __init__(
        self, engine: Engine, worker: Worker, actions: Mapping[str, Action], diagnostics: Mapping[str, Diagnostic]
    ) -> None:
        self._engine = engine
        self._store = engine.store
        self._worker = worker
        self._actions = actions
        self._diagnostics = diagnostics
        acting = (
            cmd.Verb(name=action.name, usage=action.usage, summary=action.summary, group=cmd.ACT)
            for action in actions.values()
        )
        self.verbs = (*cmd.VERBS, *acting)

    @property
    def policy(self) -> Policy:
        """The rules in force."""
        return self._engine.policy

    def say(self, text: str, asker: Asker) -> Reply:
        """Answer a command. Raises StoreDown when the database cannot be reached."""
        command = cmd.parse(text, self.verbs)
        if isinstance(command, cmd.Misspelt):
            meant = f" Did you mean `{command.near}`?" if command.near else ""
            return Reply(
                text=f"I don't know “{harmless(command.word, 40)}”.{meant} `/mlops help` lists what you can say.",
                refused=True,
            )
        if command.verb in self._actions:
            return self._act(self._actions[command.verb], command, asker)
        handler = getattr(self, f"_say_{command.verb}")
        reply: Reply = handler(command, asker)
        return reply

    def at_once(self, text: str) -> str:
        """One specific sentence about what a command will do, without looking anything up."""
        command = cmd.parse(text, self.verbs)
        if isinstance(command, cmd.Misspelt):
            return f"I don't know “{harmless(command.word, 40)}”."
        about = harmless(" ".join(command.words[:3]), 80)
        return f"Working on `{command.verb}{' ' + about if about else ''}`…"

    # clicks

    def click_ack(self, incident_id: str, epoch: int, asker: Asker) -> Reply:
        """The button Acknowledge, or Take over."""
        return self._apply(incident_id, ev.Acknowledged(by=asker.who, epoch=epoch), asker)

    def click_take_over(self, incident_id: str, asker: Asker) -> Reply:
        """The button Take over: acknowledges, or takes it from its owner."""
        incident = self._store.incident(incident_id)
        if incident is not None and incident.state is IncidentState.ACKNOWLEDGED:
            return self._apply(incident_id, ev.Assigned(by=asker.who, to=asker.who), asker)
        return self._apply(incident_id, ev.Acknowledged(by=asker.who), asker)

    def click_escalate(self, incident_id: str, epoch: int, asker: Asker) -> Reply:
        """The button Page next level now."""
        return self._apply(incident_id, ev.EscalateClicked(by=asker.who, epoch=epoch), asker)

    def click_more(self, incident_id: str, choice: str, asker: Asker) -> Reply:
        """A choice from the headline's overflow menu: the same words as typed."""
        words = {"snooze": "snooze 1h", "snooze_1h": "snooze 1h", "takeover": "ack"}.get(choice, choice)
        if choice not in _MENU:
            return Reply(text="This menu is from an older message; use the current headline.", refused=True)
        return self.say(f"{words} {incident_id}", asker)

    def click_action(self, incident_id: str, action_name: str, asker: Asker) -> Reply:
        """A button that asks for a guarded action on the incident's subject."""
        incident = self._store.incident(incident_id)
        action = self._actions.get(action_name)
        if incident is None or action is None:
            return Reply(text="This button is outdated; look at the current headline.", refused=True)
        return self._request(action, (incident.subject.label,), incident, asker)

    def click_approve(self, plan_id: str, prefix: str, asker: Asker, *, break_glass: str = "") -> Reply:
        """The button Approve. The digest prefix is that of the card that was clicked."""
        incident, plan = self._plan(plan_id)
        if incident is None or plan is None:
            return Reply(text="This plan is gone; ask again for a fresh one.", refused=True)
        digest = plan.digest if len(prefix) >= 16 and plan.digest.startswith(prefix) else prefix
        decision = self._engine.apply(
            incident.id,
            lambda facts, _: ev.ApproveClicked(
                plan_id=plan_id, digest=digest, by=asker.who, break_glass=break_glass,
                locked_by=facts.locked_by(plan.target_key, plan_id), frozen=facts.frozen(plan.subject.system),
                debts=facts.debts(asker.who),
            ),
            key=asker.key("approve"),
        )  # fmt: skip
        glass = f"{plan_id}|{prefix}" if self._may_offer_glass(decision, incident, plan, asker) else ""
        return _told(decision, _why(decision), glass_for=glass)

    def click_reject(self, plan_id: str, reason: str, asker: Asker) -> Reply:
        """The button Reject, after its reason was asked for."""
        incident, _ = self._plan(plan_id)
        if incident is None:
            return Reply(text="This plan is gone; there is nothing to reject.", refused=True)
        return self._apply(incident.id, ev.RejectClicked(plan_id=plan_id, by=asker.who, reason=reason), asker)

    def click_undo(self, plan_id: str, asker: Asker) -> Reply:
        """The button Undo on a finished plan: asks for the stored inverse as a new plan."""
        incident, plan = self._plan(plan_id)
        if incident is None or plan is None or plan.draft is None or not plan.draft.inverse:
            return Reply(text="There is no stored way back for this plan.", refused=True)
        inverse = dict(plan.draft.inverse)
        action = self._actions.get(inverse.pop("action", plan.action))
        if action is None:
            return Reply(text="The action that would undo this is not available here.", refused=True)
        return self._ask_for(action, incident, plan.subject, inverse, asker, reason=f"undo of plan {plan.id}")

    # looking

    def _say_help(self, command: cmd.Command, asker: Asker) -> Reply:
        del asker
        if command.words:
            wanted = command.words[0].lower()
            verb = next((verb for verb in self.verbs if verb.name == wanted), None)
            if verb is None:
                near = cmd.nearest(wanted, [verb.name for verb in self.verbs])
                return Reply(text=f"There is no verb “{harmless(wanted, 40)}”.{near}", refused=True)
            return Reply(text=f"`/mlops {escaped(verb.usage)}` – {verb.summary}.")
        lines = []
        for group, title in ((cmd.LOOK, "Look"), (cmd.STEER, "Steer"), (cmd.ACT, "Act (with approval)")):
            lines.append(f"*{title}*")
            lines += [f"• `{escaped(verb.usage)}` – {verb.summary}" for verb in self.verbs if verb.group == group]
        lines.append("In a thread, mention me instead of the slash: the incident is then the thread's.")
        return Reply(text="\n".join(lines))

    def _say_status(self, command: cmd.Command, asker: Asker) -> Reply:
        del command, asker
        found = self._store.incidents(open_only=True)
        if not found:
            return Reply(text="Nothing is wrong that I know of: no open incident.")
        more = [f"…and {len(found) - 20} or more others."] if len(found) > 20 else []
        return Reply(text=_head([*(_line(incident) for incident in found[:20]), *more]))

    def _say_incidents(self, command: cmd.Command, asker: Asker) -> Reply:
        if "all" not in command.words:
            return self._say_status(command, asker)
        found = self._store.incidents(limit=20)
        return Reply(text=_head([_line(incident) for incident in found]) or "There has been no incident yet.")

    def _say_incident(self, command: cmd.Command, asker: Asker) -> Reply:
        found = self._find(command, asker)
        if isinstance(found, Reply):
            return found
        plans = [
            f"• plan {plan.id}: {plan.action} is {plan.state}. {spoken(plan.ended_why)}" for plan in found.plans[-5:]
        ]
        lines = [_line(found), f"Why: {harmless(found.severity_why)}", f"Symptom: {harmless(found.symptom)}", *plans]
        return Reply(text="\n".join(lines))

    def _say_diagnose(self, command: cmd.Command, asker: Asker) -> Reply:
        found = self._find(command, asker)
        if isinstance(found, Reply):
            return found
        _, names = cmd.take_incident(command.words)
        unknown = [name for name in names if name not in self._diagnostics]
        if unknown:
            near = cmd.nearest(unknown[0], list(self._diagnostics))
            known = ", ".join(sorted(self._diagnostics))
            text = f"There is no diagnostic “{harmless(unknown[0], 40)}”.{near} Known: {known}."
            return Reply(text=text, refused=True)
        decision = self._engine.apply(
            found.id, ev.DiagnosticsAsked(by=asker.who, names=names), key=asker.key("diagnose")
        )
        return _told(decision, f"{_why(decision)} The answers come into the thread of {found.id}.")

    def _say_metrics(self, command: cmd.Command, asker: Asker) -> Reply:
        return self._look_at(command, asker, "current")

    def _say_versions(self, command: cmd.Command, asker: Asker) -> Reply:
        return self._look_at(command, asker, "served_version")

    def _say_changes(self, command: cmd.Command, asker: Asker) -> Reply:
        return self._look_at(command, asker, "what_changed", of_services=True)

    def _say_pods(self, command: cmd.Command, asker: Asker) -> Reply:
        return self._look_at(command, asker, "pods", of_services=True)

    def _say_logs(self, command: cmd.Command, asker: Asker) -> Reply:
        return self._look_at(command, asker, "logs", of_services=True)

    def _say_history(self, command: cmd.Command, asker: Asker) -> Reply:
        del asker
        found = self._model(command.words)
        if isinstance(found, Reply):
            return found
        system, model = found
        moves = self._store.moves(system.name, model, limit=15)
        lines = [
            f"• {_time(move.latest_at)} {move.what}: {harmless(move.from_, 60) or 'not known'}"
            f" → {harmless(move.to, 60)}" + (f" by {harmless(move.by, 60)}" if move.by else "")
            for move in moves
        ]
        return Reply(text="\n".join(lines) or f"I have not seen {model} change yet.")

    def _say_runbook(self, command: cmd.Command, asker: Asker) -> Reply:
        found = self._find(command, asker)
        if isinstance(found, Reply):
            return found
        book = next((book for book in self._engine.runbooks if book.name == found.runbook), None)
        if book is None:
            return Reply(text=f"No runbook matches {found.id}. Add one to runbooks/{found.subject.system}/.")
        self._engine.apply(found.id, ev.RunbookAsked(by=asker.who, name=book.name), key=asker.key("runbook"))
        return Reply(text=f"The checklist of “{book.title}” comes into the thread of {found.id}.")

    def _say_timeline(self, command: cmd.Command, asker: Asker) -> Reply:
        found = self._find(command, asker)
        if isinstance(found, Reply):
            return found
        lines = self._store.timeline(found.id)[-30:]
        told = [
            f"• {_time(line.at)} {harmless(line.by.name or line.by.user_id, 40)}: {spoken(self._named(line.text))}"
            for line in lines
        ]
        return Reply(text=_fit(told) or "Nothing yet.")

    def _say_oncall(self, command: cmd.Command, asker: Asker) -> Reply:
        del command, asker
        now = self._engine.now()
        lines = []
        for system in self.policy.systems.values():
            people = ", ".join(f"@{person.key}" for person in self.policy.on_call(system.name, now))
            lines.append(f"• {system.name}: {people or 'nobody; its pages go to the catch-all'}")
        return Reply(text="\n".join(lines) or "No system is configured.")

    def _say_audit(self, command: cmd.Command, asker: Asker) -> Reply:
        del command, asker
        number, head = self._store.audit_head()
        return Reply(text=f"{number} audit lines, head {head[:16]}. `mlops-bot audit verify` checks the whole chain.")

    # steering

    def _say_ack(self, command: cmd.Command, asker: Asker) -> Reply:
        return self._steer(
            command, asker, lambda _: ev.Acknowledged(by=asker.who), {IncidentState.OPEN, IncidentState.SNOOZED}
        )

    def _say_unack(self, command: cmd.Command, asker: Asker) -> Reply:
        return self._steer(command, asker, lambda _: ev.Unacknowledged(by=asker.who), {IncidentState.ACKNOWLEDGED})

    def _say_escalate(self, command: cmd.Command, asker: Asker) -> Reply:
        return self._steer(command, asker, lambda _: ev.EscalateClicked(by=asker.who))

    def _say_resolve(self, command: cmd.Command, asker: Asker) -> Reply:
        incident_id, words = cmd.take_incident_before(command.words)
        about = cmd.Command(verb=command.verb, words=(incident_id,) if incident_id else ())
        return self._steer(about, asker, lambda _: ev.Resolved(by=asker.who, note=" ".join(words)))

    def _say_reopen(self, command: cmd.Command, asker: Asker) -> Reply:
        incident_id, _ = cmd.take_incident(command.words)
        if not incident_id and not asker.thread_ts:
            return Reply(text="Which one? `/mlops reopen INC-7`.", refused=True)
        return self._steer(command, asker, lambda _: ev.Reopened(by=asker.who))

    def _say_note(self, command: cmd.Command, asker: Asker) -> Reply:
        if not command.text:
            return Reply(text="What should I note? `/mlops note disk was full at 14:02`.", refused=True)
        incident_id, words = cmd.take_incident_before(command.words) if len(command.words) > 1 else ("", command.words)
        about = cmd.Command(verb=command.verb, words=(incident_id,) if incident_id else ())
        return self._steer(about, asker, lambda _: ev.Noted(by=asker.who, text=" ".join(words)))

    def _say_assign(self, command: cmd.Command, asker: Asker) -> Reply:
        name, words = cmd.take_user(command.words)
        person = self.policy.by_key(name) or next((one for one in self.policy.people if one.who.user_id == name), None)
        if person is None:
            near = cmd.nearest(name, [one.key for one in self.policy.people]) if name else ""
            stranger = f" I don't know “{harmless(name, 40)}”.{near}" if name else ""
            known = ", ".join(f"@{one.key}" for one in self.policy.people[:10])
            return Reply(text=f"To whom?{stranger} `/mlops assign @person`. People: {known or 'none'}.", refused=True)
        rest = cmd.Command(verb=command.verb, words=words, text=command.text)
        return self._steer(rest, asker, lambda _: ev.Assigned(by=asker.who, to=person.who))

    def _say_severity(self, command: cmd.Command, asker: Asker) -> Reply:
        named, words = cmd.take_incident_before(command.words)
        level = cmd.severity(words[0]) if words else None
        if level is None:
            return Reply(text="Which one? `/mlops severity P1 users see errors`.", refused=True)
        also_named, words = cmd.take_incident_before(words[1:])
        about = cmd.Command(verb=command.verb, words=tuple(one for one in (named or also_named,) if one))
        reason = " ".join(words)
        return self._steer(about, asker, lambda _: ev.SeverityChanged(by=asker.who, to=level, reason=reason))

    def _say_snooze(self, command: cmd.Command, asker: Asker) -> Reply:
        found = next((cmd.span(word) for word in command.words if cmd.span(word)), None)
        if found is None or found > timedelta(days=7):
            return Reply(text="For how long, up to 7 days? `/mlops snooze 30m`.", refused=True)
        words = tuple(word for word in command.words if not cmd.span(word))
        rest = cmd.Command(verb=command.verb, words=words, text=command.text)
        until = self._engine.now() + found
        return self._steer(rest, asker, lambda _: ev.Snoozed(by=asker.who, until=until))

    def _say_declare(self, command: cmd.Command, asker: Asker) -> Reply:
        level = command.words[0] if command.words else ""
        return self.declare(level, " ".join(command.words[1:]), asker)

    def declare(self, level: str, title: str, asker: Asker) -> Reply:
        """Open an incident by hand; an open one about the same thing is named instead."""
        severity = cmd.severity(level)
        if severity is None or not title.strip():
            return Reply(
                text="How bad, and what is wrong? `/mlops declare P1 intent answers are nonsense`.", refused=True
            )
        system, subject = self._subject_in(title.split())
        allowed = may_steer(self.policy, system, asker.who)
        if allowed.refused:
            return Reply(text=allowed.text, refused=True)
        key = f"declared:{subject.system}/{subject.label}"
        decision = self._engine.open_incident(
            lambda incident_id: ev.Declared(
                incident_id=incident_id,
                key=key,
                subject=subject,
                by=asker.who,
                title=title.strip()[:150],
                severity=severity,
            ),
            key,
            once=asker.key("declare"),
        )
        return _told(decision, _why(decision))

    def home(self, who: Who) -> list[tuple[str, list[str]]]:
        """What this person needs to see first: what waits for them, then what is open."""
        found = self._store.incidents(open_only=True)
        waiting = [
            f"Plan {plan.id} in {incident.id}: {harmless(plan.draft.title, 200)}. Its card is in the thread."
            for incident in found
            for plan in incident.plans
            if plan.state == "pending" and plan.draft is not None and plan.requested_by != who
        ]
        mine = [_line(incident) for incident in found if incident.owner == who]
        others = [_line(incident) for incident in found if incident.owner != who]
        return [
            ("Waiting for an approval", waiting or ["Nothing."]),
            ("Yours", mine or ["Nothing."]),
            ("Open", others or ["Nothing else."]),
        ]

    def _say_freeze(self, command: cmd.Command, asker: Asker) -> Reply:
        system = self.policy.systems.get(command.words[0]) if command.words else None
        length = cmd.span(command.words[1]) if len(command.words) > 1 else None
        reason = " ".join(command.words[2:])[:300]
        if system is None or length is None or not reason:
            usage = escaped("/mlops freeze <system> 2h <reason>")
            return Reply(text=f"Which system, for how long, and why? `{usage}`. {self._systems()}", refused=True)
        allowed = may_request(self.policy, system, asker.who)
        if allowed.refused:
            return Reply(text=allowed.text, refused=True)
        self._engine.freeze(system.name, length, asker.who, reason)
        return Reply(
            text=f"{system.name} is frozen for {command.words[1]}: no guarded action starts. Reason: {harmless(reason)}"
        )

    def _say_unfreeze(self, command: cmd.Command, asker: Asker) -> Reply:
        system = self.policy.systems.get(command.words[0]) if command.words else None
        if system is None:
            usage = escaped("/mlops unfreeze <system>")
            return Reply(text=f"Which system? `{usage}`. {self._systems()}", refused=True)
        allowed = may_request(self.policy, system, asker.who)
        if allowed.refused:
            return Reply(text=allowed.text, refused=True)
        self._engine.unfreeze(system.name, asker.who)
        return Reply(text=f"The freeze of {system.name} is over.")

    def _say_review(self, command: cmd.Command, asker: Asker) -> Reply:
        if not command.words:
            return Reply(text="Which plan's break-glass did you review? `/mlops review PLN-3`.", refused=True)
        if self.policy.person(asker.who) is None:
            text = "I don't know you, so a review by you would count for nothing. Ask an admin to add you to `people`."
            return Reply(text=text, refused=True)
        plan_id = command.words[0].upper()[:40]
        done = self._engine.review(plan_id, asker.who)
        shown = harmless(plan_id, 40)
        text = f"Thank you; the break-glass of {shown} is reviewed." if done else (
            f"{shown} has no break-glass that you could review: there is none, or you approved it yourself."
        )  # fmt: skip
        return Reply(text=text, refused=not done)

    # acting

    def _act(self, action: Action, command: cmd.Command, asker: Asker) -> Reply:
        incident = self._incident_here(asker)
        return self._request(action, command.words, incident, asker)

    def _request(self, action: Action, words: Sequence[str], here: Incident | None, asker: Asker) -> Reply:
        """Find the one system whose profile knows the name, then its open incident, then ask for a plan."""
        systems = (
            [self.policy.systems[here.subject.system]] if here and here.subject.system in self.policy.systems else []
        )
        systems += [system for system in self.policy.systems.values() if system not in systems]
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
            return Reply(text=spoken(refusal.why, _SENTENCE_CAP), refused=True)
        chosen = self._chosen([(system, name) for system, name, _ in able], here)
        if isinstance(chosen, Reply):
            return chosen
        system, name, request = next(one for one in able if one[0] is chosen)
        incident = here if here is not None and here.subject.label == name else self._open_about(system, name)
        return self._ask_for(action, incident, _subject(system, name), request, asker)

    def _chosen(self, able: Sequence[tuple[System, str]], here: Incident | None) -> System | Reply:
        """Of the systems that know the name: the only one, the thread's, or the only one with an open incident."""
        systems = [system for system, _ in able]
        near = [system for system in systems if here is not None and system.name == here.subject.system]
        wrong = [system for system, name in able if self._open_about(system, name) is not None]
        for found in (near, systems, wrong):
            if len(found) == 1:
                return found[0]
        known = ", ".join(system.name for system in systems)
        text = f"{able[0][1]} is in more than one system: {known}. Say it in the thread of the incident you mean."
        return Reply(text=spoken(text), refused=True)

    def _ask_for(
        self,
        action: Action,
        incident: Incident | None,
        subject: Subject,
        request: dict[str, str],
        asker: Asker,
        reason: str = "",
    ) -> Reply:
        allowed = may_request(self.policy, self.policy.system(subject.system), asker.who)
        if allowed.refused:
            self._engine.note_refusal(allowed, asker.who, incident.id if incident else "", action.name)
            return Reply(text=allowed.text, refused=True)

        def asked(facts: Facts, _: Incident) -> ev.Event:
            return ev.ActionRequested(
                plan_id=facts.new_plan_id(), action=action.name, subject=subject, request=request, by=asker.who,
                reason=reason, frozen=facts.frozen(subject.system),
            )  # fmt: skip

        key = asker.key("action")
        if incident is not None:
            decision = self._engine.apply(incident.id, asked, key=key)
        else:
            title = f"{action.name} {subject.label}"
            decision = self._engine.open_change(
                lambda incident_id: change_of(incident_id, subject, asker.who, title), asked, key=key
            )
        if decision.why.refused or decision.incident is None:
            return _told(decision, _why(decision))
        return _told(decision, f"{_why(decision)} The card comes into the thread of {decision.incident.id}.")

    # finding

    def _named(self, text: str) -> str:
        """A line of the audit with people's names in place of their ids."""
        names = {person.who.user_id: f"@{person.key}" for person in self.policy.people}
        return _ADDRESS.sub(lambda found: names.get(found[2], found[2]), text)

    def _systems(self) -> str:
        return f"Systems: {', '.join(self.policy.systems)}." if self.policy.systems else "No system is set up yet."

    def _steer(
        self, command: cmd.Command, asker: Asker, event: Callable[[Incident], ev.Event],
        wanted: set[IncidentState] | None = None,
    ) -> Reply:  # fmt: skip
        found = self._find(command, asker, wanted)
        return found if isinstance(found, Reply) else self._apply(found.id, event(found), asker)

    def _apply(self, incident_id: str, event: ev.Event, asker: Asker) -> Reply:
        decision = self._engine.apply(incident_id, event, key=asker.key(type(event).__name__))
        text = _why(decision)
        return _told(decision, text if incident_id in text else f"{incident_id}: {text}")

    def _find(self, command: cmd.Command, asker: Asker, wanted: set[IncidentState] | None = None) -> Incident | Reply:
        """The incident that is meant: named, or the thread's, or the only one it can be."""
        incident_id, _ = cmd.take_incident(command.words)
        if incident_id:
            named = self._store.incident(incident_id)
            return named or Reply(
                text=f"There is no {incident_id}. `/mlops incidents` lists the open ones.", refused=True
            )
        here = self._incident_here(asker)
        if here is not None:
            return here
        found = [one for one in self._store.incidents(open_only=True) if one.kind != "change"]
        best = [one for one in found if wanted is None or one.state in wanted] or found
        if len(best) == 1:
            return best[0]
        if not best:
            return Reply(text="There is no open incident.", refused=True)
        listed = "\n".join(_line(one) for one in best[:10])
        return Reply(text=f"Which one? Say `/mlops {command.verb} {best[0].id}`.\n{listed}", refused=True)

    def _incident_here(self, asker: Asker) -> Incident | None:
        if not asker.thread_ts:
            return None
        incident_id = self._store.incident_of_thread(asker.channel, asker.thread_ts)
        return self._store.incident(incident_id) if incident_id else None

    def _open_about(self, system: System, name: str) -> Incident | None:
        found = self._store.open_incident_about(system.name, name)
        return next((one for one in found if one.kind != "change"), found[0] if found else None)

    def _plan(self, plan_id: str) -> tuple[Incident | None, Plan | None]:
        incident_id = self._store.incident_of_plan(plan_id)
        incident = self._store.incident(incident_id) if incident_id else None
        return incident, incident.plan(plan_id) if incident else None

    def _model(self, words: Sequence[str], *, of_services: bool = False) -> tuple[System, str] | Reply:
        """The model that is meant; with `of_services` also a service that a cluster runs."""
        systems = self.policy.systems.values()
        known = {model.name: system for system in systems for model in system.models}
        if of_services:
            known |= {one.service: system for system in systems for one in system.workloads}
        wanted = words[0] if words else ""
        if wanted in known:
            return known[wanted], wanted
        if not wanted and len(known) == 1:
            name, system = next(iter(known.items()))
            return system, name
        near = cmd.nearest(wanted, list(known)) if wanted else ""
        what = "model or service" if of_services else "model"
        said = f"I don't know a {what} “{harmless(wanted, 40)}”." if wanted else f"Which {what}?"
        return Reply(text=f"{said}{near} Known: {', '.join(known) or 'none'}.", refused=True)

    def _look_at(self, command: cmd.Command, asker: Asker, name: str, *, of_services: bool = False) -> Reply:
        found = self._model(command.words, of_services=of_services)
        if isinstance(found, Reply):
            return found
        system, model = found
        diagnostic = self._diagnostics.get(name)
        if diagnostic is None:
            return Reply(text=f"The diagnostic {name} is not available here.", refused=True)
        incident = self._incident_here(asker) or self._open_about(system, model)

        def later() -> Reply:
            scene = self._worker.look(_subject(system, model), incident)
            try:
                finding = diagnostic.ask(scene)
            except Foreign as problem:
                return Reply(text=f"No answer: {spoken(problem.sentence)}", refused=True)
            rows = [
                f"• {harmless(what)}: {harmless(value)} {harmless(bound)}".rstrip()
                for what, value, bound in finding.rows
            ]
            return Reply(text=_fit([spoken(finding.sentence, 1000), *rows]))

        return Reply(text=f"Looking up {command.verb} of {model}…", later=later)

    def _subject_in(self, words: Sequence[str]) -> tuple[System, Subject]:
        """The first known model, service or system named in a sentence; the only system where there is one."""
        for word in words:
            for system in self.policy.systems.values():
                if word == system.name or word in system.services or system.model(word):
                    return system, _subject(system, word)
        systems = list(self.policy.systems.values())
        system = systems[0] if len(systems) == 1 else self.policy.default
        return system, Subject(system=system.name)

    def _may_offer_glass(self, decision: Decision, incident: Incident, plan: Plan, asker: Asker) -> bool:
        system = self.policy.system(plan.subject.system)
        return (
            decision.why.code == "own_request"
            and incident.severity is Severity.P0
            and rule_for(system, plan.draft.tier if plan.draft else "").break_glass
            and self.policy.is_on_call(asker.who, plan.subject.system, self._engine.now())
        )


def _told(decision: Decision, text: str, *, glass_for: str = "") -> Reply:
    """The answer to a decision; a request that Slack delivered twice was answered the first time."""
    if decision.why.code == DUPLICATE.code:
        return Reply(text="")
    return Reply(text=text, refused=decision.why.refused, glass_for=glass_for)


def _why(decision: Decision) -> str:
    """The decision's sentence for Slack: foreign words in it are inert."""
    return spoken(decision.why.text, _SENTENCE_CAP)


def _subject(system: System, name: str) -> Subject:
    model = system.model(name)
    if model is not None:
        return Subject(system=system.name, service=model.service, model=name)
    is_known = name in system.services or system.job(name) is not None  # a job is locked by its own name
    return Subject(system=system.name, service=name if is_known else "")


def _line(incident: Incident) -> str:
    owner = f"@{harmless(incident.owner.name, 80)}" if incident.owner else "nobody yet"
    about = f"{harmless(incident.subject.label, 80)} · {harmless(incident.title, 150)}"
    return f"• *{incident.id}* {incident.severity} {incident.state} · {about} · {owner}"


def _head(lines: Sequence[str], cap: int = 2_900) -> str:
    """The first lines that fit into one message section; says how many were left out."""
    kept = list(lines)
    while len(kept) > 1 and sum(len(line) + 1 for line in kept) > cap:
        kept.pop()
    left_out = len(lines) - len(kept)
    return "\n".join([*kept, *([f"({left_out} more lines are left out)"] if left_out else [])])


def _fit(lines: Sequence[str], cap: int = 2_900) -> str:
    """The latest lines that fit into one message section; says how many were left out."""
    kept = list(lines)
    while len(kept) > 1 and sum(len(line) + 1 for line in kept) > cap:
        kept.pop(0)
    left_out = len(lines) - len(kept)
    return "\n".join([*([f"({left_out} earlier lines are left out)"] if left_out else []), *kept])


def _time(at: datetime) -> str:
    return f"<!date^{int(at.timestamp())}^{{date_short_pretty}} {{time_secs}}|{at:%Y-%m-%d %H:%M:%S} UTC>"
