"""What every answer can see, and how it finds the incident, model or system that is meant."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from bot import events as ev
from bot.desk.reply import Asker, Reply, head, line, told, why_of
from bot.engine import Engine
from bot.model import Finding, Incident, IncidentState, Plan, Subject
from bot.policy import Person, Policy, System
from bot.policy.calendar import zone_named
from bot.policy.rota import Rota
from bot.ports import Action, Diagnostic, Foreign, Scene
from bot.store import Store
from bot.words import harmless, spoken
from bot.work import Worker
from handlers import commands as cmd

_ADDRESS = re.compile(r"\b(user|channel):([#\w-]+)")  # how a page's target stands in the audit
_PASSING = frozenset({"unreachable", "timeout", "overloaded"})  # reasons of a silence that ends by itself


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """The parts of the bot that answers are made of."""

    engine: Engine
    worker: Worker
    actions: Mapping[str, Action]
    diagnostics: Mapping[str, Diagnostic]
    verbs: tuple[cmd.Verb, ...]  # everything that can be said, actions included

    @property
    def store(self) -> Store:
        """Where incidents are kept."""
        return self.engine.store

    @property
    def policy(self) -> Policy:
        """The rules in force."""
        return self.engine.policy

    def named(self, text: str) -> str:
        """A line of the audit with people's names in place of their ids."""
        names = {person.who.user_id: f"@{person.key}" for person in self.policy.people}
        return _ADDRESS.sub(lambda found: names.get(found[2], found[2]), text)

    def person(self, key: str) -> Person | None:
        """Whom a person typed: by Slack id or by key."""
        return self.policy.by_key(key) or next((one for one in self.policy.people if one.who.user_id == key), None)

    def stranger(self, key: str) -> str:
        """That nobody of this name is listed, and who is."""
        known = [one.key for one in self.policy.people]
        said = f"I don't know “{harmless(key, 40)}”.{cmd.nearest(key, known)} " if key else ""
        return f"{said}People: {', '.join(f'@{one}' for one in known[:10]) or 'none'}."

    def zone_of(self, asker: Asker, rotas: Sequence[Rota] = ()) -> ZoneInfo:
        """The zone in which times that somebody types are meant: their own, else the rotation's, else UTC."""
        person = self.policy.person(asker.who)
        names = [person.zone if person else "", *(rota.told_in for rota in rotas), "UTC"]
        return next(zone for name in names if name and (zone := zone_named(name)) is not None)

    def systems(self) -> str:
        """The systems there are, as a sentence."""
        return f"Systems: {', '.join(self.policy.systems)}." if self.policy.systems else "No system is set up yet."

    def steer(
        self, command: cmd.Command, asker: Asker, event: Callable[[Incident], ev.Event],
        wanted: set[IncidentState] | None = None,
    ) -> Reply:  # fmt: skip
        """Let an event happen to the incident that is meant."""
        found = self.find(command, asker, wanted)
        return found if isinstance(found, Reply) else self.apply(found.id, event(found), asker)

    def apply(self, incident_id: str, event: ev.Event, asker: Asker) -> Reply:
        """Let an event happen to an incident, once per request, and say what came of it."""
        decision = self.engine.apply(incident_id, event, key=asker.key(type(event).__name__))
        text = why_of(decision)
        return told(decision, text if incident_id in text else f"{incident_id}: {text}")

    def find(self, command: cmd.Command, asker: Asker, wanted: set[IncidentState] | None = None) -> Incident | Reply:
        """The incident that is meant: named, or the thread's, or the only one it can be."""
        incident_id, _ = cmd.take_incident(command.words)
        if incident_id:
            named = self.store.incident(incident_id)
            return named or Reply(
                text=f"There is no {incident_id}. `/mlops incidents` lists the open ones.", refused=True
            )
        here = self.incident_here(asker)
        if here is not None:
            return here
        found = [one for one in self.store.incidents(open_only=True) if one.kind != "change"]
        best = [one for one in found if wanted is None or one.state in wanted] or found
        if len(best) == 1:
            return best[0]
        if not best:
            return Reply(text="There is no open incident.", refused=True)
        listed = "\n".join(line(one) for one in best[:10])
        return Reply(text=f"Which one? Say `/mlops {command.verb} {best[0].id}`.\n{listed}", refused=True)

    def incident_here(self, asker: Asker) -> Incident | None:
        """The incident whose thread this was said in."""
        if not asker.thread_ts:
            return None
        incident_id = self.store.incident_of_thread(asker.channel, asker.thread_ts)
        return self.store.incident(incident_id) if incident_id else None

    def open_about(self, system: System, name: str) -> Incident | None:
        """The open incident about a model or service; one about a fault before a change asked for."""
        found = self.store.open_incident_about(system.name, name)
        return next((one for one in found if one.kind != "change"), found[0] if found else None)

    def plan(self, plan_id: str) -> tuple[Incident | None, Plan | None]:
        """A plan and the incident it belongs to."""
        incident_id = self.store.incident_of_plan(plan_id)
        incident = self.store.incident(incident_id) if incident_id else None
        return incident, incident.plan(plan_id) if incident else None

    def model(
        self, words: Sequence[str], *, of_services: bool = False, asker: Asker | None = None
    ) -> tuple[System, str] | Reply:
        """The model that is meant; with `of_services` also a service that a cluster runs.

        Without a word it is the one that the thread is about, or the only one there is. Two systems may use the same
        name. Then it is the one of the thread, or the one written before it with a slash
        (`shop/intent`), or the only one with an open incident; else the person is asked.
        """
        known = self._known(of_services=of_services)
        here = self.incident_here(asker) if asker is not None else None
        meant = here.subject.label if here is not None and here.subject.label in known else ""
        wanted = words[0] if words else meant
        found = known.get(wanted, []) or self._with_system(wanted, known)
        if not wanted and len(known) == 1:
            wanted = next(iter(known))
            found = known[wanted]
        if not found:
            near = cmd.nearest(wanted, list(known)) if wanted else ""
            what = "model or service" if of_services else "model"
            said = f"I don't know a {what} “{harmless(wanted, 40)}”.{near}" if wanted else f"Which {what}?"
            return Reply(text=f"{said} Known: {', '.join(known) or 'none'}.", refused=True)
        name = wanted if wanted in known else wanted.partition("/")[2]
        return self._one_of(found, name, here)

    def _known(self, *, of_services: bool) -> dict[str, list[System]]:
        """Names and the systems that use them."""
        known: dict[str, list[System]] = {}
        for system in self.policy.systems.values():
            names = [model.name for model in system.models]
            names += [one.service for one in system.workloads] if of_services else []
            for name in dict.fromkeys(names):
                known.setdefault(name, []).append(system)
        return known

    @staticmethod
    def _with_system(wanted: str, known: Mapping[str, list[System]]) -> list[System]:
        system, _, name = wanted.partition("/")
        return [one for one in known.get(name, []) if one.name == system]

    def _one_of(self, found: Sequence[System], name: str, here: Incident | None) -> tuple[System, str] | Reply:
        near = [system for system in found if here is not None and system.name == here.subject.system]
        wrong = [system for system in found if self.open_about(system, name) is not None]
        for chosen in (near, found, wrong):
            if len(chosen) == 1:
                return chosen[0], name
        named = ", ".join(f"`{system.name}/{name}`" for system in found)
        return Reply(text=f"{harmless(name, 80)} is in more than one system. Which one? Write {named}.", refused=True)

    def look_at(self, command: cmd.Command, asker: Asker, name: str, *, of_services: bool = False) -> Reply:
        """Ask one diagnostic about a model or service; the answer follows as `later`."""
        diagnostic = self.diagnostics.get(name)
        if diagnostic is None:
            return Reply(text=f"The diagnostic {name} is not available here.", refused=True)
        return self.look(command, asker, diagnostic.ask, command.words, of_services=of_services)

    def look(
        self, command: cmd.Command, asker: Asker, ask: Callable[[Scene], Finding], words: Sequence[str], *,
        of_services: bool = False,
    ) -> Reply:  # fmt: skip
        """Ask anything about the model or service that the words name; the answer follows as `later`."""
        found = self.model(words, of_services=of_services, asker=asker)
        if isinstance(found, Reply):
            return found
        system, model = found
        incident = self.incident_here(asker) or self.open_about(system, model)

        def later() -> Reply:
            try:
                finding = ask(self.worker.look(subject_of(system, model), incident))
            except Foreign as problem:
                again = " Ask again when it answers." if problem.reason in _PASSING else ""
                return Reply(text=f"No answer: {spoken(problem.sentence)}{again}", refused=True)
            rows = [
                f"• {harmless(what)}: {harmless(value)} {harmless(bound)}".rstrip()
                for what, value, bound in finding.rows
            ]
            text = head([spoken(finding.sentence, 1000), *rows])
            return Reply(text=text, picture=finding.picture, picture_alt=finding.picture_alt)

        return Reply(text=f"Looking up {command.verb} of {model}…", later=later)

    def subject_in(self, words: Sequence[str]) -> tuple[System, Subject]:
        """The first known model, service or system named in a sentence; the only system where there is one."""
        for word in words:
            for system in self.policy.systems.values():
                if word == system.name or word in system.services or system.model(word):
                    return system, subject_of(system, word)
        systems = list(self.policy.systems.values())
        system = systems[0] if len(systems) == 1 else self.policy.default
        return system, Subject(system=system.name)


def subject_of(system: System, name: str) -> Subject:
    """What a name in a system stands for: a model, a service or a job."""
    model = system.model(name)
    if model is not None:
        return Subject(system=system.name, service=model.service, model=name)
    is_known = name in system.services or system.job(name) is not None  # a job is locked by its own name
    return Subject(system=system.name, service=name if is_known else "")
