"""The desk: takes what was typed or clicked to the function that answers it."""

from __future__ import annotations

from collections.abc import Mapping

from bot.desk import acting
from bot.desk.clicks import Clicks
from bot.desk.reply import Asker, Reply, line
from bot.desk.room import Room
from bot.desk.verbs import load, steering
from bot.desk.verbs.on_call import on_duty
from bot.engine import Engine
from bot.model import Who
from bot.policy import Policy
from bot.ports import Action, Diagnostic
from bot.registry import RegistryError
from bot.words import harmless
from bot.work import Worker
from handlers import commands as cmd


class Desk(Clicks):
    """Turns what people say and click into events and answers."""

    def __init__(
        self, engine: Engine, worker: Worker, actions: Mapping[str, Action], diagnostics: Mapping[str, Diagnostic]
    ) -> None:
        """RegistryError when an action has the name of a verb."""
        self._spoken = load()
        twice = sorted(self._spoken.keys() & actions.keys())
        if twice:
            raise RegistryError(f"“{twice[0]}” is both a verb of the desk and an action; rename one of them.")
        acting_verbs = (
            cmd.Verb(name=action.name, usage=action.usage, summary=action.summary, group=cmd.ACT)
            for action in actions.values()
        )
        self.verbs = (*(spoken.verb for spoken in self._spoken.values()), *acting_verbs)
        super().__init__(Room(engine=engine, worker=worker, actions=actions, diagnostics=diagnostics, verbs=self.verbs))

    @property
    def policy(self) -> Policy:
        """The rules in force."""
        return self.room.policy

    def say(self, text: str, asker: Asker) -> Reply:
        """Answer a command. Raises StoreDown when the database cannot be reached."""
        command = cmd.parse(text, self.room.verbs)
        if isinstance(command, cmd.Misspelt):
            meant = f" Did you mean `{command.near}`?" if command.near else ""
            return Reply(
                text=f"I don't know “{harmless(command.word, 40)}”.{meant} `/mlops help` lists what you can say.",
                refused=True,
            )
        if command.verb in self.room.actions:
            return acting.act(self.room, self.room.actions[command.verb], command, asker)
        return self._spoken[command.verb].answer(self.room, command, asker)

    def at_once(self, text: str) -> str:
        """One specific sentence about what a command will do, without looking anything up."""
        command = cmd.parse(text, self.room.verbs)
        if isinstance(command, cmd.Misspelt):
            return f"I don't know “{harmless(command.word, 40)}”."
        about = harmless(" ".join(command.words[:3]), 80)
        return f"Working on `{command.verb}{' ' + about if about else ''}`…"

    def home(self, who: Who) -> list[tuple[str, list[str]]]:
        """What this person needs to see first: what waits for them, then what is open."""
        found = self.room.store.incidents(open_only=True)
        waiting = [
            f"Plan {plan.id} in {incident.id}: {harmless(plan.draft.title, 200)}. Its card is in the thread."
            for incident in found
            for plan in incident.plans
            if plan.state == "pending" and plan.draft is not None and plan.requested_by != who
        ]
        mine = [line(incident) for incident in found if incident.owner == who]
        others = [line(incident) for incident in found if incident.owner != who]
        duty = on_duty(self.room.policy, who, self.room.engine.now())
        return [
            *([("On call", duty)] if duty else []),
            ("Waiting for an approval", waiting or ["Nothing."]),
            ("Yours", mine or ["Nothing."]),
            ("Open", others or ["Nothing else."]),
        ]

    def declare(self, level: str, title: str, asker: Asker) -> Reply:
        """Open an incident by hand, from the form."""
        return steering.declare(self.room, level, title, asker)
